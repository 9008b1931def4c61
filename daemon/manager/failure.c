/* SPDX-License-Identifier: Apache-2.0 */
/* Failures: made where a call is refused, rendered at once, sent by daemon/api. */

#include <string.h>

#include "daemon/manager/failure.h"
#include "schema/base/text.h"

#define REGISTRY "io.hvsock.Registry."
#define VARLINK "org.varlink.service."

static const char *const failure_names[] = {
    [FAILURE_NO_SUCH_SERVICE] = REGISTRY "NoSuchService",
    [FAILURE_NO_SUCH_MACHINE] = REGISTRY "NoSuchMachine",
    [FAILURE_CONFLICT] = REGISTRY "Conflict",
    [FAILURE_INVALID_FIELD] = REGISTRY "InvalidField",
    [FAILURE_DECLARED] = REGISTRY "Declared",
    [FAILURE_NOT_ALLOWED] = REGISTRY "NotAllowed",
    [FAILURE_BUSY] = REGISTRY "Busy",
    [FAILURE_NOT_LISTENING] = REGISTRY "NotListening",
    [FAILURE_LIMIT_REACHED] = REGISTRY "LimitReached",
    [FAILURE_INVALID_CONFIGURATION] = REGISTRY "InvalidConfiguration",
    [FAILURE_STORAGE_FAILED] = REGISTRY "StorageFailed",
    [FAILURE_INVALID_PARAMETER] = VARLINK "InvalidParameter",
    [FAILURE_EXPECTED_MORE] = VARLINK "ExpectedMore",
    [FAILURE_METHOD_NOT_FOUND] = VARLINK "MethodNotFound",
    [FAILURE_METHOD_NOT_IMPLEMENTED] = VARLINK "MethodNotImplemented",
    [FAILURE_INTERFACE_NOT_FOUND] = VARLINK "InterfaceNotFound",
    [FAILURE_PERMISSION_DENIED] = VARLINK "PermissionDenied",
};

const char *failure_name(FailureCode code)
{
    return failure_names[code];
}

void failure_release(Failure *failure)
{
    buffer_release(&failure->parameters);
    failure->code = 0;
    failure->other_count = 0;
}

#define OTHERS_MAX 99

static Buffer *failure_begin(Failure *failure, FailureCode code)
{
    failure->code = code;
    failure->other_count = 0;
    buffer_clear(&failure->parameters);
    buffer_append_char(&failure->parameters, '{');
    return &failure->parameters;
}

/* A member whose value is text, and is left out where it is NULL. */
static void failure_text(Failure *failure, const char *name, const char *text)
{
    Buffer *json = &failure->parameters;

    if (!text)
        return;
    if (json->size_bytes > 1 && json->data[json->size_bytes - 1] != '{')
        buffer_append_char(json, ',');
    buffer_printf(json, "\"%s\":", name);
    buffer_append_json(json, text);
}

static void failure_number(Failure *failure, const char *name, uint64_t number)
{
    Buffer *json = &failure->parameters;

    if (json->size_bytes > 1)
        buffer_append_char(json, ',');
    buffer_printf(json, "\"%s\":%llu", name, (unsigned long long)number);
}

static int failure_end(Failure *failure)
{
    buffer_append_char(&failure->parameters, '}');
    return (int)failure->code;
}

int failure_no_such_service(Failure *failure, const char *name)
{
    failure_begin(failure, FAILURE_NO_SUCH_SERVICE);
    failure_text(failure, "name", name);
    return failure_end(failure);
}

int failure_no_such_machine(Failure *failure, const char *name)
{
    failure_begin(failure, FAILURE_NO_SUCH_MACHINE);
    failure_text(failure, "name", name);
    return failure_end(failure);
}

static void failure_write_conflict(Failure *failure, const char *field, const char *value, const char *holder, const char *origin,
                                   uint64_t since_us)
{
    char since[TIME_TEXT_SIZE_BYTES];

    failure_text(failure, "field", field);
    failure_text(failure, "value", value);
    failure_text(failure, "holder", holder);
    failure_text(failure, "origin", origin);
    failure_text(failure, "since", time_format(since_us, since));
}

int failure_conflict(Failure *failure, const char *field, const char *value, const char *holder, const char *origin,
                     uint64_t since_us)
{
    failure_begin(failure, FAILURE_CONFLICT);
    failure_write_conflict(failure, field, value, holder, origin, since_us);
    return failure_end(failure);
}

/* One more of `others`. The end of what is there is taken off: of the first, or of the list. false: there is no memory, or there
 * are as many as are told. */
static bool failure_begin_other(Failure *failure)
{
    Buffer *json = &failure->parameters;

    if (json->failed || json->size_bytes < 2 || failure->other_count == OTHERS_MAX)
        return false;
    json->size_bytes -= failure->other_count == 0 ? 1 : 2;
    buffer_append_text(json, failure->other_count == 0 ? ",\"others\":[{" : ",{");
    failure->other_count++;
    return true;
}

