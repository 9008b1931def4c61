/* SPDX-License-Identifier: Apache-2.0 */
/* What a service's context means: its number, its addresses, and the context with every default filled in. Pure functions. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schema/model/service.h"

bool service_port(const ServiceContext *service, uint32_t *ret_port)
{
    Guid guid;

    if (service->port.set) {
        *ret_port = service->port.value;
        return true;
    }
    return service->guid && guid_parse(service->guid, &guid) && guid_to_port(&guid, ret_port);
}

bool service_guid(const ServiceContext *service, Guid *ret_guid)
{
    if (service->guid)
        return guid_parse(service->guid, ret_guid);
    if (!service->port.set)
        return false;
    *ret_guid = guid_from_port(service->port.value);
    return true;
}

static bool listens_on_machine(const ServiceContext *service, const char *name)
{
    for (size_t i = 0; service->listen && service->listen[i]; i++)
        if (text_starts_with(service->listen[i], transport_machine.scheme) &&
            (!name || strcmp(service->listen[i] + strlen(transport_machine.scheme), name) == 0))
            return true;
    return false;
}

bool service_has_peers(const ServiceContext *service)
{
    if (!service->peers)
        return false;
    for (size_t i = 0; i < record_type_Peers.field_count; i++)
        if (!field_is_absent(&record_type_Peers.fields[i], service->peers))
            return true;
    return false;
}

int service_handout_mode(const ServiceContext *service, bool implied_peers)
{
    if (service->handout && service->handout->mode)
        return service->handout->mode;
    if (service_type(service) == SERVICE_DGRAM)
        return HANDOUT_LISTENER;
    if (implied_peers || service_has_peers(service) || listens_on_machine(service, "*"))
        return HANDOUT_CONNECTIONS;
    return HANDOUT_LISTENER;
}

bool service_means_machine(const ServiceContext *service, const MachineContext *machine)
{
    return listens_on_machine(service, machine->name) || listens_on_machine(service, "*");
}

bool service_has_machine_addresses(const ServiceContext *service)
{
    return listens_on_machine(service, NULL);
}

/* What a program would have to itself, where no rule holds. */
static bool hands_out_listener(const ServiceContext *service)
{
    return service->handout && service->handout->mode == HANDOUT_LISTENER;
}

static bool waits(const ServiceContext *service)
{
    return service->activate && service->activate->mode == ACTIVATION_WAIT;
}

bool service_forbids_machine(const ServiceContext *service, const MachineContext *machine)
{
    return (hands_out_listener(service) || waits(service)) && service_means_machine(service, machine) &&
           machine_transport(machine, service) == &transport_vsock;
}

int service_add_forbidden(const ServiceContext *service, const MachineContext *machine, size_t more, bool tell_machine,
                          Problems *problems)
{
    static const struct {
        bool (*applies)(const ServiceContext *service);
        const char *field, *hint, *machine_hint, *why;
    } causes[] = {
        {hands_out_listener, "handout.mode", "connections would be right, or no mode at all",
         "hybrid or hyperkit would be right, or the service's handout.mode connections", "a bare listener knows no rules"},
        {waits, "activate.mode", "accept would be right", "hybrid or hyperkit would be right, or the service's activate.mode accept",
         "with wait the program accepts by itself"},
    };
    char others[64] = ", which is";

    if (more > 0)
        snprintf(others, sizeof(others), " and %zu more, which are", more);
    for (size_t i = 0; i < ELEMENTS_OF(causes); i++)
        if (causes[i].applies(service))
            problems_add(problems, tell_machine ? "cid" : causes[i].field, tell_machine ? causes[i].machine_hint : causes[i].hint,
                         "the service %s means the machine %s%s reached on vsock, where only the daemon can keep other machines "
                         "away, and %s", service->name, machine->name, others, causes[i].why);
    return problems->failed ? -ENOMEM : 0;
}

static void complete_address(const ServiceContext *service, Address *address)
{
    Guid guid;

    if (address->has_port || address->has_guid || !(address->transport->has_path || address->transport == &transport_machine))
        return;
    address->has_port = service_port(service, &address->port);
    if (!address->has_port && service_guid(service, &guid)) {
        address->guid = guid;
        address->has_guid = true;
    }
}

int service_addresses(const ServiceContext *service, Address **ret_addresses, size_t *ret_count)
{
    size_t count = service->listen ? text_list_count(service->listen) : 1;
    Address *addresses = calloc(count + 1, sizeof(*addresses));

    if (!addresses)
        return -ENOMEM;
    if (!service->listen) {
        Address *address = &addresses[0];
        *address = (Address){.transport = &transport_vsock, .cid = VSOCK_CID_ANY};
        address->has_port = service_port(service, &address->port);
        count = address->has_port ? 1 : 0;
    }
    for (size_t i = 0; service->listen && i < count; i++) {
        const char *reason, *hint;
        int r = address_parse(service->listen[i], &addresses[i], &reason, &hint);
        if (r != 0) {
            addresses_free(addresses, i);
            return r < 0 ? r : -EINVAL;
        }
        complete_address(service, &addresses[i]);
    }
    *ret_addresses = addresses;
    *ret_count = count;
    return 0;
}

void addresses_free(Address *addresses, size_t count)
{
    for (size_t i = 0; addresses && i < count; i++)
        address_release(&addresses[i]);
    free(addresses);
}

/* ---- completing ---- */

static int complete_text(char **text, const char *value)
{
    if (*text)
        return 0;
    *text = strdup(value);
    return *text ? 0 : -ENOMEM;
}

static int complete_listen(ServiceContext *service)
{
    if (service->listen)
        return 0;
    service->listen = calloc(2, sizeof(*service->listen));
    if (!service->listen)
        return -ENOMEM;
    Address address = {.transport = &transport_vsock, .cid = VSOCK_CID_ANY};
    if (!service_port(service, &address.port))
        return 0;
    return address_to_text(&address, &service->listen[0]);
}

int service_complete(const ServiceContext *service, const uint32_t *auto_port, bool implied_peers, ServiceContext **ret)
{
    _cleanup_(service_context_freep) ServiceContext *copy = NULL;
    char text[GUID_TEXT_SIZE_BYTES];
    Guid guid;

    int r = record_copy(&record_type_ServiceContext, service, (void **)&copy);
    if (r < 0)
        return r;
    if (auto_port && !copy->port.set)
        copy->port = (Number){.value = *auto_port, .set = true};
    if (!copy->port.set)
        copy->port.set = service_port(copy, &copy->port.value);
    if (copy->auto_port == NO)
        copy->auto_port = UNSET; /* says nothing, and must not make two equal services differ */
    if (!copy->guid && service_guid(copy, &guid) && complete_text(&copy->guid, guid_format(&guid, text)) < 0)
        return -ENOMEM;
    if (complete_text(&copy->element_name, copy->name) < 0 || complete_listen(copy) < 0)
        return -ENOMEM;
    copy->type = (uint8_t)service_type(copy);
    copy->enabled = service_is_enabled(copy) ? YES : NO;
    copy->backlog = (Number){.value = service_backlog(copy), .set = true};
    if (!copy->handout)
        copy->handout = record_new(&record_type_Handout);
    if (!copy->handout)
        return -ENOMEM;
    copy->handout->mode = (uint8_t)service_handout_mode(copy, implied_peers);
    if (copy->handout->exclusive == UNSET)
        copy->handout->exclusive = NO;
    if (copy->handout->socket == UNSET)
        copy->handout->socket = NO;
    *ret = TAKE_PTR(copy);
    return 0;
}
