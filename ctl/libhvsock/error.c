/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon refused, in one sentence for people: who or what, since when, and what to do. Kept until the next call. */

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "ctl/libhvsock/client.h"

typedef struct Sentence {
    const char *name;
    void (*write)(const json_t *parameters, Buffer *text);
} Sentence;

/* ---- parts of sentences ---- */

/* A parameter that is a text, as people may see it: nothing in it moves a terminal's cursor. */
static void add(const json_t *parameters, const char *field, Buffer *text)
{
    const char *value = json_string_value(json_object_get(parameters, field));

    for (const char *c = value ? value : "?"; *c; c++) {
        unsigned char byte = (unsigned char)*c, next = (unsigned char)c[1];
        if (byte == 0xc2 && next >= 0x80 && next < 0xa0) { /* U+0080 to U+009F */
            buffer_append_char(text, '?');
            c++;
        } else {
            buffer_append_char(text, byte < 0x20 || byte == 0x7f ? '?' : *c);
        }
    }
}

static bool has(const json_t *parameters, const char *field)
{
    const char *value = json_string_value(json_object_get(parameters, field));

    return value && value[0];
}

static void add_number(const json_t *parameters, const char *field, Buffer *text)
{
    buffer_printf(text, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(parameters, field)));
}

static void add_since(const json_t *parameters, Buffer *text)
{
    if (has(parameters, "since")) {
        buffer_append_text(text, " since ");
        add(parameters, "since", text);
    }
}

/* ---- one a kind of error ---- */

static void write_no_such_service(const json_t *parameters, Buffer *text)
{
    buffer_append_text(text, "no service is called ");
    add(parameters, "name", text);
    buffer_append_text(text, "; `hvsockctl list` shows those there are");
}

static void write_no_such_machine(const json_t *parameters, Buffer *text)
{
    buffer_append_text(text, "no machine is called ");
    add(parameters, "name", text);
    buffer_append_text(text, "; `hvsockctl machine list` shows those there are");
}

static void write_conflict(const json_t *parameters, Buffer *text)
{
    static const struct {
        const char *field, *hint;
    } hints[] = {
        {"name", "choose another name, or unregister that one first"},
        {"port", "choose another port, or --port auto"},
        {"guid", "choose another GUID"},
        {"cid", "choose another CID, or remove that machine first"},
        {"hybrid", "choose another path, or remove that machine first"},
        {"hyperkit", "choose another folder, or remove that machine first"},
        {"vmId", "choose another VM id, or remove that machine first"},
    };
    const char *field = json_string_value(json_object_get(parameters, "field"));
    const char *hint = "choose another address";

    add(parameters, "field", text);
    buffer_append_char(text, ' ');
    add(parameters, "value", text);
    buffer_append_text(text, " is held by ");
    add(parameters, "holder", text);
    if (has(parameters, "origin")) {
        buffer_append_text(text, " (");
        add(parameters, "origin", text);
        if (has(parameters, "since"))
            buffer_append_char(text, ',');
        add_since(parameters, text);
        buffer_append_char(text, ')');
    }
    for (size_t i = 0; field && i < ELEMENTS_OF(hints); i++)
        if (strcmp(field, hints[i].field) == 0)
            hint = hints[i].hint;
    buffer_append_text(text, "; ");
    buffer_append_text(text, hint);
    size_t others = json_array_size(json_object_get(parameters, "others"));
    if (others > 0)
        buffer_printf(text, " (and %zu more conflict%s)", others, others == 1 ? "" : "s");
}

static void write_invalid_field(const json_t *parameters, Buffer *text)
{
    if (has(parameters, "field")) {
        add(parameters, "field", text);
        buffer_append_text(text, ": ");
    }
    add(parameters, "reason", text);
    if (has(parameters, "hint")) {
        buffer_append_text(text, "; ");
        add(parameters, "hint", text);
    }
}

static void write_declared(const json_t *parameters, Buffer *text)
{
    add(parameters, "name", text);
    buffer_append_text(text, " is declared (");
    add(parameters, "origin", text);
    buffer_append_text(text, "); change it there, then `hvsockctl reload`");
}

static void write_not_allowed(const json_t *parameters, Buffer *text)
{
    if (has(parameters, "name")) {
        add(parameters, "name", text);
        buffer_append_text(text, ": ");
    }
    buffer_append_text(text, "not allowed: ");
    add(parameters, "reason", text);
}

static void write_busy(const json_t *parameters, Buffer *text)
{
    add(parameters, "name", text);
    buffer_append_text(text, " is exclusive, and process ");
    add_number(parameters, "processId", text);
    buffer_append_text(text, " of user ");
    add_number(parameters, "userId", text);
    buffer_append_text(text, " has it");
    add_since(parameters, text);
    buffer_append_text(text, "; end that process first");
}

static void write_not_listening(const json_t *parameters, Buffer *text)
{
    add(parameters, "name", text);
    buffer_append_text(text, " has nothing to hand out: ");
    add(parameters, "reason", text);
    buffer_append_text(text, "; `hvsockctl show ");
    add(parameters, "name", text);
    buffer_append_text(text, "` shows its listeners");
}

