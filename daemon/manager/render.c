/* SPDX-License-Identifier: Apache-2.0 */
/* What the API shows of a service, a machine, the daemon: text, written once and kept until something changes. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/place/holders.h"
#include "daemon/manager/internal.h"

/* Leases name programs, and a program becomes another by execve(2) without telling anybody: looked at again after this. */
#define LEASES_SHOWN_US (100 * 1000)

typedef struct Shown {
    const char *state;
    const char *reason; /* or NULL */
} Shown;

/* Why a service that listens on machines has nothing to hold. machine:* without any machine is nothing to tell of. */
static const char *machines_missing(const Manager *manager, const Service *service)
{
    char **listen = service->context->listen;
    bool known = false, named = false;

    for (; service->has_machines && listen && *listen; listen++) {
        if (!text_starts_with(*listen, "machine:"))
            continue;
        const char *name = *listen + strlen("machine:");
        bool any = strcmp(name, "*") == 0;
        known |= any ? manager->registry.machine_count > 0 : registry_find_machine((Registry *)(uintptr_t)&manager->registry, name) != NULL;
        named |= !any;
    }
    return known   ? "no machine that it listens on has a transport for it"
           : named ? "no machine that it listens on is known yet"
                   : NULL;
}

/* The states of a service, first that fits. */
static Shown service_state(const Manager *manager, const Service *service)
{
    size_t count = 0, listening = 0, failed = 0;
    const char *waits = NULL, *fails = NULL, *given_up, *trouble;

    if (!service_effectively_enabled(service))
        return (Shown){"disabled", NULL};
    for (const Listener *listener = service->listeners; listener; listener = listener->next) {
        count++;
        if (listener->state == LISTENER_LISTENING)
            listening++;
        if (listener->state == LISTENER_FAILED) {
            failed++;
            fails = fails ? fails : listener->reason;
        }
        if (listener->state == LISTENER_WAITING)
            waits = waits ? waits : listener->reason;
    }
    if (count > 0 && failed == count)
        return (Shown){"failed", fails};
    bool runs = manager_activate_is_active(manager, service, &given_up, &trouble);
    if (given_up)
        return (Shown){"failed", given_up};
    if (runs || leases_of_service(manager->leases, service->context->name))
        return (Shown){"active", trouble};
    if (listening > 0)
        return (Shown){"listening", trouble};
    if (count > 0)
        return (Shown){"waiting", waits ? waits : fails};
    return (Shown){"registered", machines_missing(manager, service)};
}

const char *manager_service_state(const Manager *manager, const Service *service)
{
    return service_state(manager, service).state;
}

static void render_text(Buffer *text, const char *name, const char *value)
{
    if (!value)
        return;
    buffer_append_text(text, ",\"");
    buffer_append_text(text, name);
    buffer_append_text(text, "\":");
    buffer_append_json(text, value);
}

static void render_time(Buffer *text, const char *name, uint64_t time_us)
{
    char time[TIME_TEXT_SIZE_BYTES];

    render_text(text, name, time_format(time_us, time));
}

static int render_origin(Buffer *text, const Origin *origin)
{
    Buffer words = {0};
    char *origin_text;

    if (origin->kind == STORED_USER) { /* nothing in it to be escaped */
        buffer_append_text(text, ",\"origin\":\"");
        origin_format(origin, text);
        buffer_append_char(text, '"');
        return 0;
    }
    origin_format(origin, &words);
    int r = buffer_take(&words, &origin_text, NULL);
    if (r < 0)
        return r;
    render_text(text, "origin", origin_text);
    free(origin_text);
    return 0;
}

static const char *const listener_states[] = {
    [LISTENER_PENDING] = "waiting",
    [LISTENER_LISTENING] = "listening",
    [LISTENER_WAITING] = "waiting",
    [LISTENER_FAILED] = "failed",
    [LISTENER_DRAINING] = "draining",
};

const char *listener_state_name(const Listener *listener)
{
    return listener_states[listener->state];
}

static void render_listener(Buffer *text, const Listener *listener, bool with_service)
{
    buffer_append_text(text, "{\"address\":");
    buffer_append_json(text, listener->uri);
    if (with_service)
        render_text(text, "service", listener->service->context->name);
    render_text(text, "machine", listener->machine);
    render_text(text, "state", listener_state_name(listener));
    if (listener->state != LISTENER_LISTENING)
        render_text(text, "reason", listener->reason);
    if (listener->holder_count > 0) {
        buffer_append_text(text, ",\"holders\":[");
        for (size_t i = 0; i < listener->holder_count; i++) {
            if (i > 0)
                buffer_append_char(text, ',');
            buffer_append_number(text, (unsigned long long)listener->holders[i]);
        }
        buffer_append_char(text, ']');
    }
    buffer_append_char(text, '}');
}

