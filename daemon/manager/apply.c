/* SPDX-License-Identifier: Apache-2.0 */
/* A checked ChangeSet goes into memory and into the store's open transaction, and its listeners into the plan. */

#include <errno.h>

#include "daemon/manager/internal.h"

static bool wants_handout_socket(const ServiceContext *context)
{
    return context && context->handout && context->handout->socket == YES;
}

static int store_service(Manager *manager, const Service *service)
{
    Buffer context = {0};
    char *text;
    int r;

    record_write_json(&record_type_ServiceContext, service->context, RECORD_WRITE_ALL, &context);
    r = buffer_take(&context, &text, NULL);
    if (r < 0)
        return r;
    r = store_put(manager->store, &(StoredRecord){
                                      .kind = STORED_SERVICE,
                                      .origin = service->origin->kind,
                                      .name = service->context->name,
                                      .context = text,
                                      .source = service->origin->source,
                                      .line = service->line,
                                      .column = service->column,
                                      .uid = service->origin->uid,
                                      .registered_at_us = service->registered_at_us,
                                      .ephemeral_pid = service->ephemeral_pid,
                                      .ephemeral_start_time_ticks = service->ephemeral_start_time_ticks,
                                  });
    free(text);
    return r;
}

static int store_machine(Manager *manager, const Machine *machine)
{
    Buffer context = {0};
    char *text;
    int r;

    record_write_json(&record_type_MachineContext, machine->context, RECORD_WRITE_ALL, &context);
    r = buffer_take(&context, &text, NULL);
    if (r < 0)
        return r;
    r = store_put(manager->store, &(StoredRecord){
                                      .kind = STORED_MACHINE,
                                      .origin = machine->origin->kind,
                                      .name = machine->context->name,
                                      .context = text,
                                      .source = machine->origin->source,
                                      .line = machine->line,
                                      .column = machine->column,
                                      .uid = machine->origin->uid,
                                      .registered_at_us = machine->registered_at_us,
                                      .ephemeral_pid = machine->ephemeral_pid,
                                      .ephemeral_start_time_ticks = machine->ephemeral_start_time_ticks,
                                  });
    free(text);
    return r;
}

/* For the log: where it is from, unless that is who called, and which fields are others. The caller's; NULL: nothing. */
static char *describe_change(const ChangeSet *set, const Change *change)
{
    const Origin origin = {.kind = change->origin, .source = (char *)(uintptr_t)change->source, .uid = change->uid};
    _cleanup_(text_list_freep) char **fields = NULL;
    Buffer text = {0};
    char *taken = NULL;

    if (set->logged >= LOGGED_OF_ONE_SET_MAX)
        return NULL;
    if (change->origin != STORED_USER)
        origin_format(&origin, &text);
    if (change->kind == CHANGE_REPLACE && change->service)
        (void)record_differences(&record_type_ServiceContext, change->old_service->context, change->service, &fields);
    else if (change->kind == CHANGE_REPLACE && change->machine)
        (void)record_differences(&record_type_MachineContext, change->old_machine->context, change->machine, &fields);
    for (size_t i = 0; fields && fields[i]; i++)
        buffer_printf(&text, "%s%s", i > 0 ? ", " : text.size_bytes > 0 ? ": " : "", fields[i]);
    if (text.size_bytes > 0)
        (void)buffer_take(&text, &taken, NULL);
    return taken;
}

