/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl unregister: services that were registered go. */

#include "ctl/ctl.h"

static int unregister_call(Registry *registry, const char *name, char **ret_reply)
{
    return registry->ops->remove_service(registry, name, ret_reply);
}

static int unregister_run(Ctl *ctl)
{
    return ctl_each_name(ctl, unregister_call);
}

const Verb verb_unregister = {
    .name = "unregister",
    .group = VERBS_OF_SERVICES,
    .synopsis = "NAME...",
    .help = "Remove registered services",
    .description =
        "It never waits: a vsock listener that a process still has open keeps its port until that process ends.",
    .operands = COMPLETES_SERVICES,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = OPERANDS_MANY,
    .run = unregister_run,
};
