/* SPDX-License-Identifier: Apache-2.0 */
/* What the fields of a service have to be together. Every rule of DESIGN's contract on one service stands here once, with its
 * reason; pure functions. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schema/model/quantity.h"
#include "schema/model/service.h"

#define FIELD_TEXT_SIZE_BYTES 64

/* A text that is no good, in quotes that keep its control characters off the terminal. */
static void refuse_text(Problems *problems, const char *field, const char *hint, const char *text, const char *why)
{
    Buffer reason = {0};
    char *told;

    problem_say(&reason, text, why);
    if (buffer_take(&reason, &told, NULL) < 0) {
        problems->failed = true;
        return;
    }
    problems_add(problems, field, hint, "%s", told);
    free(told);
}

/* ---- port and GUID ---- */

static void validate_guid(ServiceContext *service, Problems *problems)
{
    char text[GUID_TEXT_SIZE_BYTES];
    Guid guid;
    uint32_t port;

    if (!service->guid)
        return;
    if (!guid_parse(service->guid, &guid)) {
        refuse_text(problems, "guid", "32 hex digits as in 00001414-facb-11e6-bd58-64006a7986d3 would be right", service->guid, "is no GUID");
        return;
    }
    /* Never longer than what was read. */
    memcpy(service->guid, guid_format(&guid, text), sizeof(text));
    const char *wildcard = guid_wildcard_name(&guid);
    bool has_port = guid_to_port(&guid, &port);
    if (wildcard)
        problems_add(problems, "guid", "a GUID of its own would be right: uuidgen makes one",
                     "this is Hyper-V's %s, which is no service's", wildcard);
    else if (has_port && port == UINT32_MAX)
        problems_add(problems, "guid", "a port from 0 to 4294967294 would be right",
                     "this is the GUID of port 4294967295, which stands for any port");
    else if (service->port.set && !has_port)
        problems_add(problems, "guid", "leave out either port or guid", "%s has no port, and port says %u", text,
                     service->port.value);
    else if (service->port.set && port != service->port.value) {
        char hint[2 * FIELD_TEXT_SIZE_BYTES], right[GUID_TEXT_SIZE_BYTES];
        Guid of_port = guid_from_port(service->port.value);
        snprintf(hint, sizeof(hint), "%s, port: %u, or only one of the two would be right", guid_format(&of_port, right), port);
        problems_add(problems, "guid", hint, "this is the GUID of port %u, and port says %u", port, service->port.value);
    } else if (service->auto_port == YES && !service->port.set)
        problems_add(problems, "guid", "leave out either autoPort or guid",
                     "autoPort chooses the port, and with it the GUID, so none can be given");
}

/* Unless every address is a place by itself. */
static bool needs_number(const ServiceContext *service)
{
    if (!service->listen || !service->listen[0])
        return true;
    for (size_t i = 0; service->listen[i]; i++) {
        const Transport *transport = transport_of(service->listen[i]);
        if (!transport || !transport->numberless)
            return true;
    }
    return false;
}

static void validate_number(ServiceContext *service, Problems *problems)
{
    if (service->port.set && service->port.value == UINT32_MAX)
        problems_add(problems, "port", "a port from 0 to 4294967294 would be right", "4294967295 stands for any port");
    validate_guid(service, problems);
    if (!service->port.set && !service->guid && service->auto_port != YES && needs_number(service))
        problems_add_absence(problems, "port", "`port: 5140`, `autoPort: true` or a guid would be right",
                     "there is neither port nor autoPort nor guid, and not every address is unix://");
}

/* ---- addresses: each is looked at by itself, and what is found gets its place in the list afterwards ---- */

#define TEMPLATE_HINT "or a GUID of the form PPPPPPPP-facb-11e6-bd58-64006a7986d3 would be right"

static void validate_vsock(const ServiceContext *service, const Address *address, Problems *problems)
{
    char hint[FIELD_TEXT_SIZE_BYTES];
    uint32_t port;
    Guid guid;

    if (address->cid == VSOCK_CID_HYPERVISOR)
        problems_add(problems, NULL, "no CID (any of this host's), 1 (local) or 2 (host) would be right",
                     "CID 0 is the hypervisor's, and no host listens there");
    if (service_port(service, &port)) {
        if (port == address->port)
            return;
        snprintf(hint, sizeof(hint), "vsock://:%u would be right", port);
        problems_add(problems, NULL, hint, "port %u is not the service's, which is %u", address->port, port);
    } else if (service->auto_port == YES) {
        problems_add(problems, NULL, "leave out listen (it will be vsock://:PORT), or give port instead of autoPort",
                     "port %u is given here, and autoPort will choose another", address->port);
    } else if (service_guid(service, &guid)) {
        problems_add(problems, NULL, "hybrid://PATH, machine:NAME, " TEMPLATE_HINT, "the service's GUID has no vsock port");
    } else {
        snprintf(hint, sizeof(hint), "`port: %u` would be right", address->port);
        problems_add_absence(problems, NULL, hint, "port %u is given here, and the service has none", address->port);
    }
}

