/* SPDX-License-Identifier: Apache-2.0 */
/* The Varlink server, as long as hvsockd: where clients come in, and whose turn it is. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "daemon/api/server.h"
#include "daemon/log.h"
#include "schema/base/text.h"

#define HANDOUT_FOLDER "handout"
#define REGISTRY_FOLDER "/run/varlink/registry"
#define REGISTRY_LINK REGISTRY_FOLDER "/" SERVER_INTERFACE
/* How long entries pause for want of descriptors where no client of ours goes. */
#define PAUSE_US (100 * 1000)
/* How long those that have work take, before the loop looks at sockets again. */
#define READY_TIME_US 5000

/* ---- turns ---- */

/* The source is a descriptor that can always be read: sd-event has those wait their turn, while a deferred source that
 * is enabled goes before every other one of its priority, time and again. */
static int server_on_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Server *server = userdata;
    uint64_t deadline_us = turn_now_us() + READY_TIME_US;
    Connection *connection;

    /* Each that is ready now, once; then the loop looks who else has something to say. */
    for (size_t left = server->ready_count; left > 0 && (connection = TAILQ_FIRST(&server->ready)); left--) {
        connection_run(connection);
        if (turn_now_us() >= deadline_us)
            break;
    }
    return TAILQ_EMPTY(&server->ready) ? sd_event_source_set_enabled(source, SD_EVENT_OFF) : 0;
}

void server_make_ready(Server *server, Connection *connection)
{
    if (connection->is_ready)
        return;
    server->stirred++;
    connection->is_ready = true;
    TAILQ_INSERT_TAIL(&server->ready, connection, ready);
    server->ready_count++;
    int r = sd_event_source_set_enabled(server->ready_source, SD_EVENT_ON);
    if (r < 0 && r != -ESTALE) /* the loop has ended */
        log_error("a client's turn could not be arranged: %s", strerror(-r));
}

void server_make_unready(Server *server, Connection *connection)
{
    if (!connection->is_ready)
        return;
    connection->is_ready = false;
    TAILQ_REMOVE(&server->ready, connection, ready);
    server->ready_count--;
}

/* ---- too few descriptors ---- */

static bool spare_open(Server *server)
{
    if (server->spare_fd < 0)
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return server->spare_fd >= 0;
}

static void server_set_paused(Server *server, bool paused)
{
    Entry *entry;

    server->stirred++;
    server->paused = paused;
    LIST_FOREACH(entry, &server->entries, entries)
        entry_enable(entry, !paused);
}

