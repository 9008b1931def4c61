/* SPDX-License-Identifier: Apache-2.0 */
/* Giving to hvsock-keeper: what is new or has changed is remembered, and put when the changes have settled. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/manager/kept.h"
#include "daemon/place/holders.h"

/* ---- keys ---- */

static bool key_append(KeptKey *key, const char *text, bool last)
{
    size_t size_bytes = strlen(text) + !last;

    if (key->size_bytes + size_bytes > sizeof(key->text))
        return false;
    memcpy(key->text + key->size_bytes, text, size_bytes);
    key->size_bytes += size_bytes;
    return true;
}

void kept_key(KeptKey *key, char kind, const char *service, const char *second, const char *third)
{
    key->text[0] = kind;
    key->size_bytes = 1;
    /* Every part ends with NUL, so that it can be read in place. */
    if (!key_append(key, service, false) || (second && !key_append(key, second, false)) || (third && !key_append(key, third, false)))
        key->size_bytes = 0;
}

const char *kept_key_part(const KeptKey *key, unsigned part)
{
    size_t start = 1;

    for (; start < key->size_bytes; part--) {
        size_t length = strnlen(key->text + start, key->size_bytes - start);
        if (start + length == key->size_bytes)
            return NULL;
        if (part == 0)
            return key->text + start;
        start += length + 1;
    }
    return NULL;
}

static void listener_key(KeptKey *key, const Listener *listener)
{
    const char *service = listener->service ? listener->service->context->name : listener->former_service;

    key->size_bytes = 0;
    if (service)
        kept_key(key, KEEPER_KEY_LISTENER, service, listener->uri, listener->machine);
}

static void lease_key(KeptKey *key, const char *service, pid_t pid)
{
    char number[24];

    snprintf(number, sizeof(number), "%d", (int)pid);
    kept_key(key, KEEPER_KEY_LEASE, service, number, NULL);
}

/* ---- listeners ---- */

void manager_keep_listener(Manager *manager, Listener *listener)
{
    if (listener->unkept || listener->fd < 0 || !manager->hold)
        return;
    listener->unkept = true;
    LIST_INSERT_HEAD(&manager->unkept, listener, of_unkept);
}

static void put_listener(Manager *manager, const Listener *listener)
{
    Buffer *value = &manager->kept_value;
    _uninitialized_ KeptKey key;

    listener_key(&key, listener);
    if (key.size_bytes == 0)
        return;
    buffer_clear(value);
    frame_put_text(value, KEPT_CLAIM, listener->key);
    frame_put_number(value, KEPT_TYPE, listener->type);
    frame_put_number(value, KEPT_BACKLOG, listener->backlog);
    frame_put_number(value, KEPT_FLAGS, (listener->wildcard ? KEPT_WILDCARD : 0) | (listener->handed_out ? KEPT_HANDED_OUT : 0) |
                                            (listener->adopted ? KEPT_ADOPTED : 0));
    frame_put_text(value, KEPT_USER, listener->user);
    frame_put_text(value, KEPT_GROUP, listener->group);
    frame_put_text(value, KEPT_MODE, listener->mode);
    if (listener->path) {
        frame_put_text(value, KEPT_PATH, listener->path);
        frame_put_number(value, KEPT_DEVICE, listener->device);
        frame_put_number(value, KEPT_INODE, listener->inode);
    }
    hold_put(manager->hold, key.text, key.size_bytes, value, &listener->fd, 1);
}

static void put_listeners(Manager *manager)
{
    Listener *listener;

    while ((listener = LIST_FIRST(&manager->unkept))) {
        LIST_REMOVE(listener, of_unkept);
        listener->unkept = false;
        if (listener->fd >= 0)
            put_listener(manager, listener);
    }
}

void manager_forget_listener(Manager *manager, const Listener *listener)
{
    _uninitialized_ KeptKey key;

    if (!manager->hold)
        return;
    listener_key(&key, listener);
    if (key.size_bytes > 0)
        hold_delete(manager->hold, key.text, key.size_bytes);
}

/* ---- leases ---- */

static void put_lease(const Lease *lease, void *userdata)
{
    Manager *manager = userdata;
    Buffer *value = &manager->kept_value;
    int pidfd = leases_pidfd(manager->leases, lease->pid);
    _uninitialized_ KeptKey key;

    lease_key(&key, lease->service, lease->pid);
    if (key.size_bytes == 0 || pidfd < 0)
        return;
    buffer_clear(value);
    frame_put_number(value, KEPT_UID, lease->uid);
    frame_put_number(value, KEPT_START_TIME_TICKS, lease->start_time_ticks);
    frame_put_number(value, KEPT_SINCE_US, lease->since_us);
    frame_put_number(value, KEPT_FLAGS, lease->kinds);
    hold_put(manager->hold, key.text, key.size_bytes, value, &pidfd, 1);
}

