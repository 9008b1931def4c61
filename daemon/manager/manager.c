/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's own life: made, started, settled after changes, stopped. One a daemon, on its one thread. */

#include <errno.h>
#include <string.h>

#include "daemon/bind/bind.h"
#include "daemon/log.h"
#include "daemon/manager/kept.h"

/* Programs have the time that their services give them; systemd would wait for as long. */
#define KEEPER_END_TIMEOUT_MS 100000

#define CLOSE_AT_ONCE 64

int manager_new(sd_event *event, const ManagerOptions *options, Manager **ret)
{
    _cleanup_(manager_freep) Manager *manager = calloc(1, sizeof(*manager));

    if (!manager)
        return -ENOMEM;
    manager->started_at_us = time_now_us();
    TAILQ_INIT(&manager->planned);
    TAILQ_INIT(&manager->closing);
    TAILQ_INIT(&manager->left_over);
    TAILQ_INIT(&manager->waiting);
    TAILQ_INIT(&manager->draining);
    registry_init(&manager->registry);
    manager->event = sd_event_ref(event);
    manager->config_path = options->config_path ? strdup(options->config_path) : NULL;
    manager->state_path = strdup(options->state_path);
    manager->runtime_path = strdup(options->runtime_path);
    manager->keep = options->keep;
    manager->keeper_files_soft = options->keeper_files_soft;
    manager->keeper_program = options->keeper_program ? strdup(options->keeper_program) : NULL;
    if (!manager->state_path || !manager->runtime_path || (options->config_path && !manager->config_path) ||
        (options->keeper_program && !manager->keeper_program))
        return -ENOMEM;
    int r = metrics_new(&manager->metrics);
    if (r == 0)
        r = journal_new(&manager->journal);
    if (r == 0)
        r = leases_new(event, manager_on_lease_end, manager, &manager->leases);
    if (r == 0)
        r = manager_kept_new(manager);
    if (r == 0)
        r = manager_activate_new(manager);
    if (r == 0)
        r = manager_serve_new(manager);
    if (r == 0)
        r = manager_set_settings(manager, record_new(&record_type_Settings));
    if (r < 0)
        return r;
    *ret = TAKE_PTR(manager);
    return 0;
}

static void free_queue(struct ListenerQueue *queue)
{
    Listener *listener;

    while ((listener = TAILQ_FIRST(queue))) {
        TAILQ_REMOVE(queue, listener, queue);
        listener_free(listener);
    }
}

void manager_free(Manager *manager)
{
    if (!manager)
        return;
    manager_adopt_end(manager);
    manager_retry_release(manager);
    manager_kept_free(manager); /* first: what ends with us is not to end there */
    manager_serve_free(manager);
    manager_activate_free(manager);
    leases_free(manager->leases);
    free_queue(&manager->closing);
    free_queue(&manager->left_over);
    free_queue(&manager->draining);
    registry_release(&manager->registry);
    store_free(manager->store);
    free(manager->store_refuses);
    free(manager->lost);
    declared_free(manager->declared);
    settings_free(manager->settings);
    settings_free(manager->settings_given);
    access_free(manager->access);
    problems_release(&manager->errors);
    manager_events_release(manager);
    manager_effects_forget(manager);
    free(manager->spare_changes);
    metrics_free(manager->metrics);
    sd_event_source_disable_unref(manager->log_timer);
    journal_free(manager->journal);
    free(manager->journal_trouble);
    free(manager->metrics_trouble);
    buffer_release(&manager->scratch);
    free(manager->config_path);
    free(manager->state_path);
    free(manager->runtime_path);
    sd_event_unref(manager->event);
    free(manager);
}

void manager_observe(Manager *manager, const ManagerObserver *observer)
{
    manager->observer = *observer;
}

const Access *manager_access(const Manager *manager)
{
    return manager->access;
}

const Settings *manager_settings(const Manager *manager)
{
    return manager->settings;
}

/* Every limit that the settings do not name, from the table of fields. */
static int fill_in_limits(Settings *settings)
{
    if (!settings->limits && !(settings->limits = record_new(&record_type_Limits)))
        return -ENOMEM;
    for (size_t i = 0; i < record_type_Limits.field_count; i++) {
        const Field *field = &record_type_Limits.fields[i];
        Number *number = field_in(field, settings->limits);
        uint64_t value;
        if (!number->set && text_to_number(field->fallback_json, UINT32_MAX, &value))
            *number = (Number){.value = (uint32_t)value, .set = true};
    }
    return 0;
}

int manager_set_settings(Manager *manager, Settings *settings_consume)
{
    _cleanup_(settings_freep) Settings *given = settings_consume;
    _cleanup_(settings_freep) Settings *settings = NULL;
    _cleanup_(access_freep) Access *access = NULL;

    if (!given)
        return -ENOMEM;
    int r = record_copy(&record_type_Settings, given, (void **)&settings);
    if (r == 0)
        r = fill_in_limits(settings);
    if (r == 0)
        r = access_new(settings, &access);
    if (r < 0)
        return r;
    bool default_peers = settings->peers != NULL;
    if (default_peers != manager->default_peers)
        for (Service *service = registry_next_service(&manager->registry, NULL); service;
             service = registry_service_after(service))
            registry_touch(&manager->registry, service); /* the handout mode's default is another */
    manager->default_peers = default_peers;
    access_free(manager->access);
    manager->access = TAKE_PTR(access);
    manager_serve_rules_changed(manager);
    settings_free(manager->settings);
    manager->settings = TAKE_PTR(settings);
    journal_set_limit(manager->journal, manager->settings->limits->log_bytes.value);
    settings_free(manager->settings_given);
    manager->settings_given = TAKE_PTR(given);
    manager_serve_limits_changed(manager);
    return 0;
}

