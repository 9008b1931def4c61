/* SPDX-License-Identifier: Apache-2.0 */
/* Machines: what their fields mean, and where a service is reached on one. Pure functions. */

#include <errno.h>
#include <string.h>

#include "schema/model/path.h"
#include "schema/model/service.h"

static void check_path(char *path, const char *field, bool socket, Problems *problems)
{
    if (!path)
        return;
    size_t size = strlen(path);
    const char *why = path[0] != '/' ? "is no absolute path" : path_check(path);
    if (!why && socket && path[size - 1] == '/')
        why = "names a folder, not a socket";
    if (why)
        problems_add(problems, field, "an absolute path without `..` would be right", "%s", why);
    else
        path_normalize(path);
}

int machine_validate(MachineContext *machine, Problems *problems)
{
    Guid guid;

    check_path(machine->hybrid, "hybrid", true, problems);
    check_path(machine->hyperkit, "hyperkit", false, problems);
    if (machine->vm_id) {
        char text[GUID_TEXT_SIZE_BYTES];
        if (guid_parse(machine->vm_id, &guid) && !guid_wildcard_name(&guid)) {
            memcpy(machine->vm_id, guid_format(&guid, text), sizeof(text));
        } else {
            problems_add(problems, "vmId", "the VM's own GUID, as Get-VM shows it, would be right", "is no GUID of one machine");
        }
    }
    return problems->failed ? -ENOMEM : 0;
}

const Transport *machine_transport(const MachineContext *machine, const ServiceContext *service)
{
    bool stream = service_type(service) == SERVICE_STREAM;
    uint32_t port;
    Guid guid;
    bool has_port = service_port(service, &port);

    if (machine->hybrid && stream && (has_port || service_guid(service, &guid)))
        return &transport_hybrid;
    if (machine->hyperkit && stream && has_port)
        return &transport_hyperkit;
    return machine->cid.set && has_port ? &transport_vsock : NULL;
}

Address machine_address_borrowed(const MachineContext *machine, const ServiceContext *service)
{
    Address address = {.transport = machine_transport(machine, service), .cid = VSOCK_CID_ANY};

    if (!address.transport)
        return (Address){0};
    if (address.transport != &transport_vsock)
        address.path = address.transport == &transport_hybrid ? machine->hybrid : machine->hyperkit;
    address.has_port = service_port(service, &address.port);
    if (!address.has_port)
        address.has_guid = service_guid(service, &address.guid);
    return address;
}

int machine_address(const MachineContext *machine, const ServiceContext *service, Address *ret)
{
    const Address address = machine_address_borrowed(machine, service);

    return address_copy(&address, ret);
}
