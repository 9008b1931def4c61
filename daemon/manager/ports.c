/* SPDX-License-Identifier: Apache-2.0 */
/* autoPort: a free port out of the settings' range, which stays with the name, also over unregister and restart. */

#include <errno.h>

#include "daemon/manager/internal.h"
#include "daemon/place/place.h"

static bool port_is_claimed(Manager *manager, uint32_t port, const char *name)
{
    Guid guid = guid_from_port(port);
    Service *service = registry_next_service_with_guid(&manager->registry, &guid, NULL);

    while (service && text_equal(service->context->name, name))
        service = registry_next_service_with_guid(&manager->registry, &guid, service->context->name);
    return service != NULL;
}

/* The next of a range that the caller may have, from port on. */
static bool next_port(const ChangeSet *set, const char *name, uint32_t last, uint32_t *port)
{
    return (!set->caller || access_next_port(set->manager->access, set->caller->credentials, name, port)) && *port <= last;
}

/* One that no name has; or, where every one has a name, one whose name is not registered any more. Never one that a program
 * which knows nothing of us listens on. */
static bool find_free(const ChangeSet *set, const char *name, uint32_t first, uint32_t last, bool abandoned, uint32_t *ret_port)
{
    Registry *registry = &set->manager->registry;

    unsigned tries = AUTO_PORT_TRIES_MAX;

    for (uint32_t port = first; tries-- > 0 && next_port(set, name, last, &port); port++) {
        const AutoPort *has = registry_find_auto_port_by_port(registry, port);
        if ((abandoned ? has && !registry_find_service(registry, has->name) && !changeset_find(set, STORED_SERVICE, has->name)
                       : !has) &&
            !port_is_claimed(set->manager, port, NULL) && !changeset_spells_out(set, port, NULL) && !place_port_is_taken(port)) {
            *ret_port = port;
            return true;
        }
        if (port == last)
            break;
    }
    return false;
}

/* A name keeps its port, but for one who may not have it, or where another says the number in so many words. */
static bool keeps_port(const ChangeSet *set, const AutoPort *mine)
{
    const Service *service = registry_find_service(&set->manager->registry, mine->name);
    uint32_t port = mine->port;

    if (port_is_claimed(set->manager, port, mine->name))
        return false;
    if (service && service->has_port && service->port == port)
        return true;
    return next_port(set, mine->name, port, &port) && port == mine->port && !changeset_spells_out(set, port, mine->name);
}

void manager_auto_port_range(const Manager *manager, uint32_t *ret_first, uint32_t *ret_last)
{
    *ret_first = AUTO_PORT_FIRST;
    *ret_last = AUTO_PORT_LAST;
    if (manager->settings->auto_ports)
        text_to_range(manager->settings->auto_ports, ret_first, ret_last);
}

int manager_choose_port(const ChangeSet *set, const char *name, uint32_t *ret_port)
{
    Manager *manager = set->manager;
    const AutoPort *mine = registry_find_auto_port(&manager->registry, name);
    uint32_t first, last, next = manager->auto_port_next;

    if (mine && keeps_port(set, mine)) {
        *ret_port = mine->port;
        return 0;
    }
    manager_auto_port_range(manager, &first, &last);
    if (next < first || next > last)
        next = first;
    if (find_free(set, name, next, last, false, ret_port) ||
        (next > first && find_free(set, name, first, next - 1, false, ret_port))) {
        if (!set->caller || access_is_administrator(manager->access, set->caller->credentials))
            manager->auto_port_next = *ret_port; /* where the next search begins: all before it are taken */
        return 0;
    }
    if (find_free(set, name, first, last, true, ret_port))
        return 0;
    /* A delegate's ports need not be among those: then any of its delegation. Each that was chosen once is kept with its
     * name; AUTO_PORT_TRIES_MAX bounds that, however wide the delegation is. */
    bool delegate = set->caller && !access_is_administrator(manager->access, set->caller->credentials);
    return delegate && (find_free(set, name, 0, UINT32_MAX - 1, false, ret_port) ||
                        find_free(set, name, 0, UINT32_MAX - 1, true, ret_port))
               ? 0
               : CHANGESET_NO_PORT;
}
