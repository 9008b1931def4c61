/* SPDX-License-Identifier: Apache-2.0 */
/* Clients: reading, one call after the other, and writing. A connection is freed in its own turn only (connection_run),
 * or with the server. */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/sequence.h"
#include "daemon/api/server.h"
#include "daemon/log.h"

/* ---- writing ---- */

void connection_flush(Connection *connection)
{
    if (connection->deaf || connection->broken || wire_pending_out_bytes(connection->wire) == 0)
        return;
    int r = wire_flush(connection->wire);
    if (r == 0) {
        connection->fds_unsent = false;
    } else if (r == -EPIPE || r == -ECONNRESET) {
        connection->deaf = true;
    } else if (r < 0) {
        log_warning("pid %d, uid %u: replies cannot be sent: %s", (int)connection->credentials.pid,
                    (unsigned)connection->credentials.uid, strerror(-r));
        connection->broken = true;
    }
}

static bool connection_is_crammed(const Connection *connection)
{
    size_t unsent_bytes = connection->deaf ? 0 : wire_pending_out_bytes(connection->wire);

    return unsent_bytes >= (connection->is_watcher ? WATCHER_UNSENT_MAX_BYTES : CONNECTION_UNSENT_MAX_BYTES) || (connection->fds_unsent && unsent_bytes > 0);
}

bool connection_waits_for_reader(const Connection *connection)
{
    return connection->io.poll && connection->io.events & EPOLLOUT && connection_is_crammed(connection);
}

bool connection_is_full(Connection *connection)
{
    if (!connection_is_crammed(connection))
        return false;
    connection_flush(connection);
    return connection_is_crammed(connection);
}

void connection_reply(Connection *connection, const Buffer *text, FdList *fds)
{
    int r = text->failed ? -ENOMEM : 0;

    if (r == 0 && !connection->deaf) {
        connection->fds_unsent |= fds && fds->count > 0;
        r = wire_write_fds_consume(connection->wire, text->data, text->size_bytes, fds);
    }
    if (fds)
        fd_list_clear(fds);
    if (r < 0)
        connection->broken = true;
}

void connection_reply_failure(Connection *connection, const Failure *failure)
{
    Buffer *text = &connection->server->text;

    reply_failure(text, failure);
    connection_reply(connection, text, NULL);
}

/* ---- sequences ---- */

static void connection_drop_sequence(Connection *connection)
{
    if (connection->is_watcher) {
        LIST_REMOVE(connection, watchers);
        connection->server->watcher_count--;
        connection->is_watcher = false;
    }
    call_free(TAKE_PTR(connection->sequence));
}

static int connection_begin_sequence(Connection *connection, Call *call)
{
    Server *server = connection->server;

    connection->sequence = call_keep(call);
    if (!connection->sequence)
        return -ENOMEM;
    if (connection->sequence->endless) {
        LIST_INSERT_HEAD(&server->watchers, connection, watchers);
        server->watcher_count++;
        connection->is_watcher = true;
        /* Where the kernel does not do so, it only keeps more than it need. A message with descriptors is to come whole. */
        if (!connection->sequence->on_listeners)
            (void)setsockopt(wire_fd(connection->wire), SOL_SOCKET, SO_SNDBUF, &(int){WATCHER_KERNEL_BYTES}, sizeof(int));
    }
    return 0;
}

/* ---- calls ---- */

