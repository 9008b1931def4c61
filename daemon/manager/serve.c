/* SPDX-License-Identifier: Apache-2.0 */
/* Who serves: the clients of a service and their sockets, and the Serving that they, and programs, get connections from.
 * sd_event_add_io(3). */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/place/holders.h"
#include "daemon/log.h"
#include "daemon/manager/kept.h"
#include "daemon/manager/serve.h"

static int serving_compare(const Serving *a, const Serving *b)
{
    return strcmp(a->name, b->name);
}

RB_GENERATE_INTERNAL(Servings, Serving, by_name, serving_compare, _unused_)

Serving *serving_find(Manager *manager, const char *name)
{
    Serving *serving = RB_ROOT(&manager->serve->servings);

    while (serving) {
        int order = strcmp(name, serving->name);
        if (order == 0)
            break;
        serving = order < 0 ? RB_LEFT(serving, by_name) : RB_RIGHT(serving, by_name);
    }
    return serving;
}

Serving *serving_next(Manager *manager, Serving *after)
{
    return after ? RB_NEXT(Servings, &manager->serve->servings, after) : RB_MIN(Servings, &manager->serve->servings);
}

/* ---- clients ---- */

/* Which room a client has is asked of the kernel; where it has none, we are told when it has. */
bool serve_client_has_room(ServeClient *client)
{
    bool room = connection_socket_has_room(&client->socket);

    if (client->full == room) {
        client->full = !room;
        sd_event_source_set_io_events(client->source, EPOLLIN | EPOLLRDHUP | (room ? 0 : EPOLLOUT));
    }
    return room;
}

ServeClient *serving_next_client(Serving *serving)
{
    ServeClient *client;

    TAILQ_FOREACH(client, &serving->clients, clients)
        if (!client->full && serve_client_has_room(client))
            return client;
    return NULL;
}

void serving_had_turn(ServeClient *client)
{
    struct ServeClients *clients = &client->serving->clients;

    TAILQ_REMOVE(clients, client, clients);
    TAILQ_INSERT_TAIL(clients, client, clients);
}

/* ---- what waits for somebody with room ---- */

static void waiting_free(Serving *serving, Waiting *waiting)
{
    TAILQ_REMOVE(&serving->waiting, waiting, waiting);
    serving->waiting_count--;
    serving_forget_waiting(serving, waiting);
    if (waiting->accepted)
        waiting->accepted->waits = false;
    fd_close(waiting->fd);
    free(waiting);
}

void serving_keep_consume(Serving *serving, Accepted *accepted, const char *text, size_t size_bytes, int fd)
{
    Waiting *waiting = serving->waiting_count < SERVE_WAITING_MAX ? malloc(sizeof(*waiting) + size_bytes) : NULL;

    if (!waiting) {
        log_warning("%s: a connection that nobody serves is closed: %d wait already", serving->name, SERVE_WAITING_MAX);
        metrics_service(serving->manager->metrics, serving->name)->refused[REFUSAL_NOT_SERVED]++;
        if (accepted)
            serving_remove_accepted(serving, accepted);
        fd_close(fd);
        return;
    }
    *waiting = (Waiting){.number = ++serving->manager->serve->next_waiting, .fd = fd, .size_bytes = size_bytes};
    waiting->accepted = accepted ? accepted : serving_find_accepted(serving, holders_inode(fd));
    if (waiting->accepted)
        waiting->accepted->waits = true;
    memcpy(waiting->text, text, size_bytes);
    TAILQ_INSERT_TAIL(&serving->waiting, waiting, waiting);
    serving->waiting_count++;
    serving_keep_waiting(serving, waiting);
}

static void flush_to_programs(Serving *serving)
{
    Waiting *waiting;

    while ((waiting = TAILQ_FIRST(&serving->waiting)) && serving->taking == TAKING_PROGRAMS && serving_has_room(serving)) {
        Accepted *accepted = waiting->accepted ? waiting->accepted : serving_find_accepted(serving, holders_inode(waiting->fd));
        int fd = TAKE_FD(waiting->fd);
        waiting_free(serving, waiting);
        if (accepted)
            serving_forget_accepted(serving, accepted);
        if (!accepted)
            fd_close(fd); /* memory ran out when it came */
        else if (!activate_connection_consume(serving, accepted, fd))
            return;
    }
}

static void flush_to_clients(Serving *serving)
{
    Waiting *waiting;
    ServeClient *client;

    while ((waiting = TAILQ_FIRST(&serving->waiting)) && (client = serving_next_client(serving))) {
        int r = connection_socket_send(&client->socket, waiting->text, waiting->size_bytes, waiting->fd);
        if (r == CONNECTION_SOCKET_ENDED)
            serve_client_end(client); /* which comes back here */
        if (r != 0)
            return;
        serving_had_turn(client);
        if (waiting->accepted)
            waiting->accepted->client = client->number;
        if (waiting->accepted)
            serving_keep_accepted(serving, waiting->accepted);
        waiting_free(serving, waiting);
    }
}