/* The number that an address without one gets. false: there is none, or autoPort has not chosen it yet. */
static bool number_address(const ServiceContext *service, Address *address)
{
    if (!address->has_port && !address->has_guid) {
        address->has_port = service_port(service, &address->port);
        address->has_guid = !address->has_port && service_guid(service, &address->guid);
    }
    return address->has_port || address->has_guid;
}

static void validate_path(const ServiceContext *service, const Address *address, Problems *problems)
{
    Address own = {.transport = address->transport, .path = address->path};
    bool numbered = number_address(service, &own);
    bool automatic = service->auto_port == YES && !numbered;
    char *path;

    if (address->has_port || address->has_guid) {
        if (automatic)
            problems_add(problems, NULL, "leave the number out of the address, or give port instead of autoPort",
                         "a number is given here, and autoPort will choose another");
        else if (!numbered)
            problems_add_absence(problems, NULL, "port or guid, beside listen, would be right",
                                 "a number is given here, and the service has none");
        else if (own.has_port ? !address->has_port || own.port != address->port
                              : !address->has_guid || guid_compare(&own.guid, &address->guid) != 0)
            problems_add(problems, NULL, "leave the number out of the address, or give that of the service",
                         "the number in this address is not the service's");
    }
    if (address->path[0] != '/')
        problems_add(problems, NULL, "an absolute path would be right", "the path is relative, and so no place that stays");
    if (own.has_guid && address->transport->ports_only) {
        problems_add(problems, NULL, "hybrid://PATH, " TEMPLATE_HINT, "%s knows ports only, and the service's GUID has none",
                     address->transport->name);
        return;
    }

    /* The file's name has the number in it, and may be too long only with it. */
    if (automatic) {
        own.has_port = true;
        own.port = UINT32_MAX - 1;
    }
    if (!own.has_port && !own.has_guid)
        return;
    int r = address_key(&own, &path);
    if (r == 0)
        free(path);
    else if (r == -EINVAL)
        problems_add(problems, NULL, "a shorter path would be right", "with the number at its end, the path or the socket's name is too long");
    else
        problems->failed = true;
}

static void validate_address(const ServiceContext *service, const Address *address, Problems *problems)
{
    const Transport *transport = address->transport;

    if (!transport->listens) {
        problems_add(problems, NULL,
                     "vsock://:PORT, hybrid://PATH or machine:NAME would be right; `listen: []` for a service that only Windows serves",
                     "no Linux host listens on %s addresses", transport->name);
        return;
    }
    if (transport->stream_only && service_type(service) != SERVICE_STREAM)
        problems_add(problems, NULL, "`type: stream` would be right", "%s carries streams only, and type is %s", transport->name,
                     words_service_type[service_type(service) - 1]);
    if (transport == &transport_machine && service_type(service) == SERVICE_DGRAM)
        problems_add(problems, NULL, "vsock://:PORT would be right",
                     "datagrams have no connections, so nothing can tell one machine's from another's");
    if (transport == &transport_vsock)
        validate_vsock(service, address, problems);
    else if (transport->has_path && !transport->numberless)
        validate_path(service, address, problems);
}

/* What makes two entries of one service the same thing: the listener's key; of machine: the name; where the number is not
 * known yet, the address. */
static int duplicate_key(const ServiceContext *service, const Address *address, char **ret)
{
    Address whole = *address;

    number_address(service, &whole);
    int r = address_key(&whole, ret);
    return r == -EINVAL ? address_to_text(address, ret) : r;
}

/* One entry: parsed, put into its canonical form, looked at, and held against those before it. */
static int validate_entry(const ServiceContext *service, char **uri, char ***keys, Problems *problems)
{
    const char *reason, *hint;
    _cleanup_(address_release) Address address = {0};
    _cleanup_(freep) char *key = NULL;
    char *canonical;

    int r = address_parse(*uri, &address, &reason, &hint);
    if (r == ADDRESS_REFUSED) {
        refuse_text(problems, NULL, hint, *uri, reason);
        return 0;
    }
    if (r < 0 || (r = address_to_text(&address, &canonical)) < 0)
        return r;
    free(*uri);
    *uri = canonical;
    validate_address(service, &address, problems);
    if ((r = duplicate_key(service, &address, &key)) < 0)
        return r;
    if (!text_list_contains(*keys, key))
        return text_list_append(keys, key);
    problems_add(problems, NULL, address.transport == &transport_vsock ? "once would be right; vsock://:PORT listens on every CID of the host"
                                                                       : "once would be right",
                 "%s is the same listener as one before it", canonical);
    return 0;
}

