/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: from the text of a message to what is asked, and the texts around replies. varlink.org, "Method Call". */

#include <errno.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/methods.h"
#include "daemon/api/server.h"
#include "schema/model/record.h"

#define REPLY_KEPT_MAX_BYTES (1u << 20)

/* .ops NULL: there is none, or it is null. */
static Value member(Value object, const char *name)
{
    const void *iterator = NULL, *node;
    const char *key;

    while (object.ops->member(object.node, &iterator, &key, &node))
        if (strcmp(key, name) == 0)
            return object.ops->kind(node) == VALUE_NULL ? (Value){0} : (Value){object.ops, node};
    return (Value){0};
}

/* Absent and null are false. */
static bool flag_read(Value message, const char *name, bool *ret)
{
    Value value = member(message, name);

    if (value.ops && value.ops->kind(value.node) != VALUE_BOOLEAN)
        return false;
    *ret = value.ops && value.ops->boolean(value.node);
    return true;
}

/* Appends the path of the first text with a NUL in it. */
static bool nul_find(json_t *value, Buffer *path)
{
    size_t size_bytes = path->size_bytes;

    if (json_is_string(value))
        return strlen(json_string_value(value)) != json_string_length(value);
    if (json_is_object(value)) {
        const char *key;
        json_t *member;
        json_object_foreach(value, key, member)
        {
            buffer_printf(path, "%s%s", size_bytes ? "." : "", key);
            if (nul_find(member, path))
                return true;
            path->size_bytes = size_bytes;
        }
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            buffer_printf(path, "[%zu]", i);
            if (nul_find(json_array_get(value, i), path))
                return true;
            path->size_bytes = size_bytes;
        }
    }
    return false;
}

/* A \u0000 is good JSON, and never a good value: it is not the message that is refused for it, but the field, by its
 * path. */
static int call_parse_with_nul(Call *call, const char *text, size_t size_bytes)
{
    Buffer path = {0};

    call->message = json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!call->message)
        return CALL_MALFORMED;
    if (!nul_find(json_object_get(call->message, "parameters"), &path)) {
        buffer_release(&path);
        return CALL_MALFORMED;
    }
    return buffer_take(&path, &call->nul_path, NULL);
}

static int call_parse_by_library(Call *call, const char *text, size_t size_bytes)
{
    json_error_t error;

    call->message = json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES, &error);
    if (call->message)
        return 0;
    if (json_error_code(&error) == json_error_out_of_memory)
        return -ENOMEM;
    if (json_error_code(&error) != json_error_null_character)
        return CALL_MALFORMED;
    return call_parse_with_nul(call, text, size_bytes);
}

int call_parse(Call *call, const char *text, size_t size_bytes)
{
    QuickTree *quick = &call->connection->server->quick;
    bool upgrade;
    Value message;

    if (quick_read(text, size_bytes, quick)) {
        message = value_from_quick(quick);
    } else {
        int r = call_parse_by_library(call, text, size_bytes);
        if (r != 0)
            return r;
        message = value_from_json(call->message);
    }
    if (message.ops->kind(message.node) != VALUE_OBJECT)
        return CALL_MALFORMED;
    Value method = member(message, "method");
    call->parameters = member(message, "parameters");
    if (!method.ops || method.ops->kind(method.node) != VALUE_TEXT ||
        (call->parameters.ops && call->parameters.ops->kind(call->parameters.node) != VALUE_OBJECT) ||
        !flag_read(message, "oneway", &call->oneway) || !flag_read(message, "more", &call->more) ||
        !flag_read(message, "upgrade", &upgrade))
        return CALL_MALFORMED;
    call->name = method.ops->text(method.node);
    call->parsed = true;
    if (upgrade)
        failure_invalid_parameter(&call->failure, "upgrade");
    return 0;
}

void call_release(Call *call)
{
    if (call->arguments)
        record_free(call->method->parameters, call->arguments);
    if (call->state_free)
        call->state_free(call->state);
    json_decref(call->message);
    free(call->nul_path);
    failure_release(&call->failure);
    buffer_release(&call->rendered);
    buffer_release(&call->held);
    fd_list_clear(&call->held_fds);
    *call = (Call){0};
}

Call *call_keep(Call *call)
{
    Call *kept = malloc(sizeof(*kept));

    if (!kept)
        return NULL;
    *kept = *call;
    *call = (Call){0};
    return kept;
}

void call_set_about(Call *call, const char *name)
{
    size_t size_bytes = strnlen(name, sizeof(call->about) - 1);

    memcpy(call->about, name, size_bytes);
    call->about[size_bytes] = '\0';
}

void reply_begin(Buffer *text)
{
    /* What a very long one took is given back. */
    if (text->capacity_bytes > REPLY_KEPT_MAX_BYTES)
        buffer_release(text);
    buffer_clear(text);
    buffer_append_text(text, "{\"parameters\":");
}

void reply_end(Buffer *text, bool continues)
{
    buffer_append_text(text, continues ? ",\"continues\":true}" : "}");
}

void reply_failure(Buffer *text, const Failure *failure)
{
    buffer_clear(text);
    buffer_append_text(text, "{\"error\":\"");
    buffer_append_text(text, failure_name(failure->code));
    buffer_append_text(text, "\",\"parameters\":");
    buffer_append(text, failure->parameters.data, failure->parameters.size_bytes);
    buffer_append_char(text, '}');
    text->failed |= failure->parameters.failed;
}
