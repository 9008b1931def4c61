/* SPDX-License-Identifier: Apache-2.0 */
/* Who starts programs on this host: hvsockd's hvsock-keeper. Nothing here outlives its call. */

#include <jansson.h>
#include <unistd.h>

#include "ctl/files.h"
#include "schema/base/process.h"

#define TIMEOUT_MS 5000 /* no daemon is needed, so none is waited for long */

uid_t files_start_as(Ctl *ctl)
{
    _cleanup_(freep) char *status = NULL;
    const char *where = given_value(&ctl->given, "socket", getenv("HVSOCK_SOCKET"));
    Registry *registry;

    if (geteuid() == 0)
        return 0;
    if (ctl_open_within(ctl, TIMEOUT_MS, &registry) != 0 || registry->ops->status(registry, &status) != 0)
        return where && where[0] ? geteuid() : (uid_t)-1; /* there is to be one of this user's own, or that is not said */
    json_t *reply = json_loads(status, 0, NULL);
    json_int_t keeper = json_integer_value(json_object_get(reply, "keeperProcessId"));
    json_decref(reply);
    return keeper > 0 ? process_owner((pid_t)keeper) : (uid_t)-1;
}
