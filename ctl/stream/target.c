/* SPDX-License-Identifier: Apache-2.0 */
/* From what was typed to an address: URIs are read, names are looked up. The direction is from this host into a machine: a
 * service that is served there, whatever this host listens on for it. Nothing here outlives its call. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl/stream/progress.h"
#include "ctl/stream/target.h"
#include "schema/base/text.h"
#include "schema/model/service.h"

const char *const socket_type_words[] = {"stream", "seqpacket", "dgram", NULL};

int type_read(Ctl *ctl, int *ret)
{
    static const int types[] = {SERVICE_STREAM, SERVICE_SEQPACKET, SERVICE_DGRAM};
    const char *word = given_value(&ctl->given, "type", NULL);

    *ret = 0;
    if (!word)
        return 0;
    for (size_t i = 0; i < ELEMENTS_OF(types); i++)
        if (strcmp(socket_type_words[i], word) == 0) {
            *ret = types[i];
            return 0;
        }
    return ctl_usage(ctl, "--type", "stream, seqpacket or dgram would be right", "\"%s\" is no type of a socket", word);
}

bool operand_is_uri(const char *operand)
{
    return strstr(operand, "://") || text_starts_with(operand, "vsock:") || text_starts_with(operand, "machine:");
}

/* Windows' own sockets: what reaches the same service from here. */
static int refuse_hyperv(Ctl *ctl, const char *uri, bool connects, const Address *address)
{
    char hint[200];

    if (address->has_port && !connects)
        snprintf(hint, sizeof(hint), "use vsock://:%u, also in a guest of Hyper-V, or a service's name", address->port);
    else if (address->has_port)
        snprintf(hint, sizeof(hint),
                 "use vsock://CID:%u, in a guest of Hyper-V vsock://host:%u for its host, or SERVICE@MACHINE", address->port, address->port);
    else if (!connects)
        snprintf(hint, sizeof(hint), "this GUID has no vsock port, so that only hybrid://PATH:GUID (OpenVMM) can be listened on for it");
    else
        snprintf(hint, sizeof(hint),
                 "this GUID has no vsock port, so that only hybrid://PATH:GUID (OpenVMM) reaches it from Linux");
    return ctl_usage(ctl, uri, hint, "Linux has no AF_HYPERV sockets");
}

static int uri_check(Ctl *ctl, const char *uri, bool connects, const Address *address)
{
    if (address->transport == &transport_hyperv)
        return refuse_hyperv(ctl, uri, connects, address);
    if (address->transport == &transport_machine)
        return ctl_usage(ctl, uri, connects ? "SERVICE@MACHINE would be right" : "hvsockctl register NAME --listen machine:NAME makes hvsockd listen there",
                         "a machine is no address by itself");
    if (!address->transport->numberless && !address->has_port && !address->has_guid)
        return ctl_usage(ctl, uri, address->transport == &transport_hybrid ? "hybrid://PATH:PORT or hybrid://PATH:GUID would be right" : "hyperkit://:PORT/DIR would be right",
                         "the port is missing");
    if (connects && address->transport == &transport_vsock && address->cid == VSOCK_CID_ANY)
        return ctl_usage(ctl, uri, "a machine's CID, host (2) or local (1) would be right before the port", "nobody has the CID any");
    if (address->transport->stream_only) {
        const char *type = given_value(&ctl->given, "type", "stream");
        if (strcmp(type, "stream") != 0)
            return ctl_usage(ctl, "--type", "leave it out", "%s:// knows stream sockets only", address->transport->name);
    }
    return 0;
}

int uri_read(Ctl *ctl, const char *uri, bool connects, Address *ret)
{
    const char *reason = NULL, *hint = NULL;
    Address address;

    int r = address_parse(uri, &address, &reason, &hint);
    if (r == ADDRESS_REFUSED)
        return ctl_usage(ctl, uri, hint, "%s", reason);
    if (r < 0)
        return r;
    r = uri_check(ctl, uri, connects, &address);
    if (r == 0) {
        *ret = address;
        return 0;
    }
    address_release(&address);
    return r;
}

/* ---- SERVICE@MACHINE ---- */

static bool is_digits(const char *text)
{
    return text[0] && text[strspn(text, "0123456789")] == '\0';
}

static int read_service(Ctl *ctl, Wanted *wanted)
{
    uint64_t port;

    if (is_digits(wanted->service)) {
        if (!text_to_number(wanted->service, UINT32_MAX - 1, &port))
            return ctl_usage(ctl, wanted->operand, "a port is a plain decimal number from 0 to 4294967294", "\"%s\" is no port", wanted->service);
        wanted->has_port = true;
        wanted->port = (uint32_t)port;
    } else if (guid_has_shape(wanted->service)) {
        if (!guid_parse(wanted->service, &wanted->guid))
            return ctl_usage(ctl, wanted->operand, "8-4-4-4-12 hexadecimal digits, with or without braces", "\"%s\" is no GUID", wanted->service);
        wanted->has_port = guid_to_port(&wanted->guid, &wanted->port);
        wanted->has_guid = !wanted->has_port;
    } else {
        const char *wrong = format_service_name.check(wanted->service);
        return wrong ? ctl_usage(ctl, wanted->operand, "a service's name, a port or a GUID would be right before the @", "%s: %s", wanted->service, wrong) : 0;
    }
    free(TAKE_PTR(wanted->service));
    return 0;
}