static int server_on_pause_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    Server *server = userdata;

    server_resume_accept(server);
    if (!server->paused)
        return 0;
    int r = sd_event_source_set_time_relative(source, PAUSE_US);
    return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void server_pause_accept(Server *server)
{
    if (server->paused)
        return;
    log_warning("no file descriptors are left for more clients (%s); they wait", strerror(errno));
    server_set_paused(server, true);
    int r = sd_event_source_set_time_relative(server->pause_timer, PAUSE_US);
    if (r >= 0)
        r = sd_event_source_set_enabled(server->pause_timer, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("the timer for accepting clients again could not be set: %s", strerror(-r));
}

void server_resume_accept(Server *server)
{
    if (server->paused && spare_open(server))
        server_set_paused(server, false);
}

/* ---- what the manager tells ---- */

static void server_on_events(void *userdata)
{
    Server *server = userdata;
    Connection *connection;

    LIST_FOREACH(connection, &server->watchers, watchers)
        if (!connection->sequence->on_listeners && !connection_waits_for_reader(connection))
            server_make_ready(server, connection);
    if (server->on_events)
        server->on_events(server->userdata);
}

static void server_on_listeners(const char *service, void *userdata)
{
    Server *server = userdata;
    Connection *connection;

    LIST_FOREACH(connection, &server->watchers, watchers)
        if (connection->sequence->on_listeners && connection->sequence->on_listeners(connection->sequence, service))
            server_make_ready(server, connection);
}

static int server_open_handout(Server *server)
{
    if (server->handout_fd >= 0)
        return 0;
    if (mkdirat(server->runtime_fd, HANDOUT_FOLDER, 0755) < 0 && errno != EEXIST)
        return -errno;
    server->handout_fd = openat(server->runtime_fd, HANDOUT_FOLDER, O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return server->handout_fd < 0 ? -errno : 0;
}

static Entry *server_find_entry(Server *server, const char *service)
{
    Entry *entry;

    LIST_FOREACH(entry, &server->entries, entries)
        if (text_equal(entry->service, service))
            return entry;
    return NULL;
}

static void server_on_handout_socket(const char *name, bool wanted, void *userdata)
{
    Server *server = userdata;
    Entry *entry = server_find_entry(server, name);

    if (!wanted) {
        entry_free(entry);
        return;
    }
    if (entry)
        return;

    Buffer path = {0};
    char *folder = NULL;
    buffer_printf(&path, "%s/" HANDOUT_FOLDER, server->runtime_path);
    int r = buffer_take(&path, &folder, NULL);
    if (r == 0)
        r = server_open_handout(server);
    if (r == 0)
        r = entry_new(server, name, server->handout_fd, folder, name, &entry);
    if (r < 0)
        log_error("%s/" HANDOUT_FOLDER "/%s: %s", server->runtime_path, name,
                  r == -EADDRINUSE ? "another program serves this path" : strerror(-r));
    free(folder);
}

/* ---- beginning and end ---- */

static int server_add_sources(Server *server)
{
    server->ready_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->ready_fd < 0)
        return -errno;
    int r = sd_event_add_io(server->event, &server->ready_source, server->ready_fd, EPOLLIN, server_on_ready, server);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(server->ready_source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    r = sd_event_source_set_exit_on_failure(server->ready_source, true);
    if (r < 0)
        return r;
    r = sd_event_add_time(server->event, &server->pause_timer, CLOCK_MONOTONIC, UINT64_MAX, 0, server_on_pause_timer,
                          server);
    if (r < 0)
        return r;
    r = sd_event_source_set_exit_on_failure(server->pause_timer, true);
    if (r < 0)
        return r;
    return turn_init(server);
}

int server_new(sd_event *event, Manager *manager, const ServerOptions *options, Server **ret)
{
    _cleanup_(server_freep) Server *server = calloc(1, sizeof(*server));

    if (!server)
        return -ENOMEM;
    server->event = sd_event_ref(event);
    int made = poll_new(event, &server->poll);
    if (made < 0)
        return made;
    server->manager = manager;
    server->link_in_registry = options->link_in_registry;
    server->on_events = options->on_events;
    server->userdata = options->userdata;
    server->runtime_fd = server->handout_fd = server->spare_fd = server->ready_fd = -1;
    TAILQ_INIT(&server->crowded);
    TAILQ_INIT(&server->ready);
    TAILQ_INIT(&server->turn.waiting);
    TAILQ_INIT(&server->turn.readers);
    server->runtime_path = strdup(options->runtime_path);
    if (!server->runtime_path)
        return -ENOMEM;
    server->runtime_fd = open(server->runtime_path, O_DIRECTORY | O_CLOEXEC);
    if (server->runtime_fd < 0 || !spare_open(server))
        return -errno;
    int r = server_add_sources(server);
    if (r < 0)
        return r;
    manager_observe(manager, &(ManagerObserver){
        .on_events = server_on_events,
        .on_handout_socket = server_on_handout_socket,
        .on_listeners = server_on_listeners,
        .userdata = server,
    });
    *ret = TAKE_PTR(server);
    return 0;
}

int server_adopt_consume(Server *server, int fd)
{
    Entry *entry;

    if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
        fd_close(fd);
        return -EINVAL;
    }
    return entry_new_adopt_consume(server, fd, &entry);
}

/* Where Varlink tools look for interfaces. Not to be had without the right to it, and not needed. */
static void server_link(Server *server)
{
    Buffer path = {0};
    char *target, *temporary = NULL;

    buffer_printf(&path, "%s/" SERVER_INTERFACE, server->runtime_path);
    if (buffer_take(&path, &target, NULL) < 0)
        return;
    mkdir("/run/varlink", 0755);
    mkdir(REGISTRY_FOLDER, 0755);
    /* Renamed into its place: at no moment is there none. */
    if (asprintf(&temporary, REGISTRY_FOLDER "/." SERVER_INTERFACE ".%d", (int)getpid()) < 0 ||
        symlink(target, temporary) < 0 || rename(temporary, REGISTRY_LINK) < 0)
        log_debug(REGISTRY_LINK ": %s", strerror(errno));
    free(temporary);
    free(target);
}

static void server_unlink(Server *server)
{
    char target[4096], ours[4096];
    ssize_t size = readlink(REGISTRY_LINK, target, sizeof(target) - 1);

    if (size < 0)
        return;
    target[size] = '\0';
    snprintf(ours, sizeof(ours), "%s/" SERVER_INTERFACE, server->runtime_path);
    if (strcmp(target, ours) == 0)
        unlink(REGISTRY_LINK);
}

int server_listen(Server *server)
{
    Entry *entry = server_find_entry(server, NULL);

    if (!entry) {
        int r = entry_new(server, NULL, server->runtime_fd, server->runtime_path, SERVER_INTERFACE, &entry);
        if (r < 0)
            return r;
    }
    if (server->link_in_registry)
        server_link(server);
    return 0;
}

void server_sweep(Server *server)
{
    int fd = openat(server->runtime_fd, HANDOUT_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);

    if (!folder) {
        fd_close(fd);
        return;
    }
    struct dirent *file;
    while ((file = readdir(folder)))
        if (file->d_type == DT_SOCK && !server_find_entry(server, file->d_name) &&
            unlinkat(dirfd(folder), file->d_name, 0) == 0)
            log_info("%s/" HANDOUT_FOLDER "/%s: removed, the service has no such entry any more", server->runtime_path,
                     file->d_name);
    closedir(folder);
}

PollOutcome server_outcome(const Server *server, uint64_t stirred)
{
    return server->turn.count > 0 ? POLL_GATHERING : server->stirred == stirred ? POLL_QUIET : POLL_STIRRED;
}

int server_loop(Server *server)
{
    return poll_loop(server->poll);
}

void server_free(Server *server)
{
    Connection *connection;
    Entry *entry;

    if (!server)
        return;
    if (server->turn.end)
        manager_observe(server->manager, &(ManagerObserver){0});
    while ((connection = LIST_FIRST(&server->connections)))
        connection_free(connection);
    turn_release(server);
    bool own_path = false;
    while ((entry = LIST_FIRST(&server->entries))) {
        own_path |= !entry->service && entry->file;
        entry_free(entry);
    }
    if (server->link_in_registry && own_path)
        server_unlink(server);
    sd_event_source_disable_unref(server->ready_source);
    sd_event_source_disable_unref(server->pause_timer);
    poll_free(server->poll);
    sd_event_unref(server->event);
    fd_close(server->ready_fd);
    fd_close(server->spare_fd);
    fd_close(server->handout_fd);
    fd_close(server->runtime_fd);
    buffer_release(&server->text);
    free(server->runtime_path);
    free(server);
}
