/* SPDX-License-Identifier: Apache-2.0 */
/* What is watched. Listeners of a Serving are watched in an epoll of its own, which is one source of the event loop: switched
 * off when nobody has room, so that nothing is accepted then. Those of services that only have a program to be started are
 * all in one, until somebody comes. epoll(7), sd_event_add_io(3). */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "daemon/log.h"
#include "daemon/manager/serve.h"

#define IDLE_A_TURN 16

static void watch_listener(Listener *listener, int epoll_fd)
{
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = listener};

    if (listener->fd < 0 || listener->state != LISTENER_LISTENING)
        return;
    if (listener->accept_fd >= 0 && listener->accept_fd != epoll_fd)
        listener_stop_watch(listener);
    int r = fd_set_nonblocking(listener->fd, true);
    if (r == 0 && listener->accept_fd < 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener->fd, &wanted) < 0)
        r = -errno;
    if (r < 0)
        log_error("%s: %s cannot be watched: %s", listener->service->context->name, listener->uri, strerror(-r));
    else
        listener->accept_fd = epoll_fd;
}

/* Whoever has the listeners accepts; then we do not. */
static Taking find_taking(const Serving *serving, const Service *service)
{
    if (!service || leases_have_kind(serving->manager->leases, serving->name, LEASE_LISTENERS))
        return TAKING_NOBODY;
    return activate_taking(serving, service, !TAILQ_EMPTY(&serving->clients));
}

static bool is_watched(const Serving *serving, const Listener *listener)
{
    return serving->taking != TAKING_NOBODY && (serving->taking != TAKING_LATE || !listener->handed_out);
}

void serving_update(Serving *serving)
{
    Service *service = registry_find_service(&serving->manager->registry, serving->name);

    /* Somebody has it: no matter what was to be waited for. */
    if (serving->activating.unit_starts && leases_of_service(serving->manager->leases, serving->name)) {
        serving->activating.unit_starts = false;
        serving->activating.later = sd_event_source_disable_unref(serving->activating.later);
    }
    serving->taking = find_taking(serving, service);
    for (Listener *listener = service ? service->listeners : NULL; listener; listener = listener->next) {
        if (is_watched(serving, listener))
            watch_listener(listener, serving->epoll_fd);
        else
            listener_stop_watch(listener);
    }
    serving_switch(serving);
}

bool serving_has_room(Serving *serving)
{
    ServeClient *client;

    switch (serving->taking) {
    case TAKING_NOBODY:
        return false;
    case TAKING_CLIENTS:
        TAILQ_FOREACH(client, &serving->clients, clients)
            if (!client->full && serve_client_has_room(client))
                return true;
        return false;
    case TAKING_PROGRAMS:
    case TAKING_FIRST:
        return activate_has_room(serving);
    case TAKING_LATE:
    case TAKING_TO_CLOSE:
        return true;
    }
    return false;
}

void serving_switch(Serving *serving)
{
    /* Who takes listeners takes none of those that wait. */
    bool first = TAILQ_EMPTY(&serving->waiting) || serving->taking == TAKING_FIRST || serving->taking == TAKING_LATE;
    bool on = !serving->paused && first && serving_has_room(serving);

    sd_event_source_set_enabled(serving->source, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* ---- without a Serving ---- */

static bool is_watched_idle(Manager *manager, const Service *service)
{
    return service->context->activate && service_effectively_enabled(service) &&
           !leases_have_kind(manager->leases, service->context->name, LEASE_LISTENERS);
}

void serve_idle_update(Manager *manager, const char *name)
{
    Service *service = manager->serve ? registry_find_service(&manager->registry, name) : NULL;

    if (!service || serving_find(manager, name))
        return;
    bool watch = is_watched_idle(manager, service);
    for (Listener *listener = service->listeners; listener; listener = listener->next) {
        if (watch)
            watch_listener(listener, manager->serve->idle_fd);
        else
            listener_stop_watch(listener);
    }
}

void manager_serve_listener(Manager *manager, Listener *listener)
{
    const Service *service = listener->service;
    Serving *serving = RB_EMPTY(&manager->serve->servings) ? NULL : serving_find(manager, service->context->name);

    if (serving && is_watched(serving, listener))
        watch_listener(listener, serving->epoll_fd);
    else if (!serving && is_watched_idle(manager, service))
        watch_listener(listener, manager->serve->idle_fd);
}

/* Somebody has come: from now on the service has a Serving, whose own turn it is next. */
static int idle_on_connections(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Manager *manager = userdata;
    struct epoll_event ready[IDLE_A_TURN];
    int count = epoll_wait(fd, ready, IDLE_A_TURN, 0);

    for (int i = 0; i < count; i++) {
        const Listener *listener = ready[i].data.ptr;
        Serving *serving;
        if (listener->accept_fd != fd)
            continue; /* another one of its service came first */
        int r = serving_get(manager, listener->service->context->name, &serving);
        if (r < 0) {
            log_warning("connections to %s wait: %s", listener->service->context->name, strerror(-r));
            sd_event_source_set_enabled(source, SD_EVENT_OFF);
            serve_timer_start(manager, SERVE_LOOK_INTERVAL_US);
            return 0;
        }
        serving_update(serving);
        serve_timer_start(manager, SERVE_TIDY_INTERVAL_US);
    }
    return 0;
}

int serve_idle_new(Manager *manager)
{
    Serve *serve = manager->serve;

    serve->idle_fd = epoll_create1(EPOLL_CLOEXEC);
    if (serve->idle_fd < 0)
        return -errno;
    return sd_event_add_io(manager->event, &serve->idle, serve->idle_fd, EPOLLIN, idle_on_connections, manager);
}

void serve_idle_free(Manager *manager)
{
    sd_event_source_disable_unref(manager->serve->idle);
    fd_close(manager->serve->idle_fd);
}