static int read_machine(Ctl *ctl, Wanted *wanted)
{
    static const struct {
        const char *word;
        uint32_t cid;
    } words[] = {{"local", VSOCK_CID_LOCAL}, {"host", VSOCK_CID_HOST}, {"hypervisor", VSOCK_CID_HYPERVISOR}};
    uint64_t cid;

    for (size_t i = 0; i < ELEMENTS_OF(words); i++)
        if (strcmp(words[i].word, wanted->machine) == 0) {
            wanted->cid = words[i].cid;
            wanted->machine = NULL;
            return 0;
        }
    if (is_digits(wanted->machine)) {
        if (!text_to_number(wanted->machine, UINT32_MAX - 1, &cid))
            return ctl_usage(ctl, wanted->operand, "a CID is a plain decimal number from 0 to 4294967294", "\"%s\" is no CID", wanted->machine);
        wanted->cid = (uint32_t)cid;
        wanted->machine = NULL;
        return 0;
    }
    const char *wrong = format_machine_name.check(wanted->machine);
    return wrong ? ctl_usage(ctl, wanted->operand, "a machine's name, its CID, host or local would be right after the @", "%s: %s", wanted->machine, wrong) : 0;
}

int wanted_read(Ctl *ctl, const char *operand, Wanted *ret)
{
    Wanted wanted = {.operand = operand};
    const char *at = strrchr(operand, '@');

    int r = type_read(ctl, &wanted.type);
    if (r != 0)
        return r;
    if (operand_is_uri(operand)) {
        r = uri_read(ctl, operand, true, &wanted.address);
        if (r == 0)
            *ret = wanted;
        return r;
    }
    if (!at)
        return ctl_usage(ctl, operand, "SERVICE@MACHINE, or a URI as vsock://42:5140, hybrid://PATH:5140 or unix://PATH, would be right",
                         "it is not said where");
    wanted.service = strndup(operand, (size_t)(at - operand));
    if (!wanted.service)
        return -ENOMEM;
    wanted.machine = at + 1;
    r = read_service(ctl, &wanted);
    if (r == 0)
        r = read_machine(ctl, &wanted);
    if (r != 0)
        wanted_release(&wanted);
    else
        *ret = wanted;
    return r;
}

void wanted_release(Wanted *wanted)
{
    address_release(&wanted->address);
    free(TAKE_PTR(wanted->service));
}

/* ---- what the daemon knows ---- */

/* Answers; the texts point into the objects. */
typedef struct Found {
    json_t *service, *machine;
} Found;

static void found_release(Found *found)
{
    json_decref(found->service);
    json_decref(found->machine);
}

static void read_number(const json_t *object, const char *key, Number *ret)
{
    const json_t *number = json_object_get(object, key);
    json_int_t value = json_integer_value(number);

    if (json_is_integer(number) && value >= 0 && value <= UINT32_MAX)
        *ret = (Number){.value = (uint32_t)value, .set = true};
}

/* A record only as far as machine_address looks at it. */
static char *text_of(const json_t *object, const char *key)
{
    return (char *)(uintptr_t)json_string_value(json_object_get(object, key));
}

static int find_machine_on_object(const char *json, size_t size_bytes, void *userdata)
{
    json_t **machine = userdata;

    json_decref(*machine);
    *machine = json_loadb(json, size_bytes, 0, NULL);
    return *machine ? 0 : -EBADMSG;
}

/* What is left of the time is one answer's. */
static void set_time_left(Registry *registry, uint64_t deadline_ms)
{
    if (registry->ops->set_timeout)
        registry->ops->set_timeout(registry, clock_left_ms(deadline_ms));
}

static int ask(Registry *registry, const Wanted *wanted, uint64_t deadline_ms, Found *found, Failure *failure)
{
    int r = 0;

    if (wanted->service) {
        _cleanup_(freep) char *reply = NULL;
        set_time_left(registry, deadline_ms);
        r = registry->ops->describe(registry, wanted->service, &reply);
        found->service = r == 0 ? json_loads(reply, 0, NULL) : NULL;
        if (r == 0 && !found->service)
            r = -EBADMSG;
        if (r == REGISTRY_REFUSED && text_equal(registry->refusal, "NoSuchService")) {
            failure_set(failure, wanted->operand, "name its port (PORT@MACHINE), or register it: hvsockctl register NAME --port PORT --listen ''",
                        "there is no service %s", wanted->service);
            return TARGET_UNKNOWN;
        }
    }
    if (r == 0 && wanted->machine) {
        set_time_left(registry, deadline_ms);
        r = registry->ops->find_machine(registry, wanted->machine, find_machine_on_object, &found->machine);
        if ((r == 0 && !found->machine) || (r == REGISTRY_REFUSED && text_equal(registry->refusal, "NoSuchMachine"))) {
            failure_set(failure, wanted->operand, "hvsockctl machine list shows those that are known", "there is no machine %s", wanted->machine);
            return TARGET_UNKNOWN;
        }
    }
    if (r != 0)
        failure->answer = r;
    return r == 0 ? 0 : TARGET_UNKNOWN;
}

