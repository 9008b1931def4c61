/* SPDX-License-Identifier: Apache-2.0 */
/* The registry that hvsockd keeps, by libhvsock: one connection for one command. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "ctl/json.h"
#include "ctl/libhvsock/hvsock.h"
#include "ctl/registry.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"
#include "schema/codec/record.h"

typedef struct Daemon Daemon;

struct Daemon {
    Registry registry; /* first: one is the other */
    hvsock *client;
};

static hvsock *client_of(Registry *registry)
{
    return ((Daemon *)registry)->client;
}

static void daemon_close(Registry *registry)
{
    hvsock_close(client_of(registry));
    free(registry->where);
    free(registry);
}

static int daemon_open(const char *where, int timeout_ms, Registry **ret)
{
    const char *path = where ? where : getenv("HVSOCK_SOCKET");
    _cleanup_(registry_closep) Registry *registry = calloc(1, sizeof(Daemon));

    if (!registry)
        return -ENOMEM;
    /* What hashes begin with: the kernel's random bytes that are here already, or jansson would open /dev/urandom. */
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM); /* aligned to nothing */
    size_t seed = 0;
    for (size_t i = 0; i < sizeof(seed); i++)
        seed = seed << 8 | random[i];
    json_object_seed(seed);
    registry->ops = &registry_daemon;
    registry->where = strdup(path && path[0] ? path : HVSOCK_SOCKET_DEFAULT);
    if (!registry->where)
        return -ENOMEM;
    int r = hvsock_open_within(registry->where, timeout_ms, &((Daemon *)registry)->client);
    if (r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR)
        return REGISTRY_ABSENT;
    if (r < 0)
        return r;
    *ret = TAKE_PTR(registry);
    return 0;
}

static void daemon_set_timeout(Registry *registry, int timeout_ms)
{
    hvsock_set_timeout(client_of(registry), timeout_ms);
}

/* libhvsock's answer as the seam's. */
static int daemon_answer(Registry *registry, int answer)
{
    static const char interface[] = "io.hvsock.Registry.";
    hvsock *client = client_of(registry);

    if (answer == -ECONNRESET || answer == -EPIPE || answer == -ENOTCONN)
        return REGISTRY_ABSENT;
    if (answer != HVSOCK_REFUSED)
        return answer;
    const char *name = hvsock_error_name(client);
    registry->refusal = text_starts_with(name, interface) ? name + strlen(interface) : name;
    registry->refusal_parameters = hvsock_error_parameters(client);
    registry->refusal_text = hvsock_error_text(client);
    return REGISTRY_REFUSED;
}

/* parameters: taken; empty is NULL. */
static int daemon_call(Registry *registry, const char *method, Buffer *parameters, char **ret_reply)
{
    _cleanup_(freep) char *text = NULL;

    if (parameters) {
        int r = buffer_take(parameters, &text, NULL);
        if (r < 0)
            return r;
    }
    return daemon_answer(registry, hvsock_call(client_of(registry), method, text, ret_reply));
}

static int daemon_call_name(Registry *registry, const char *method, const char *name, char **ret_reply)
{
    Buffer parameters = {0};

    buffer_append_text(&parameters, "{\"name\":");
    buffer_append_json(&parameters, name);
    buffer_append_char(&parameters, '}');
    return daemon_call(registry, method, &parameters, ret_reply);
}

/* ---- sequences ---- */

typedef struct Sequence {
    const char *key; /* the reply's member that is told */
    RegistryVisitor visitor;
    void *userdata;
    int stopped; /* what the visitor ended it with: nobody takes it for an answer of libhvsock's */
} Sequence;

static int sequence_on_reply(const char *reply, int *fds, size_t fd_count, void *userdata)
{
    Sequence *sequence = userdata;
    const char *object;
    size_t size_bytes;

    /* Nothing found is one reply without the item. */
    if (!json_member(reply, strlen(reply), sequence->key, &object, &size_bytes) ||
        (size_bytes == 4 && memcmp(object, "null", 4) == 0))
        return 0;
    sequence->stopped = sequence->visitor(object, size_bytes, sequence->userdata);
    return sequence->stopped;
}

static int daemon_sequence(Registry *registry, const char *method, Buffer *parameters, const char *key,
                           RegistryVisitor visitor, void *userdata)
{
    Sequence sequence = {.key = key, .visitor = visitor, .userdata = userdata};
    _cleanup_(freep) char *text = NULL;

    if (parameters) {
        int r = buffer_take(parameters, &text, NULL);
        if (r < 0)
            return r;
    }
    int r = hvsock_call_more(client_of(registry), method, text, sequence_on_reply, &sequence);
    return sequence.stopped ? sequence.stopped : daemon_answer(registry, r);
}

