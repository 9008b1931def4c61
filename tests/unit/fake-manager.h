/* SPDX-License-Identifier: Apache-2.0 */
/* A manager for tests of daemon/api: it remembers what it was told, keeps names in order, and commits when it is asked
 * to. Included by one source of a program; the linker then needs nothing of daemon/manager but its failures. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "daemon/journal/journal.h"
#include "daemon/manager/manager.h"
#include "schema/model/record.h"

struct Service {
    char name[SERVICE_NAME_MAX_BYTES + 1];
    char *text;
    uint32_t port;
    bool enabled;
    bool socket; /* handout.socket */
};

struct Machine {
    char name[SERVICE_NAME_MAX_BYTES + 1];
};

#define FAKE_EVENTS_MAX 8

struct Manager {
    Service *services; /* by name */
    size_t service_count, service_capacity;
    Machine machines[8];
    size_t machine_count;
    Settings settings;
    Limits limits;
    Administrators administrators;
    Access *access;
    Journal *journal; /* without a folder, so without entries */
    ManagerObserver observer;

    bool staged;
    unsigned settles;        /* how often something was committed */
    unsigned staged_count;   /* since the last commit */
    unsigned staged_max;     /* in any one */
    bool settle_fails;       /* the next one */
    unsigned registers;      /* calls */
    size_t padding_bytes;    /* of each service's text */
    size_t listeners;        /* that Acquire gives a name */
    unsigned acquires;
    unsigned renders;
    uint64_t events;         /* that have happened */
    char log[65536];         /* what was called, one word each */
    bool logs;
};

static void fake_log(Manager *manager, const char *word, const char *name)
{
    size_t used = strlen(manager->log);

    if (manager->logs)
        snprintf(manager->log + used, sizeof(manager->log) - used, "%s%s:%s", used ? " " : "", word, name);
}

static void fake_init(Manager *manager)
{
    *manager = (Manager){.listeners = 1, .logs = true};
    manager->limits = (Limits){
        .connections_per_user = {.value = 256, .set = true},
        .calls_in_flight = {.value = 64, .set = true},
        .message_bytes = {.value = 65536, .set = true},
        .watchers = {.value = 2, .set = true},
    };
    manager->settings.limits = &manager->limits;
    manager->settings.administrators = &manager->administrators;
    if (access_new(&manager->settings, &manager->access) < 0 || journal_new(&manager->journal) < 0)
        abort();
}

static void fake_release(Manager *manager)
{
    access_free(manager->access);
    journal_free(manager->journal);
    for (size_t i = 0; i < manager->service_count; i++)
        free(manager->services[i].text);
    free(manager->services);
}

static void fake_stage(Manager *manager)
{
    manager->staged = true;
    manager->staged_count++;
    manager->events++; /* told at the commit */
}

static _unused_ void fake_event(Manager *manager)
{
    manager->events++;
    if (manager->observer.on_events)
        manager->observer.on_events(manager->observer.userdata);
}