/* From what is known to an address. */
static int target_make(const Wanted *wanted, const Found *found, Failure *failure, Target *ret)
{
    const json_t *context = json_object_get(json_object_get(found->service, "service"), "context");
    const json_t *machine_context = json_object_get(found->machine, "context");
    char guid[GUID_TEXT_SIZE_BYTES];
    ServiceContext service = {.guid = text_of(context, "guid")};
    MachineContext machine = {.hybrid = text_of(machine_context, "hybrid"), .hyperkit = text_of(machine_context, "hyperkit")};
    const char *type = text_of(context, "type");

    read_number(context, "port", &service.port);
    read_number(machine_context, "cid", &machine.cid);
    if (wanted->has_port)
        service.port = (Number){.value = wanted->port, .set = true};
    if (wanted->has_guid)
        service.guid = guid_format(&wanted->guid, guid);
    if (!wanted->machine)
        machine.cid = (Number){.value = wanted->cid, .set = true};
    service.type = (uint8_t)(wanted->type                              ? wanted->type
                             : type && strcmp(type, "seqpacket") == 0 ? SERVICE_SEQPACKET
                             : type && strcmp(type, "dgram") == 0     ? SERVICE_DGRAM
                                                                       : SERVICE_STREAM);
    Target target = {.type = service.type, .hyperkit_cid = machine.cid.set ? machine.cid.value : HYPERKIT_CID_DEFAULT};
    int r = machine_address(&machine, &service, &target.address);
    if (r < 0)
        return r;
    if (!target.address.transport) {
        static const char hint[] = "hvsockctl machine list -o +HYPERKIT, and hvsockctl show, tell what is known";
        uint32_t port;
        if (!machine.hybrid && !machine.hyperkit && !machine.cid.set)
            failure_set(failure, wanted->operand, hint, "the machine has no transport that this host connects by");
        else if (!service.port.set && !service.guid)
            failure_set(failure, wanted->operand, hint, "the service has no port and no GUID, so that it is reached in no machine");
        else if (!service_port(&service, &port))
            failure_set(failure, wanted->operand, hint, "without a port it is reached on a machine with a hybrid socket alone");
        else
            failure_set(failure, wanted->operand, hint, "its type is %s, which the machine's transport does not know",
                        socket_type_words[service.type - 1]);
        failure->for_good = true;
        return TARGET_UNKNOWN;
    }
    target.address.cid = machine.cid.set ? machine.cid.value : VSOCK_CID_ANY;
    *ret = target;
    return 0;
}

static int target_ask(Ctl *ctl, const Wanted *wanted, uint64_t deadline_ms, Failure *failure, Target *ret)
{
    _cleanup_(found_release) Found found = {0};
    Registry *registry;
    int r = 0;

    if (wanted_asks(wanted)) {
        /* The answer of another try is not in this one's way. */
        registry_close(ctl->registry);
        ctl->registry = NULL;
        r = ctl_open_within(ctl, clock_left_ms(deadline_ms), &registry);
        if (r != 0) {
            failure->answer = r;
            return r == -ENOMEM ? r : TARGET_UNKNOWN;
        }
        r = ask(registry, wanted, deadline_ms, &found, failure);
    }
    return r == 0 ? target_make(wanted, &found, failure, ret) : r;
}

int target_find(Ctl *ctl, const Wanted *wanted, uint64_t deadline_ms, Failure *failure, Target *ret)
{
    Target target = {.type = wanted->type, .hyperkit_cid = HYPERKIT_CID_DEFAULT};
    _cleanup_(freep) char *uri = NULL;
    int r;

    *failure = (Failure){.status = EXIT_NO};
    snprintf(failure->what, sizeof(failure->what), "%s", wanted->operand);
    if (wanted->address.transport) {
        r = address_copy(&wanted->address, &target.address);
        snprintf(target.text, sizeof(target.text), "%s", wanted->operand);
    } else {
        r = target_ask(ctl, wanted, deadline_ms, failure, &target);
        if (r == 0)
            r = address_to_text(&target.address, &uri);
        /* vsock://42:22 says all; a path is longer, and has the number at its end. */
        if (r == 0)
            snprintf(target.text, sizeof(target.text), "%.60s (%.90s)", wanted->operand, uri);
    }
    if (r != 0) {
        target_release(&target);
        return r;
    }
    *ret = target;
    return 0;
}