static int failure_end_other(Failure *failure)
{
    buffer_append_text(&failure->parameters, "}]");
    return failure_end(failure);
}

int failure_add_conflict(Failure *failure, const char *field, const char *value, const char *holder, const char *origin,
                         uint64_t since_us)
{
    if (!failure_begin_other(failure))
        return (int)failure->code;
    failure_write_conflict(failure, field, value, holder, origin, since_us);
    return failure_end_other(failure);
}

int failure_invalid_field(Failure *failure, const Problems *problems)
{
    const Problem *first = NULL;

    for (size_t i = 0; i < problems->count && !first; i++)
        if (!problems->items[i].warning)
            first = &problems->items[i];
    if (!first)
        return failure_invalid_field_text(failure, "", "the record is not valid", NULL);

    Buffer reason = {0};
    buffer_append_text(&reason, first->reason);
    if (problems->errors > 1)
        buffer_printf(&reason, " (and %zu more)", problems->errors - 1);
    char *text = NULL;
    buffer_take(&reason, &text, NULL);
    int code = failure_invalid_field_text(failure, first->field, text ? text : first->reason, first->hint);
    free(text);
    return code;
}

int failure_invalid_field_text(Failure *failure, const char *field, const char *reason, const char *hint)
{
    failure_begin(failure, FAILURE_INVALID_FIELD);
    failure_text(failure, "field", field ? field : "");
    failure_text(failure, "reason", reason);
    failure_text(failure, "hint", hint);
    return failure_end(failure);
}

int failure_declared(Failure *failure, const char *name, const char *origin)
{
    bool first = failure->code != FAILURE_DECLARED;

    if (first)
        failure_begin(failure, FAILURE_DECLARED);
    else if (!failure_begin_other(failure))
        return FAILURE_DECLARED;
    failure_text(failure, "name", name);
    failure_text(failure, "origin", origin);
    return first ? failure_end(failure) : failure_end_other(failure);
}

int failure_not_allowed(Failure *failure, const char *name, const char *reason)
{
    failure_begin(failure, FAILURE_NOT_ALLOWED);
    failure_text(failure, "name", name);
    failure_text(failure, "reason", reason);
    return failure_end(failure);
}

int failure_busy(Failure *failure, const char *name, pid_t pid, uid_t uid, uint64_t since_us)
{
    char since[TIME_TEXT_SIZE_BYTES];

    failure_begin(failure, FAILURE_BUSY);
    failure_text(failure, "name", name);
    failure_number(failure, "processId", (uint64_t)pid);
    failure_number(failure, "userId", uid);
    failure_text(failure, "since", time_format(since_us, since));
    return failure_end(failure);
}

int failure_not_listening(Failure *failure, const char *name, const char *reason)
{
    failure_begin(failure, FAILURE_NOT_LISTENING);
    failure_text(failure, "name", name);
    failure_text(failure, "reason", reason);
    return failure_end(failure);
}

int failure_limit_reached(Failure *failure, const char *limit, uint64_t value)
{
    failure_begin(failure, FAILURE_LIMIT_REACHED);
    failure_text(failure, "limit", limit);
    failure_number(failure, "value", value);
    return failure_end(failure);
}

int failure_invalid_configuration(Failure *failure, const Problems *problems)
{
    Buffer *json = failure_begin(failure, FAILURE_INVALID_CONFIGURATION);
    bool first = true;

    buffer_append_text(json, "\"messages\":[");
    for (size_t i = 0; i < problems->count; i++) {
        if (problems->items[i].warning)
            continue;
        Buffer text = {0};
        problem_format(&problems->items[i], &text);
        if (!first)
            buffer_append_char(json, ',');
        buffer_append_json_sized(json, text.data ? text.data : "", text.size_bytes);
        buffer_release(&text);
        first = false;
    }
    buffer_append_char(json, ']');
    return failure_end(failure);
}

int failure_storage_failed(Failure *failure, const char *reason)
{
    failure_begin(failure, FAILURE_STORAGE_FAILED);
    failure_text(failure, "reason", reason);
    return failure_end(failure);
}

int failure_invalid_parameter(Failure *failure, const char *parameter)
{
    failure_begin(failure, FAILURE_INVALID_PARAMETER);
    failure_text(failure, "parameter", parameter);
    return failure_end(failure);
}

int failure_method(Failure *failure, FailureCode code, const char *method)
{
    failure_begin(failure, code);
    failure_text(failure, code == FAILURE_INTERFACE_NOT_FOUND ? "interface" : "method", method);
    return failure_end(failure);
}

int failure_plain(Failure *failure, FailureCode code)
{
    failure_begin(failure, code);
    return failure_end(failure);
}
