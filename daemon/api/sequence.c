/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of replies; each belongs to the connection whose call it answers. */

#include "daemon/api/connection.h"
#include "daemon/api/sequence.h"
#include "daemon/api/server.h"

/* What was rendered becomes what is kept back; the buffer that it was in is free again. */
static void sequence_hold(Call *call, Buffer *text, FdList *fds)
{
    Buffer other = call->held;

    call->held = *text;
    *text = other;
    call->held_fds = *fds;
    *fds = (FdList){0};
    call->has_held = true;
}

static void sequence_send_held(Call *call, bool continues)
{
    reply_end(&call->held, continues);
    connection_reply(call->connection, &call->held, &call->held_fds);
    call->has_held = false;
}

static int sequence_step(Call *call)
{
    Connection *connection = call->connection;
    Buffer *text = &connection->server->text;
    _cleanup_(fd_list_clear) FdList fds = {0};

    reply_begin(text);
    int r = call->next(call, text, &fds);
    if (r < 0)
        return r;
    if (r == SEQUENCE_ITEM && call->endless) {
        reply_end(text, true);
        connection_reply(connection, text, &fds);
    } else if (r == SEQUENCE_ITEM) {
        if (call->has_held)
            sequence_send_held(call, true);
        sequence_hold(call, text, &fds);
    } else if (r == SEQUENCE_REFUSED) {
        connection_reply_failure(connection, &call->failure);
        r = SEQUENCE_END;
    } else if (r == SEQUENCE_END && call->has_held) {
        sequence_send_held(call, false);
    } else if (r == SEQUENCE_END) {
        reply_begin(text);
        buffer_append_text(text, "{}");
        reply_end(text, false);
        connection_reply(connection, text, NULL);
    }
    return r;
}

int sequence_run(Call *call, uint64_t deadline_us)
{
    int r = server_settle(call->connection->server);

    if (r < 0)
        return r;
    for (;;) {
        if (connection_is_full(call->connection))
            return SEQUENCE_FULL;
        r = sequence_step(call);
        if (r < 0)
            return r;
        if (r == SEQUENCE_END)
            return SEQUENCE_DONE;
        if (r == SEQUENCE_LATER)
            return SEQUENCE_IDLE;
        if (turn_now_us() >= deadline_us)
            return SEQUENCE_YIELD;
    }
}

int sequence_single(Call *call, Buffer *reply, FdList *fds)
{
    int r;

    while ((r = call->next(call, reply, fds)) == SEQUENCE_AGAIN)
        ;
    if (r < 0)
        return r;
    if (r != SEQUENCE_ITEM) {
        buffer_append_text(reply, "{}");
        return 0;
    }
    if (call->endless)
        return 0;

    _cleanup_(fd_list_clear) FdList other_fds = {0};
    while ((r = call->next(call, &call->held, &other_fds)) == SEQUENCE_AGAIN)
        ;
    if (r < 0)
        return r;
    return r == SEQUENCE_ITEM ? failure_plain(&call->failure, FAILURE_EXPECTED_MORE) : 0;
}