static void render_listeners(Manager *manager, const Service *service, Buffer *text)
{
    const Listener *listener;
    bool first = true;

    buffer_append_text(text, ",\"listeners\":[");
    for (listener = service->listeners; listener; listener = listener->next) {
        if (!first)
            buffer_append_char(text, ',');
        render_listener(text, listener, false);
        first = false;
    }
    TAILQ_FOREACH(listener, &manager->draining, queue) {
        if (!text_equal(listener->former_service, service->context->name))
            continue;
        if (!first)
            buffer_append_char(text, ',');
        render_listener(text, listener, false);
        first = false;
    }
    buffer_append_char(text, ']');
}

static void render_leases(const Manager *manager, const Service *service, Buffer *text)
{
    const Lease *first = leases_of_service(manager->leases, service->context->name);

    buffer_append_text(text, ",\"leases\":[");
    for (const Lease *lease = first; lease; lease = lease->next_of_service) {
        char program[64];
        buffer_printf(text, "%s{\"processId\":%d,\"userId\":%u", lease == first ? "" : ",", (int)lease->pid,
                      (unsigned)lease->uid);
        render_text(text, "program", process_name(lease->pid, program, sizeof(program)) ? program : NULL);
        render_time(text, "since", lease->since_us);
        buffer_append_char(text, '}');
    }
    buffer_append_char(text, ']');
}

static int render_service(Manager *manager, const Service *service, RecordWriteFlags flags, Buffer *text)
{
    _cleanup_(service_context_freep) ServiceContext *context = NULL;
    bool implied = false;
    int r = manager_implied_peers(manager, service->context, &implied);

    if (r == 0)
        r = service_complete(service->context, service->has_port ? &service->port : NULL, implied, &context);
    if (r < 0)
        return r;
    Shown shown = service_state(manager, service);
    buffer_append_text(text, "{\"context\":");
    record_write_json(&record_type_ServiceContext, context, flags, text);
    buffer_append_text(text, ",\"runtime\":{\"state\":");
    buffer_append_json(text, shown.state);
    render_text(text, "reason", shown.reason);

    r = render_origin(text, service->origin);
    if (r < 0)
        return r;
    render_time(text, "registeredAt", service->registered_at_us);
    if (service->ephemeral_pid > 0)
        buffer_printf(text, ",\"ephemeralProcessId\":%d", (int)service->ephemeral_pid);
    if (service->override != UNSET)
        buffer_append_text(text, ",\"overridden\":true");
    render_listeners(manager, service, text);
    render_leases(manager, service, text);
    manager_activate_render(manager, service, text);
    buffer_append_text(text, "}}");
    return text->failed ? -ENOMEM : 0;
}

/* Of this turn of the loop. */
static uint64_t monotonic_us(const Manager *manager)
{
    uint64_t now_us = 0;

    sd_event_now(manager->event, CLOCK_MONOTONIC, &now_us);
    return now_us;
}

int manager_render_service(Manager *manager, Service *service, bool secrets, const char **ret_text, size_t *ret_size_bytes)
{
    bool has_secrets = service->context->activate && service->context->activate->environment;

    if (secrets && has_secrets) {
        /* Rare: not kept beside what everybody is shown. */
        buffer_clear(&manager->scratch);
        int r = render_service(manager, service, RECORD_WRITE_ALL, &manager->scratch);
        if (r < 0)
            return r;
        *ret_text = manager->scratch.data;
        *ret_size_bytes = manager->scratch.size_bytes;
        return 0;
    }
    if (service->rendered && service->rendered_until_us != UINT64_MAX && monotonic_us(manager) > service->rendered_until_us)
        registry_touch(&manager->registry, service);
    if (!service->rendered) {
        buffer_clear(&manager->scratch);
        int r = render_service(manager, service, RECORD_OMIT_SECRETS, &manager->scratch);
        if (r < 0)
            return r;
        /* A copy of just its size. */
        r = registry_keep_rendered(&manager->registry, service, manager->scratch.data, manager->scratch.size_bytes);
        if (r < 0)
            return r;
        service->rendered_until_us = leases_of_service(manager->leases, service->context->name)
                                         ? monotonic_us(manager) + LEASES_SHOWN_US
                                         : UINT64_MAX;
    }
    *ret_text = service->rendered;
    *ret_size_bytes = service->rendered_size_bytes;
    return 0;
}

bool manager_shows_secrets(Manager *manager, Service *service, const Caller *caller)
{
    return service->context->activate && service->context->activate->environment &&
           access_is_administrator(manager->access, caller->credentials);
}

/* By the host's socket that machines share: the one that this service has for its number. */
static Listener *shared_listener(Manager *manager, const Service *service, const Address *address)
{
    Address shared = *address; /* borrows everything */
    _cleanup_(freep) char *key = NULL;

    shared.cid = VSOCK_CID_ANY;
    if (address_key(&shared, &key) < 0)
        return NULL;
    Listener *listener = registry_first_claim(&manager->registry, key);
    while (listener && listener->service != service)
        listener = registry_next_claim(listener);
    return listener;
}

