/* SPDX-License-Identifier: Apache-2.0 */
/* Memory made from the store: at the start, and again where a change could not be kept. What is held already is taken over,
 * so that no listener is closed to be made anew. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/manager/internal.h"

static void *read_context(const StoredRecord *stored, const RecordType *type)
{
    Problems problems = {0};
    void *record = NULL;
    int r = record_read_json(type, stored->context, strlen(stored->context), &problems, &record);

    if (r != 0) {
        Buffer text = {0};
        if (problems.count > 0)
            problem_format(&problems.items[0], &text);
        log_error("registry.db: %s cannot be read: %.*s", stored->name, (int)text.size_bytes, text.data ? text.data : "?");
        buffer_release(&text);
    }
    problems_release(&problems);
    return record;
}

static int load_settings_row(Manager *manager, const StoredRecord *stored)
{
    Settings *settings = read_context(stored, &record_type_Settings);

    return settings ? manager_set_settings(manager, settings) : 0;
}

static int load_machine_row(Manager *manager, const StoredRecord *stored)
{
    MachineContext *context = read_context(stored, &record_type_MachineContext);

    if (!context)
        return 0;
    if (registry_find_machine(&manager->registry, context->name)) {
        log_error("registry.db: the machine %s is there twice; the first one counts", context->name);
        machine_context_free(context);
        return 0;
    }
    Machine *machine = registry_add_machine(&manager->registry, context, stored->origin, stored->source, stored->uid);
    if (!machine)
        return -ENOMEM;
    machine->registered_at_us = stored->registered_at_us;
    machine->line = stored->line;
    machine->column = stored->column;
    machine->ephemeral_pid = stored->ephemeral_pid;
    manager->loaded_ties |= machine->ephemeral_pid > 0;
    machine->ephemeral_start_time_ticks = stored->ephemeral_start_time_ticks;
    return 0;
}

static int load_service_row(Manager *manager, const StoredRecord *stored)
{
    ServiceContext *context = read_context(stored, &record_type_ServiceContext);

    if (!context)
        return 0;
    /* Rows come by name: only those of ephemeral.db can meet one that is there. */
    if (!registry_is_behind_all(&manager->registry, context->name) && registry_find_service(&manager->registry, context->name)) {
        log_error("registry.db: the service %s is there twice; the first one counts", context->name);
        service_context_free(context);
        return 0;
    }
    AutoPort *auto_port = context->auto_port == YES ? registry_find_auto_port(&manager->registry, context->name) : NULL;
    Service *service = registry_add_service(&manager->registry, context, auto_port ? &auto_port->port : NULL,
                                            stored->origin, stored->source, stored->uid);
    if (!service)
        return -ENOMEM;
    service->registered_at_us = stored->registered_at_us;
    service->line = stored->line;
    service->column = stored->column;
    service->ephemeral_pid = stored->ephemeral_pid;
    manager->loaded_ties |= service->ephemeral_pid > 0;
    manager->loaded_lost_ports |= service->context->auto_port == YES && !service->has_port;
    service->ephemeral_start_time_ticks = stored->ephemeral_start_time_ticks;
    return 0;
}

static int on_record(const StoredRecord *stored, void *userdata)
{
    Manager *manager = userdata;

    switch (stored->kind) {
    case STORED_SETTINGS:
        return load_settings_row(manager, stored);
    case STORED_MACHINE:
        return load_machine_row(manager, stored);
    case STORED_SERVICE:
        return load_service_row(manager, stored);
    }
    return 0;
}

static int on_auto_port(const char *name, uint32_t port, void *userdata)
{
    Manager *manager = userdata;

    return registry_put_auto_port(&manager->registry, name, port);
}

/* Overrides come before the services that they are of: kept aside until those are there. */
typedef struct Loading {
    Manager *manager;
    char **overrides; /* "+name" or "-name" */
} Loading;

static int loading_on_record(const StoredRecord *stored, void *userdata)
{
    return on_record(stored, ((Loading *)userdata)->manager);
}

static int loading_on_auto_port(const char *name, uint32_t port, void *userdata)
{
    return on_auto_port(name, port, ((Loading *)userdata)->manager);
}

static int loading_on_override(const char *name, bool enabled, void *userdata)
{
    Loading *loading = userdata;
    _cleanup_(freep) char *text = NULL;

    if (asprintf(&text, "%c%s", enabled ? '+' : '-', name) < 0)
        return -ENOMEM;
    return text_list_append(&loading->overrides, text);
}

/* A port that autoPort had chosen, and that was lost (hvsockd --recover, a hand in registry.db): another one, rather than
 * a service that holds nothing and does not say why. */