/* Carries out a call that is prepared, or refused. */
static int connection_answer(Connection *connection, Call *call)
{
    Server *server = connection->server;
    Buffer *text = &server->text;
    _cleanup_(fd_list_clear) FdList fds = {0};
    bool refused = call->failure.code != 0;

    int r = refused ? (int)call->failure.code : method_run(call, text);
    if (!call->method || !(call->method->flags & METHOD_PLAIN))
        server->stirred++;
    if (r < 0)
        return r;
    if (call->failure.code == FAILURE_NOT_ALLOWED)
        manager_log_refused(server->manager, &connection->caller, call->method->name, &call->failure);
    /* Also a write that was refused: because of another, it may be, whose own commit can still fail. */
    if (!refused && call->method->flags & METHOD_WRITE && (r == 0 || server->turn.count > 0))
        return turn_add(server, call);
    if (call->oneway)
        return 0;
    if (r == 0 && call->next) {
        if (call->more)
            return connection_begin_sequence(connection, call);
        r = sequence_single(call, text, &fds);
        if (r < 0)
            return r;
    }
    if (r > 0) {
        connection_reply_failure(connection, &call->failure);
    } else {
        reply_end(text, false);
        connection_reply(connection, text, &fds);
    }
    return 0;
}

/* A call that has just come: what reads waits for the writes that are staged, and what is refused for those of its own
 * connection, so that replies keep their order. */
static int connection_take(Connection *connection, Call *call)
{
    int r = method_prepare(call);

    if (r < 0)
        return r;
    if (call->oneway && call->failure.code == FAILURE_NOT_ALLOWED)
        manager_log_refused(connection->server->manager, &connection->caller, call->method->name, &call->failure);
    /* Nobody would see what comes of it. */
    if (call->oneway && (r > 0 || !(call->method->flags & METHOD_WRITE)))
        return 0;
    bool waits = r > 0 ? connection->staged > 0 : connection->server->turn.count > 0 && !method_is_staged(call);
    if (!waits)
        return connection_answer(connection, call);
    connection->postponed = call_keep(call);
    return connection->postponed ? 0 : -ENOMEM;
}

/* What was postponed, or the next message. */
static void connection_handle(Connection *connection)
{
    _cleanup_(call_freep) Call *postponed = TAKE_PTR(connection->postponed);
    _cleanup_(call_release) Call call = {.connection = connection};
    char *message;
    size_t size_bytes;
    int r = 0;

    if (postponed)
        r = connection_answer(connection, postponed);
    else if (wire_next(connection->wire, &message, &size_bytes, NULL))
        r = call_parse(&call, message, size_bytes);
    if (r == CALL_MALFORMED) {
        log_debug("pid %d, uid %u: not a Varlink call; closing", (int)connection->credentials.pid,
                  (unsigned)connection->credentials.uid);
        connection->closing = true;
        return;
    }
    if (r == 0 && call.parsed)
        r = connection_take(connection, &call);
    if (r < 0) {
        log_error("pid %d, uid %u: a call could not be answered: %s", (int)connection->credentials.pid,
                  (unsigned)connection->credentials.uid, strerror(-r));
        connection->broken = true;
    }
}

static size_t connection_staged_max(const Connection *connection)
{
    return manager_settings(connection->server->manager)->limits->calls_in_flight.value;
}

/* There is something to be answered, and nothing to be waited for first. */
static bool connection_has_work(Connection *connection)
{
    Server *server = connection->server;

    if (connection->is_waiting || connection_is_full(connection))
        return false;
    if (connection->sequence || connection->postponed) {
        if (server->turn.count == 0 || connection->has_waited)
            return true;
        turn_wait(server, connection);
        return false;
    }
    return !connection->closing && wire_has_next(connection->wire) &&
           connection->staged < connection_staged_max(connection);
}