static bool names_machine(const ServiceContext *service, const char *name)
{
    for (size_t i = 0; service->listen && service->listen[i]; i++)
        if (text_starts_with(service->listen[i], "machine:") &&
            (text_equal(service->listen[i] + 8, "*") || text_equal(service->listen[i] + 8, name)))
            return true;
    return false;
}

/* What its guest reaches: what listens on its own transport, and on the host's for it. */
static int render_machine_listeners(Manager *manager, Machine *machine, Buffer *text)
{
    Listener *listener;
    Service *service;
    const char *separator = "";
    int r = 0;

    buffer_append_text(text, ",\"listeners\":[");
    LIST_FOREACH(listener, &machine->listeners, of_machine) {
        buffer_append_text(text, separator);
        render_listener(text, listener, true);
        separator = ",";
    }
    if (machine->context->cid.set)
        LIST_FOREACH(service, &manager->registry.machine_services, of_machines) {
            ServiceContext numbered = *service->context; /* borrows everything */
            Address address = {0};
            if (!names_machine(service->context, machine->context->name))
                continue;
            if (service->has_port)
                numbered.port = (Number){.value = service->port, .set = true};
            r = machine_address(machine->context, &numbered, &address);
            listener = r == 0 && address.transport == &transport_vsock ? shared_listener(manager, service, &address) : NULL;
            address_release(&address);
            if (r < 0)
                return r;
            if (!listener)
                continue;
            buffer_append_text(text, separator);
            render_listener(text, listener, true);
            separator = ",";
        }
    buffer_append_char(text, ']');
    return 0;
}

int manager_render_machine(Manager *manager, Machine *machine, Buffer *text)
{
    buffer_append_text(text, "{\"context\":");
    record_write_json(&record_type_MachineContext, machine->context, RECORD_OMIT_SECRETS, text);

    int r = render_origin(text, machine->origin);
    if (r < 0)
        return r;
    render_time(text, "registeredAt", machine->registered_at_us);
    if (machine->ephemeral_pid > 0)
        buffer_printf(text, ",\"ephemeralProcessId\":%d", (int)machine->ephemeral_pid);
    r = render_machine_listeners(manager, machine, text);
    buffer_append_char(text, '}');
    return r < 0 ? r : text->failed ? -ENOMEM : 0;
}

/* Also of services that are gone. */
static void render_draining(const Manager *manager, Buffer *text)
{
    const Listener *listener;
    bool first = true;

    buffer_append_text(text, ",\"draining\":[");
    TAILQ_FOREACH(listener, &manager->draining, queue) {
        if (!first)
            buffer_append_char(text, ',');
        render_listener(text, listener, false);
        first = false;
    }
    buffer_append_char(text, ']');
}

static void render_folders(const Manager *manager, Buffer *text)
{
    buffer_append_text(text, ",\"configuration\":[");
    if (manager->config_path) {
        _cleanup_(freep) char *folder = NULL;
        if (asprintf(&folder, "%s/services.d", manager->config_path) >= 0)
            buffer_append_json(text, folder);
    } else {
        for (size_t i = 0; load_system_folders[i]; i++) {
            if (i > 0)
                buffer_append_char(text, ',');
            buffer_append_json(text, load_system_folders[i]);
        }
    }
    buffer_append_char(text, ']');
}

int manager_render_status(Manager *manager, Buffer *text)
{
    buffer_printf(text, "{\"version\":\"%s\",\"processId\":%d", HVSOCK_VERSION, (int)getpid());
    if (manager->hold && hold_pid(manager->hold) > 0)
        buffer_printf(text, ",\"keeperProcessId\":%d", (int)hold_pid(manager->hold));
    render_time(text, "startedAt", manager->started_at_us);
    buffer_printf(text, ",\"services\":%zu,\"machines\":%zu,\"listeners\":%zu,\"leases\":%zu,\"programs\":%zu,\"errors\":[",
                  manager->registry.service_count, manager->registry.machine_count, manager->registry.listener_count,
                  leases_count(manager->leases), manager_activate_count(manager));
    bool first = true;
    const char *const troubles[] = {hold_trouble(manager->hold), manager->store_refuses, manager->journal_trouble, manager->metrics_trouble};
    for (size_t i = 0; i < ELEMENTS_OF(troubles); i++) {
        if (!troubles[i])
            continue;
        if (!first)
            buffer_append_char(text, ',');
        buffer_append_json(text, troubles[i]);
        first = false;
    }
    for (size_t i = 0; i < manager->errors.count; i++) {
        if (manager->errors.items[i].warning)
            continue;
        Buffer line = {0};
        problem_format(&manager->errors.items[i], &line);
        if (!first)
            buffer_append_char(text, ',');
        buffer_append_json_sized(text, line.data ? line.data : "", line.size_bytes);
        buffer_release(&line);
        first = false;
    }
    buffer_append_char(text, ']');
    render_draining(manager, text);
    render_folders(manager, text);
    buffer_append_char(text, '}');
    return text->failed ? -ENOMEM : 0;
}
