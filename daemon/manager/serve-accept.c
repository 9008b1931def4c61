/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that has come: accepted, asked who it is, handed to a client or closed. accept(2), vsock(7), unix(7). */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/vm_sockets.h>

#include "daemon/place/holders.h"
#include "daemon/log.h"
#include "daemon/manager/serve.h"

#define LISTENERS_A_TURN 8

typedef enum Turn { TURN_GO_ON, TURN_NEXT_LISTENER, TURN_OVER } Turn;

static const char *const refusals[REFUSALS] = {
    [REFUSAL_NONE] = "allowed",
    [REFUSAL_DENIED] = "peers.deny names it",
    [REFUSAL_NOT_ALLOWED] = "it is not in peers.allow",
    [REFUSAL_WRONG_USER] = "it is not the user that its machine runs as",
    [REFUSAL_RATE] = "it comes more often than peers.rate",
    [REFUSAL_MAX_CONNECTIONS] = "peers.maxConnections are open",
    [REFUSAL_MAX_CONNECTIONS_PER_PEER] = "peers.maxConnectionsPerPeer of it are open",
    [REFUSAL_UNKNOWN] = "the kernel does not say who it is",
    [REFUSAL_NOT_SERVED] = "nobody serves it",
    [REFUSAL_START_LIMIT] = "its program was started too often",
    [REFUSAL_FAILED] = "its program cannot be started",
};

/* ---- who it is ---- */

static void newcomer_key(Newcomer *newcomer)
{
    if (newcomer->machine)
        newcomer->key = (PeerKey){.kind = PEER_KEY_MACHINE, .machine = newcomer->machine->context->name};
    else if (newcomer->family == AF_VSOCK)
        newcomer->key = (PeerKey){.kind = PEER_KEY_CID, .number = newcomer->peer.cid};
    else
        newcomer->key = (PeerKey){.kind = PEER_KEY_UID, .number = newcomer->peer.uid};
}

static void newcomer_from_vsock(Manager *manager, const struct sockaddr_vm *address, Newcomer *newcomer)
{
    newcomer->known = true;
    newcomer->peer.has_cid = true;
    newcomer->peer.cid = address->svm_cid;
    newcomer->port = address->svm_port;
    newcomer->machine = registry_find_machine_by_cid(&manager->registry, address->svm_cid);
}

static void newcomer_from_path(Manager *manager, const Listener *listener, int fd, Newcomer *newcomer)
{
    struct ucred credentials;
    socklen_t size_bytes = sizeof(credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size_bytes) < 0 || credentials.uid == (uid_t)-1)
        return;
    newcomer->known = true;
    newcomer->pid = credentials.pid;
    newcomer->peer.has_uid = true;
    newcomer->peer.uid = credentials.uid;
    if (!listener->machine)
        return;
    newcomer->machine = listener->on_machine;
    if (!newcomer->machine) {
        newcomer->known = false; /* it is just leaving */
        return;
    }
    const MachineContext *machine = newcomer->machine->context;
    uint32_t first, last;
    newcomer->peer.has_cid = machine->cid.set;
    newcomer->peer.cid = machine->cid.value;
    newcomer->wrong_user = machine->user && (!names_find(manager->serve->names, NAME_USER, machine->user, &first, &last) ||
                                             credentials.uid < first || credentials.uid > last);
}

static void newcomer_find(Manager *manager, const Listener *listener, int fd, const struct sockaddr_storage *address,
                          Newcomer *newcomer)
{
    *newcomer = (Newcomer){.family = address->ss_family == AF_VSOCK ? AF_VSOCK : AF_UNIX};
    if (newcomer->family == AF_VSOCK)
        newcomer_from_vsock(manager, (const struct sockaddr_vm *)address, newcomer);
    else
        newcomer_from_path(manager, listener, fd, newcomer);
    newcomer->peer.machine = newcomer->machine ? newcomer->machine->context->name : NULL;
    newcomer_key(newcomer);
}

static void newcomer_name(const Newcomer *newcomer, char *text, size_t size_bytes)
{
    if (!newcomer->known)
        snprintf(text, size_bytes, "somebody");
    else if (newcomer->family == AF_VSOCK)
        snprintf(text, size_bytes, "vsock:%u:%u", newcomer->peer.cid, newcomer->port);
    else
        snprintf(text, size_bytes, "uid:%u", (unsigned)newcomer->peer.uid);
}

/* ---- refusing ---- */

