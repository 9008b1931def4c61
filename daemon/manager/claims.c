/* SPDX-License-Identifier: Apache-2.0 */
/* Who claims what: the machines as they will be, names, numbers and addresses that two would hold. Works on a ChangeSet laid
 * over the registry, and changes neither. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/manager/internal.h"

#define CONFLICTS_MAX 1000

int changeset_add_conflict(ChangeSet *set, const Change *change, const char *field, const char *value,
                           const char *holder, const Origin *origin, uint64_t since_us)
{
    if (set->conflict_count >= CONFLICTS_MAX)
        return 0;
    ChangeConflict *conflicts = reallocarray(set->conflicts, set->conflict_count + 1, sizeof(*conflicts));
    if (!conflicts)
        return -ENOMEM;
    set->conflicts = conflicts;

    Buffer origin_text = {0};
    if (origin)
        origin_format(origin, &origin_text);
    ChangeConflict conflict = {
        .change = (size_t)(change - set->items), .field = field, .value = strdup(value), .holder = strdup(holder), .since_us = since_us};
    if (buffer_take(&origin_text, &conflict.origin, NULL) < 0 || !conflict.value || !conflict.holder) {
        free(conflict.value);
        free(conflict.holder);
        free(conflict.origin);
        return -ENOMEM;
    }
    set->conflicts[set->conflict_count++] = conflict;
    return 0;
}

/* A conflict with what another change of this set will be, or with a service that stays. */
static int add_change_conflict(ChangeSet *set, const Change *change, const char *field, const char *value,
                               const Change *other)
{
    Origin origin = {.kind = other->origin, .source = (char *)(uintptr_t)other->source, .uid = other->uid};

    return changeset_add_conflict(set, change, field, value, other->name, &origin,
                                  other->old_service ? other->old_service->registered_at_us : time_now_us());
}

/* ---- machines as they will be ---- */

static const MachineContext *machines_find(const char *name, void *userdata)
{
    ChangeSet *set = userdata;
    const Change *change = set->machines_change ? changeset_find(set, STORED_MACHINE, name) : NULL;

    if (change)
        return change->kind == CHANGE_REMOVE ? NULL : change->machine;
    Machine *machine = registry_find_machine(&set->manager->registry, name);
    return machine ? machine->context : NULL;
}

static const MachineContext *machines_next(const char *after, void *userdata)
{
    ChangeSet *set = userdata;
    Machine *machine = registry_next_machine(&set->manager->registry, after);
    const Change *added = NULL;

    if (!set->machines_change)
        return machine ? machine->context : NULL;
    while (machine && changeset_find(set, STORED_MACHINE, machine->context->name))
        machine = registry_next_machine(&set->manager->registry, machine->context->name);
    for (size_t i = 0; i < set->indexed; i++) {
        const Change *change = set->by_name[i];
        if (change->object != STORED_MACHINE || change->kind == CHANGE_REMOVE || (after && strcmp(change->name, after) <= 0))
            continue;
        added = change;
        break;
    }
    if (added && (!machine || strcmp(added->name, machine->context->name) < 0))
        return added->machine;
    return machine ? machine->context : NULL;
}

/* ---- the machines that change, alone ---- */

static bool change_is_machine_there(const Change *change)
{
    return change->object == STORED_MACHINE && change->kind != CHANGE_REMOVE;
}

static const MachineContext *changed_find(const char *name, void *userdata)
{
    const Change *change = changeset_find(userdata, STORED_MACHINE, name);

    return change && change_is_machine_there(change) ? change->machine : NULL;
}

static const MachineContext *changed_next(const char *after, void *userdata)
{
    ChangeSet *set = userdata;

    for (size_t i = set->first_machine; i < set->indexed && set->by_name[i]->object == STORED_MACHINE; i++)
        if (change_is_machine_there(set->by_name[i]) && (!after || strcmp(set->by_name[i]->name, after) > 0))
            return set->by_name[i]->machine;
    return NULL;
}

static const ServiceContext *change_context(const Change *change)
{
    return change->service ? change->service : change->old_service->context;
}

static bool change_enabled(const Change *change)
{
    return change->override != UNSET ? change->override == YES : service_is_enabled(change_context(change));
}

