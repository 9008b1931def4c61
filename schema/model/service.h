/* SPDX-License-Identifier: Apache-2.0 */
/* Services and machines: what their fields mean together. Every context that gets past *_validate is good by itself;
 * whether it goes with the others is the registry's to say. */
#pragma once

#include "schema/base/problem.h"
#include "schema/model/address.h"
#include "schema/model/record.h"

/* Brings texts into one form (GUIDs lower case and bare, URIs canonical) and tells every problem that the fields have
 * together: neither port nor guid, guid and port that disagree, a listen address with another number, a type that a
 * transport does not know, peers with wait, both exec and unit, … machines and vsock are told apart only where machines
 * are known: see service_forbids_machine. record_read has done it already; who fills in a record by hand calls it. 0; -ENOMEM. */
int service_validate(ServiceContext *service, Problems *problems);
int machine_validate(MachineContext *machine, Problems *problems);
int settings_validate(Settings *settings, Problems *problems);

/* The port: port, else the one in the GUID. false where there is none (autoPort not yet chosen, GUID without port,
 * unix only). */
bool service_port(const ServiceContext *service, uint32_t *ret_port);
/* The GUID: guid, else from the port. */
bool service_guid(const ServiceContext *service, Guid *ret_guid);
static inline bool service_is_enabled(const ServiceContext *service)
{
    return service->enabled != NO;
}
static inline int service_type(const ServiceContext *service)
{
    return service->type ? service->type : SERVICE_STREAM;
}
static inline uint32_t service_backlog(const ServiceContext *service)
{
    return service->backlog.set ? service->backlog.value : SERVICE_BACKLOG_DEFAULT;
}
/* Whether peers says anything: `peers: {}` does not. */
bool service_has_peers(const ServiceContext *service);
/* HANDOUT_LISTENER or HANDOUT_CONNECTIONS, with its default. implied_peers: the settings' peers are not empty, or the service
 * names a machine (machine:NAME) that is reached on vsock, which implies peers. */
int service_handout_mode(const ServiceContext *service, bool implied_peers);
/* Whether one of its addresses is machine:NAME of this machine, or machine:*. */
bool service_means_machine(const ServiceContext *service, const MachineContext *machine);
/* Whether one of them is machine:NAME or machine:*. */
bool service_has_machine_addresses(const ServiceContext *service);
/* What only shows where the machine is known: an explicit listener or wait, and it means the machine, which is reached on vsock. */
bool service_forbids_machine(const ServiceContext *service, const MachineContext *machine);
/* Tells of such a machine, and how many more there are: of the service's fields, or of the machine's, where that is new. 0;
 * -ENOMEM. */
int service_add_forbidden(const ServiceContext *service, const MachineContext *machine, size_t more, bool tell_machine,
                          Problems *problems);

/* Whether there is anything that its guest is known by: a CID, a path, a VM id. */
static inline bool machine_is_known_by(const MachineContext *machine)
{
    return machine->cid.set || machine->hybrid || machine->hyperkit || machine->vm_id;
}

/* What the service listens on, each complete with the port or GUID: given, or the default. machine:* and machine:NAME
 * stay as they are (transport_machine). An array of *ret_count; address_release each, then free. */
int service_addresses(const ServiceContext *service, Address **ret_addresses, size_t *ret_count);
void addresses_free(Address *addresses, size_t count);
/* Where a service is reached on a machine's own transport: hybrid, else hyperkit, else vsock (the shared port). *ret may be
 * without transport: the machine has none that fits. 0; -ENOMEM. */
int machine_address(const MachineContext *machine, const ServiceContext *service, Address *ret);
/* The same; its path is the machine's, and it is not to be released. */
Address machine_address_borrowed(const MachineContext *machine, const ServiceContext *service);
/* The transport of that, alone; NULL: none fits. */
const Transport *machine_transport(const MachineContext *machine, const ServiceContext *service);

/* A copy with every default filled in, which is itself a valid input: port, guid, elementName, type, listen, enabled,
 * backlog, handout. auto_port: the port chosen for autoPort, or NULL. implied_peers: as above. */
int service_complete(const ServiceContext *service, const uint32_t *auto_port, bool implied_peers, ServiceContext **ret);