/* Every refusal is counted; told are so many a second that nobody's flood fills the log. */
static void refuse(Serving *serving, const Newcomer *newcomer, ServePeer *peer, Refusal why, uint64_t now_ns)
{
    const char *machine = newcomer->peer.machine;
    char name[64], more[64] = "";

    metrics_service(serving->manager->metrics, serving->name)->refused[why]++;
    if (peer)
        peer->refused++;
    if (!bucket_take(&serving->log_ns, 1000000000u / SERVE_LOG_A_SECOND,
                     (uint64_t)(SERVE_LOG_BURST - 1) * 1000000000u / SERVE_LOG_A_SECOND, now_ns)) {
        serving->unlogged++;
        return;
    }
    newcomer_name(newcomer, name, sizeof(name));
    if (serving->unlogged > 0)
        snprintf(more, sizeof(more), "; %llu more were refused since the last line", (unsigned long long)serving->unlogged);
    serving->unlogged = 0;
    log_notice("%s: %s%s%s%s is refused: %s (refusals of it: %llu)%s", serving->name, name, machine ? " (" : "",
               machine ? machine : "", machine ? ")" : "", refusals[why], peer ? (unsigned long long)peer->refused : 0, more);
    manager_event(serving->manager, "refused", serving->name, machine, "%s is refused by %s: %s%s", name, serving->name,
                  refusals[why], more);
}

/* ---- handing over ---- */

/* Without the brace at its end: more can follow. */
static int render_connection(Manager *manager, const Serving *serving, const Listener *listener, const Newcomer *newcomer)
{
    Buffer *text = &manager->scratch;
    char name[64], since[TIME_TEXT_SIZE_BYTES];

    buffer_clear(text);
    buffer_append_text(text, "{\"service\":");
    buffer_append_json(text, serving->name);
    if (newcomer->peer.machine) {
        buffer_append_text(text, ",\"machine\":");
        buffer_append_json(text, newcomer->peer.machine);
    }
    buffer_append_text(text, ",\"address\":");
    buffer_append_json(text, listener->uri);
    buffer_append_text(text, ",\"peer\":");
    newcomer_name(newcomer, name, sizeof(name));
    buffer_append_json(text, name);
    if (newcomer->pid > 0) {
        buffer_append_text(text, ",\"processId\":");
        buffer_append_number(text, (unsigned long long)newcomer->pid);
    }
    buffer_append_text(text, ",\"since\":");
    buffer_append_json(text, time_format(time_now_us(), since));
    return text->failed ? -ENOMEM : 0;
}

static Accepted *count_accepted(Serving *serving, const Newcomer *newcomer, ServePeer *peer, int fd)
{
    const Buffer *text = &serving->manager->scratch;
    Accepted what = {
        .inode = holders_inode(fd),
        .since_us = time_now_us(),
        .family = newcomer->family,
        .cid = newcomer->peer.cid,
        .port = newcomer->port,
        .uid = newcomer->peer.uid,
    };

    return serving_add_accepted(serving, peer, &what, text->data, text->size_bytes);
}

static void send_to_client_consume(Serving *serving, ServeClient *client, Accepted *accepted, int fd)
{
    _cleanup_(fd_closep) int connection_fd = fd;
    Buffer *text = &serving->manager->scratch;

    buffer_append_char(text, '}');
    if (text->failed)
        return;
    if (accepted) {
        accepted->client = client->number;
        serving_keep_accepted(serving, accepted);
    }
    int r = connection_socket_send(&client->socket, text->data, text->size_bytes, fd);
    if (r == 0) {
        serving_had_turn(client);
        serve_timer_start(serving->manager, SERVE_LOOK_INTERVAL_US);
        return;
    }
    if (r < 0) {
        log_error("%s: a connection cannot be handed to process %d: %s", serving->name, (int)client->pid, strerror(-r));
        return;
    }
    serving_keep_consume(serving, accepted, text->data, text->size_bytes, TAKE_FD(connection_fd));
    if (r == CONNECTION_SOCKET_ENDED) {
        serve_client_end(client);
        return;
    }
    /* Full all the same: too many descriptors are on their way. */
    serving->paused = true;
    serving_switch(serving);
    serve_timer_start(serving->manager, SERVE_LOOK_INTERVAL_US);
}

