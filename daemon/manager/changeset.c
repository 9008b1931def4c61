/* SPDX-License-Identifier: Apache-2.0 */
/* A set of changes: collected, checked as a whole, then applied as a whole or not at all. Lives for one call, one reload. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/manager/internal.h"

#define CONFLICTS_TOLD_MAX 100

void changeset_init(ChangeSet *set, Manager *manager)
{
    *set = (ChangeSet){.manager = manager};
}

static void change_release(Change *change)
{
    service_context_free(change->service);
    machine_context_free(change->machine);
    plan_wanted_release(&change->wanted);
    free(change->displaced);
    if (change->ephemeral_pid > 0)
        fd_close(change->ephemeral_pidfd);
}

/* Ports that were chosen for changes that did not come about are whose they were. */
static void changeset_give_ports_back(ChangeSet *set)
{
    Registry *registry = &set->manager->registry;
    const Change *change;

    for (change = set->items; change < set->items + set->count; change++) {
        AutoPort *auto_port = change->new_auto_port ? registry_find_auto_port(registry, change->name) : NULL;
        if (auto_port)
            registry_remove_auto_port(registry, auto_port);
    }
    /* Without memory for it a port is anybody's until the next start. */
    for (change = set->items; change < set->items + set->count; change++) {
        if (change->displaced)
            (void)registry_put_auto_port(registry, change->displaced, change->port);
        if (change->port_before.set)
            (void)registry_put_auto_port(registry, change->name, change->port_before.value);
    }
}

/* Machines come and go all the time, each with all services that listen on them: what was needed once is needed again. */
#define SPARE_CHANGES_MAX 128

static void changeset_give_items(ChangeSet *set)
{
    Manager *manager = set->manager;

    if (!set->items || set->capacity > SPARE_CHANGES_MAX || set->capacity <= manager->spare_change_count) {
        free(set->items);
        return;
    }
    free(manager->spare_changes);
    manager->spare_changes = set->items;
    manager->spare_change_count = set->capacity;
}

static void changeset_take_items(ChangeSet *set)
{
    Manager *manager = set->manager;

    set->items = TAKE_PTR(manager->spare_changes);
    set->capacity = manager->spare_change_count;
    manager->spare_change_count = 0;
}

void changeset_release(ChangeSet *set)
{
    if (!set->applied && set->count > 0)
        changeset_give_ports_back(set);
    for (size_t i = 0; i < set->count; i++)
        change_release(&set->items[i]);
    for (size_t i = 0; i < set->conflict_count; i++) {
        free(set->conflicts[i].value);
        free(set->conflicts[i].holder);
        free(set->conflicts[i].origin);
    }
    problems_release(&set->invalid);
    free(set->invalid_changes);
    free(set->conflicts);
    free(set->by_name);
    free(set->by_guid);
    changeset_give_items(set);
    *set = (ChangeSet){0};
}

static int changeset_reserve(ChangeSet *set, size_t more)
{
    if (!set->items)
        changeset_take_items(set);

    size_t capacity = set->capacity ? set->capacity : 2;
    while (capacity < set->count + more)
        capacity *= 2;
    if (capacity == set->capacity)
        return 0;
    Change *items = reallocarray(set->items, capacity, sizeof(*items));
    if (!items)
        return -ENOMEM;
    set->items = items;
    set->capacity = capacity;
    return 0;
}

static Change *changeset_add(ChangeSet *set, Change change)
{
    if (changeset_reserve(set, 1) < 0) {
        change_release(&change);
        return NULL;
    }
    if (change.object == STORED_MACHINE)
        set->machines_change = true;
    set->items[set->count] = change;
    return &set->items[set->count++];
}

/* A change to a record that is there, on behalf of where it came from. */
static Change change_of(ChangeKind kind, StoredKind object, const char *name, const Origin *origin)
{
    return (Change){
        .kind = kind, .object = object, .name = name, .origin = origin->kind, .source = origin->source, .uid = origin->uid};
}

Change *changeset_put_service(ChangeSet *set, ServiceContext *service_consume, StoredOrigin origin, const char *source,
                              uid_t uid)
{
    Origin from = {.kind = origin, .source = (char *)(uintptr_t)source, .uid = uid};
    Change change = change_of(CHANGE_ADD, STORED_SERVICE, service_consume->name, &from);

    change.service = service_consume;
    change.old_service = registry_find_service(&set->manager->registry, change.name);
    if (change.old_service)
        change.kind = CHANGE_REPLACE;
    return changeset_add(set, change);
}