static int daemon_list(Registry *registry, RegistryVisitor on_service, void *userdata)
{
    return daemon_sequence(registry, "List", NULL, "service", on_service, userdata);
}

static int daemon_list_machines(Registry *registry, RegistryVisitor on_machine, void *userdata)
{
    return daemon_sequence(registry, "ListMachines", NULL, "machine", on_machine, userdata);
}

static int daemon_watch(Registry *registry, RegistryVisitor on_event, void *userdata)
{
    return daemon_sequence(registry, "Watch", NULL, "event", on_event, userdata);
}

static int daemon_list_connections(Registry *registry, RegistryVisitor on_connection, void *userdata)
{
    return daemon_sequence(registry, "ListConnections", NULL, "connection", on_connection, userdata);
}

static void parameter_append(Buffer *parameters, const char *key, const char *value)
{
    if (!value)
        return;
    if (parameters->size_bytes > 1)
        buffer_append_char(parameters, ',');
    buffer_append_json(parameters, key);
    buffer_append_char(parameters, ':');
    buffer_append_json(parameters, value);
}

static int daemon_find_machine(Registry *registry, const char *name, RegistryVisitor on_machine, void *userdata)
{
    Buffer parameters = {0};

    buffer_append_char(&parameters, '{');
    parameter_append(&parameters, "name", name);
    buffer_append_char(&parameters, '}');
    return daemon_sequence(registry, "ListMachines", &parameters, "machine", on_machine, userdata);
}

static int daemon_read_log(Registry *registry, const char *since, const char *name, bool follow, RegistryVisitor on_entry,
                           void *userdata)
{
    Buffer parameters = {0};

    buffer_append_char(&parameters, '{');
    parameter_append(&parameters, "since", since);
    parameter_append(&parameters, "name", name);
    if (follow)
        buffer_append_text(&parameters, parameters.size_bytes > 1 ? ",\"follow\":true" : "\"follow\":true");
    buffer_append_char(&parameters, '}');
    return daemon_sequence(registry, "ReadLog", &parameters, "entry", on_entry, userdata);
}

static int daemon_lookup(Registry *registry, const RegistryQuery *query, RegistryVisitor on_service, void *userdata)
{
    Buffer parameters = {0};

    buffer_append_char(&parameters, '{');
    parameter_append(&parameters, "name", query->name);
    parameter_append(&parameters, "guid", query->guid);
    parameter_append(&parameters, "address", query->address);
    parameter_append(&parameters, "machine", query->machine);
    if (query->port)
        buffer_printf(&parameters, "%s\"port\":%u", parameters.size_bytes > 1 ? "," : "", *query->port);
    buffer_append_char(&parameters, '}');
    return daemon_sequence(registry, "Lookup", &parameters, "service", on_service, userdata);
}

/* ---- calls ---- */

static int daemon_describe(Registry *registry, const char *name, char **ret_reply)
{
    return daemon_call_name(registry, "Describe", name, ret_reply);
}

static int daemon_status(Registry *registry, char **ret_reply)
{
    return daemon_call(registry, "Status", NULL, ret_reply);
}

static int daemon_metrics(Registry *registry, char **ret_reply)
{
    return daemon_call(registry, "Metrics", NULL, ret_reply);
}

static int daemon_reload(Registry *registry, char **ret_reply)
{
    return daemon_call(registry, "Reload", NULL, ret_reply);
}

static int daemon_remove_service(Registry *registry, const char *name, char **ret_reply)
{
    return daemon_call_name(registry, "Unregister", name, ret_reply);
}

static int daemon_remove_machine(Registry *registry, const char *name, char **ret_reply)
{
    return daemon_call_name(registry, "RemoveMachine", name, ret_reply);
}

static int daemon_set_enabled(Registry *registry, const char *name, bool enabled, char **ret_reply)
{
    Buffer parameters = {0};

    buffer_append_text(&parameters, "{\"name\":");
    buffer_append_json(&parameters, name);
    buffer_printf(&parameters, ",\"enabled\":%s}", enabled ? "true" : "false");
    return daemon_call(registry, "SetEnabled", &parameters, ret_reply);
}

