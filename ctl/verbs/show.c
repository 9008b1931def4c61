/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl show: everything of one service. */

#include <errno.h>

#include "ctl/ctl.h"
#include "ctl/service.h"
#include "schema/model/records.h"

static int show_run(Ctl *ctl)
{
    const char *name = ctl->given.operands[0], *service;
    _cleanup_(freep) char *reply = NULL;
    Registry *registry;
    size_t size;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = (registry->ops->describe_any ? registry->ops->describe_any : registry->ops->describe)(registry, name, &reply);
    if (r != 0)
        return ctl_refused(ctl, r, name);
    if (!ctl_reply_member(reply, "service", &service, &size))
        return -EBADMSG;
    if (ctl->output.yaml)
        return output_yaml("services", &record_type_ServiceContext, service, size);
    if (ctl->output.json) {
        output_json(&ctl->output, service, size);
        return EXIT_DONE;
    }
    return service_show(&ctl->output, service, size);
}

const Verb verb_show = {
    .name = "show",
    .group = VERBS_OF_SERVICES,
    .synopsis = "NAME",
    .help = "Show everything of one service",
    .description = "Its fields, its state and the reason for it, each listener, and who has it since when. With --json "
                   "one Service, "
                   "with --yaml what apply can read.",
    .operands = COMPLETES_SERVICES,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .writes_yaml = true,
    .run = show_run,
};
