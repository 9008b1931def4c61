/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl disable: services hold nothing, and stay known. */

#include "ctl/ctl.h"

static int disable_call(Registry *registry, const char *name, char **ret_reply)
{
    return registry->ops->set_enabled(registry, name, false, ret_reply);
}

static int disable_run(Ctl *ctl)
{
    return ctl_each_name(ctl, disable_call);
}

const Verb verb_disable = {
    .name = "disable",
    .group = VERBS_OF_SERVICES,
    .synopsis = "NAME...",
    .help = "Let services hold nothing",
    .description = "A disabled service conflicts with nothing but its name. It never waits: a vsock listener that a "
                   "process still has open "
                   "keeps its port until that process ends.",
    .operands = COMPLETES_SERVICES,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = OPERANDS_MANY,
    .run = disable_run,
};