static int give_port_again(Manager *manager, Service *service)
{
    _cleanup_(service_context_freep) ServiceContext *copy = NULL;
    const char *name = service->context->name;
    const Origin *origin = service->origin;
    ChangeSet nothing;
    uint32_t port;

    changeset_init(&nothing, manager);
    int r = manager_choose_port(&nothing, name, &port);
    if (r > 0) {
        log_error("%s: its automatic port was lost, and there is no other: autoPorts in hvsockd.yaml is too narrow", name);
        return 0;
    }
    r = registry_put_auto_port(&manager->registry, name, port);
    if (r == 0 && !manager->store_refuses) {
        r = store_put_auto_port(manager->store, name, port);
        manager->staged = true;
    }
    if (r == 0)
        r = record_copy(&record_type_ServiceContext, service->context, (void **)&copy);
    if (r < 0)
        return r;
    log_warning("%s: its automatic port was lost; it is %u now", name, (unsigned)port);
    return registry_change_service(&manager->registry, service, TAKE_PTR(copy), &port, (StoredOrigin)origin->kind,
                                   origin->source, origin->uid);
}

static int give_ports_again(Manager *manager)
{
    int r = 0;

    if (!manager->loaded_lost_ports)
        return 0;
    for (Service *service = registry_next_service(&manager->registry, NULL); service && r == 0;
         service = registry_service_after(service))
        if (service->context->auto_port == YES && !service->has_port)
            r = give_port_again(manager, service);
    return r;
}

int manager_load(Manager *manager)
{
    static const StoreVisitor visitor = {
        .on_record = loading_on_record, .on_override = loading_on_override, .on_auto_port = loading_on_auto_port};
    Loading loading = {.manager = manager};

    manager->loaded_ties = manager->loaded_lost_ports = false;
    int r = store_load(manager->store, &visitor, &loading);

    for (size_t i = 0; r == 0 && loading.overrides && loading.overrides[i]; i++) {
        Service *service = registry_find_service(&manager->registry, loading.overrides[i] + 1);
        if (service)
            service->override = loading.overrides[i][0] == '+' ? YES : NO;
    }
    text_list_free(loading.overrides);
    return r < 0 ? r : give_ports_again(manager);
}

/* What every service should hold, as far as it is not planned already. */
int manager_plan_everything(Manager *manager)
{
    ChangeSet nothing;
    PlanMachines machines;
    int r = 0;

    changeset_init(&nothing, manager);
    changeset_machines(&nothing, &machines);
    for (Service *service = registry_next_service(&manager->registry, NULL); service && r == 0;
         service = registry_service_after(service)) {
        ServiceContext context = *service->context;
        PlanWanted wanted = {0};
        if (service->override != UNSET)
            context.enabled = service->override;
        r = plan_want(&context, service->has_port ? &service->port : NULL, &machines, &wanted);
        if (r == 0)
            r = manager_plan_service(manager, service, &wanted, NULL);
        plan_wanted_release(&wanted);
        if (r == 0 && context.handout && context.handout->socket == YES && manager->observer.on_handout_socket)
            manager->observer.on_handout_socket(context.name, true, manager->observer.userdata);
    }
    return r;
}

/* ---- again ---- */

/* Everything that is held, out of the old memory. */
static void collect_held(Manager *manager, struct ListenerQueue *held)
{
    Listener *listener;

    TAILQ_CONCAT(held, &manager->closing, queue);
    for (Service *service = registry_next_service(&manager->registry, NULL); service;
         service = registry_service_after(service))
        while ((listener = service->listeners)) {
            manager_dequeue_listener(manager, listener);
            registry_remove_listener(&manager->registry, listener);
            if (listener->fd >= 0)
                TAILQ_INSERT_TAIL(held, listener, queue);
            else
                listener_free(listener);
        }
}

/* Held listeners back to the services that they were of; the plan closes what is not wanted there. */
static void give_back(Manager *manager, struct ListenerQueue *held)
{
    Listener *listener;

    while ((listener = TAILQ_FIRST(held))) {
        TAILQ_REMOVE(held, listener, queue);
        Service *service =
            listener->former_service ? registry_find_service(&manager->registry, listener->former_service) : NULL;
        if (service)
            registry_take_listener(&manager->registry, service, listener);
        else
            TAILQ_INSERT_TAIL(&manager->closing, listener, queue);
    }
}

int manager_rebuild(Manager *manager)
{
    struct ListenerQueue held = TAILQ_HEAD_INITIALIZER(held);

    store_rollback(manager->store);
    journal_roll_back(manager->journal);
    manager_effects_forget(manager);
    manager->staged = false;
    collect_held(manager, &held);
    registry_release(&manager->registry);
    registry_init(&manager->registry);
    /* The files are compared with the store anew at the next reload. */
    declared_free(manager->declared);
    manager->declared = NULL;
    /* So are settings: where the store has none yet, there were none. */
    int r = manager->store_refuses ? 0 : manager_set_settings(manager, record_new(&record_type_Settings));
    if (r == 0)
        r = manager_load(manager);
    give_back(manager, &held);
    if (r == 0)
        r = manager_plan_everything(manager);
    if (r == 0)
        r = manager_tie_again(manager);
    if (r == 0)
        manager_run_plan(manager);
    manager_serve_rebuilt(manager);
    if (r == 0)
        manager_sweep_metrics(manager);
    if (r < 0)
        log_error("cannot read the registry again: %s", strerror(-r));
    return r;
}
