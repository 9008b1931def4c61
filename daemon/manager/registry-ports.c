/* SPDX-License-Identifier: Apache-2.0 */
/* The registry's automatic ports, by name and by number. */

#include <errno.h>
#include <string.h>

#include "daemon/manager/registry.h"

static int auto_port_compare_names(const AutoPort *a, const AutoPort *b)
{
    return strcmp(a->name, b->name);
}

static int auto_port_compare_ports(const AutoPort *a, const AutoPort *b)
{
    return (a->port > b->port) - (a->port < b->port);
}

RB_GENERATE_INTERNAL(AutoPortsByName, AutoPort, by_name, auto_port_compare_names, _unused_ static)
RB_GENERATE_INTERNAL(AutoPortsByPort, AutoPort, by_port, auto_port_compare_ports, _unused_ static)

AutoPort *registry_find_auto_port(Registry *registry, const char *name)
{
    AutoPort key = {.name = (char *)(uintptr_t)name};

    return RB_FIND(AutoPortsByName, &registry->auto_ports, &key);
}

AutoPort *registry_find_auto_port_by_port(Registry *registry, uint32_t port)
{
    AutoPort key = {.port = port};

    return RB_FIND(AutoPortsByPort, &registry->auto_ports_by_port, &key);
}

int registry_put_auto_port(Registry *registry, const char *name, uint32_t port)
{
    AutoPort *other = registry_find_auto_port_by_port(registry, port);
    AutoPort *mine = registry_find_auto_port(registry, name);

    if (other && other == mine)
        return 0;
    AutoPort *auto_port = calloc(1, sizeof(*auto_port));
    if (!auto_port)
        return -ENOMEM;
    auto_port->name = strdup(name);
    auto_port->port = port;
    if (!auto_port->name) {
        free(auto_port);
        return -ENOMEM;
    }
    if (other)
        registry_remove_auto_port(registry, other);
    if (mine)
        registry_remove_auto_port(registry, mine);
    RB_INSERT(AutoPortsByName, &registry->auto_ports, auto_port);
    RB_INSERT(AutoPortsByPort, &registry->auto_ports_by_port, auto_port);
    return 0;
}

void registry_remove_auto_port(Registry *registry, AutoPort *auto_port)
{
    RB_REMOVE(AutoPortsByName, &registry->auto_ports, auto_port);
    RB_REMOVE(AutoPortsByPort, &registry->auto_ports_by_port, auto_port);
    free(auto_port->name);
    free(auto_port);
}
