/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of calls, read by the codec; constant but for what a call owns. */

#include <errno.h>
#include <string.h>

#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"
#include "schema/codec/record.h"
#include "schema/model/record.h"

RECORD_TYPE(InterfaceParameters, INTERFACE_PARAMETERS, "");
RECORD_TYPE(RegisterParameters, REGISTER_PARAMETERS, "");
RECORD_TYPE(NameParameters, NAME_PARAMETERS, "");
RECORD_TYPE(SetEnabledParameters, SET_ENABLED_PARAMETERS, "");
RECORD_TYPE(LookupParameters, LOOKUP_PARAMETERS, "");
RECORD_TYPE(ApplyParameters, APPLY_PARAMETERS, "");
RECORD_TYPE(AcquireParameters, ACQUIRE_PARAMETERS, "");
RECORD_TYPE(AddMachineParameters, ADD_MACHINE_PARAMETERS, "");
RECORD_TYPE(ListMachinesParameters, LIST_MACHINES_PARAMETERS, "");
RECORD_TYPE(ReadLogParameters, READ_LOG_PARAMETERS, "");

/* The first component of a path: `services` of `services[2].port`. */
static size_t path_first(const char *path)
{
    return strcspn(path, ".[");
}

static const Field *path_field(const RecordType *type, const char *path)
{
    size_t size_bytes = path_first(path);

    for (size_t i = 0; i < type->field_count; i++)
        if (strncmp(type->fields[i].name, path, size_bytes) == 0 && type->fields[i].name[size_bytes] == '\0')
            return &type->fields[i];
    return NULL;
}

/* Whoever gives one record knows its fields without the parameter's name before them. */
static void problems_strip(Problems *problems, const char *parameter)
{
    size_t size_bytes = strlen(parameter);

    for (size_t i = 0; i < problems->count; i++) {
        char *field = problems->items[i].field;
        if (field && strncmp(field, parameter, size_bytes) == 0 && field[size_bytes] == '.')
            memmove(field, field + size_bytes + 1, strlen(field + size_bytes + 1) + 1);
    }
}

/* Inside of a record, which has messages of its own; NULL: it is the parameter itself that is wrong. */
static const Field *problem_record(const RecordType *type, const Problem *problem)
{
    const Field *field = type && problem->field ? path_field(type, problem->field) : NULL;

    return field && problem->field[path_first(problem->field)] &&
                   (field->kind == FIELD_RECORD || field->kind == FIELD_RECORDS)
               ? field
               : NULL;
}

static int parameters_refuse(Call *call, Problems *problems)
{
    const RecordType *type = call->method->parameters;
    const Problem *first = NULL;

    for (size_t i = 0; i < problems->count; i++) {
        const Problem *problem = &problems->items[i];
        if (problem->warning)
            continue;
        if (!problem->field)
            return failure_invalid_parameter(&call->failure, "parameters");
        if (!problem_record(type, problem)) {
            problem->field[path_first(problem->field)] = '\0';
            return failure_invalid_parameter(&call->failure, problem->field);
        }
        first = first ? first : problem;
    }
    if (!first)
        return failure_invalid_parameter(&call->failure, "parameters");
    const Field *field = problem_record(type, first);
    if (field->kind == FIELD_RECORD)
        problems_strip(problems, field->name);
    return failure_invalid_field(&call->failure, problems);
}

/* A name that is in no field table, of a method without parameters. */
static int parameters_read_none(Call *call)
{
    const void *iterator = NULL, *node;
    const char *name;

    if (!call->parameters.ops || !call->parameters.ops->member(call->parameters.node, &iterator, &name, &node))
        return 0;
    return failure_invalid_parameter(&call->failure, name);
}

int parameters_read(Call *call)
{
    const RecordType *type = call->method->parameters;
    Problems problems = {0};
    int r;

    if (call->nul_path) {
        problems_add(&problems, call->nul_path, "leave out \\u0000", "a text has a NUL in it");
        r = RECORD_INVALID;
    } else if (!type) {
        return parameters_read_none(call);
    } else {
        static const QuickTree nothing = {.node_count = 1, .nodes = {{.kind = VALUE_OBJECT}}};
        Value parameters = call->parameters.ops ? call->parameters : value_from_quick(&nothing);
        r = record_read(type, parameters, &problems, &call->arguments);
    }
    if (r > 0)
        r = problems.failed ? -ENOMEM : parameters_refuse(call, &problems);
    problems_release(&problems);
    return r;
}