void serving_flush(Serving *serving)
{
    if (serving->taking == TAKING_PROGRAMS)
        flush_to_programs(serving);
    while (serving->taking == TAKING_TO_CLOSE && !TAILQ_EMPTY(&serving->waiting))
        waiting_free(serving, TAILQ_FIRST(&serving->waiting));
    flush_to_clients(serving);
    /* As long as the keeper has a copy of a connection, its peer does not see the end. */
    hold_flush(serving->manager->hold);
}

/* ---- coming and going ---- */

void serving_free(Serving *serving)
{
    Manager *manager = serving->manager;
    Service *service = registry_find_service(&manager->registry, serving->name);

    for (Listener *listener = service ? service->listeners : NULL; listener; listener = listener->next)
        listener_stop_watch(listener);
    RB_REMOVE(Servings, &manager->serve->servings, serving);
    while (!TAILQ_EMPTY(&serving->waiting))
        waiting_free(serving, TAILQ_FIRST(&serving->waiting));
    activating_release(serving);
    serving_release_peers(serving);
    serving_forget_rules(serving);
    sd_event_source_disable_unref(serving->source);
    fd_close(serving->epoll_fd);
    if (service)
        serve_idle_update(manager, serving->name);
    free(serving);
}

int serving_get(Manager *manager, const char *name, Serving **ret)
{
    size_t size_bytes = strlen(name) + 1;

    *ret = serving_find(manager, name);
    if (*ret)
        return 0;
    Serving *serving = calloc(1, sizeof(*serving) + size_bytes);
    if (!serving)
        return -ENOMEM;
    serving->manager = manager;
    TAILQ_INIT(&serving->clients);
    TAILQ_INIT(&serving->waiting);
    TAILQ_INIT(&serving->peers_by_use);
    TAILQ_INIT(&serving->accepted);
    TAILQ_INIT(&serving->activating.programs);
    RB_INIT(&serving->peers);
    serving->sweep_at = 512;
    memcpy(serving->name, name, size_bytes);
    serving->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int r = serving->epoll_fd < 0 ? -errno
                                  : sd_event_add_io(manager->event, &serving->source, serving->epoll_fd, EPOLLIN,
                                                    serving_on_connections, serving);
    if (r < 0) {
        fd_close(serving->epoll_fd);
        free(serving);
        return r;
    }
    sd_event_source_set_enabled(serving->source, SD_EVENT_OFF);
    RB_INSERT(Servings, &manager->serve->servings, serving);
    *ret = serving;
    return 0;
}

static void client_free(ServeClient *client)
{
    TAILQ_REMOVE(&client->serving->clients, client, clients);
    client->serving->client_count--;
    client->serving->manager->serve->client_count--;
    serving_forget_client(client);
    sd_event_source_disable_unref(client->source);
    connection_socket_close(&client->socket);
    free(client);
}

static void client_take_back(ServeClient *client)
{
    char text[CONNECTION_MESSAGE_MAX_BYTES];
    size_t size_bytes;
    int fd, r;

    /* Only we write there, so there is an end to it. */
    while ((r = connection_socket_take_back(&client->socket, text, &size_bytes, &fd)) == 0)
        serving_keep_consume(client->serving, NULL, text, size_bytes, fd);
    if (r < 0)
        log_warning("%s: a connection that process %d left unread is lost: %s", client->serving->name, (int)client->pid,
                    strerror(-r));
}

/* Of a process that has no other socket of this service any more. */
static bool process_serves(const Serving *serving, pid_t pid)
{
    const ServeClient *client;

    TAILQ_FOREACH(client, &serving->clients, clients)
        if (client->pid == pid)
            return true;
    return false;
}

/* The end of it for the client, too, who reads what it has and then that: also while the keeper still has copies. */
static void client_drop(ServeClient *client)
{
    shutdown(client->socket.fd, SHUT_RDWR);
    client_free(client);
}

void serve_client_end(ServeClient *client)
{
    Serving *serving = client->serving;
    pid_t pid = client->pid;

    client_take_back(client);
    client_drop(client);
    serving_update(serving);
    serving_flush(serving);
    serving_switch(serving);
    serve_timer_start(serving->manager, SERVE_TIDY_INTERVAL_US);
    if (!process_serves(serving, pid))
        leases_drop_kind(serving->manager->leases, serving->name, LEASE_CONNECTIONS, pid);
}