/* Calls found for every other enabled service, as it will be, that has this GUID, until it answers not 0. */
static int each_with_guid(ChangeSet *set, const char *service, const Guid *guid,
                          int (*found)(const ServiceContext *context, Service *staying, const Change *changing, void *userdata),
                          void *userdata)
{
    Service *other = registry_next_service_with_guid(&set->manager->registry, guid, NULL);
    size_t low = 0, high = set->by_guid_count;

    for (; other; other = registry_service_after_with_guid(other)) {
        if (strcmp(other->context->name, service) == 0 || !service_effectively_enabled(other) ||
            changeset_find(set, STORED_SERVICE, other->context->name))
            continue;
        int r = found(other->context, other, NULL, userdata);
        if (r != 0)
            return r;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (guid_compare(&set->by_guid[middle]->guid, guid) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < set->by_guid_count && guid_compare(&set->by_guid[low]->guid, guid) == 0; low++) {
        const Change *change = set->by_guid[low];
        if (strcmp(change->name, service) == 0 || !change_enabled(change))
            continue;
        int r = found(change_context(change), NULL, change, userdata);
        if (r != 0)
            return r;
    }
    return 0;
}

static int names_machine(const ServiceContext *context, Service *staying, const Change *changing, void *userdata)
{
    const MachineContext *machine = userdata;

    for (char **listen = context->listen; listen && *listen; listen++)
        if (text_starts_with(*listen, "machine:") && strcmp(*listen + strlen("machine:"), machine->name) == 0)
            return 1;
    return 0;
}

static bool machines_shadowed(const char *service, const MachineContext *machine, const char *key, void *userdata)
{
    ChangeSet *set = userdata;
    const Change *change = changeset_find(set, STORED_SERVICE, service);
    const Service *staying = change ? NULL : registry_find_service(&set->manager->registry, service);
    const Guid *guid = change && change->has_guid ? &change->guid : staying && staying->has_guid ? &staying->guid : NULL;

    /* The host's AF_VSOCK is one space, which no machine has a part of its own in. */
    if (!guid || text_starts_with(key, "vsock:"))
        return false;
    return each_with_guid(set, service, guid, names_machine, (void *)(uintptr_t)machine) != 0;
}

const PlanMachines *changeset_machines(ChangeSet *set, PlanMachines *machines)
{
    *machines = (PlanMachines){
        .find = machines_find, .next = machines_next, .shadowed = machines_shadowed, .userdata = set};
    return machines;
}

const PlanMachines *changeset_changed_machines(ChangeSet *set, PlanMachines *machines)
{
    *machines = (PlanMachines){
        .find = changed_find, .next = changed_next, .shadowed = machines_shadowed, .userdata = set};
    return machines;
}

static int add_forbidden(ChangeSet *set, const Change *change, const MachineContext *machine, size_t more)
{
    /* Where it is the machine that is new, it is the machine that is told. */
    const Change *cause = change->kind == CHANGE_REPLAN ? changeset_find(set, STORED_MACHINE, machine->name) : NULL;
    size_t first = set->invalid.count;
    int r = service_add_forbidden(change_context(change), machine, more, cause != NULL, &set->invalid);

    if (r < 0 || set->invalid.count == first)
        return r;
    const Change **changes = reallocarray(set->invalid_changes, set->invalid.count, sizeof(const Change *));
    if (!changes)
        return -ENOMEM;
    set->invalid_changes = changes;
    for (size_t i = first; i < set->invalid.count; i++)
        changes[i] = cause ? cause : change;
    return 0;
}

int changeset_check_machines(ChangeSet *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const Change *change = &set->items[i];
        const MachineContext *machine = NULL, *forbidden = NULL;
        size_t more = 0;
        if (change->object != STORED_SERVICE || change->kind == CHANGE_REMOVE ||
            !service_has_machine_addresses(change_context(change)))
            continue;
        /* What is only planned again went well with all that was there. */
        const MachineContext *(*next)(const char *, void *) = change->kind == CHANGE_REPLAN ? changed_next : machines_next;
        while ((machine = next(machine ? machine->name : NULL, set))) {
            if (!service_forbids_machine(change_context(change), machine))
                continue;
            if (forbidden)
                more++;
            else
                forbidden = machine;
        }
        int r = forbidden ? add_forbidden(set, change, forbidden, more) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- conflicts ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static const char *const machine_keys[] = {
    [MACHINE_CID] = "cid", [MACHINE_HYBRID] = "hybrid", [MACHINE_HYPERKIT] = "hyperkit", [MACHINE_VM_ID] = "vmId"};

/* What two machines cannot both be known by. MACHINE_KEYS: nothing. */
static MachineKeyKind machines_clash(const MachineContext *a, const MachineContext *b)
{
    if (a->cid.set && b->cid.set && a->cid.value == b->cid.value)
        return MACHINE_CID;
    if (same_text(a->hybrid, b->hybrid))
        return MACHINE_HYBRID;
    if (same_text(a->hyperkit, b->hyperkit))
        return MACHINE_HYPERKIT;
    if (same_text(a->vm_id, b->vm_id))
        return MACHINE_VM_ID;
    return MACHINE_KEYS;
}

static int add_machine_conflict(ChangeSet *set, const Change *change, MachineKeyKind kind, const MachineContext *other,
                                const Origin *origin, uint64_t since_us)
{
    char cid[16];
    const char *value = kind == MACHINE_CID        ? cid
                        : kind == MACHINE_HYBRID   ? other->hybrid
                        : kind == MACHINE_HYPERKIT ? other->hyperkit
                                                   : other->vm_id;

    snprintf(cid, sizeof(cid), "%u", other->cid.value);
    return changeset_add_conflict(set, change, machine_keys[kind], value, other->name, origin, since_us);
}

static int check_machine(ChangeSet *set, const Change *change)
{
    Registry *registry = &set->manager->registry;

    /* Those that stay. */
    for (MachineKeyKind kind = 0; kind < MACHINE_KEYS; kind++) {
        Machine *other = registry_next_of_key(registry, kind, change->machine, NULL);
        while (other && changeset_find(set, STORED_MACHINE, other->context->name))
            other = registry_next_of_key(registry, kind, change->machine, other);
        if (other)
            return add_machine_conflict(set, change, kind, other->context, other->origin, other->registered_at_us);
    }
    /* Those that change with it. */
    for (size_t i = 0; i < set->indexed; i++) {
        const Change *other = set->by_name[i];
        if (!change_is_machine_there(other) || other == change)
            continue;
        MachineKeyKind kind = machines_clash(change->machine, other->machine);
        Origin origin = {.kind = other->origin, .source = (char *)(uintptr_t)other->source, .uid = other->uid};
        if (kind != MACHINE_KEYS)
            return add_machine_conflict(set, change, kind, other->machine, &origin,
                                        other->old_machine ? other->old_machine->registered_at_us : time_now_us());
    }
    return 0;
}

typedef struct MachineClaim {
    ChangeSet *set;
    const Change *change;
    int result;
} MachineClaim;

/* A GUID that is no port is in the bounds of no delegation: what is another's on every machine, a delegate does not take from it
 * on one. Where it would, the other is planned again. */
static bool takes_from(const MachineClaim *claim, const Change *other, const char *listen)
{
    const Caller *actor = claim->set->actor;
    const Service *mine = claim->change->old_service;
    const Origin *origin = other && other->kind == CHANGE_REPLAN ? other->old_service->origin : NULL;

    if (!origin || !actor || claim->change->has_port || strcmp(listen, "machine:*") == 0 ||
        !text_list_contains(other->old_service->context->listen, "machine:*"))
        return false;
    if (mine && service_effectively_enabled(mine) && text_list_contains(mine->context->listen, listen))
        return false; /* it has it: it was first */
    return (origin->kind == STORED_FILE || origin->uid != actor->credentials->uid) &&
           !access_is_administrator(claim->set->manager->access, actor->credentials);
}

/* Two services that would both be the one of a number on the same machines, also on those that come later. */
static int same_machine_claim(const ServiceContext *context, Service *staying, const Change *changing, void *userdata)
{
    MachineClaim *claim = userdata;
    const ServiceContext *mine = change_context(claim->change);

    for (size_t i = 0; mine->listen && mine->listen[i]; i++) {
        const char *listen = mine->listen[i];
        if (!text_starts_with(listen, "machine:"))
            continue;
        bool takes = takes_from(claim, changing, listen);
        /* Of two in one set, the later tells of the earlier. */
        if (!takes && (!text_list_contains(context->listen, listen) || (changing && changing > claim->change)))
            continue;
        claim->result = changing ? add_change_conflict(claim->set, claim->change, "listen", listen, changing)
                                 : changeset_add_conflict(claim->set, claim->change, "listen", listen, context->name,
                                                          staying->origin, staying->registered_at_us);
        return 1;
    }
    return 0;
}

typedef struct Claim {
    const char *key;
    const char *uri;
    const Change *change;
    const PlanListener *listener;
} Claim;

static int claim_compare(const void *a, const void *b)
{
    const Claim *first = a, *second = b;
    int order = strcmp(first->key, second->key);

    return order ? order : (first->change > second->change) - (first->change < second->change);
}

/* A change to blame: the one that somebody asked for, not one that is merely planned again. */
static const Change *blame(const Change *a, const Change *b)
{
    if (a->kind == CHANGE_REPLAN && b->kind != CHANGE_REPLAN)
        return b;
    return a;
}

/* `port` where the number is what clashes, and `listen` where it is a path that was written down. */
static const char *claim_field(const Change *change, const char *key)
{
    if (change->object == STORED_MACHINE)
        return NULL;
    return text_starts_with(key, "vsock:") && change_context(change)->port.set ? "port" : "listen";
}

static int claim_conflict(ChangeSet *set, const Claim *claim, const Change *changing, Service *staying)
{
    const Change *change = changing ? blame(claim->change, changing) : claim->change;
    const char *field = claim_field(change, claim->key);
    char port[16];
    const char *value = claim->uri;

    if (strcmp(field, "port") == 0) {
        snprintf(port, sizeof(port), "%u", change->port);
        value = port;
    }
    if (!changing)
        return changeset_add_conflict(set, change, field, value, staying->context->name, staying->origin,
                                      staying->registered_at_us);
    return add_change_conflict(set, change, field, value, change == changing ? claim->change : changing);
}

static int check_claims(ChangeSet *set)
{
    size_t count = 0;

    for (size_t i = 0; i < set->count; i++)
        count += set->items[i].wanted.count;
    if (count == 0)
        return 0;
    _cleanup_(freep) Claim *claims = reallocarray(NULL, count, sizeof(*claims));
    if (!claims)
        return -ENOMEM;
    count = 0;
    for (size_t i = 0; i < set->count; i++)
        for (size_t k = 0; k < set->items[i].wanted.count; k++) {
            const PlanListener *listener = &set->items[i].wanted.listeners[k];
            claims[count++] = (Claim){listener->key, listener->uri, &set->items[i], listener};
        }
    qsort(claims, count, sizeof(*claims), claim_compare);

    for (size_t i = 0; i < count; i++) {
        const Claim *claim = &claims[i];
        if (i > 0 && strcmp(claims[i - 1].key, claim->key) == 0 && claims[i - 1].change != claim->change) {
            int r = claim_conflict(set, claim, claims[i - 1].change, NULL);
            if (r < 0)
                return r;
            continue;
        }
        for (Listener *held = registry_first_claim(&set->manager->registry, claim->key); held;
             held = registry_next_claim(held)) {
            Service *service = held->service;
            if (strcmp(service->context->name, claim->change->name) == 0 ||
                changeset_find(set, STORED_SERVICE, service->context->name))
                continue;
            int r = claim_conflict(set, claim, NULL, service);
            if (r < 0)
                return r;
            break;
        }
    }
    return 0;
}

/* Of a service that is scoped nothing is new but the addresses that it gets: what it says was judged with all the others before. */
int changeset_find_conflicts(ChangeSet *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const Change *change = &set->items[i];
        int r = 0;
        if (change->object == STORED_MACHINE && change->kind != CHANGE_REMOVE)
            r = check_machine(set, change);
        else if (change->object == STORED_SERVICE && change->kind != CHANGE_REMOVE && !change->scoped && change_enabled(change) &&
                 change->has_guid && service_has_machine_addresses(change_context(change))) {
            MachineClaim claim = {.set = set, .change = change};
            each_with_guid(set, change->name, &change->guid, same_machine_claim, &claim);
            r = claim.result;
        }
        if (r < 0)
            return r;
    }
    return check_claims(set);
}
