/* SPDX-License-Identifier: Apache-2.0 */
/* Finding services: by name, number, address and machine, each by its own tree. */

#include <string.h>

#include "daemon/manager/internal.h"

Service *manager_find_service(Manager *manager, const char *name)
{
    return registry_find_service(&manager->registry, name);
}

Machine *manager_find_machine(Manager *manager, const char *name)
{
    return registry_find_machine(&manager->registry, name);
}

Service *manager_next_service(Manager *manager, const char *after)
{
    return registry_next_service(&manager->registry, after);
}

Machine *manager_next_machine(Manager *manager, const char *after)
{
    return registry_next_machine(&manager->registry, after);
}

const char *service_name(const Service *service)
{
    return service->context->name;
}

const char *machine_name(const Machine *machine)
{
    return machine->context->name;
}

/* Is the service reached on that machine: by a listener of its own there, or by the host's AF_VSOCK. */
static bool fits_machine(Manager *manager, const Service *service, const char *name)
{
    Machine *machine = registry_find_machine(&manager->registry, name);

    for (const Listener *listener = service->listeners; listener; listener = listener->next)
        if (text_equal(listener->machine, name) ||
            (machine && machine->context->cid.set && !listener->machine && text_starts_with(listener->key, "vsock:")))
            return true;
    return false;
}

/* hybrid://PATH, hyperkit://DIR: a machine's place, where each service has a number of its own. */
static bool is_place(const Address *address)
{
    return address->transport->has_path && !address->transport->numberless && !address->has_port && !address->has_guid;
}

static bool fits_place(const Service *service, const Address *place)
{
    for (const Listener *listener = service->listeners; listener; listener = listener->next) {
        Address held = {0};
        const char *reason, *hint;
        if (!text_starts_with(listener->uri, place->transport->scheme) ||
            address_parse(listener->uri, &held, &reason, &hint) != 0)
            continue;
        bool fits = held.transport == place->transport && text_equal(held.path, place->path);
        address_release(&held);
        if (fits)
            return true;
    }
    return false;
}

/* The listener's address, or one that it covers: CID_ANY takes every CID of the host. */
static bool fits_address(const Service *service, const Address *address, const char *key)
{
    for (const Listener *listener = service->listeners; listener; listener = listener->next) {
        Address held = {0};
        const char *reason, *hint;
        if (strcmp(listener->key, key) != 0 || address_parse(listener->uri, &held, &reason, &hint) != 0)
            continue;
        bool fits = held.transport != address->transport || !text_starts_with(key, "vsock:") ||
                    address->cid == VSOCK_CID_ANY || held.cid == VSOCK_CID_ANY || held.cid == address->cid;
        address_release(&held);
        if (fits)
            return true;
    }
    return false;
}

static bool fits(Manager *manager, const Service *service, const Lookup *lookup, const char *key)
{
    if (lookup->name && strcmp(service->context->name, lookup->name) != 0)
        return false;
    if (lookup->has_port && (!service->has_port || service->port != lookup->port))
        return false;
    if (lookup->has_guid && (!service->has_guid || guid_compare(&service->guid, &lookup->guid) != 0))
        return false;
    if (key ? !fits_address(service, lookup->address, key) : lookup->address && !fits_place(service, lookup->address))
        return false;
    return !lookup->machine || fits_machine(manager, service, lookup->machine);
}

/* The claims of one key are few; the first by name after `after`. */
static Service *next_by_key(Manager *manager, const Lookup *lookup, const char *key, const char *after)
{
    Service *best = NULL;

    for (Listener *listener = registry_first_claim(&manager->registry, key); listener;
         listener = registry_next_claim(listener)) {
        const char *name = listener->service->context->name;
        if ((after && strcmp(name, after) <= 0) || (best && strcmp(name, best->context->name) >= 0))
            continue;
        if (fits(manager, listener->service, lookup, key))
            best = listener->service;
    }
    return best;
}

Service *manager_lookup(Manager *manager, const Lookup *given, const char *after)
{
    Registry *registry = &manager->registry;
    _cleanup_(freep) char *key = NULL;
    Lookup own = *given;
    const Lookup *lookup = &own;
    Service *service;

    /* Hyper-V knows a service by its GUID, in whichever VM it is. */
    if (own.address && own.address->transport == &transport_hyperv && own.address->has_guid) {
        if (own.has_guid && guid_compare(&own.guid, &own.address->guid) != 0)
            return NULL;
        own.has_guid = true;
        own.guid = own.address->guid;
        own.address = NULL;
    }
    if (own.address && !is_place(own.address) && address_key(own.address, &key) < 0)
        return NULL;
    if (lookup->name) {
        service = after ? NULL : registry_find_service(registry, lookup->name);
        return service && fits(manager, service, lookup, key) ? service : NULL;
    }
    if (lookup->has_port || lookup->has_guid) {
        Guid guid = lookup->has_guid ? lookup->guid : guid_from_port(lookup->port);
        while ((service = registry_next_service_with_guid(registry, &guid, after)) && !fits(manager, service, lookup, key))
            after = service->context->name;
        return service;
    }
    if (key)
        return next_by_key(manager, lookup, key, after);
    /* A machine or its place alone: what is reached there is what one asks for, all of it. */
    while ((service = registry_next_service(registry, after)) && !fits(manager, service, lookup, NULL))
        after = service->context->name;
    return service;
}