static int daemon_add(Registry *registry, const char *method, const char *key, const RecordType *type,
                      const void *record, pid_t ephemeral_pid, char **ret_reply)
{
    Buffer parameters = {0};

    buffer_printf(&parameters, "{\"%s\":", key);
    record_write_json(type, record, RECORD_WRITE_ALL, &parameters);
    if (ephemeral_pid > 0)
        buffer_printf(&parameters, ",\"ephemeralProcessId\":%d", (int)ephemeral_pid);
    buffer_append_char(&parameters, '}');
    return daemon_call(registry, method, &parameters, ret_reply);
}

static int daemon_add_service(Registry *registry, const ServiceContext *service, pid_t ephemeral_pid, char **ret_reply)
{
    return daemon_add(registry, "Register", "service", &record_type_ServiceContext, service, ephemeral_pid, ret_reply);
}

static int daemon_add_machine(Registry *registry, const MachineContext *machine, pid_t ephemeral_pid, char **ret_reply)
{
    return daemon_add(registry, "AddMachine", "machine", &record_type_MachineContext, machine, ephemeral_pid,
                      ret_reply);
}

static int daemon_apply(Registry *registry, const Document *document, const char *set, bool prune, bool dry_run,
                        char **ret_reply)
{
    Buffer parameters = {0};

    buffer_append_text(&parameters, "{\"services\":[");
    for (size_t i = 0; document->services && document->services[i]; i++) {
        buffer_append_text(&parameters, i > 0 ? "," : "");
        record_write_json(&record_type_ServiceContext, document->services[i], RECORD_WRITE_ALL, &parameters);
    }
    buffer_append_text(&parameters, "],\"machines\":[");
    for (size_t i = 0; document->machines && document->machines[i]; i++) {
        buffer_append_text(&parameters, i > 0 ? "," : "");
        record_write_json(&record_type_MachineContext, document->machines[i], RECORD_WRITE_ALL, &parameters);
    }
    buffer_append_char(&parameters, ']');
    parameter_append(&parameters, "set", set);
    buffer_printf(&parameters, ",\"prune\":%s,\"dryRun\":%s}", prune ? "true" : "false", dry_run ? "true" : "false");
    return daemon_call(registry, "Apply", &parameters, ret_reply);
}

void registry_listeners_free(RegistryListener *listeners, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(listeners[i].service);
        free(listeners[i].machine);
        fd_close(listeners[i].fd);
    }
    free(listeners);
}

static int daemon_acquire(Registry *registry, char *const *names, RegistryListener **ret, size_t *ret_count)
{
    hvsock_listener *handed = NULL;
    size_t count = 0;
    /* C has no implicit conversion to `const char *const *`. */
    int r = hvsock_acquire(client_of(registry), (const char *const *)names, &handed, &count);

    if (r != 0)
        return daemon_answer(registry, r);
    RegistryListener *listeners = calloc(count + 1, sizeof(*listeners));
    for (size_t i = 0; listeners && i < count; i++)
        listeners[i] = (RegistryListener){.service = TAKE_PTR(handed[i].service),
                                          .machine = TAKE_PTR(handed[i].machine),
                                          .fd = TAKE_FD(handed[i].fd)};
    hvsock_listeners_free(handed, count);
    if (!listeners)
        return -ENOMEM;
    *ret = listeners;
    *ret_count = count;
    return 0;
}

static int daemon_serve(Registry *registry, const char *name, int *ret_socket_fd)
{
    return daemon_answer(registry, hvsock_serve(client_of(registry), name, ret_socket_fd));
}

const RegistryOps registry_daemon = {
    .name = "hvsockd",
    .open = daemon_open,
    .close = daemon_close,
    .set_timeout = daemon_set_timeout,
    .list = daemon_list,
    .lookup = daemon_lookup,
    .list_machines = daemon_list_machines,
    .find_machine = daemon_find_machine,
    .watch = daemon_watch,
    .read_log = daemon_read_log,
    .list_connections = daemon_list_connections,
    .describe = daemon_describe,
    .status = daemon_status,
    .metrics = daemon_metrics,
    .add_service = daemon_add_service,
    .remove_service = daemon_remove_service,
    .set_enabled = daemon_set_enabled,
    .add_machine = daemon_add_machine,
    .remove_machine = daemon_remove_machine,
    .apply = daemon_apply,
    .reload = daemon_reload,
    .acquire = daemon_acquire,
    .serve = daemon_serve,
};
const RegistryOps *const registry_of_host = &registry_daemon;