static int apply_machine(ChangeSet *set, Change *change)
{
    Manager *manager = set->manager;
    Registry *registry = &manager->registry;
    Machine *machine = change->old_machine;
    _cleanup_(freep) char *told = describe_change(set, change);
    int r;

    if (change->kind == CHANGE_REMOVE) {
        r = store_delete(manager->store, STORED_MACHINE, machine->origin->kind, change->name, machine->ephemeral_pid > 0);
        if (r < 0)
            return r;
        r = manager_effect(manager, EFFECT_MACHINE_REMOVED, change->name);
        if (r < 0)
            return r;
        manager_plan_close_machine(manager, machine);
        manager_log_change(set, change, "machine-removed", NULL);
        registry_remove_machine(registry, machine);
        manager_serve_rules_changed(manager);
        return 0;
    }
    if (change->kind == CHANGE_ADD) {
        machine = registry_add_machine(registry, TAKE_PTR(change->machine), change->origin, change->source, change->uid);
        if (!machine)
            return -ENOMEM;
        machine->registered_at_us = time_now_us();
    } else {
        r = store_delete(manager->store, STORED_MACHINE, machine->origin->kind, change->name, machine->ephemeral_pid > 0);
        if (r < 0)
            return r;
        r = registry_change_machine(registry, machine, TAKE_PTR(change->machine), change->origin, change->source, change->uid);
        if (r < 0)
            return r;
        machine->ephemeral_source = sd_event_source_disable_unref(machine->ephemeral_source);
        machine->ephemeral_pid = 0;
        machine->ephemeral_start_time_ticks = 0;
    }
    change->name = machine->context->name;
    machine->line = change->line;
    machine->column = change->column;
    if (change->ephemeral_pid > 0) {
        machine->ephemeral_pid = change->ephemeral_pid;
        machine->ephemeral_start_time_ticks = change->ephemeral_start_time_ticks;
        r = manager_watch_process_consume(manager, change->ephemeral_pid, TAKE_FD(change->ephemeral_pidfd), NULL, machine);
        if (r < 0)
            return r;
    }
    manager_serve_rules_changed(manager);
    manager_log_change(set, change, change->kind == CHANGE_ADD ? "machine-added" : "machine-changed", told);
    r = manager_effect(manager, change->kind == CHANGE_ADD ? EFFECT_MACHINE_ADDED : EFFECT_MACHINE_CHANGED, change->name);
    return r < 0 ? r : store_machine(manager, machine);
}

/* One that is there already stays. */
static int effect_entry(Manager *manager, const char *name, bool was, bool is)
{
    return was || is ? manager_effect(manager, is ? EFFECT_ENTRY_OPEN : EFFECT_ENTRY_CLOSE, name) : 0;
}

static int remove_service(ChangeSet *set, Change *change)
{
    Manager *manager = set->manager;
    Service *service = change->old_service;
    int r = store_delete(manager->store, STORED_SERVICE, service->origin->kind, change->name, service->ephemeral_pid > 0);

    if (r == 0 && service->override != UNSET)
        r = store_delete_override(manager->store, change->name);
    if (r == 0)
        r = manager_effect(manager, service->ephemeral_pid > 0 ? EFFECT_FORGET_EPHEMERAL : EFFECT_FORGET, change->name);
    if (r == 0)
        r = effect_entry(manager, change->name, wants_handout_socket(service->context), false);
    if (r == 0)
        r = manager_effect(manager, EFFECT_UNREGISTERED, change->name);
    if (r < 0)
        return r;
    manager_plan_close_all(manager, service);
    manager_log_change(set, change, "unregistered", NULL);
    registry_remove_service(&manager->registry, service);
    return 0;
}

/* The override of a service that stays: enable and disable. */
static int override_service(ChangeSet *set, Change *change)
{
    Manager *manager = set->manager;
    Service *service = change->old_service;
    int r = 0;

    if (service->override == change->override)
        return 0;
    service->override = change->override;
    if (change->override == UNSET)
        r = store_delete_override(manager->store, change->name);
    else
        r = store_put_override(manager->store, change->name, change->override == YES);
    bool enabled = service_effectively_enabled(service);
    if (r == 0 && !enabled)
        r = manager_effect(manager, EFFECT_STOP, change->name);
    if (r == 0)
        r = manager_effect(manager, enabled ? EFFECT_ENABLED : EFFECT_DISABLED, change->name);
    if (r < 0)
        return r;
    manager_serve_changed(manager, change->name);
    manager_log_change(set, change, enabled ? "enabled" : "disabled", NULL);
    return 0;
}

