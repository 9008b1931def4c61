/* SPDX-License-Identifier: Apache-2.0 */
/* The turn of writes that wait for one commit; part of the server. */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "daemon/api/methods.h"
#include "daemon/api/server.h"
#include "daemon/log.h"

static int turn_on_end(sd_event_source *source, void *userdata)
{
    Server *server = userdata;

    return server_settle(server);
}

int turn_init(Server *server)
{
    Turn *turn = &server->turn;

    TAILQ_INIT(&turn->waiting);
    TAILQ_INIT(&turn->readers);
    int r = sd_event_add_defer(server->event, &turn->end, turn_on_end, server);
    if (r < 0)
        return r;
    r = sd_event_source_set_priority(turn->end, TURN_END_PRIORITY);
    if (r < 0)
        return r;
    r = sd_event_source_set_exit_on_failure(turn->end, true);
    if (r < 0)
        return r;
    return sd_event_source_set_enabled(turn->end, SD_EVENT_OFF);
}

void turn_release(Server *server)
{
    Call *call;

    while ((call = TAILQ_FIRST(&server->turn.waiting))) {
        TAILQ_REMOVE(&server->turn.waiting, call, turn);
        call_free(call);
    }
    server->turn.count = 0;
    sd_event_source_disable_unref(TAKE_PTR(server->turn.end));
}

void turn_begin(Server *server)
{
    if (server->turn.count == 0)
        server->turn.event_sequence = manager_event_sequence(server->manager);
}

int turn_add(Server *server, Call *call)
{
    Turn *turn = &server->turn;

    if (turn->count == 0) {
        int r = sd_event_source_set_enabled(turn->end, SD_EVENT_ONESHOT);
        if (r < 0)
            return r;
        turn->began_us = turn_now_us();
    }
    Call *kept = call_keep(call);
    if (!kept)
        return -ENOMEM;
    TAILQ_INSERT_TAIL(&turn->waiting, kept, turn);
    turn->count++;
    kept->connection->staged++;
    return turn->count < TURN_CALLS_MAX ? 0 : server_settle(server);
}

bool turn_has_subject(const Server *server, const char *subject)
{
    const Call *call;

    TAILQ_FOREACH(call, &server->turn.waiting, turn)
        if (strcmp(call->about, subject) == 0)
            return true;
    return false;
}

bool turn_is_due(const Server *server)
{
    return server->turn.count > 0 && turn_now_us() - server->turn.began_us >= TURN_AGE_MAX_US;
}

void turn_wait(Server *server, Connection *connection)
{
    if (connection->is_waiting)
        return;
    connection->is_waiting = true;
    TAILQ_INSERT_TAIL(&server->turn.readers, connection, readers);
}

void turn_forget(Server *server, Connection *connection)
{
    Call *call;

    if (connection->is_waiting)
        TAILQ_REMOVE(&server->turn.readers, connection, readers);
    connection->is_waiting = false;
    if (connection->staged == 0)
        return;
    TAILQ_FOREACH(call, &server->turn.waiting, turn)
        if (call->connection == connection)
            call->connection = NULL;
}

/* One write's reply. settled: why the commit failed; its code is 0 where it did not. */
static void turn_answer(Server *server, Call *call, const Failure *settled)
{
    Connection *connection = call->connection;
    Buffer *text = &server->text;
    int r = 0;

    if (!connection)
        return;
    connection->staged--;
    if (!call->oneway) {
        if (settled->code) {
            reply_failure(text, settled);
        } else {
            reply_begin(text);
            if (call->failure.code == 0)
                r = call->finish(call, text);
            if (call->failure.code)
                reply_failure(text, &call->failure);
            else
                reply_end(text, false);
        }
        if (r < 0)
            connection->broken = true;
        else
            connection_reply(connection, text, NULL);
    }
    if (connection->staged > 0)
        return;
    connection_flush(connection);
    /* Its turn may have ended for want of this, it may be done, or it was not to be read from while so many were
     * staged. */
    if (connection->broken || connection->deaf || connection->ended || connection->closing ||
        !(connection->io.events & EPOLLIN) || wire_has_next(connection->wire) ||
        wire_pending_out_bytes(connection->wire) > 0)
        server_make_ready(server, connection);
}

int server_settle(Server *server)
{
    Turn *turn = &server->turn;
    _cleanup_(failure_release) Failure failure = {0};
    Call *call;

    if (turn->settling || (turn->count == 0 && !manager_has_staged(server->manager)))
        return 0;
    turn->settling = true;
    server->stirred++;
    int r = manager_settle(server->manager, &failure);
    if (r < 0) {
        log_error("committing changes failed: %s; hvsockd ends", strerror(-r));
        failure_storage_failed(&failure, strerror(-r));
    }
    while ((call = TAILQ_FIRST(&turn->waiting))) {
        TAILQ_REMOVE(&turn->waiting, call, turn);
        turn->count--;
        turn_answer(server, call, &failure);
        call_free(call);
    }
    turn->settling = false;
    Connection *connection;
    while ((connection = TAILQ_FIRST(&turn->readers))) {
        TAILQ_REMOVE(&turn->readers, connection, readers);
        connection->is_waiting = false;
        connection->has_waited = true;
        server_make_ready(server, connection);
    }
    if (r < 0) {
        sd_event_exit(server->event, r);
        return r;
    }
    return 0;
}
