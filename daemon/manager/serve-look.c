/* SPDX-License-Identifier: Apache-2.0 */
/* Looking, by time, whether clients are there still, and whether there is anything left to remember. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/place/holders.h"
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

/* Everybody who could have the socket is to be seen. */
static bool client_is_visible(const ServeClient *client)
{
    char path[32];

    if (hold_is_privileged(client->serving->manager->hold))
        return true;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)client->pid);
    return (geteuid() == 0 || client->uid == geteuid()) && (access(path, R_OK | X_OK) == 0 || errno == ENOENT);
}

static ServeClient *find_client(Serving *serving, uint64_t number)
{
    ServeClient *client;

    TAILQ_FOREACH(client, &serving->clients, clients)
        if (client->number == number)
            return client;
    return NULL;
}

/* One walk for all of them. Those that are on their way to their client are waited for: look_closed stays. */
static bool serving_end_closed(Serving *serving)
{
    uint64_t inodes[SERVE_CLIENTS_MAX], numbers[SERVE_CLIENTS_MAX], now_ns = serve_now_ns();
    pid_t pids[SERVE_CLIENTS_MAX];
    ServeClient *client;
    size_t count = 0;
    bool ended = false;

    serving->look_closed = false;
    serving->looked_ns = now_ns;
    TAILQ_FOREACH(client, &serving->clients, clients)
        if (count < SERVE_CLIENTS_MAX && client_is_visible(client)) {
            inodes[count] = client->socket.inode;
            numbers[count++] = client->number;
        }
    if (count == 0 || manager_find_holders_of_each(serving->manager, inodes, count, pids) < 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        client = find_client(serving, numbers[i]); /* the end of one lease is that of all clients that have it */
        if (!client)
            continue;
        if (pids[i] > 0) {
            client->seen = true;
            client->next_look_ns = now_ns + SERVE_LOOK_AGAIN_NS;
        } else if (client->seen || now_ns - client->made_ns > SERVE_ON_ITS_WAY_NS) {
            log_debug("%s: process %d has closed its socket", serving->name, (int)client->pid);
            serve_client_end(client);
            ended = true;
        } else {
            serving->look_closed = true;
        }
    }
    return ended;
}

bool serving_end_closed_now(Serving *serving)
{
    return serve_now_ns() - serving->looked_ns > 1000000000u && serving_end_closed(serving);
}

/* Unread for as long as between two looks, and its process has the socket no more, as far as is known. */
static bool client_may_have_closed(ServeClient *client)
{
    size_t unread = connection_socket_unread(&client->socket);
    bool stuck = unread > 0 && unread == client->unread_before;

    client->unread_before = unread;
    if ((!stuck && client->seen) || serve_now_ns() < client->next_look_ns)
        return false;
    if (!holders_has_process(client->pid, client->socket.inode))
        return stuck;
    client->seen = true;
    return false;
}

static bool serving_look(Serving *serving)
{
    ServeClient *client;
    bool again = false;

    TAILQ_FOREACH(client, &serving->clients, clients) {
        if (client_may_have_closed(client))
            serving->look_closed = true;
        again |= client->unread_before > 0;
    }
    /* Where a lease has ended, what that brings about is others'. */
    if (serving->look_closed && serving_end_closed(serving))
        return true;
    return again || serving->look_closed;
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