static int put_service(ChangeSet *set, Change *change)
{
    Manager *manager = set->manager;
    Registry *registry = &manager->registry;
    Service *service = change->old_service;
    const uint32_t *port = change->has_port ? &change->port : NULL;
    bool had_socket = service && wants_handout_socket(service->context);
    _cleanup_(freep) char *told = describe_change(set, change);
    int r = 0;

    if (change->kind == CHANGE_ADD) {
        service = registry_add_service(registry, TAKE_PTR(change->service), port, change->origin, change->source, change->uid);
        if (!service)
            return -ENOMEM;
        service->registered_at_us = time_now_us();
    } else {
        if (service->ephemeral_pid > 0 || service->origin->kind != change->origin)
            r = store_delete(manager->store, STORED_SERVICE, service->origin->kind, change->name, service->ephemeral_pid > 0);
        if (r == 0 && service->override != UNSET)
            r = store_delete_override(manager->store, change->name);
        if (r == 0)
            r = registry_change_service(registry, service, TAKE_PTR(change->service), port, change->origin, change->source,
                                        change->uid);
        if (r < 0)
            return r;
        service->override = UNSET;
        service->ephemeral_source = sd_event_source_disable_unref(service->ephemeral_source);
        service->ephemeral_pid = 0;
        service->ephemeral_start_time_ticks = 0;
    }
    service->line = change->line;
    service->column = change->column;
    const char *name = service->context->name;
    change->name = name;
    if (change->ephemeral_pid > 0) {
        service->ephemeral_pid = change->ephemeral_pid;
        service->ephemeral_start_time_ticks = change->ephemeral_start_time_ticks;
        r = manager_watch_process_consume(manager, change->ephemeral_pid, TAKE_FD(change->ephemeral_pidfd), service, NULL);
    }
    if (r == 0 && change->displaced)
        r = store_delete_auto_port(manager->store, change->displaced);
    if (r == 0 && change->new_auto_port)
        r = store_put_auto_port(manager->store, name, change->port);
    if (r == 0)
        r = store_service(manager, service);
    if (r == 0 && !service_effectively_enabled(service))
        r = manager_effect(manager, EFFECT_STOP, name);
    if (r == 0)
        r = effect_entry(manager, name, had_socket, wants_handout_socket(service->context));
    if (r == 0)
        r = manager_effect(manager, change->kind == CHANGE_ADD ? EFFECT_REGISTERED : EFFECT_CHANGED, name);
    if (r < 0)
        return r;
    manager_serve_changed(manager, name);
    manager_log_change(set, change, change->kind == CHANGE_ADD ? "registered" : "changed", told);
    change->old_service = service;
    return 0;
}

int changeset_apply(ChangeSet *set)
{
    Manager *manager = set->manager;
    int r = 0;

    set->applied = true;
    manager->staged = true;
    /* What goes makes room for what comes. */
    for (size_t i = 0; i < set->count && r == 0; i++)
        if (set->items[i].object == STORED_SERVICE && set->items[i].kind == CHANGE_REMOVE)
            r = remove_service(set, &set->items[i]);
    for (size_t i = 0; i < set->count && r == 0; i++)
        if (set->items[i].object == STORED_MACHINE)
            r = apply_machine(set, &set->items[i]);
    for (size_t i = 0; i < set->count && r == 0; i++) {
        Change *change = &set->items[i];
        if (change->object != STORED_SERVICE || change->kind == CHANGE_REMOVE)
            continue;
        r = change->kind == CHANGE_REPLAN ? override_service(set, change) : put_service(set, change);
        if (r == 0)
            r = manager_plan_service(manager, change->old_service, &change->wanted, change->scoped ? set : NULL);
    }
    return r;
}