static int validate_listen(ServiceContext *service, Problems *problems)
{
    _cleanup_(text_list_freep) char **keys = NULL;

    for (size_t i = 0; service->listen && service->listen[i]; i++) {
        Problems found = {0};
        int r = validate_entry(service, &service->listen[i], &keys, &found);
        if (found.count > 0) {
            char field[FIELD_TEXT_SIZE_BYTES];
            snprintf(field, sizeof(field), "listen[%zu]", i);
            problems_prefix(&found, 0, field);
        }
        problems_move(problems, &found);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- handout, peers, activation ---- */

static void validate_peers(const ServiceContext *service, Problems *problems)
{
    bool wait = service->activate && service->activate->mode == ACTIVATION_WAIT;

    if (!service_has_peers(service))
        return;
    if (service->handout && service->handout->mode == HANDOUT_LISTENER)
        problems_add(problems, "peers", "`handout: {mode: connections}` would be right, or no peers",
                     "rules for peers hold where the daemon accepts, and with handout.mode listener whoever is handed the listener "
                     "accepts by itself");
    if (wait)
        problems_add(problems, "peers", "`activate: {mode: accept}` would be right, or no peers",
                     "rules for peers hold where the daemon accepts, and with activate.mode wait the program accepts by itself");
    if (service_type(service) == SERVICE_DGRAM)
        problems_add(problems, "peers", "`type: stream` or `type: seqpacket` would be right, or no peers",
                     "rules for peers hold where the daemon accepts, and datagrams have no connections to accept");
}

static void validate_handout(const ServiceContext *service, Problems *problems)
{
    if (service->handout && service->handout->mode == HANDOUT_CONNECTIONS && service_type(service) == SERVICE_DGRAM)
        problems_add(problems, "handout.mode", "listener would be right", "datagrams have no connections to hand out");
}

static void validate_limits(const Activation *activate, Problems *problems)
{
    for (size_t i = 0; activate->limits && activate->limits[i]; i += 2) {
        const char *name = activate->limits[i], *value = activate->limits[i + 1];
        char field[FIELD_TEXT_SIZE_BYTES];
        uint64_t soft, hard;
        int resource = limit_find(name);
        snprintf(field, sizeof(field), "activate.limits.%s", name);
        if (resource < 0)
            problems_add(problems, field, format_limit_name.hint, "is no resource limit");
        else if (!limit_parse(resource, value, &soft, &hard))
            refuse_text(problems, field, "a number, SOFT:HARD with SOFT not above HARD, or infinity would be right", value,
                        "is no value of this limit");
    }
}

static void validate_activate(const ServiceContext *service, Problems *problems)
{
    const Activation *activate = service->activate;

    if (!activate)
        return;
    bool exec = activate->exec && activate->exec[0];
    bool accept = activate->mode == ACTIVATION_ACCEPT;
    if (exec && activate->unit)
        problems_add(problems, "activate.unit", "leave out either exec or unit", "exec and unit are both given");
    if (!exec && !activate->unit)
        problems_add_absence(problems, "activate.exec", "`exec: [/usr/bin/logger, -t, guest]` or, with wait, a unit would be right",
                     "there is neither exec nor unit");
    if (exec) {
        const char *why = format_program.check(activate->exec[0]);
        if (why)
            refuse_text(problems, "activate.exec[0]", "the program's absolute path, as /usr/bin/logger, would be right",
                        activate->exec[0], why);
    }
    if (activate->unit && accept)
        problems_add(problems, "activate.unit", "`mode: wait`, or exec instead of unit, would be right",
                     "a unit takes the listeners, so it goes with wait only");
    if (activate->start_limit && accept)
        problems_add(problems, "activate.startLimit", "`peers: {rate: 50/s}` bounds connections",
                     "it bounds starts with wait only");
    if (accept && service_type(service) == SERVICE_DGRAM)
        problems_add(problems, "activate.mode", "wait would be right", "datagrams have no connections to accept");
    if (activate->unit) {
        static const char *const unit_own[] = {"user",        "groups", "environment", "workingDirectory", "umask",
                                               "limits", "stopTimeoutSeconds", "startLimit"};
        for (size_t i = 0; i < ELEMENTS_OF(unit_own); i++) {
            const Field *field = record_find_field(&record_type_Activation, unit_own[i]);
            char name[FIELD_TEXT_SIZE_BYTES];
            if (!field || field_is_absent(field, activate) || (accept && strcmp(unit_own[i], "startLimit") == 0))
                continue;
            snprintf(name, sizeof(name), "activate.%s", unit_own[i]);
            problems_add(problems, name, "set it in the unit", "a unit says this itself");
        }
    }
    validate_limits(activate, problems);
}

int service_validate(ServiceContext *service, Problems *problems)
{
    validate_number(service, problems);
    int r = validate_listen(service, problems);
    if (r < 0)
        return r;
    validate_handout(service, problems);
    validate_peers(service, problems);
    validate_activate(service, problems);
    return problems->failed ? -ENOMEM : 0;
}
