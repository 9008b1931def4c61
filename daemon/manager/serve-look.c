/* SPDX-License-Identifier: Apache-2.0 */
/* Looking, by time, whether clients are there still, and whether there is anything left to remember. */

#include <string.h>

#include "daemon/log.h"
#include "daemon/manager/kept.h"
#include "daemon/manager/serve.h"

void servings_update(Manager *manager)
{
    Serving *serving;

    RB_FOREACH(serving, Servings, &manager->serve->servings)
        serving_update(serving);
}

void manager_serve_limits_changed(Manager *manager)
{
    if (manager->serve)
        servings_switch(manager);
}

void servings_switch(Manager *manager)
{
    Serving *serving;

    RB_FOREACH(serving, Servings, &manager->serve->servings) {
        serving_flush(serving);
        serving_switch(serving);
    }
}

/* Unread for as long as between two looks, and nobody has the socket any more, as far as all who could are to be seen. */
static bool client_has_closed(ServeClient *client)
{
    size_t unread = connection_socket_unread(&client->socket);
    bool stuck = unread > 0 && unread == client->unread_before;
    _cleanup_(freep) pid_t *pids = NULL;
    size_t count = 0;

    client->unread_before = unread;
    if (!stuck || (geteuid() != 0 && client->uid != geteuid()))
        return false;
    return manager_find_holders(client->serving->manager, &client->socket.inode, 1, 1, &pids, &count) == 0 && count == 0;
}

static bool serving_look(Serving *serving)
{
    ServeClient *client, *next;
    bool again = false;

    for (client = TAILQ_FIRST(&serving->clients); client; client = next) {
        next = TAILQ_NEXT(client, clients);
        if (client_has_closed(client)) {
            log_debug("%s: process %d has closed its socket", serving->name, (int)client->pid);
            serve_client_end(client);
            /* A lease has ended, and what that brings about is others'. */
            return true;
        }
        again |= client->unread_before > 0;
    }
    return again;
}

/* Nobody serves it any more, nothing of it is open or remembered, and no peer has to wait for its rate. */
static bool serving_is_over(Serving *serving)
{
    uint64_t now_ns = serve_now_ns();
    const ServePeer *peer;

    if (serving->client_count > 0 || serving->waiting_count > 0 || !activating_is_over(serving))
        return false;
    serving_sweep(serving, NULL);
    if (serving->accepted_count > 0)
        return false;
    TAILQ_FOREACH(peer, &serving->peers_by_use, by_use)
        if (peer->bucket_ns > now_ns)
            return false;
    return true;
}

static int serve_on_time(sd_event_source *source, uint64_t time_us, void *userdata)
{
    Manager *manager = userdata;
    Serving *serving, *next;
    bool again = false, later = false;

    manager->serve->timer = sd_event_source_disable_unref(manager->serve->timer);
    sd_event_source_set_enabled(manager->serve->idle, SD_EVENT_ON);
    for (serving = RB_MIN(Servings, &manager->serve->servings); serving; serving = next) {
        next = RB_NEXT(Servings, &manager->serve->servings, serving);
        if (serving_is_over(serving)) {
            serving_free(serving);
            continue;
        }
        serving->paused = false;
        serving_flush(serving);
        again |= serving_look(serving) || (serving->client_count > 0 && serving->waiting_count > 0);
        later |= serving->client_count == 0;
        serving_switch(serving);
    }
    if (again)
        serve_timer_start(manager, SERVE_LOOK_INTERVAL_US);
    else if (later)
        serve_timer_start(manager, SERVE_TIDY_INTERVAL_US);
    manager_events_flush(manager);
    return 0;
}

void serve_timer_start(Manager *manager, uint64_t in_us)
{
    if (manager->serve->timer && manager->serve->timer_us <= in_us)
        return;
    sd_event_source_disable_unref(manager->serve->timer);
    manager->serve->timer = NULL;
    manager->serve->timer_us = in_us;
    sd_event_add_time_relative(manager->event, &manager->serve->timer, CLOCK_MONOTONIC, in_us, 0, serve_on_time, manager);
}