Change *changeset_put_machine(ChangeSet *set, MachineContext *machine_consume, StoredOrigin origin, const char *source,
                              uid_t uid)
{
    Origin from = {.kind = origin, .source = (char *)(uintptr_t)source, .uid = uid};
    Change change = change_of(CHANGE_ADD, STORED_MACHINE, machine_consume->name, &from);

    change.machine = machine_consume;
    change.old_machine = registry_find_machine(&set->manager->registry, change.name);
    if (change.old_machine)
        change.kind = CHANGE_REPLACE;
    return changeset_add(set, change);
}

Change *changeset_remove_service(ChangeSet *set, Service *service)
{
    Change change = change_of(CHANGE_REMOVE, STORED_SERVICE, service->context->name, service->origin);

    change.old_service = service;
    return changeset_add(set, change);
}

Change *changeset_remove_machine(ChangeSet *set, Machine *machine)
{
    Change change = change_of(CHANGE_REMOVE, STORED_MACHINE, machine->context->name, machine->origin);

    change.old_machine = machine;
    return changeset_add(set, change);
}

Change *changeset_replan_service(ChangeSet *set, Service *service, Choice override)
{
    Change change = change_of(CHANGE_REPLAN, STORED_SERVICE, service->context->name, service->origin);

    change.old_service = service;
    change.override = override;
    /* Of its number others of this set are told before it is planned: their machine:* gives way to its machine:NAME. */
    change.has_port = service->has_port;
    change.port = service->port;
    change.has_guid = service->has_guid;
    change.guid = service->guid;
    return changeset_add(set, change);
}

/* ---- checking ---- */

static int change_compare_names(const void *a, const void *b)
{
    const Change *first = *(Change *const *)a, *second = *(Change *const *)b;
    int order = (first->object > second->object) - (first->object < second->object);

    return order ? order : strcmp(first->name, second->name);
}

static int changeset_index(ChangeSet *set)
{
    free(set->by_name);
    set->by_name = reallocarray(NULL, set->count + 1, sizeof(*set->by_name));
    if (!set->by_name)
        return -ENOMEM;
    for (size_t i = 0; i < set->count; i++)
        set->by_name[i] = &set->items[i];
    set->indexed = set->count;
    qsort(set->by_name, set->count, sizeof(*set->by_name), change_compare_names);
    /* Machines stand together there. */
    for (set->first_machine = 0; set->first_machine < set->indexed; set->first_machine++)
        if (set->by_name[set->first_machine]->object == STORED_MACHINE)
            break;
    return 0;
}

Change *changeset_find(const ChangeSet *set, StoredKind object, const char *name)
{
    Change key = {.object = object, .name = name};
    const Change *wanted = &key;

    if (set->indexed == 0)
        return NULL;
    Change **found = bsearch(&wanted, set->by_name, set->indexed, sizeof(*set->by_name), change_compare_names);
    return found ? *found : NULL;
}

static int change_compare_guids(const void *a, const void *b)
{
    return guid_compare(&(*(Change *const *)a)->guid, &(*(Change *const *)b)->guid);
}

/* Services that are or will be, as far as their GUID is known. */
static int changeset_index_guids(ChangeSet *set)
{
    free(set->by_guid);
    set->by_guid_count = 0;
    set->by_guid = reallocarray(NULL, set->count + 1, sizeof(*set->by_guid));
    if (!set->by_guid)
        return -ENOMEM;
    for (size_t i = 0; i < set->count; i++) {
        Change *change = &set->items[i];
        if (change->object == STORED_SERVICE && change->kind != CHANGE_REMOVE && change->has_guid)
            set->by_guid[set->by_guid_count++] = change;
    }
    qsort(set->by_guid, set->by_guid_count, sizeof(*set->by_guid), change_compare_guids);
    return 0;
}

bool changeset_spells_out(const ChangeSet *set, uint32_t port, const char *but_name)
{
    Change key = {.guid = guid_from_port(port)};
    const Change *wanted = &key;
    Change **found = set->by_guid_count > 0
                         ? bsearch(&wanted, set->by_guid, set->by_guid_count, sizeof(*set->by_guid), change_compare_guids)
                         : NULL;

    return found && !text_equal((*found)->name, but_name);
}