/* 0; 1: cannot start. */
static int open_store(Manager *manager)
{
    _cleanup_(freep) char *trouble = NULL;
    int r = store_open(manager->state_path, manager->runtime_path, &manager->store, &trouble);

    if (r == STORE_NEWER || r == STORE_READ_ONLY) {
        log_warning("%s", trouble ? trouble : "registry.db cannot be changed");
        manager->store_refuses = TAKE_PTR(trouble);
        /* Callers are refused; what files say is served all the same. */
        store_drop_refused(manager->store);
        return manager->store_refuses ? 0 : -ENOMEM;
    }
    if (r == STORE_UNSOUND) {
        log_error("%s", trouble ? trouble : "registry.db is not sound");
        return 1;
    }
    if (r < 0) {
        log_error("%s", trouble ? trouble : strerror(-r));
        return 1;
    }
    if (trouble)
        log_warning("%s", trouble);
    return 0;
}

int manager_start(Manager *manager)
{
    Failure failure = {0};

    /* First: while we read, it starts. */
    manager->booting = true;
    manager_kept_open(manager);
    int r = open_store(manager);
    if (r == 0)
        r = manager_open_metrics(manager);
    if (r == 0)
        r = manager_open_log(manager);
    if (r != 0)
        return r;
    manager->registry.is_filling = true;
    r = manager_load(manager);
    if (r < 0) {
        log_error("%s/registry.db: %s", manager->state_path, store_error(manager->store));
        return r;
    }
    r = manager_take_back(manager);
    if (r < 0)
        return r;
    /* Planned first from what was; files that have changed meanwhile change the plan before anything is bound. */
    r = manager_plan_everything(manager);
    manager->registry.is_filling = false;
    if (r == 0)
        r = manager_tie_again(manager);
    if (r < 0)
        return r;
    r = manager_load_files(manager, NULL, "start", NULL, &failure);
    if (r > 0)
        log_error("the files have errors: the last good declared set runs; mend them and reload");
    failure_release(&failure);
    if (r < 0)
        return r;
    r = manager_adopt_check(manager);
    if (r < 0)
        return r;
    r = manager_settle(manager, &failure);
    failure_release(&failure);
    if (r < 0)
        return r;
    if (r > 0)
        manager_run_plan(manager);
    manager_adopt_end(manager);
    manager_serve_rebuilt(manager);
    manager->booting = false;
    manager_sweep_metrics(manager);
    /* What was taken back is watched from now on. */
    manager_serve_rebuilt(manager);
    manager_log(manager, NULL, JOURNAL_CHANGES, "started", NULL, NULL, "hvsockd %s; services: %zu, machines: %zu", HVSOCK_VERSION,
                manager->registry.service_count, manager->registry.machine_count);
    manager_log_flush(manager);
    manager_kept_started(manager);
    log_info("services: %zu, machines: %zu", manager->registry.service_count, manager->registry.machine_count);
    return 0;
}

static void let_go_of_all(Manager *manager)
{
    PlaceHeld held[CLOSE_AT_ONCE];
    size_t count = 0;

    for (Service *service = registry_next_service(&manager->registry, NULL); service;
         service = registry_service_after(service))
        for (Listener *listener = service->listeners; listener; listener = listener->next) {
            if (listener->fd < 0)
                continue;
            held[count++] = (PlaceHeld){TAKE_FD(listener->fd), listener->path, listener->device, listener->inode};
            if (count == CLOSE_AT_ONCE) {
                manager_release_places(manager, held, count);
                count = 0;
            }
        }
    manager_release_places(manager, held, count);
}

void manager_stop(Manager *manager)
{
    let_go_of_all(manager);
    if (manager->hold)
        hold_end(manager->hold, KEEPER_END_TIMEOUT_MS);
    manager_forget_held(manager);
}

void manager_abandon(Manager *manager)
{
    if (hold_is_there(manager->hold) && manager->keeper_is_fresh)
        hold_end(manager->hold, KEEPER_END_TIMEOUT_MS);
}

bool manager_has_staged(const Manager *manager)
{
    return manager->staged;
}

int manager_settle(Manager *manager, Failure *failure)
{
    _cleanup_(freep) char *lost = TAKE_PTR(manager->lost);
    int r = 0;

    if (lost) {
        /* Nothing was staged after it: see manager_check_storage. */
        journal_roll_back(manager->journal);
        manager->staged = false;
        manager_events_flush(manager);
        return failure_storage_failed(failure, lost);
    }
    if (store_has_changes(manager->store)) {
        r = store_commit(manager->store);
        *(r == 0 ? &metrics_global(manager->metrics)->commits : &metrics_global(manager->metrics)->commits_failed) += 1;
    }
    if (r < 0) {
        _cleanup_(freep) char *why = strdup(store_error(manager->store));
        log_error("registry.db: %s; what was asked for is not done", why ? why : strerror(-r));
        int rebuilt = manager_rebuild(manager);
        if (rebuilt < 0)
            return rebuilt;
        manager_events_flush(manager);
        return failure_storage_failed(failure, why ? why : strerror(-r));
    }
    manager_effects_happen(manager);
    journal_commit(manager->journal);
    manager->staged = false;
    manager_run_plan(manager);
    manager_events_flush(manager);
    return 0;
}
