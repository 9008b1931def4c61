/* SPDX-License-Identifier: Apache-2.0 */
/* autoPort: a free port out of the settings' range, which stays with the name, also over unregister and restart. */

#include <errno.h>

#include "daemon/manager/internal.h"

static bool port_is_claimed(Manager *manager, uint32_t port, const char *name)
{
    Guid guid = guid_from_port(port);
    Service *service = registry_next_service_with_guid(&manager->registry, &guid, NULL);

    while (service && text_equal(service->context->name, name))
        service = registry_next_service_with_guid(&manager->registry, &guid, service->context->name);
    return service != NULL;
}

/* A port whose name is not registered any more, where every one has a name. */
static bool find_abandoned(Manager *manager, uint32_t first, uint32_t last, uint32_t *ret_port)
{
    for (uint64_t port = first; port <= last; port++) {
        AutoPort *auto_port = registry_find_auto_port_by_port(&manager->registry, (uint32_t)port);
        if (auto_port && !registry_find_service(&manager->registry, auto_port->name) &&
            !port_is_claimed(manager, (uint32_t)port, NULL)) {
            *ret_port = (uint32_t)port;
            return true;
        }
    }
    return false;
}

int manager_choose_port(Manager *manager, const char *name, uint32_t *ret_port)
{
    AutoPort *mine = registry_find_auto_port(&manager->registry, name);
    uint32_t first = AUTO_PORT_FIRST, last = AUTO_PORT_LAST;

    if (mine && !port_is_claimed(manager, mine->port, name)) {
        *ret_port = mine->port;
        return 0;
    }
    if (manager->settings->auto_ports)
        text_to_range(manager->settings->auto_ports, &first, &last);
    if (manager->auto_port_next < first || manager->auto_port_next > last)
        manager->auto_port_next = first;

    uint32_t port = manager->auto_port_next;
    for (uint64_t tries = (uint64_t)last - first + 1; tries > 0; tries--) {
        if (!registry_find_auto_port_by_port(&manager->registry, port) && !port_is_claimed(manager, port, NULL)) {
            manager->auto_port_next = port; /* where the next search begins: all before it are taken */
            *ret_port = port;
            return 0;
        }
        port = port == last ? first : port + 1;
    }
    if (find_abandoned(manager, first, last, &port)) {
        *ret_port = port;
        return 0;
    }
    return CHANGESET_NO_PORT;
}