/* The port of a service that will be: its own, ... */
static void change_read_port(Change *change)
{
    change->has_port = service_port(change->service, &change->port);
    change->has_guid = service_guid(change->service, &change->guid);
    if (!change->has_guid && change->has_port) {
        change->has_guid = true;
        change->guid = guid_from_port(change->port);
    }
}

/* ... or the one that autoPort gives it. Either stays with the name. */
static int changeset_choose_port(ChangeSet *set, Change *change)
{
    Registry *registry = &set->manager->registry;
    const char *name = change->service->name;

    if (!change->has_port) {
        int r = manager_choose_port(set, name, &change->port);
        if (r != 0)
            return r;
        change->has_port = true;
        if (!change->has_guid)
            change->guid = guid_from_port(change->port);
        change->has_guid = true;
    }
    const AutoPort *mine = registry_find_auto_port(registry, name);
    const AutoPort *others = registry_find_auto_port_by_port(registry, change->port);
    if ((mine && mine->port == change->port) ||
        (others && others != mine &&
         (registry_find_service(registry, others->name) || changeset_find(set, STORED_SERVICE, others->name))))
        return 0;
    if (others && !(change->displaced = strdup(others->name)))
        return -ENOMEM;
    if (mine)
        change->port_before = (Number){.value = mine->port, .set = true};
    int r = registry_put_auto_port(registry, name, change->port);
    change->new_auto_port = r == 0;
    return r;
}

/* Those that are spelled out first, so that none of them is chosen. */
static int changeset_choose_ports(ChangeSet *set)
{
    bool automatic = false;
    int r = 0;

    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].service) {
            change_read_port(&set->items[i]);
            automatic |= set->items[i].service->auto_port == YES;
        }
    if (automatic)
        r = changeset_index_guids(set);
    for (size_t i = 0; i < set->count && r == 0 && automatic; i++)
        if (set->items[i].service && set->items[i].service->auto_port == YES)
            r = changeset_choose_port(set, &set->items[i]);
    return r;
}

/* Services that are not spoken of, and yet have to be planned again. */
typedef struct Replans {
    Service **services;
    size_t count;
    size_t capacity;
} Replans;

static int replans_add(Replans *replans, const ChangeSet *set, Service *service)
{
    if (changeset_find(set, STORED_SERVICE, service->context->name))
        return 0;
    if (replans->count == replans->capacity) {
        size_t capacity = replans->capacity ? replans->capacity * 2 : 16;
        Service **services = reallocarray(replans->services, capacity, sizeof(*services));
        if (!services)
            return -ENOMEM;
        replans->services = services;
        replans->capacity = capacity;
    }
    replans->services[replans->count++] = service;
    return 0;
}

/* Those whose number this one claims for one machine alone, or lets go of: their machine:* there changes with it. */
static int replans_add_shadowed(Replans *replans, ChangeSet *set, const ServiceContext *context, const Guid *guid)
{
    bool names_machine = false;
    Service *other = NULL;

    for (size_t i = 0; context->listen && context->listen[i]; i++)
        names_machine |= text_starts_with(context->listen[i], "machine:") && strcmp(context->listen[i], "machine:*") != 0;
    if (!names_machine)
        return 0;
    while ((other = registry_next_service_with_guid(&set->manager->registry, guid, other ? other->context->name : NULL)))
        if (text_list_contains(other->context->listen, "machine:*")) {
            int r = replans_add(replans, set, other);
            if (r < 0)
                return r;
        }
    return 0;
}

static int compare_pointers(const void *a, const void *b)
{
    const Service *first = *(Service *const *)a, *second = *(Service *const *)b;

    return (first > second) - (first < second);
}

/* Is what this service has on that machine all that can change with it? Not on vsock, which machines share. */
static bool is_apart(const Service *service, const MachineContext *machine)
{
    return !machine || machine_transport(machine, service->context) != &transport_vsock;
}

/* Where nothing but machines changes, and they have transports of their own, what a service has on the others is not looked
 * at: a machine costs the same however many there are. */