/* client NULL: to a program. */
static Turn hand_over_consume(Serving *serving, ServeClient *client, const Listener *listener, const Newcomer *newcomer,
                              ServePeer *peer, int fd)
{
    _cleanup_(fd_closep) int connection_fd = fd;

    if (render_connection(serving->manager, serving, listener, newcomer) < 0)
        return TURN_GO_ON;
    Accepted *accepted = count_accepted(serving, newcomer, peer, fd);
    if (!accepted && !client)
        return TURN_GO_ON; /* what cannot be counted is not started for */
    metrics_service(serving->manager->metrics, serving->name)->accepted++;
    if (!client)
        return activate_connection_consume(serving, accepted, TAKE_FD(connection_fd)) ? TURN_GO_ON : TURN_OVER;
    /* Without its record it is not counted, and not shown: less than that nobody is served. */
    send_to_client_consume(serving, client, accepted, TAKE_FD(connection_fd));
    return serving->paused || TAILQ_EMPTY(&serving->clients) ? TURN_OVER : TURN_GO_ON;
}

/* ---- accepting ---- */

static void pause_accepting(Serving *serving, int error)
{
    log_warning("%s: connections wait: %s", serving->name, strerror(error));
    serving->paused = true;
    serving_switch(serving);
    serve_timer_start(serving->manager, SERVE_LOOK_INTERVAL_US);
}

static Turn accept_failed(Serving *serving, Listener *listener, int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case ECONNRESET:
    case EPROTO:
        return TURN_GO_ON;
    case EAGAIN:
        return TURN_NEXT_LISTENER;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        pause_accepting(serving, error);
        return TURN_OVER;
    default:
        break;
    }
    /* Whoever had it has shut it down: a path is bound anew. */
    log_warning("%s: nothing can be accepted on %s: %s", serving->name, listener->uri, strerror(error));
    listener_stop_watch(listener);
    if (listener->path) {
        manager_replace_listener(serving->manager, listener);
        manager_run_plan_between(serving->manager);
    }
    return TURN_OVER;
}

static Turn accept_one(Serving *serving, Listener *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t size_bytes = sizeof(address);
    bool late = serving->taking == TAKING_LATE, closes = serving->taking == TAKING_TO_CLOSE || late;
    ServePeer *peer = NULL;
    Newcomer newcomer;

    ServeClient *client = serving->taking == TAKING_CLIENTS ? serving_next_client(serving) : NULL;
    if (!client && !serving_has_room(serving)) {
        serving_switch(serving);
        return TURN_OVER;
    }
    _cleanup_(fd_closep) int fd = accept4(listener->fd, (struct sockaddr *)&address, &size_bytes, SOCK_CLOEXEC);
    if (fd < 0)
        return accept_failed(serving, listener, errno);

    uint64_t now_ns = serve_now_ns();
    newcomer_find(serving->manager, listener, fd, &address, &newcomer);
    Refusal why = serving_decide(serving, &newcomer, now_ns, &peer);
    if (why == REFUSAL_NONE && closes)
        why = late ? REFUSAL_NOT_SERVED : serving->activating.limited ? REFUSAL_START_LIMIT : REFUSAL_FAILED;
    if (why != REFUSAL_NONE) {
        refuse(serving, &newcomer, peer, why, now_ns);
        return TURN_GO_ON;
    }
    return hand_over_consume(serving, client, listener, &newcomer, peer, TAKE_FD(fd));
}

static void serving_flush_keeper(const Serving *serving)
{
    Manager *manager = serving->manager;

    hold_flush(manager->hold);
    manager_events_flush(manager);
}

int serving_on_connections(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Serving *serving = userdata;
    Manager *manager = serving->manager;
    struct epoll_event ready[LISTENERS_A_TURN];
    Service *service = registry_find_service(&manager->registry, serving->name);
    Turn turn = TURN_GO_ON;

    if (!service) {
        serving_update(serving);
        return 0;
    }
    if (serving->taking == TAKING_FIRST) {
        activate_listeners(serving, service);
        serving_flush_keeper(serving);
        return 0;
    }
    int r = serving_make_rules(serving, service);
    if (r < 0) {
        pause_accepting(serving, -r);
        return 0;
    }
    int count = epoll_wait(serving->epoll_fd, ready, LISTENERS_A_TURN, 0);
    for (int i = 0; i < count && turn != TURN_OVER; i++) {
        Listener *listener = ready[i].data.ptr;
        /* Somebody else has a copy, and may have changed it. */
        if (listener->handed_out)
            fd_set_nonblocking(listener->fd, true);
        turn = TURN_GO_ON;
        for (int n = 0; n < SERVE_ACCEPTS_A_TURN / count && turn == TURN_GO_ON; n++)
            turn = accept_one(serving, listener);
    }
    serving_flush_keeper(serving);
    return 0;
}
