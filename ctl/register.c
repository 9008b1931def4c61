/* SPDX-License-Identifier: Apache-2.0 */
/* A new service, from the fields that are given as options: what register is on every host. Keeps nothing. */

#include <string.h>

#include "ctl/register.h"
#include "schema/model/record.h"

/* --port auto is autoPort; everything else is as it was given. */
static void register_read_port(Given *given)
{
    for (size_t i = 0; i < given->option_count; i++)
        if (strcmp(given->options[i].name, "port") == 0 && strcmp(given->options[i].value, "auto") == 0)
            given->options[i] = (struct GivenOption){.name = "auto-port"};
}

int register_service(Ctl *ctl)
{
    const char *name = ctl->given.operands[0];
    _cleanup_(freep) char *reply = NULL;
    _cleanup_(service_context_freep) ServiceContext *context = NULL;
    Registry *registry;
    pid_t ephemeral_pid = 0;
    void *record;

    register_read_port(&ctl->given);
    int r = ctl_read_record(ctl, name, &record);
    if (r != 0)
        return r;
    context = record;
    r = ctl_ephemeral_pid(ctl, &ephemeral_pid);
    if (r == 0)
        r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = registry->ops->add_service(registry, context, ephemeral_pid, &reply);
    if (r != 0)
        return ctl_refused(ctl, r, name);
    return ctl_reply(ctl, reply);
}
