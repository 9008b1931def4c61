/* SPDX-License-Identifier: Apache-2.0 */
/* Acquire: listeners leave with SCM_RIGHTS, as many a reply as Varlink clients take. */

#include <errno.h>

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"
#include "daemon/api/server.h"

/* What was acquired, and how much of it is out. */
typedef struct Handing {
    Handed handed;
    size_t at;
} Handing;

static void handing_free(void *state)
{
    Handing *handing = state;

    handed_release(&handing->handed);
    free(handing);
}

static int acquire_next(Call *call, Buffer *reply, FdList *fds)
{
    Handing *handing = call->state;
    Handed *handed = &handing->handed;

    if (handing->at >= handed->fds.count)
        return SEQUENCE_END;
    buffer_append_text(reply, "{\"listeners\":[");
    for (size_t i = 0; i < WIRE_FDS_A_REPLY && handing->at < handed->fds.count; i++, handing->at++) {
        if (i > 0)
            buffer_append_char(reply, ',');
        buffer_append_text(reply, handed->objects[handing->at]);
        buffer_append_text(reply, "\"listenerFileDescriptor\":");
        buffer_append_number(reply, i);
        buffer_append_char(reply, '}');
        int r = fd_list_add_consume(fds, fd_list_take(&handed->fds, handing->at));
        if (r < 0)
            return r;
    }
    buffer_append_text(reply, "]}");
    return SEQUENCE_ITEM;
}

int method_acquire(Call *call, Buffer *reply)
{
    const AcquireParameters *arguments = call->arguments;
    Connection *connection = call->connection;

    /* An issue of its own. */
    if (arguments->follow == YES)
        return failure_invalid_parameter(&call->failure, "follow");
    for (size_t i = 0; arguments->names[i]; i++) {
        int r = method_check_entry(call, arguments->names[i]);
        if (r != 0)
            return r;
    }
    Handing *handing = calloc(1, sizeof(*handing));
    if (!handing)
        return -ENOMEM;
    call->state = handing;
    call->state_free = handing_free;
    call->next = acquire_next;
    return manager_acquire(connection->server->manager, &connection->caller, arguments->names, &handing->handed,
                           &call->failure);
}
