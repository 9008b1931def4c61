/* SPDX-License-Identifier: Apache-2.0 */
/* Services and machines in memory, and the trees to find them by; lives as long as the manager. */

#include <errno.h>
#include <string.h>

#include "daemon/manager/registry.h"
#include "schema/base/fd.h"

static int service_compare_names(const Service *a, const Service *b)
{
    return strcmp(a->context->name, b->context->name);
}

static int service_compare_guids(const Service *a, const Service *b)
{
    int order = guid_compare(&a->guid, &b->guid);

    return order ? order : service_compare_names(a, b);
}

static int machine_compare_names(const Machine *a, const Machine *b)
{
    return strcmp(a->context->name, b->context->name);
}

static int origin_compare(const Origin *a, const Origin *b)
{
    int order = (a->kind > b->kind) - (a->kind < b->kind);

    if (order == 0)
        order = strcmp(a->source ? a->source : "", b->source ? b->source : "");
    if (order == 0)
        order = (a->uid > b->uid) - (a->uid < b->uid);
    return order;
}

RB_GENERATE_INTERNAL(ServicesByName, Service, by_name, service_compare_names, _unused_ static)
RB_GENERATE_INTERNAL(ServicesByGuid, Service, by_guid, service_compare_guids, _unused_ static)
RB_GENERATE_INTERNAL(MachinesByName, Machine, by_name, machine_compare_names, _unused_ static)
RB_GENERATE_INTERNAL(OriginsByIdentity, Origin, by_identity, origin_compare, _unused_ static)
TREE_APPEND_GENERATE(ServicesByName, Service, by_name, service_compare_names)
TREE_APPEND_GENERATE(ServicesByGuid, Service, by_guid, service_compare_guids)

void registry_init(Registry *registry)
{
    *registry = (Registry){0};
    RB_INIT(&registry->services);
    RB_INIT(&registry->services_by_guid);
    RB_INIT(&registry->machines);
    RB_INIT(&registry->machines_by_key);
    RB_INIT(&registry->origins);
    RB_INIT(&registry->listeners);
    RB_INIT(&registry->auto_ports);
    RB_INIT(&registry->auto_ports_by_port);
    LIST_INIT(&registry->machine_services);
    LIST_INIT(&registry->activated_services);
    TAILQ_INIT(&registry->rendered);
}

void registry_release(Registry *registry)
{
    Service *service;
    Machine *machine;
    AutoPort *auto_port;

    while ((service = RB_ROOT(&registry->services)))
        registry_remove_service(registry, service);
    while ((machine = RB_ROOT(&registry->machines)))
        registry_remove_machine(registry, machine);
    while ((auto_port = RB_ROOT(&registry->auto_ports)))
        registry_remove_auto_port(registry, auto_port);
}

/* ---- finding ---- */

Service *registry_find_service(Registry *registry, const char *name)
{
    ServiceContext context = {.name = (char *)(uintptr_t)name};
    Service key = {.context = &context};

    return RB_FIND(ServicesByName, &registry->services, &key);
}

Service *registry_next_service(Registry *registry, const char *after)
{
    if (!after)
        return RB_MIN(ServicesByName, &registry->services);

    ServiceContext context = {.name = (char *)(uintptr_t)after};
    Service key = {.context = &context};
    Service *service = RB_NFIND(ServicesByName, &registry->services, &key);
    if (service && strcmp(service->context->name, after) == 0)
        service = RB_NEXT(ServicesByName, &registry->services, service);
    return service;
}

bool registry_is_behind_all(Registry *registry, const char *name)
{
    const Service *last = RB_MAX(ServicesByName, &registry->services);

    return !last || strcmp(name, last->context->name) > 0;
}

Service *registry_service_after(Service *service)
{
    return ServicesByName_RB_NEXT(service);
}

Service *registry_next_service_with_guid(Registry *registry, const Guid *guid, const char *after)
{
    ServiceContext context = {.name = (char *)(uintptr_t)(after ? after : "")};
    Service key = {.context = &context, .guid = *guid};
    Service *service = RB_NFIND(ServicesByGuid, &registry->services_by_guid, &key);

    if (service && after && guid_compare(&service->guid, guid) == 0 && strcmp(service->context->name, after) == 0)
        service = RB_NEXT(ServicesByGuid, &registry->services_by_guid, service);
    return service && guid_compare(&service->guid, guid) == 0 ? service : NULL;
}

Service *registry_service_after_with_guid(Service *service)
{
    Service *next = RB_NEXT(ServicesByGuid, NULL, service);

    return next && guid_compare(&next->guid, &service->guid) == 0 ? next : NULL;
}

Machine *registry_find_machine(Registry *registry, const char *name)
{
    MachineContext context = {.name = (char *)(uintptr_t)name};
    Machine key = {.context = &context};

    return RB_FIND(MachinesByName, &registry->machines, &key);
}

