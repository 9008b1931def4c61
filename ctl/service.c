/* SPDX-License-Identifier: Apache-2.0 */
/* Services and machines as people see them, from the API's objects. What a context holds is shown by the table of
 * fields, so a new field shows by itself. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/service.h"
#include "schema/model/records.h"

/* ---- JSON values as text ---- */

static const char *member_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static const json_t *context_of(const json_t *object)
{
    return json_object_get(object, "context");
}

static const json_t *runtime_of(const json_t *object)
{
    return json_object_get(object, "runtime");
}

static void value_append(const json_t *value, Buffer *text)
{
    if (json_is_string(value))
        buffer_append_text(text, json_string_value(value));
    else if (json_is_integer(value))
        buffer_printf(text, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        buffer_append_text(text, json_is_true(value) ? "true" : "false");
    else if (json_is_array(value))
        for (size_t i = 0; i < json_array_size(value); i++) {
            buffer_append_text(text, i > 0 ? ", " : "");
            value_append(json_array_get(value, i), text);
        }
}

const char *state_colour(const char *state)
{
    static const struct {
        const char *state, *colour;
    } colours[] = {
        {"active", "green"},    {"listening", "green"}, {"waiting", "yellow"},
        {"draining", "yellow"}, {"failed", "red"},      {"disabled", "darkgray"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(colours); i++)
        if (strcmp(colours[i].state, state) == 0)
            return colours[i].colour;
    return NULL;
}

/* ---- columns ---- */

static void cell_state(const json_t *object, Buffer *text, const char **ret_colour)
{
    const char *state = member_text(runtime_of(object), "state");

    buffer_append_text(text, state);
    *ret_colour = state_colour(state);
}

static void cell_leases(const json_t *object, Buffer *text, const char **ret_colour)
{
    const json_t *leases = json_object_get(runtime_of(object), "leases");

    for (size_t i = 0; i < json_array_size(leases); i++) {
        const json_t *lease = json_array_get(leases, i);
        buffer_append_text(text, i > 0 ? ", " : "");
        value_append(json_object_get(lease, "processId"), text);
        if (json_object_get(lease, "program"))
            buffer_printf(text, " (%s)", member_text(lease, "program"));
    }
}

static void cell_labels(const json_t *object, Buffer *text, const char **ret_colour)
{
    json_t *labels = json_object_get(context_of(object), "labels");
    const char *key, *separator = "";
    json_t *value;

    json_object_foreach(labels, key, value)
    {
        buffer_printf(text, "%s%s=", separator, key);
        value_append(value, text);
        separator = ", ";
    }
}

/* A column that is one member of the object's part. */
#define MEMBER_COLUMN(symbol_, part_, key_, name_, help_, ...)                                                         \
    static void cell_##symbol_(const json_t *object, Buffer *text, const char **ret_colour)                            \
    {                                                                                                                  \
        value_append(json_object_get(part_(object), key_), text);                                                      \
    }                                                                                                                  \
    static const Column column_##symbol_ = {.name = name_, .help = help_, .cell = cell_##symbol_, __VA_ARGS__}

static const json_t *object_itself(const json_t *object)
{
    return object;
}

MEMBER_COLUMN(name, context_of, "name", "NAME", "what it is called");
MEMBER_COLUMN(port, context_of, "port", "PORT", "vsock port", .right = true);
MEMBER_COLUMN(guid, context_of, "guid", "GUID", "Hyper-V service GUID", .hidden = true);
MEMBER_COLUMN(listen, context_of, "listen", "LISTEN", "where this host listens");
MEMBER_COLUMN(reason, runtime_of, "reason", "REASON", "why it is in that state", .hidden = true);
MEMBER_COLUMN(origin, runtime_of, "origin", "ORIGIN", "file, applied set or user that it comes from");
MEMBER_COLUMN(element, context_of, "elementName", "ELEMENT", "name that Windows shows", .hidden = true);
MEMBER_COLUMN(type, context_of, "type", "TYPE", "stream, seqpacket or dgram", .hidden = true);
MEMBER_COLUMN(enabled, context_of, "enabled", "ENABLED", "true or false", .hidden = true);
MEMBER_COLUMN(since, runtime_of, "registeredAt", "SINCE", "when it was registered", .hidden = true);
static const Column column_state = {.name = "STATE", .help = "active, listening, waiting, …", .cell = cell_state};
static const Column column_leases = {.name = "LEASES", .help = "processes that have it", .cell = cell_leases};
static const Column column_labels = {.name = "LABELS", .help = "labels", .hidden = true, .cell = cell_labels};

const Column *const service_columns[] = {
    &column_name,    &column_port, &column_guid,    &column_state, &column_reason, &column_listen, &column_leases,
    &column_element, &column_type, &column_enabled, &column_since, &column_labels, &column_origin, NULL,
};

MEMBER_COLUMN(cid, context_of, "cid", "CID", "vsock CID", .right = true);
MEMBER_COLUMN(hybrid, context_of, "hybrid", "HYBRID", "hybrid vsock socket");
MEMBER_COLUMN(hyperkit, context_of, "hyperkit", "HYPERKIT", "folder of its hyperkit sockets", .hidden = true);
MEMBER_COLUMN(vm_id, context_of, "vmId", "VMID", "Hyper-V VM id", .hidden = true);
MEMBER_COLUMN(user, context_of, "user", "USER", "user that its VMM runs as");
MEMBER_COLUMN(group, context_of, "group", "GROUP", "group that its VMM runs as", .hidden = true);
MEMBER_COLUMN(process, object_itself, "ephemeralProcessId", "PROCESS", "process that it ends with", .hidden = true);
MEMBER_COLUMN(machine_origin, object_itself, "origin", "ORIGIN", "file, applied set or user that it comes from");
MEMBER_COLUMN(machine_since, object_itself, "registeredAt", "SINCE", "when it was added", .hidden = true);

const Column *const machine_columns[] = {
    &column_name,  &column_cid,     &column_hybrid,        &column_hyperkit, &column_vm_id,          &column_user,
    &column_group, &column_process, &column_machine_since, &column_labels,   &column_machine_origin, NULL,
};

/* ---- all of one service ---- */

MEMBER_COLUMN(address, object_itself, "address", "ADDRESS", "where");
MEMBER_COLUMN(machine, object_itself, "machine", "MACHINE", "of which machine");
MEMBER_COLUMN(listener_reason, object_itself, "reason", "REASON", "why");
MEMBER_COLUMN(holders, object_itself, "holders", "HOLDERS", "processes that have it open");
MEMBER_COLUMN(lease_process, object_itself, "processId", "PROCESS", "who", .right = true);
MEMBER_COLUMN(lease_user, object_itself, "userId", "USER", "whose", .right = true);
MEMBER_COLUMN(lease_program, object_itself, "program", "PROGRAM", "what");
MEMBER_COLUMN(lease_since, object_itself, "since", "SINCE", "since when");

static void cell_listener_state(const json_t *object, Buffer *text, const char **ret_colour)
{
    buffer_append_text(text, member_text(object, "state"));
    *ret_colour = state_colour(member_text(object, "state"));
}
static const Column column_listener_state = {.name = "STATE", .cell = cell_listener_state};

static const Column *const listener_columns[] = {
    &column_address, &column_machine, &column_listener_state, &column_listener_reason, &column_holders, NULL,
};
static const Column *const lease_columns[] = {
    &column_lease_process, &column_lease_user, &column_lease_program, &column_lease_since, NULL,
};
MEMBER_COLUMN(program_peer, object_itself, "peer", "PEER", NULL);
static const Column *const program_columns[] = {
    &column_lease_process, &column_program_peer, &column_machine, &column_lease_since, NULL,
};

#define LABEL_WIDTH 26

static void show_line(const OutputOptions *options, const char *label, const char *value, const char *colour)
{
    size_t size = strlen(label);
    _cleanup_(freep) char *plain = strdup(value);

    if (!plain)
        return;
    output_defuse(plain);
    printf("  %s:%*s %s%s%s\n", label, size < LABEL_WIDTH ? (int)(LABEL_WIDTH - size) : 0, "",
           output_colour(options, colour), plain, output_colour(options, colour ? "reset" : NULL));
}

static int show_value(const OutputOptions *options, const char *label, const json_t *value)
{
    Buffer text = {0};
    char *line;

    value_append(value, &text);
    if (json_is_array(value) && json_array_size(value) == 0)
        buffer_append_text(&text, "nothing");
    int r = buffer_take(&text, &line, NULL);
    if (r < 0)
        return r;
    show_line(options, label, line, NULL);
    free(line);
    return 0;
}

/* A map's keys are its own. */
static int show_map(const OutputOptions *options, const char *prefix, json_t *map)
{
    const char *key;
    json_t *value;
    int r = 0;

    json_object_foreach(map, key, value)
    {
        _cleanup_(freep) char *label = NULL;
        r = asprintf(&label, "%s%s", prefix, key) < 0 ? -ENOMEM : show_value(options, label, value);
        if (r < 0)
            break;
    }
    return r;
}

/* Every field that is there, those of records inside by their path. */
static int show_record(const OutputOptions *options, const char *prefix, const RecordType *type, json_t *object)
{
    for (size_t i = 0; i < (type ? type->field_count : 0); i++) {
        const Field *field = &type->fields[i];
        char label[160];
        json_t *value = json_object_get(object, field->name);
        if (!value || (!prefix[0] && strcmp(field->name, "name") == 0))
            continue;
        snprintf(label, sizeof(label), "%s%s%s", prefix, field->name, json_is_object(value) ? "." : "");
        int r = json_is_object(value) ? show_record(options, label, field->record, value)
                                      : show_value(options, label, value);
        if (r < 0)
            return r;
    }
    return type ? 0 : show_map(options, prefix, object);
}

static int show_table(const OutputOptions *options, const char *title, const Column *const *columns,
                      const json_t *array)
{
    OutputOptions plain = *options;
    _cleanup_(output_release) Output output = {0};

    if (json_array_size(array) == 0)
        return 0;
    plain.columns_wanted = NULL;
    plain.no_headings = false;
    printf("\n%s:\n", title);
    int r = output_open(&plain, OUTPUT_TABLE, columns, NULL, NULL, &output);
    for (size_t i = 0; i < json_array_size(array) && r >= 0; i++) {
        char *text = json_dumps(json_array_get(array, i), JSON_COMPACT);
        r = text ? output_add(text, strlen(text), &output) : -ENOMEM;
        free(text);
    }
    return r < 0 ? r : output_close(&output);
}

static int show_service(const OutputOptions *options, json_t *service)
{
    json_t *context = json_object_get(service, "context"), *runtime = json_object_get(service, "runtime");
    const char *state = member_text(runtime, "state"), *reason = member_text(runtime, "reason");
    char state_text[512];

    printf("%s%s%s\n", output_colour(options, "bold"), member_text(context, "name"), output_colour(options, "reset"));
    snprintf(state_text, sizeof(state_text), "%s%s%s", state, reason[0] ? ": " : "", reason);
    show_line(options, "state", state_text, state_colour(state));
    show_line(options, "origin", member_text(runtime, "origin"), NULL);
    show_line(options, "registeredAt", member_text(runtime, "registeredAt"), NULL);
    if (json_object_get(runtime, "ephemeralProcessId"))
        show_value(options, "endsWithProcess", json_object_get(runtime, "ephemeralProcessId"));
    if (json_is_true(json_object_get(runtime, "overridden")))
        show_line(options, "overridden", "enable or disable has changed what its entry says", NULL);
    int r = show_record(options, "", &record_type_ServiceContext, context);
    if (r >= 0)
        r = show_table(options, "listeners", listener_columns, json_object_get(runtime, "listeners"));
    if (r >= 0)
        r = show_table(options, "leases", lease_columns, json_object_get(runtime, "leases"));
    if (r >= 0)
        r = show_table(options, "programs", program_columns, json_object_get(runtime, "programs"));
    return r;
}

int service_show(const OutputOptions *options, const char *json, size_t size_bytes)
{
    json_t *service = json_loadb(json, size_bytes, 0, NULL);

    if (!service)
        return -EBADMSG;
    int r = show_service(options, service);
    json_decref(service);
    return r;
}

int service_tell(const char *json, size_t size_bytes, bool whose)
{
    json_t *service = json_loadb(json, size_bytes, 0, NULL);
    json_t *context = json_object_get(service, "context"), *runtime = json_object_get(service, "runtime");
    const char *state = member_text(runtime, "state"), *reason = member_text(runtime, "reason"), *colour = NULL;
    Buffer text = {0};
    char *line;

    if (!service)
        return -EBADMSG;
    buffer_printf(&text, "%s: %s", member_text(context, "name"), state);
    if (json_object_get(context, "port"))
        buffer_printf(&text, ", port %lld", (long long)json_integer_value(json_object_get(context, "port")));
    else if (json_object_get(context, "guid"))
        buffer_printf(&text, ", GUID %s", member_text(context, "guid"));
    if (whose && json_array_size(json_object_get(runtime, "leases")) > 0) {
        buffer_append_text(&text, ", held by ");
        cell_leases(service, &text, &colour);
    }
    if (whose)
        buffer_printf(&text, ", of %s", member_text(runtime, "origin"));
    buffer_printf(&text, "%s%s", reason[0] ? ": " : "", reason);
    json_decref(service);
    int r = buffer_take(&text, &line, NULL);
    if (r < 0)
        return r;
    output_line(line);
    free(line);
    return 0;
}