/* Does what can be done until its time is over; true: there is more. */
static bool connection_work(Connection *connection)
{
    uint64_t time_us = CONNECTION_TIME_A_TURN_US / (1 + connection->server->ready_count / 16);
    uint64_t deadline_us =
        turn_now_us() + (time_us > CONNECTION_TIME_A_TURN_LEAST_US ? time_us : CONNECTION_TIME_A_TURN_LEAST_US);

    for (size_t calls = 0; !connection->broken; calls++) {
        if (connection->deaf && connection->sequence)
            connection_drop_sequence(connection);
        if (!connection_has_work(connection))
            return false;
        if (calls >= CONNECTION_CALLS_A_TURN || (calls > 0 && turn_now_us() >= deadline_us))
            return true;
        bool has_waited = connection->has_waited;
        connection->has_waited = false;
        if (!connection->sequence) {
            connection_handle(connection);
            /* First all who have waited, then what is written next. */
            if (has_waited)
                return connection_has_work(connection);
            continue;
        }
        int r = sequence_run(connection->sequence, deadline_us);
        if (r == SEQUENCE_DONE)
            connection_drop_sequence(connection);
        else if (r < 0)
            connection->broken = true;
        else if (r != SEQUENCE_FULL)
            return r == SEQUENCE_YIELD;
    }
    return false;
}

/* ---- reading ---- */

static void connection_read(Connection *connection)
{
    int r = wire_read(connection->wire);

    if (r == WIRE_END || r == WIRE_CUT) {
        connection->ended = true;
    } else if (r == -ECONNRESET) {
        connection->ended = true;
        connection->deaf = true;
    } else if (r == -EMSGSIZE) {
        /* It stands in the place of the reply to what was too long. */
        Failure failure = {0};
        if (connection->staged > 0)
            server_settle(connection->server);
        const Limits *limits = manager_settings(connection->server->manager)->limits;
        failure_limit_reached(&failure, "messageBytes", limits->message_bytes.value);
        connection_reply_failure(connection, &failure);
        failure_release(&failure);
        connection->closing = true;
    } else if (r < 0) {
        log_debug("pid %d, uid %u: %s; closing", (int)connection->credentials.pid,
                  (unsigned)connection->credentials.uid,
                  r == -EBADMSG ? "file descriptors where none belong" : strerror(-r));
        connection->closing = true;
    }
}

/* What is waited for next. */
static PollOutcome connection_on_io(PollSource *source, uint32_t events);

static int connection_update(Connection *connection)
{
    uint32_t events = 0;

    if (!connection->ended && !connection->closing && !connection->sequence && !connection->postponed &&
        !wire_has_next(connection->wire) && !connection_is_full(connection) &&
        connection->staged < connection_staged_max(connection))
        events |= EPOLLIN;
    if (!connection->deaf && wire_pending_out_bytes(connection->wire) > 0)
        events |= EPOLLOUT;
    /* A socket that is hung up says so for ever, whatever is asked of it. */
    if (connection->deaf && events == 0) {
        poll_remove(&connection->io);
        return 0;
    }
    if (!connection->io.poll)
        return poll_add(connection->server->poll, &connection->io, wire_fd(connection->wire), events, connection_on_io);
    return poll_set_events(&connection->io, events);
}

static bool connection_is_done(const Connection *connection)
{
    if (connection->broken)
        return true;
    if (!connection->ended && !connection->closing)
        return false;
    if (connection->sequence || connection->postponed || (!connection->closing && wire_has_next(connection->wire)))
        return false;
    return connection->deaf || (connection->staged == 0 && wire_pending_out_bytes(connection->wire) == 0);
}

void connection_run(Connection *connection)
{
    Server *server = connection->server;

    server_make_unready(server, connection);
    entry_let_in(server);
    if (turn_is_due(server))
        server_settle(server);
    bool more = connection_work(connection);
    /* What was left for want of room goes on where there is room now: once all is out, no event tells of it. */
    bool was_crammed = connection_is_crammed(connection);
    connection_flush(connection);
    more |= was_crammed && !connection_is_crammed(connection);
    /* That the client has gone can come out by writing alone: nobody waits for the rest, and what is read tells its end. */
    if (connection->deaf && connection->sequence)
        connection_drop_sequence(connection);
    if (connection_is_done(connection) || connection_update(connection) < 0)
        connection_free(connection);
    else if (more)
        server_make_ready(server, connection);
}

