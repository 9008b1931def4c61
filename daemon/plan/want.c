/* SPDX-License-Identifier: Apache-2.0 */
/* What one service should hold on the machines that are known: its addresses, with machine:NAME and machine:* turned
 * into each machine's own transport. A PlanWanted lives as long as its listeners are planned with or held. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/plan/plan.h"

typedef struct Expansion Expansion;

/* Of a listener's address, what it is compared by. */
typedef struct Whereabouts {
    const Transport *transport;
    uint32_t cid;
} Whereabouts;

/* One call of plan_want. */
struct Expansion {
    const ServiceContext *service; /* with its port filled in, also one chosen for autoPort */
    const PlanMachines *machines;
    PlanWanted wanted;
    Whereabouts *whereabouts; /* one for each listener */
    size_t capacity;
    bool has_shared[2]; /* vsock://:PORT is wanted, for whatever number of machines: by name, by machine:* */
};

static void free_owned(const char *text)
{
    free((void *)(uintptr_t)text);
}

static void listener_release(PlanListener *listener)
{
    free_owned(listener->machine);
    free_owned(listener->uri);
    free_owned(listener->key);
}

static int expansion_reserve(Expansion *expansion)
{
    PlanWanted *wanted = &expansion->wanted;

    if (wanted->count < expansion->capacity)
        return 0;
    size_t capacity = expansion->capacity ? expansion->capacity * 4 : 1; /* most have one */
    PlanListener *listeners = reallocarray(wanted->listeners, capacity, sizeof(*listeners));
    if (!listeners)
        return -ENOMEM;
    wanted->listeners = listeners;
    Whereabouts *whereabouts = reallocarray(expansion->whereabouts, capacity, sizeof(*whereabouts));
    if (!whereabouts)
        return -ENOMEM;
    expansion->whereabouts = whereabouts;
    expansion->capacity = capacity;
    return 0;
}

/* Whether this host holds a listener of this service there at all. */
static bool address_is_held(const Address *address, const ServiceContext *service)
{
    return address->transport && address->transport->listens &&
           (service_type(service) == SERVICE_STREAM || !address->transport->stream_only);
}

/* Takes key over. An address without a number (autoPort that has none yet) has no key and is not wanted so far. */
static int expansion_add(Expansion *expansion, const Address *address, const MachineContext *machine, bool wildcard,
                         char *key_consume)
{
    const ServiceContext *service = expansion->service;
    _cleanup_(freep) char *key = key_consume;
    _cleanup_(freep) char *uri = NULL, *name = NULL;

    int r = expansion_reserve(expansion);
    if (r < 0)
        return r;
    r = address_to_text(address, &uri);
    if (r < 0)
        return r;
    if (machine && !(name = strdup(machine->name)))
        return -ENOMEM;
    PlanListener listener = {
        .service = service->name,
        .machine = TAKE_PTR(name),
        .uri = TAKE_PTR(uri),
        .key = TAKE_PTR(key),
        .type = service_type(service),
        .backlog = service_backlog(service),
        .wildcard = wildcard,
    };
    if (address->transport->has_path) {
        const SocketFile *file = service->socket;
        listener.user = file && file->user ? file->user : machine ? machine->user : NULL;
        listener.group = file && file->group ? file->group : machine ? machine->group : NULL;
        listener.mode = file ? file->mode : NULL;
    }
    expansion->wanted.listeners[expansion->wanted.count] = listener;
    expansion->whereabouts[expansion->wanted.count++] = (Whereabouts){address->transport, address->cid};
    return 0;
}

static int expansion_add_given(Expansion *expansion, const Address *address)
{
    char *key = NULL;

    if (!address_is_held(address, expansion->service))
        return 0;
    int r = address_key(address, &key);
    if (r < 0)
        return r == -EINVAL ? 0 : r;
    return expansion_add(expansion, address, NULL, false, key);
}

/* wildcard: by machine:*, which another service's machine:NAME beats. */
static int expansion_add_machine(Expansion *expansion, const MachineContext *machine, bool wildcard)
{
    const PlanMachines *machines = expansion->machines;
    Address address = machine_address_borrowed(machine, expansion->service);
    _cleanup_(freep) char *key = NULL;

    if (!address_is_held(&address, expansion->service))
        return 0;
    bool shared = address.transport == &transport_vsock;
    if (shared) {
        /* Such a machine has no socket of its own: all of them come in at the host's one. */
        if (expansion->has_shared[wildcard])
            return 0;
        address.cid = VSOCK_CID_ANY;
    }
    int r = address_key(&address, &key);
    if (r < 0)
        return r == -EINVAL ? 0 : r;
    if (wildcard && machines->shadowed &&
        machines->shadowed(expansion->service->name, machine, key, machines->userdata))
        return 0;
    r = expansion_add(expansion, &address, shared ? NULL : machine, wildcard, TAKE_PTR(key));
    if (r >= 0 && shared)
        expansion->has_shared[wildcard] = true;
    return r;
}