static void changeset_scope(const ChangeSet *set, size_t asked_count, Change *replan)
{
    for (size_t i = 0; i < asked_count; i++) {
        const Change *change = &set->items[i];
        if (change->object == STORED_SERVICE && change->kind != CHANGE_REPLAN)
            return;
        if (change->object == STORED_MACHINE &&
            (!is_apart(replan->old_service, change->machine) ||
             (change->old_machine && !is_apart(replan->old_service, change->old_machine->context))))
            return;
    }
    replan->scoped = set->machines_change;
}

static int changeset_add_replans(ChangeSet *set)
{
    Replans replans = {0};
    const size_t asked_count = set->count;
    Service *service;
    int r = 0;

    if (set->machines_change)
        LIST_FOREACH(service, &set->manager->registry.machine_services, of_machines)
            if ((r = replans_add(&replans, set, service)) < 0)
                goto end;
    for (size_t i = 0; i < set->count && !set->machines_change; i++) {
        Change *change = &set->items[i];
        if (change->service && change->has_guid)
            r = replans_add_shadowed(&replans, set, change->service, &change->guid);
        if (r == 0 && change->old_service && change->old_service->has_guid)
            r = replans_add_shadowed(&replans, set, change->old_service->context, &change->old_service->guid);
        if (r < 0)
            goto end;
    }
    if (replans.count > 0) {
        qsort(replans.services, replans.count, sizeof(*replans.services), compare_pointers);
        r = changeset_reserve(set, replans.count);
        if (r < 0)
            goto end;
    }
    for (size_t i = 0; i < replans.count; i++)
        if ((i == 0 || replans.services[i] != replans.services[i - 1]) &&
            !changeset_replan_service(set, replans.services[i], replans.services[i]->override)) {
            r = -ENOMEM;
            goto end;
        }
    if (replans.count > 0)
        r = changeset_index(set);
    for (size_t i = asked_count; i < set->count && r == 0; i++)
        if (set->items[i].kind == CHANGE_REPLAN)
            changeset_scope(set, asked_count, &set->items[i]);
end:
    free(replans.services);
    return r;
}

static int changeset_want(ChangeSet *set, Change *change)
{
    PlanMachines machines;
    /* A shallow copy: whether it is enabled may be overridden. */
    ServiceContext context = change->service ? *change->service : *change->old_service->context;

    if (change->override != UNSET)
        context.enabled = change->override;
    if (!change->scoped)
        return plan_want(&context, change->has_port ? &change->port : NULL, changeset_machines(set, &machines),
                         &change->wanted);

    /* Of its other addresses nothing changes. */
    _uninitialized_ char *machine_addresses[SERVICE_LISTEN_MAX + 1];
    size_t count = 0;
    for (char **listen = context.listen; listen && *listen && count < SERVICE_LISTEN_MAX; listen++)
        if (text_starts_with(*listen, "machine:"))
            machine_addresses[count++] = *listen;
    machine_addresses[count] = NULL;
    context.listen = machine_addresses;
    return plan_want(&context, change->has_port ? &change->port : NULL, changeset_changed_machines(set, &machines),
                     &change->wanted);
}

int changeset_check(ChangeSet *set)
{
    int r = changeset_index(set);

    if (r < 0)
        return r;
    r = changeset_choose_ports(set);
    if (r == 0)
        r = changeset_add_replans(set);
    if (r == 0)
        r = changeset_index_guids(set);
    if (r != 0)
        return r;

    for (size_t i = 0; i < set->count; i++) {
        Change *change = &set->items[i];
        if (change->object == STORED_SERVICE && change->kind != CHANGE_REMOVE && (r = changeset_want(set, change)) < 0)
            return r;
    }
    r = changeset_check_machines(set);
    if (r < 0 || set->invalid.errors > 0)
        return r < 0 ? r : CHANGESET_INVALID;
    r = changeset_find_conflicts(set);
    return r < 0 ? r : set->conflict_count > 0 ? CHANGESET_CONFLICTS : 0;
}

/* Where a change stands in a call of many: `services[2]`. */
static void change_prefix(const ChangeSet *set, const Change *change, char prefix[static 32])
{
    if (set->of_many && change && change->kind != CHANGE_REPLAN)
        snprintf(prefix, 32, "%s[%u]", change->object == STORED_SERVICE ? "services" : "machines", change->index);
}