void manager_keep_lease(Manager *manager, const char *service, pid_t pid)
{
    if (!hold_is_there(manager->hold))
        return;
    for (const Lease *lease = leases_of_service(manager->leases, service); lease; lease = lease->next_of_service)
        if (lease->pid == pid)
            put_lease(lease, manager);
}

void manager_forget_lease(Manager *manager, const Lease *lease)
{
    _uninitialized_ KeptKey key;

    if (!hold_is_there(manager->hold))
        return;
    lease_key(&key, lease->service, lease->pid);
    hold_delete(manager->hold, key.text, key.size_bytes);
}

/* ---- all of it ---- */

/* For who comes after us, should all of it be lost. */
static void remember_held(Manager *manager)
{
    GlobalMetrics *metrics = metrics_global(manager->metrics);

    metrics->held_listeners = manager->registry.listener_count;
    metrics->held_leases = leases_count(manager->leases);
    metrics->held_programs = manager_activate_count(manager);
}

void manager_keep_flush(Manager *manager)
{
    if (!hold_is_there(manager->hold))
        return;
    if (!manager->booting)
        put_listeners(manager);
    hold_flush(manager->hold);
    remember_held(manager);
}

void manager_forget_held(Manager *manager)
{
    GlobalMetrics *metrics = metrics_global(manager->metrics);

    metrics->held_listeners = metrics->held_leases = metrics->held_programs = 0;
}

void manager_keep_flush_wait(Manager *manager)
{
    if (hold_is_there(manager->hold))
        hold_flush_wait(manager->hold);
}

/* Before anybody is told that we are ready: what listens is held. */
void manager_kept_started(Manager *manager)
{
    manager_keep_flush(manager);
    if (manager->hold)
        hold_started(manager->hold);
}

static void keep_everything(Manager *manager)
{
    for (Service *service = registry_next_service(&manager->registry, NULL); service;
         service = registry_service_after(service))
        for (Listener *listener = service->listeners; listener; listener = listener->next)
            manager_keep_listener(manager, listener);
    leases_visit(manager->leases, put_lease, manager);
    manager_keep_servings(manager);
    manager_keep_flush(manager);
}

/* ---- the keeper's life ---- */

static void on_lost(void *userdata)
{
    Manager *manager = userdata;

    log_error("hvsock-keeper has ended, and with it the programs that it had started; what it held is given to another");
    manager_activate_lost(manager);
    manager_log(manager, NULL, JOURNAL_CHANGES, "lost", NULL, NULL, "hvsock-keeper has ended, and with it the programs that it had started");
    manager_event(manager, "error", NULL, NULL, "hvsock-keeper has ended, and with it the programs that it had started");
    manager_events_flush(manager);
}

static void on_back(void *userdata)
{
    Manager *manager = userdata;

    log_notice("hvsock-keeper runs again, and is given what we hold");
    metrics_global(manager->metrics)->keeper_starts++;
    keep_everything(manager);
    manager_activate_back(manager);
    manager_retry_soon(manager);
    hold_flush(manager->hold);
}

int manager_kept_new(Manager *manager)
{
    const HoldOptions options = {.runtime_path = manager->runtime_path, .program = manager->keeper_program,
                                 .files_soft = manager->keeper_files_soft};
    const HoldObserver observer = {
        .on_started = manager_activate_on_started,
        .on_exited = manager_activate_on_exited,
        .on_lost = on_lost,
        .on_back = on_back,
        .userdata = manager,
    };

    LIST_INIT(&manager->unkept);
    if (!manager->keep)
        return 0;
    return hold_new(manager->event, &options, &observer, &manager->hold);
}

void manager_kept_free(Manager *manager)
{
    hold_free(manager->hold);
    manager->hold = NULL;
    buffer_release(&manager->kept_value);
    free(manager->keeper_program);
}

void manager_kept_open(Manager *manager)
{
    if (!manager->hold)
        return;
    int r = hold_open(manager->hold, &manager->keeper_is_fresh);
    if (r < 0)
        log_warning("hvsock-keeper is not there (%s): what is held now would be lost with hvsockd, and no program is started, "
                    "until it runs", strerror(-r));
}
