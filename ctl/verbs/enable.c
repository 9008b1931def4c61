/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl enable: disabled services listen again. */

#include "ctl/ctl.h"

static int enable_call(Registry *registry, const char *name, char **ret_reply)
{
    return registry->ops->set_enabled(registry, name, true, ret_reply);
}

static int enable_run(Ctl *ctl)
{
    return ctl_each_name(ctl, enable_call);
}

const Verb verb_enable = {
    .name = "enable",
    .group = VERBS_OF_SERVICES,
    .synopsis = "NAME...",
    .help = "Let disabled services listen",
    .description = "Also those declared in files; it holds until the entry in the file changes.",
    .operands = COMPLETES_SERVICES,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = OPERANDS_MANY,
    .run = enable_run,
};