Machine *registry_next_machine(Registry *registry, const char *after)
{
    if (!after)
        return RB_MIN(MachinesByName, &registry->machines);

    MachineContext context = {.name = (char *)(uintptr_t)after};
    Machine key = {.context = &context};
    Machine *machine = RB_NFIND(MachinesByName, &registry->machines, &key);
    if (machine && strcmp(machine->context->name, after) == 0)
        machine = RB_NEXT(MachinesByName, &registry->machines, machine);
    return machine;
}

Origin *registry_find_origin(Registry *registry, StoredOrigin kind, const char *source, uid_t uid)
{
    Origin key = {.kind = kind, .source = (char *)(uintptr_t)source, .uid = uid};

    return RB_FIND(OriginsByIdentity, &registry->origins, &key);
}

Origin *registry_find_set(Registry *registry, const char *set)
{
    Origin key = {.kind = STORED_APPLY, .source = (char *)(uintptr_t)set, .uid = 0};
    Origin *origin = RB_NFIND(OriginsByIdentity, &registry->origins, &key);

    return origin && origin->kind == STORED_APPLY && strcmp(origin->source, set) == 0 ? origin : NULL;
}

/* ---- origins ---- */

UserCounts registry_count_of_user(Registry *registry, uid_t uid)
{
    UserCounts counts = {0};
    Origin *origin;

    RB_FOREACH(origin, OriginsByIdentity, &registry->origins)
        if (origin->kind != STORED_FILE && origin->uid == uid) {
            counts.services += origin->service_count;
            counts.machines += origin->machine_count;
        }
    return counts;
}

static Origin *registry_reference_origin(Registry *registry, StoredOrigin kind, const char *source, uid_t uid)
{
    Origin *origin = registry_find_origin(registry, kind, source, uid);

    if (origin)
        return origin;
    origin = calloc(1, sizeof(*origin));
    if (!origin)
        return NULL;
    origin->kind = kind;
    origin->uid = uid;
    if (source && !(origin->source = strdup(source))) {
        free(origin);
        return NULL;
    }
    RB_INSERT(OriginsByIdentity, &registry->origins, origin);
    return origin;
}

static void registry_release_origin(Registry *registry, Origin *origin)
{
    if (!origin || origin->service_count > 0 || origin->machine_count > 0)
        return;
    RB_REMOVE(OriginsByIdentity, &registry->origins, origin);
    free(origin->source);
    free(origin);
}

void origin_format(const Origin *origin, Buffer *text)
{
    switch (origin->kind) {
    case STORED_FILE:
        buffer_append_text(text, "file:");
        buffer_append_text(text, origin->source);
        break;
    case STORED_APPLY:
        buffer_append_text(text, "apply:");
        buffer_append_text(text, origin->source);
        break;
    case STORED_USER:
        buffer_append_text(text, "user:");
        buffer_append_number(text, origin->uid);
        break;
    }
}

/* ---- services ---- */

static void service_unlink(Registry *registry, Service *service)
{
    RB_REMOVE(ServicesByName, &registry->services, service);
    if (service->has_guid)
        RB_REMOVE(ServicesByGuid, &registry->services_by_guid, service);
    if (service->has_machines)
        LIST_REMOVE(service, of_machines);
    if (service->is_activated)
        LIST_REMOVE(service, of_activated);
    service->has_machines = service->has_guid = service->is_activated = false;
}

static void service_link(Registry *registry, Service *service, const uint32_t *auto_port)
{
    service->has_port = service_port(service->context, &service->port);
    if (!service->has_port && auto_port) {
        service->has_port = true;
        service->port = *auto_port;
    }
    service->has_guid = service_guid(service->context, &service->guid);
    if (!service->has_guid && service->has_port) {
        service->has_guid = true;
        service->guid = guid_from_port(service->port);
    }
    if (registry->is_filling)
        ServicesByName_append(&registry->services, service);
    else
        RB_INSERT(ServicesByName, &registry->services, service);
    if (service->has_guid && registry->is_filling)
        ServicesByGuid_append(&registry->services_by_guid, service);
    else if (service->has_guid)
        RB_INSERT(ServicesByGuid, &registry->services_by_guid, service);
    service->has_machines = service_has_machine_addresses(service->context);
    if (service->has_machines)
        LIST_INSERT_HEAD(&registry->machine_services, service, of_machines);
    service->is_activated = service->context->activate;
    if (service->is_activated)
        LIST_INSERT_HEAD(&registry->activated_services, service, of_activated);
}

Service *registry_add_service(Registry *registry, ServiceContext *context_consume, const uint32_t *auto_port,
                              StoredOrigin kind, const char *source, uid_t uid)
{
    _cleanup_(service_context_freep) ServiceContext *context = context_consume;
    Service *service = calloc(1, sizeof(*service));

    if (!service)
        return NULL;
    service->origin = registry_reference_origin(registry, kind, source, uid);
    if (!service->origin) {
        free(service);
        return NULL;
    }
    service->context = TAKE_PTR(context);
    service->listeners_end = &service->listeners;
    LIST_INSERT_HEAD(&service->origin->services, service, of_origin);
    service->origin->service_count++;
    registry->service_count++;
    service_link(registry, service, auto_port);
    return service;
}