void manager_serve_lease_ended(Manager *manager, const Lease *lease)
{
    Serving *serving = serving_find(manager, lease->service);
    ServeClient *client, *next;

    if (!serving) {
        serve_idle_update(manager, lease->service);
        return;
    }
    for (client = TAILQ_FIRST(&serving->clients); client; client = next) {
        next = TAILQ_NEXT(client, clients);
        if (client->pid != lease->pid)
            continue;
        client_take_back(client);
        client_drop(client);
    }
    serving_update(serving);
    serving_flush(serving);
    serving_switch(serving);
    serve_timer_start(manager, SERVE_TIDY_INTERVAL_US);
}

/* What was handed over already is the clients' own; they read it, and then the end. Programs end when the change has settled. */
void manager_serve_stop(Manager *manager, const char *name)
{
    Serving *serving = serving_find(manager, name);

    if (!serving) {
        serve_idle_update(manager, name);
        return;
    }
    while (!TAILQ_EMPTY(&serving->clients))
        client_drop(TAILQ_FIRST(&serving->clients));
    while (!TAILQ_EMPTY(&serving->waiting))
        waiting_free(serving, TAILQ_FIRST(&serving->waiting));
    activate_look_again(serving);
    serving_update(serving);
    serve_timer_start(manager, SERVE_TIDY_INTERVAL_US);
}

void manager_serve_forget(Manager *manager, const char *name)
{
    Serving *serving = serving_find(manager, name);

    manager_serve_stop(manager, name);
    /* While programs of it run, what is known of them stays. */
    if (serving && serving->activating.program_count == 0)
        serving_free(serving);
}

void manager_serve_changed(Manager *manager, const char *name)
{
    Serving *serving = manager->serve ? serving_find(manager, name) : NULL;

    if (!serving) {
        serve_idle_update(manager, name);
        return;
    }
    serving_forget_rules(serving);
    activate_look_again(serving);
    serving_update(serving);
}

void manager_serve_rules_changed(Manager *manager)
{
    if (manager->serve)
        manager->serve->generation++;
}

void manager_serve_rebuilt(Manager *manager)
{
    Serving *serving, *next;
    Service *service;

    manager_serve_rules_changed(manager);
    for (serving = RB_MIN(Servings, &manager->serve->servings); serving; serving = next) {
        next = RB_NEXT(Servings, &manager->serve->servings, serving);
        activate_look_again(serving);
        if (registry_find_service(&manager->registry, serving->name)) {
            serving_flush(serving);
            serving_update(serving);
        } else {
            manager_serve_forget(manager, serving->name);
        }
    }
    LIST_FOREACH(service, &manager->registry.activated_services, of_activated)
        serve_idle_update(manager, service->context->name);
    activate_settle(manager);
}

int manager_serve_new(Manager *manager)
{
    manager->serve = calloc(1, sizeof(*manager->serve));
    if (!manager->serve)
        return -ENOMEM;
    RB_INIT(&manager->serve->servings);
    int r = serve_idle_new(manager);
    return r < 0 ? r : names_new(&manager->serve->names);
}

void manager_serve_free(Manager *manager)
{
    Serving *serving;

    if (!manager->serve)
        return;
    while ((serving = RB_ROOT(&manager->serve->servings))) {
        while (!TAILQ_EMPTY(&serving->clients))
            client_free(TAILQ_FIRST(&serving->clients));
        serving_free(serving);
    }
    sd_event_source_disable_unref(manager->serve->timer);
    serve_idle_free(manager);
    names_free(manager->serve->names);
    free(manager->serve);
    manager->serve = NULL;
}

/* ---- Serve ---- */

/* Nothing belongs here but room for more: who sends, or hangs up, is let go of. What it sent is closed with the socket. */
static int client_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    ServeClient *client = userdata;
    Serving *serving = client->serving;
    Manager *manager = serving->manager;

    if (revents & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        log_notice("%s: process %d sent something on the socket of Serve, or shut it down; it is let go of", serving->name,
                   (int)client->pid);
        serve_client_end(client);
    } else {
        client->full = false;
        sd_event_source_set_io_events(client->source, EPOLLIN | EPOLLRDHUP);
        serving_flush(serving);
        serving_switch(serving);
    }
    manager_events_flush(manager);
    return 0;
}