static int fail_with_conflict(ChangeSet *set, size_t number, Failure *failure)
{
    const ChangeConflict *conflict = &set->conflicts[number];
    char prefix[32] = "";
    _cleanup_(freep) char *field = NULL;

    change_prefix(set, &set->items[conflict->change], prefix);
    if (asprintf(&field, "%s%s%s", prefix, prefix[0] ? "." : "", conflict->field) < 0)
        return -ENOMEM;
    return (number == 0 ? failure_conflict : failure_add_conflict)(failure, field, conflict->value, conflict->holder,
                                                                   conflict->origin, conflict->since_us);
}

int changeset_failure(ChangeSet *set, int answer, Failure *failure)
{
    char prefix[32] = "";

    if (answer == CHANGESET_CONFLICTS) {
        int code = 0;
        for (size_t i = 0; i < set->conflict_count && i < CONFLICTS_TOLD_MAX && code >= 0; i++)
            code = fail_with_conflict(set, i, failure);
        return code;
    }
    if (answer == CHANGESET_INVALID) {
        /* The first is told, and how many more there are. */
        if (set->invalid.count > 0)
            change_prefix(set, set->invalid_changes[0], prefix);
        if (prefix[0])
            problems_prefix(&set->invalid, 0, prefix);
        return failure_invalid_field(failure, &set->invalid);
    }
    uint32_t first, last;
    manager_auto_port_range(set->manager, &first, &last);
    return failure_limit_reached(failure, "autoPorts", (uint64_t)last - first + 1);
}

/* ---- telling ---- */

/* Completed contexts are compared: what was spelled out where it held anyway is no change. */
static int service_differences(Manager *manager, const Change *change, char ***ret_fields)
{
    _cleanup_(service_context_freep) ServiceContext *before = NULL, *after = NULL;
    const Service *old = change->old_service;
    bool implied = false;
    int r = manager_implied_peers(manager, old->context, &implied);

    if (r == 0)
        r = service_complete(old->context, old->has_port ? &old->port : NULL, implied, &before);
    if (r == 0)
        r = manager_implied_peers(manager, change->service, &implied);
    if (r == 0)
        r = service_complete(change->service, change->has_port ? &change->port : NULL, implied, &after);
    return r < 0 ? r : record_differences(&record_type_ServiceContext, before, after, ret_fields);
}

static int render_fields(Manager *manager, const Change *change, Buffer *text)
{
    _cleanup_(text_list_freep) char **fields = NULL;
    _cleanup_(text_list_freep) char **completed = NULL;
    bool service = change->object == STORED_SERVICE, first = true;
    int r = service ? record_differences(&record_type_ServiceContext, change->old_service->context, change->service, &fields)
                    : record_differences(&record_type_MachineContext, change->old_machine->context, change->machine, &fields);

    if (r == 0 && service)
        r = service_differences(manager, change, &completed);
    if (r < 0)
        return r;
    buffer_append_text(text, ",\"fields\":[");
    for (size_t i = 0; fields && fields[i]; i++) {
        /* What only follows from another field is not told, nor what was spelled out and held anyway. */
        if (service && !text_list_contains(completed, fields[i]))
            continue;
        if (!first)
            buffer_append_char(text, ',');
        first = false;
        buffer_append_json(text, fields[i]);
    }
    buffer_append_char(text, ']');
    return 0;
}

int changeset_render(const ChangeSet *set, Buffer *text)
{
    static const char *const kinds[] = {
        [CHANGE_ADD] = "add", [CHANGE_REPLACE] = "change", [CHANGE_REMOVE] = "remove", [CHANGE_REPLAN] = NULL};
    bool first = true;

    buffer_append_char(text, '[');
    for (size_t i = 0; i < set->count; i++) {
        const Change *change = &set->items[i];
        if (!kinds[change->kind])
            continue;
        buffer_printf(text, "%s{\"kind\":\"%s\",\"object\":\"%s\",\"name\":", first ? "" : ",", kinds[change->kind],
                      change->object == STORED_SERVICE ? "service" : "machine");
        buffer_append_json(text, change->name);
        first = false;
        if (change->kind == CHANGE_REPLACE) {
            int r = render_fields(set->manager, change, text);
            if (r < 0)
                return r;
        }
        buffer_append_char(text, '}');
    }
    buffer_append_char(text, ']');
    return text->failed ? -ENOMEM : 0;
}