int registry_change_service(Registry *registry, Service *service, ServiceContext *context_consume,
                            const uint32_t *auto_port, StoredOrigin kind, const char *source, uid_t uid)
{
    _cleanup_(service_context_freep) ServiceContext *context = context_consume;
    Origin *origin = registry_reference_origin(registry, kind, source, uid);

    if (!origin)
        return -ENOMEM;
    service_unlink(registry, service);
    LIST_REMOVE(service, of_origin);
    service->origin->service_count--;
    LIST_INSERT_HEAD(&origin->services, service, of_origin);
    origin->service_count++;
    registry_release_origin(registry, service->origin);
    service->origin = origin;

    ServiceContext *old = service->context;
    service->context = TAKE_PTR(context);
    service_context_free(old);
    service_link(registry, service, auto_port);
    registry_touch(registry, service);
    return 0;
}

void registry_remove_service(Registry *registry, Service *service)
{
    while (service->listeners) {
        Listener *listener = service->listeners;
        registry_remove_listener(registry, listener);
        listener_free(listener);
    }
    service_unlink(registry, service);
    LIST_REMOVE(service, of_origin);
    service->origin->service_count--;
    registry_release_origin(registry, service->origin);
    registry->service_count--;
    sd_event_source_disable_unref(service->ephemeral_source);
    registry_touch(registry, service);
    service_context_free(service->context);
    free(service);
}

void registry_touch(Registry *registry, Service *service)
{
    if (!service->rendered)
        return;
    TAILQ_REMOVE(&registry->rendered, service, of_rendered);
    registry->rendered_bytes -= service->rendered_size_bytes;
    free(service->rendered);
    service->rendered = NULL;
    service->rendered_size_bytes = 0;
}

int registry_keep_rendered(Registry *registry, Service *service, const char *text, size_t size_bytes)
{
    char *copy = malloc(size_bytes);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, size_bytes);
    registry_touch(registry, service);
    service->rendered = copy;
    service->rendered_size_bytes = size_bytes;
    registry->rendered_bytes += size_bytes;
    TAILQ_INSERT_TAIL(&registry->rendered, service, of_rendered);
    while (registry->rendered_bytes > RENDERED_MAX_BYTES && TAILQ_FIRST(&registry->rendered) != service)
        registry_touch(registry, TAILQ_FIRST(&registry->rendered));
    return 0;
}

bool service_effectively_enabled(const Service *service)
{
    return service->override != UNSET ? service->override == YES : service_is_enabled(service->context);
}

/* ---- machines ---- */

Machine *registry_add_machine(Registry *registry, MachineContext *context_consume, StoredOrigin kind, const char *source,
                              uid_t uid)
{
    _cleanup_(machine_context_freep) MachineContext *context = context_consume;
    Machine *machine = calloc(1, sizeof(*machine));

    if (!machine)
        return NULL;
    machine->origin = registry_reference_origin(registry, kind, source, uid);
    if (!machine->origin) {
        free(machine);
        return NULL;
    }
    machine->context = TAKE_PTR(context);
    LIST_INIT(&machine->listeners);
    LIST_INSERT_HEAD(&machine->origin->machines, machine, of_origin);
    machine->origin->machine_count++;
    registry->machine_count++;
    RB_INSERT(MachinesByName, &registry->machines, machine);
    registry_index_machine(registry, machine);
    return machine;
}

int registry_change_machine(Registry *registry, Machine *machine, MachineContext *context_consume, StoredOrigin kind,
                            const char *source, uid_t uid)
{
    _cleanup_(machine_context_freep) MachineContext *context = context_consume;
    Origin *origin = registry_reference_origin(registry, kind, source, uid);

    if (!origin)
        return -ENOMEM;
    LIST_REMOVE(machine, of_origin);
    machine->origin->machine_count--;
    LIST_INSERT_HEAD(&origin->machines, machine, of_origin);
    origin->machine_count++;
    registry_release_origin(registry, machine->origin);
    machine->origin = origin;

    /* The name is the same, so the place in the tree is too. */
    registry_unindex_machine(registry, machine);
    machine_context_free(machine->context);
    machine->context = TAKE_PTR(context);
    registry_index_machine(registry, machine);
    return 0;
}

void registry_remove_machine(Registry *registry, Machine *machine)
{
    RB_REMOVE(MachinesByName, &registry->machines, machine);
    registry_unindex_machine(registry, machine);
    while (!LIST_EMPTY(&machine->listeners))
        listener_leave_machine(LIST_FIRST(&machine->listeners));
    LIST_REMOVE(machine, of_origin);
    machine->origin->machine_count--;
    registry_release_origin(registry, machine->origin);
    registry->machine_count--;
    sd_event_source_disable_unref(machine->ephemeral_source);
    machine_context_free(machine->context);
    free(machine);
}