/* The socket is taken over. */
static int client_new(Serving *serving, ConnectionSocket *socket, pid_t pid, uid_t uid, ServeClient **ret)
{
    Manager *manager = serving->manager;
    ServeClient *client = calloc(1, sizeof(*client));

    if (!client) {
        connection_socket_close(socket);
        return -ENOMEM;
    }
    client->socket = *socket;
    int r = sd_event_add_io(manager->event, &client->source, client->socket.fd, EPOLLIN | EPOLLRDHUP, client_on_io, client);
    if (r < 0) {
        connection_socket_close(&client->socket);
        free(client);
        return r;
    }
    client->serving = serving;
    client->pid = pid;
    client->uid = uid;
    client->number = ++manager->serve->next_client;
    client->made_ns = serve_now_ns();
    TAILQ_INSERT_HEAD(&serving->clients, client, clients);
    serving->client_count++;
    manager->serve->client_count++;
    *ret = client;
    return 0;
}

int serving_restore_client_consume(Serving *serving, ConnectionSocket *socket, pid_t pid, uid_t uid, uint64_t number)
{
    ServeClient *client;
    int r = client_new(serving, socket, pid, uid, &client);

    if (r < 0)
        return r;
    client->number = number;
    client->seen = true; /* its reply is long gone */
    if (serving->manager->serve->next_client < number)
        serving->manager->serve->next_client = number;
    return 0;
}

/* Sockets of one uid, over all services: the limit that its leases have. */
static size_t count_sockets(Manager *manager, uid_t uid)
{
    size_t count = 0;
    Serving *serving;
    ServeClient *client;

    RB_FOREACH(serving, Servings, &manager->serve->servings)
        TAILQ_FOREACH(client, &serving->clients, clients)
            count += client->uid == uid;
    return count;
}

static int make_lease(Manager *manager, const Caller *caller, const Service *service, Failure *failure)
{
    const Credentials *credentials = caller->credentials;
    const char *name = service->context->name;
    uint32_t limit = manager->settings->limits->leases_per_user.value;

    if (count_sockets(manager, credentials->uid) > limit)
        return failure_limit_reached(failure, "leasesPerUser", limit);
    int pidfd = credentials_open_pidfd(credentials);
    if (pidfd == -ESRCH)
        return failure_not_allowed(failure, name, "the process that connected has ended");
    if (pidfd < 0)
        return pidfd;
    bool had = leases_has_kind(manager->leases, name, LEASE_CONNECTIONS, credentials->pid);
    int r = leases_add_kind_consume(manager->leases, name, LEASE_CONNECTIONS, pidfd, credentials->pid, credentials->uid, limit);
    if (r == 0 && !had)
        manager_log_taken(manager, caller, service, "served");
    return r == LEASE_LIMIT ? failure_limit_reached(failure, "leasesPerUser", limit) : r;
}

int manager_serve(Manager *manager, const Caller *caller, const char *name, int *ret_fd, Failure *failure)
{
    Serving *serving = NULL;
    ServeClient *client = NULL;
    Service *service = NULL;
    ConnectionSocket socket;

    int r = manager_check_serve(manager, caller, name, &service, failure);
    /* Who has it may have closed it. */
    if (r == FAILURE_BUSY && (serving = serving_find(manager, name)) && serving_end_closed_now(serving))
        r = manager_check_serve(manager, caller, name, &service, failure);
    if (r == 0)
        r = serving_get(manager, name, &serving);
    if (r == 0 && serving->client_count >= SERVE_CLIENTS_MAX && !serving_end_closed_now(serving))
        r = failure_limit_reached(failure, "serveClients", SERVE_CLIENTS_MAX);
    bool again = r == 0 && process_serves(serving, caller->credentials->pid);
    if (r == 0)
        r = connection_socket_new(&socket);
    if (r == 0)
        r = client_new(serving, &socket, caller->credentials->pid, caller->credentials->uid, &client);
    _cleanup_(fd_closep) int fd = r == 0 ? fd_duplicate(client->socket.client_fd) : -1;
    if (r == 0 && fd < 0)
        r = fd;
    if (r == 0)
        r = make_lease(manager, caller, service, failure);
    if (r != 0) {
        if (client)
            client_free(client);
        if (serving)
            serve_timer_start(manager, SERVE_TIDY_INTERVAL_US);
        if (r == -EMFILE || r == -ENFILE)
            return failure_limit_reached(failure, "descriptors", 0);
        return r;
    }
    serving_keep_client(client);
    manager_keep_lease(manager, name, client->pid);
    hold_flush(manager->hold);
    manager_event(manager, "acquired", name, NULL, "%s is served by process %d", name, (int)client->pid);
    registry_touch(&manager->registry, service);
    serving_update(serving);
    serving_flush(serving);
    serving_switch(serving);
    /* A program that comes back may have closed the former one. */
    serving->look_closed |= again;
    serve_timer_start(manager, SERVE_LOOK_INTERVAL_US);
    manager_events_flush(manager);
    *ret_fd = TAKE_FD(fd);
    return 0;
}
