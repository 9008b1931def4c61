/* SPDX-License-Identifier: Apache-2.0 */
/* Why a call was refused. Each code is exactly one Varlink error, by one table in failure.c; the parameters are rendered
 * when it is made. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/buffer.h"
#include "schema/base/problem.h"

typedef enum FailureCode {
    FAILURE_NO_SUCH_SERVICE = 1,
    FAILURE_NO_SUCH_MACHINE,
    FAILURE_CONFLICT,
    FAILURE_INVALID_FIELD,
    FAILURE_DECLARED,
    FAILURE_NOT_ALLOWED,
    FAILURE_BUSY,
    FAILURE_NOT_LISTENING,
    FAILURE_LIMIT_REACHED,
    FAILURE_INVALID_CONFIGURATION,
    FAILURE_STORAGE_FAILED,
    /* org.varlink.service */
    FAILURE_INVALID_PARAMETER,
    FAILURE_EXPECTED_MORE,
    FAILURE_METHOD_NOT_FOUND,
    FAILURE_METHOD_NOT_IMPLEMENTED,
    FAILURE_INTERFACE_NOT_FOUND,
    FAILURE_PERMISSION_DENIED,
} FailureCode;

typedef struct Failure Failure;

struct Failure {
    FailureCode code; /* 0: none */
    Buffer parameters; /* a JSON object */
    unsigned other_count; /* in its `others` */
};

/* "io.hvsock.Registry.NoSuchService" */
const char *failure_name(FailureCode code);
void failure_release(Failure *failure);

/* Each sets *failure and answers its code, to be returned: `return failure_declared(failure, …)`. */
int failure_no_such_service(Failure *failure, const char *name);
int failure_no_such_machine(Failure *failure, const char *name);
int failure_conflict(Failure *failure, const char *field, const char *value, const char *holder, const char *origin,
                     uint64_t since_us);
/* To one that is a Conflict already: one of its `others`. */
int failure_add_conflict(Failure *failure, const char *field, const char *value, const char *holder, const char *origin,
                         uint64_t since_us);
/* The first problem that is no warning; where there are more, the reason says so. */
int failure_invalid_field(Failure *failure, const Problems *problems);
int failure_invalid_field_text(Failure *failure, const char *field, const char *reason, const char *hint);
/* Where it is Declared already: one of its `others`. */
int failure_declared(Failure *failure, const char *name, const char *origin);
int failure_not_allowed(Failure *failure, const char *name, const char *reason);
int failure_busy(Failure *failure, const char *name, pid_t pid, uid_t uid, uint64_t since_us);
int failure_not_listening(Failure *failure, const char *name, const char *reason);
int failure_limit_reached(Failure *failure, const char *limit, uint64_t value);
int failure_invalid_configuration(Failure *failure, const Problems *problems);
int failure_storage_failed(Failure *failure, const char *reason);
int failure_invalid_parameter(Failure *failure, const char *parameter);
int failure_method(Failure *failure, FailureCode code, const char *method); /* METHOD_NOT_FOUND, METHOD_NOT_IMPLEMENTED, INTERFACE_NOT_FOUND */
int failure_plain(Failure *failure, FailureCode code); /* EXPECTED_MORE, PERMISSION_DENIED */