static int expansion_add_every_machine(Expansion *expansion)
{
    const PlanMachines *machines = expansion->machines;

    for (const MachineContext *machine = machines->next(NULL, machines->userdata); machine;
         machine = machines->next(machine->name, machines->userdata)) {
        int r = expansion_add_machine(expansion, machine, true);
        if (r < 0)
            return r;
    }
    return 0;
}

static int expansion_add_address(Expansion *expansion, const Address *address)
{
    const PlanMachines *machines = expansion->machines;

    if (address->transport != &transport_machine)
        return expansion_add_given(expansion, address);
    if (!machines || !address->machine)
        return 0;
    if (strcmp(address->machine, "*") != 0) {
        const MachineContext *machine = machines->find(address->machine, machines->userdata);
        return machine ? expansion_add_machine(expansion, machine, false) : 0;
    }
    return expansion_add_every_machine(expansion);
}

/* All that it says. */
static int expansion_add_all(Expansion *expansion)
{
    char **listen = expansion->service->listen;
    Address *addresses = NULL;
    size_t count = 0;

    /* The commonest by far, where machines come and go; nothing has to be parsed for it. */
    if (listen && listen[0] && !listen[1] && strcmp(listen[0], "machine:*") == 0)
        return expansion->machines ? expansion_add_every_machine(expansion) : 0;
    int r = service_addresses(expansion->service, &addresses, &count);
    for (size_t i = 0; i < count && r >= 0; i++)
        r = expansion_add_address(expansion, &addresses[i]);
    addresses_free(addresses, count);
    return r;
}

/* ---- one listener a key ---- */

static int compare_places(const void *a, const void *b, void *userdata)
{
    const PlanListener *listeners = userdata;
    size_t first = *(const size_t *)a, second = *(const size_t *)b;
    int order = strcmp(listeners[first].key, listeners[second].key);

    return order ? order : (first > second) - (first < second);
}

/* The first that was given stays, so that it is the same listener whatever machines come and go. It takes what the
 * other adds: all CIDs instead of one, and the machine's owner. */
static void listener_merge(Expansion *expansion, size_t kept, size_t dropped)
{
    PlanListener *listener = &expansion->wanted.listeners[kept], *other = &expansion->wanted.listeners[dropped];
    Whereabouts *where = &expansion->whereabouts[kept], *other_where = &expansion->whereabouts[dropped];

    if (where->transport == &transport_vsock && where->cid != VSOCK_CID_ANY && other_where->cid == VSOCK_CID_ANY) {
        const char *uri = listener->uri;
        *where = *other_where;
        listener->uri = other->uri;
        other->uri = uri;
    }
    listener->wildcard &= other->wildcard;
    if (!listener->user)
        listener->user = other->user;
    if (!listener->group)
        listener->group = other->group;
    listener_release(other);
    *other = (PlanListener){0};
}

static int expansion_unite(Expansion *expansion)
{
    PlanWanted *wanted = &expansion->wanted;

    if (wanted->count < 2)
        return 0;
    _cleanup_(freep) size_t *places = calloc(wanted->count, sizeof(*places));
    if (!places)
        return -ENOMEM;
    for (size_t i = 0; i < wanted->count; i++)
        places[i] = i;
    qsort_r(places, wanted->count, sizeof(*places), compare_places, wanted->listeners);

    for (size_t i = 1, kept = places[0]; i < wanted->count; i++) {
        if (strcmp(wanted->listeners[kept].key, wanted->listeners[places[i]].key) == 0)
            listener_merge(expansion, kept, places[i]);
        else
            kept = places[i];
    }
    size_t count = 0;
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->listeners[i].key)
            wanted->listeners[count++] = wanted->listeners[i];
    wanted->count = count;
    return 0;
}

int plan_want(const ServiceContext *service, const uint32_t *port, const PlanMachines *machines, PlanWanted *ret)
{
    if (!service_is_enabled(service)) {
        *ret = (PlanWanted){0};
        return 0;
    }
    ServiceContext numbered = *service; /* borrows everything */
    if (port) {
        numbered.port = (Number){.value = *port, .set = true};
        numbered.auto_port = UNSET;
    }
    Expansion expansion = {.service = &numbered, .machines = machines};
    int r = expansion_add_all(&expansion);
    if (r >= 0)
        r = expansion_unite(&expansion);
    free(expansion.whereabouts);
    if (r < 0) {
        plan_wanted_release(&expansion.wanted);
        return r;
    }
    *ret = expansion.wanted;
    return 0;
}

void plan_wanted_release(PlanWanted *wanted)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->listeners[i].key)
            listener_release(&wanted->listeners[i]);
    free(wanted->listeners);
    *wanted = (PlanWanted){0};
}