static PollOutcome connection_on_io(PollSource *source, uint32_t events)
{
    Connection *connection = (Connection *)(void *)((char *)source - offsetof(Connection, io));
    Server *server = connection->server;
    uint64_t stirred = server->stirred;

    if (events & (EPOLLHUP | EPOLLERR))
        connection->deaf = true;
    if (events & EPOLLIN)
        connection_read(connection);
    connection_run(connection);
    return server_outcome(server, stirred);
}

/* ---- coming and going ---- */

/* Before a close: unread bytes would make a reset of the end. What was queued for the client is still delivered. */
static void socket_end(int fd)
{
    _uninitialized_ char bytes[65536];

    shutdown(fd, SHUT_RDWR);
    for (unsigned i = 0; i < 64 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0; i++)
        ;
}

/* Root and the user that the daemon runs as are who set things right. */
static size_t connections_max(Server *server, uid_t uid)
{
    size_t max = manager_settings(server->manager)->limits->connections_per_user.value;

    return uid == 0 || uid == geteuid() ? max * 4 : max;
}

static int connection_start(Connection *connection)
{
    Server *server = connection->server;
    size_t message_max_bytes = manager_settings(server->manager)->limits->message_bytes.value;

    if (!connection->only_service && message_max_bytes < WIRE_MESSAGE_ADMINISTRATOR_MAX_BYTES &&
        access_is_administrator(manager_access(server->manager), &connection->credentials))
        message_max_bytes = WIRE_MESSAGE_ADMINISTRATOR_MAX_BYTES;
    wire_set_message_max(connection->wire, message_max_bytes);
    wire_set_fds_max(connection->wire, 0);
    return poll_add(server->poll, &connection->io, wire_fd(connection->wire), EPOLLIN, connection_on_io);
}

int connection_new_consume(Server *server, int fd, const char *only_service, bool at_once)
{
    _cleanup_(fd_closep) int socket_fd = fd;
    Credentials credentials = {0};
    User *user;

    int r = credentials_read(socket_fd, &credentials);
    if (r < 0)
        return r;
    r = users_enter(&server->users, credentials.uid, connections_max(server, credentials.uid), &user);
    if (r == USERS_LIMIT) {
        log_debug("pid %d, uid %u: too many connections; closing", (int)credentials.pid, (unsigned)credentials.uid);
        credentials_release(&credentials);
        socket_end(socket_fd);
        return 0;
    }
    Connection *connection = r == 0 ? calloc(1, sizeof(*connection)) : NULL;
    if (!connection) {
        if (r == 0)
            users_leave(&server->users, user);
        credentials_release(&credentials);
        return -ENOMEM;
    }
    connection->server = server;
    connection->user = user;
    connection->credentials = credentials;
    LIST_INSERT_HEAD(&server->connections, connection, connections);

    r = wire_new_consume(TAKE_FD(socket_fd), WIRE_MESSAGE_MAX_BYTES, &connection->wire);
    if (r == 0 && only_service) {
        connection->only_service = strdup(only_service);
        if (!connection->only_service)
            r = -ENOMEM;
    }
    connection->caller = (Caller){&connection->credentials, connection->only_service};
    if (r == 0)
        r = connection_start(connection);
    if (r < 0) {
        connection_free(connection);
        return r;
    }
    if (at_once) {
        connection_read(connection);
        connection_run(connection);
    }
    return 0;
}

void connection_free(Connection *connection)
{
    Server *server = connection->server;

    LIST_REMOVE(connection, connections);
    server_make_unready(server, connection);
    connection_drop_sequence(connection);
    call_free(connection->postponed);
    turn_forget(server, connection);
    users_leave(&server->users, connection->user);
    poll_remove(&connection->io);
    credentials_release(&connection->credentials);
    free(connection->only_service);
    if (connection->wire && connection->closing)
        socket_end(wire_fd(connection->wire));
    wire_free(connection->wire);
    free(connection);
    server_resume_accept(server);
}