/* The index of the first service whose name is not before `name`; after: is after it. */
static size_t fake_find(const Manager *manager, const char *name, bool after)
{
    size_t first = 0, last = manager->service_count;

    while (first < last) {
        size_t middle = first + (last - first) / 2;
        int order = strcmp(manager->services[middle].name, name);
        if (order < 0 || (after && order == 0))
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

static Service *fake_add(Manager *manager, const char *name, uint32_t port)
{
    size_t at = fake_find(manager, name, false);

    if (manager->service_count == manager->service_capacity) {
        manager->service_capacity = manager->service_capacity ? manager->service_capacity * 2 : 16;
        manager->services = reallocarray(manager->services, manager->service_capacity, sizeof(*manager->services));
        if (!manager->services)
            abort();
    }
    Service *services = manager->services;
    memmove(&services[at + 1], &services[at], (manager->service_count++ - at) * sizeof(*services));
    services[at] = (Service){.port = port, .enabled = true};
    snprintf(services[at].name, sizeof(services[at].name), "%s", name);
    return &services[at];
}

/* ---- manager.h ---- */

void manager_observe(Manager *manager, const ManagerObserver *observer)
{
    manager->observer = *observer;
}

const Access *manager_access(const Manager *manager)
{
    return manager->access;
}

const Settings *manager_settings(const Manager *manager)
{
    return &manager->settings;
}

Service *manager_find_service(Manager *manager, const char *name)
{
    size_t at = fake_find(manager, name, false);

    return at < manager->service_count && strcmp(manager->services[at].name, name) == 0 ? &manager->services[at] : NULL;
}

Service *manager_next_service(Manager *manager, const char *after)
{
    size_t at = after ? fake_find(manager, after, true) : 0;

    return at < manager->service_count ? &manager->services[at] : NULL;
}

Machine *manager_next_machine(Manager *manager, const char *after)
{
    for (size_t i = 0; i < manager->machine_count; i++)
        if (!after || strcmp(manager->machines[i].name, after) > 0)
            return &manager->machines[i];
    return NULL;
}

Machine *manager_find_machine(Manager *manager, const char *name)
{
    for (size_t i = 0; i < manager->machine_count; i++)
        if (strcmp(manager->machines[i].name, name) == 0)
            return &manager->machines[i];
    return NULL;
}

const char *service_name(const Service *service)
{
    return service->name;
}

const char *machine_name(const Machine *machine)
{
    return machine->name;
}

int manager_register(Manager *manager, const Caller *caller, ServiceContext *service_consume, pid_t ephemeral_pid,
                     Failure *failure)
{
    _cleanup_(service_context_freep) ServiceContext *context = service_consume;

    manager->registers++;
    fake_log(manager, "register", context->name);
    if (manager_find_service(manager, context->name))
        return failure_conflict(failure, "name", context->name, context->name, "user:0", 0);
    fake_add(manager, context->name, context->port.value);
    fake_stage(manager);
    return 0;
}

int manager_unregister(Manager *manager, const Caller *caller, const char *name, Failure *failure)
{
    Service *service = manager_find_service(manager, name);

    fake_log(manager, "unregister", name);
    if (!service)
        return failure_no_such_service(failure, name);
    free(service->text);
    size_t at = (size_t)(service - manager->services);
    memmove(service, service + 1, (--manager->service_count - at) * sizeof(*service));
    fake_stage(manager);
    return 0;
}

int manager_set_enabled(Manager *manager, const Caller *caller, const char *name, bool enabled, Failure *failure)
{
    Service *service = manager_find_service(manager, name);

    fake_log(manager, enabled ? "enable" : "disable", name);
    if (!service)
        return failure_no_such_service(failure, name);
    service->enabled = enabled;
    free(TAKE_PTR(service->text));
    fake_stage(manager);
    return 0;
}

int manager_add_machine(Manager *manager, const Caller *caller, MachineContext *machine_consume, pid_t ephemeral_pid,
                        Failure *failure)
{
    _cleanup_(machine_context_freep) MachineContext *context = machine_consume;

    fake_log(manager, "add", context->name);
    Machine *machine = &manager->machines[manager->machine_count++];
    snprintf(machine->name, sizeof(machine->name), "%s", context->name);
    fake_stage(manager);
    return 0;
}

int manager_remove_machine(Manager *manager, const Caller *caller, const char *name, Failure *failure)
{
    fake_log(manager, "remove", name);
    return failure_no_such_machine(failure, name);
}

int manager_apply(Manager *manager, const Caller *caller, Document *document_consume, bool machines_given,
                  const char *set, bool prune, bool dry_run, Buffer *ret_changes, Failure *failure)
{
    fake_log(manager, prune ? "prune" : dry_run ? "try" : "apply", set);
    buffer_append_text(ret_changes, "[]");
    document_free(document_consume);
    if (!dry_run)
        fake_stage(manager);
    return 0;
}

int manager_reload(Manager *manager, const Caller *caller, Buffer *ret_changes, Failure *failure)
{
    fake_log(manager, "reload", caller ? "client" : "signal");
    buffer_append_text(ret_changes, "[]");
    fake_stage(manager);
    return 0;
}

bool manager_has_staged(const Manager *manager)
{
    return manager->staged;
}

int manager_settle(Manager *manager, Failure *failure)
{
    char count[16];

    snprintf(count, sizeof(count), "%u", manager->staged_count);
    fake_log(manager, manager->settle_fails ? "fail" : "settle", count);
    manager->settles++;
    if (manager->staged_count > manager->staged_max)
        manager->staged_max = manager->staged_count;
    manager->staged = false;
    manager->staged_count = 0;
    if (manager->observer.on_events)
        manager->observer.on_events(manager->observer.userdata);
    if (!manager->settle_fails)
        return 0;
    manager->settle_fails = false;
    return failure_storage_failed(failure, "the disk is full");
}

Service *manager_lookup(Manager *manager, const Lookup *lookup, const char *after)
{
    if (lookup->name) {
        Service *service = manager_find_service(manager, lookup->name);
        bool fits = service && (!lookup->has_port || service->port == lookup->port) &&
                    (!after || strcmp(service->name, after) > 0);
        return fits ? service : NULL;
    }
    for (Service *service = manager_next_service(manager, after); service;
         service = manager_next_service(manager, service->name))
        if (!lookup->has_port || service->port == lookup->port)
            return service;
    return NULL;
}

int manager_render_service(Manager *manager, Service *service, bool secrets, const char **ret_text,
                           size_t *ret_size_bytes)
{
    manager->renders++;
    free(TAKE_PTR(service->text));
    if (asprintf(&service->text, "{\"context\":{\"name\":\"%s\",\"port\":%u,\"enabled\":%s%s%*s}}", service->name,
                 service->port, service->enabled ? "true" : "false", secrets ? ",\"secret\":true" : "",
                 (int)manager->padding_bytes, "") < 0)
        return -ENOMEM;
    *ret_text = service->text;
    *ret_size_bytes = strlen(service->text);
    return 0;
}

bool manager_shows_secrets(Manager *manager, Service *service, const Caller *caller)
{
    return strcmp(service->name, "secret") == 0;
}

int manager_render_machine(Manager *manager, Machine *machine, Buffer *text)
{
    buffer_printf(text, "{\"context\":{\"name\":\"%s\"}}", machine->name);
    return 0;
}

int manager_render_status(Manager *manager, Buffer *text)
{
    buffer_printf(text, "{\"services\":%zu}", manager->service_count);
    return 0;
}

void manager_log_refused(Manager *manager, const Caller *caller, const char *method, const Failure *failure)
{
    fake_log(manager, "refused", strrchr(method, '.') + 1);
}

Journal *manager_journal(Manager *manager)
{
    return manager->journal;
}

void manager_render_metrics(Manager *manager, Buffer *text)
{
    buffer_append_text(text, "# fake\n");
}

int manager_acquire(Manager *manager, const Caller *caller, char *const *names, size_t max, Handed *ret,
                    Failure *failure)
{
    Handed handed = {0};

    manager->acquires++;
    if (max > 0 && manager->listeners > max)
        return failure_plain(failure, FAILURE_EXPECTED_MORE);
    for (size_t i = 0; names[i]; i++)
        if (!manager_find_service(manager, names[i]))
            return failure_no_such_service(failure, names[i]);
    handed.objects = calloc(manager->listeners + 1, sizeof(*handed.objects));
    if (!handed.objects)
        return -ENOMEM;
    for (; handed.count < manager->listeners; handed.count++) {
        if (asprintf(&handed.objects[handed.count], "{\"service\":\"%s\",\"address\":\"unix:///%zu\",", names[0],
                     handed.count) < 0 ||
            fd_list_add_consume(&handed.fds, open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
            return -ENOMEM;
    }
    *ret = handed;
    return 0;
}

void handed_release(Handed *handed)
{
    for (size_t i = 0; i < handed->count; i++)
        free(handed->objects[i]);
    free(handed->objects);
    fd_list_clear(&handed->fds);
    *handed = (Handed){0};
}

const Event *manager_next_event(Manager *manager, uint64_t sequence, uint64_t *ret_missed)
{
    static Event event;
    static char name[] = "a";
    uint64_t oldest = manager->events > FAKE_EVENTS_MAX ? manager->events - FAKE_EVENTS_MAX : 0;

    *ret_missed = sequence < oldest ? oldest - sequence : 0;
    if (sequence < oldest)
        sequence = oldest;
    event = (Event){.sequence = sequence, .kind = "changed", .service = name};
    return sequence < manager->events ? &event : NULL;
}

uint64_t manager_event_sequence(const Manager *manager)
{
    return manager->events;
}

/* /dev/null stands for the socket. */
int manager_serve(Manager *manager, const Caller *caller, const char *name, int *ret_fd, Failure *failure)
{
    if (!manager_find_service(manager, name))
        return failure_no_such_service(failure, name);
    *ret_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

int manager_list_connections(Manager *manager, char ***ret_objects)
{
    char **objects = NULL;
    int r = 0;

    for (size_t i = 0; i < manager->service_count && r == 0; i++) {
        Buffer text = {0};
        char *taken;
        buffer_append_text(&text, "{\"service\":");
        buffer_append_json(&text, manager->services[i].name);
        buffer_append_char(&text, '}');
        r = buffer_take(&text, &taken, NULL);
        if (r == 0) {
            r = text_list_append(&objects, taken);
            free(taken);
        }
    }
    if (r == 0 && !objects)
        objects = calloc(1, sizeof(*objects));
    *ret_objects = objects;
    return r;
}