static void write_limit_reached(const json_t *parameters, Buffer *text)
{
    const char *limit = json_string_value(json_object_get(parameters, "limit"));
    bool is_range = limit && strcmp(limit, "autoPorts") == 0;

    buffer_append_text(text, "the limit ");
    add(parameters, "limit", text);
    buffer_append_text(text, " of ");
    add_number(parameters, "value", text);
    buffer_append_text(text, " is reached; an administrator can raise it in hvsockd.yaml");
    buffer_append_text(text, is_range ? "" : ", `limits`");
}

static void write_invalid_configuration(const json_t *parameters, Buffer *text)
{
    const json_t *messages = json_object_get(parameters, "messages");
    size_t count = json_array_size(messages);
    _cleanup_(json_decrefp) json_t *first = json_pack("{s:O*}", "text", json_array_get(messages, 0));

    buffer_append_text(text, "nothing was changed: ");
    if (count == 0)
        buffer_append_text(text, "the configuration is not valid");
    else
        add(first, "text", text);
    if (count > 1)
        buffer_printf(text, ", and %zu more; `hvsockctl check` shows them all", count - 1);
}

static void write_storage_failed(const json_t *parameters, Buffer *text)
{
    buffer_append_text(text, "nothing was changed: the registry cannot be written: ");
    add(parameters, "reason", text);
}

static void write_interface_not_found(const json_t *parameters, Buffer *text)
{
    buffer_append_text(text, "this daemon has no interface ");
    add(parameters, "interface", text);
    buffer_append_text(text, "; is it an hvsockd?");
}

static void write_method_not_found(const json_t *parameters, Buffer *text)
{
    buffer_append_text(text, "this daemon does not know ");
    add(parameters, "method", text);
    buffer_append_text(text, "; it may be older than this program");
}

static void write_invalid_parameter(const json_t *parameters, Buffer *text)
{
    buffer_append_text(text, "the daemon does not take the parameter ");
    add(parameters, "parameter", text);
    buffer_append_text(text, "; it may be older than this program");
}

static void write_permission_denied(const json_t *parameters, Buffer *text)
{
    buffer_append_text(text, "not allowed: this is for administrators (hvsockd.yaml, `administrators`)");
}

static void write_expected_more(const json_t *parameters, Buffer *text)
{
    buffer_append_text(text, "there are several replies: call with `more`");
}

static const Sentence sentences[] = {
    {HVSOCK_INTERFACE ".NoSuchService", write_no_such_service},
    {HVSOCK_INTERFACE ".NoSuchMachine", write_no_such_machine},
    {HVSOCK_INTERFACE ".Conflict", write_conflict},
    {HVSOCK_INTERFACE ".InvalidField", write_invalid_field},
    {HVSOCK_INTERFACE ".Declared", write_declared},
    {HVSOCK_INTERFACE ".NotAllowed", write_not_allowed},
    {HVSOCK_INTERFACE ".Busy", write_busy},
    {HVSOCK_INTERFACE ".NotListening", write_not_listening},
    {HVSOCK_INTERFACE ".LimitReached", write_limit_reached},
    {HVSOCK_INTERFACE ".InvalidConfiguration", write_invalid_configuration},
    {HVSOCK_INTERFACE ".StorageFailed", write_storage_failed},
    {"org.varlink.service.InterfaceNotFound", write_interface_not_found},
    {"org.varlink.service.MethodNotFound", write_method_not_found},
    {"org.varlink.service.MethodNotImplemented", write_method_not_found},
    {"org.varlink.service.InvalidParameter", write_invalid_parameter},
    {"org.varlink.service.PermissionDenied", write_permission_denied},
    {"org.varlink.service.ExpectedMore", write_expected_more},
};

/* ---- keeping ---- */

static void write_sentence(const char *name, const json_t *parameters, const char *parameters_text, Buffer *text)
{
    for (size_t i = 0; i < ELEMENTS_OF(sentences); i++)
        if (strcmp(sentences[i].name, name) == 0) {
            sentences[i].write(parameters, text);
            return;
        }
    /* A newer daemon's, or none of hvsockd's; json_dumps has escaped what its parameters have of control characters. */
    buffer_append_text(text, "the daemon answered ");
    _cleanup_(json_decrefp) json_t *named = json_pack("{s:s}", "name", name);
    add(named, "name", text);
    buffer_append_char(text, ' ');
    buffer_append_text(text, parameters_text);
}

int error_keep(hvsock *client, const char *name, const json_t *parameters)
{
    _cleanup_(buffer_release) Buffer text = {0};
    _cleanup_(freep) char *kept_name = strdup(name);
    _cleanup_(freep) char *kept_parameters = json_dumps(parameters, JSON_COMPACT | JSON_ENSURE_ASCII);
    char *sentence;

    if (!kept_name || !kept_parameters)
        return -ENOMEM;
    write_sentence(name, parameters, kept_parameters, &text);
    int r = buffer_take(&text, &sentence, NULL);
    if (r < 0)
        return r;
    error_forget(client);
    client->error_name = TAKE_PTR(kept_name);
    client->error_parameters = TAKE_PTR(kept_parameters);
    client->error_text = sentence;
    return 0;
}

void error_forget(hvsock *client)
{
    free(client->error_name);
    free(client->error_parameters);
    free(client->error_text);
    client->error_name = client->error_parameters = client->error_text = NULL;
}

const char *hvsock_error_name(const hvsock *client)
{
    return client->error_name;
}

const char *hvsock_error_parameters(const hvsock *client)
{
    return client->error_parameters;
}

const char *hvsock_error_text(const hvsock *client)
{
    return client->error_text;
}
