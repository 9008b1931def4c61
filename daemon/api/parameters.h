/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of every method, as records of the same kind as services are: one way of reading, one way of refusing.
 * A unit test compares them with schema/varlink. */
#pragma once

#include "daemon/api/call.h"
#include "schema/model/field.h"
#include "schema/model/records.h"

/* More than any name or address has; no reason to carry it around. */
#define PARAMETER_MAX_BYTES 8192

#define INTERFACE_PARAMETERS(F, T) F(T, TEXT, interface, "interface", .required = true, .max = PARAMETER_MAX_BYTES)

#define REGISTER_PARAMETERS(F, T)                                                                                      \
    F(T, RECORD(ServiceContext), service, "service", .required = true)                                                 \
    F(T, NUMBER, ephemeral_process_id, "ephemeralProcessId", .min = 1, .max = INT32_MAX)

#define NAME_PARAMETERS(F, T) F(T, TEXT, name, "name", .required = true, .max = PARAMETER_MAX_BYTES)

#define SET_ENABLED_PARAMETERS(F, T)                                                                                   \
    F(T, TEXT, name, "name", .required = true, .max = PARAMETER_MAX_BYTES)                                             \
    F(T, CHOICE, enabled, "enabled", .required = true)

#define LOOKUP_PARAMETERS(F, T)                                                                                        \
    F(T, TEXT, name, "name", .max = PARAMETER_MAX_BYTES)                                                               \
    F(T, NUMBER, port, "port", .min = 0, .max = UINT32_MAX)                                                            \
    F(T, TEXT, guid, "guid", .format = &format_guid, .max = 64)                                                        \
    F(T, TEXT, address, "address", .max = PARAMETER_MAX_BYTES)                                                         \
    F(T, TEXT, machine, "machine", .max = PARAMETER_MAX_BYTES)

#define APPLY_PARAMETERS(F, T)                                                                                         \
    F(T, RECORDS(ServiceContext), services, "services", .required = true)                                              \
    F(T, RECORDS(MachineContext), machines, "machines")                                                                \
    F(T, TEXT, set, "set", .format = &format_service_name, .max = SERVICE_NAME_MAX_BYTES)                              \
    F(T, CHOICE, prune, "prune")                                                                                       \
    F(T, CHOICE, dry_run, "dryRun")

#define ACQUIRE_PARAMETERS(F, T)                                                                                       \
    F(T, TEXTS, names, "names", .required = true, .min = 1, .max = 4096)                                               \
    F(T, CHOICE, follow, "follow")

#define ADD_MACHINE_PARAMETERS(F, T)                                                                                   \
    F(T, RECORD(MachineContext), machine, "machine", .required = true)                                                 \
    F(T, NUMBER, ephemeral_process_id, "ephemeralProcessId", .min = 1, .max = INT32_MAX)

#define LIST_MACHINES_PARAMETERS(F, T) F(T, TEXT, name, "name", .max = PARAMETER_MAX_BYTES)

#define READ_LOG_PARAMETERS(F, T)                                                                                      \
    F(T, TEXT, since, "since", .max = PARAMETER_MAX_BYTES)                                                             \
    F(T, TEXT, name, "name", .max = PARAMETER_MAX_BYTES)                                                               \
    F(T, CHOICE, follow, "follow")

RECORD_STRUCT(InterfaceParameters, INTERFACE_PARAMETERS);
RECORD_STRUCT(RegisterParameters, REGISTER_PARAMETERS);
RECORD_STRUCT(NameParameters, NAME_PARAMETERS);
RECORD_STRUCT(SetEnabledParameters, SET_ENABLED_PARAMETERS);
RECORD_STRUCT(LookupParameters, LOOKUP_PARAMETERS);
RECORD_STRUCT(ApplyParameters, APPLY_PARAMETERS);
RECORD_STRUCT(AcquireParameters, ACQUIRE_PARAMETERS);
RECORD_STRUCT(AddMachineParameters, ADD_MACHINE_PARAMETERS);
RECORD_STRUCT(ListMachinesParameters, LIST_MACHINES_PARAMETERS);
RECORD_STRUCT(ReadLogParameters, READ_LOG_PARAMETERS);

/* Reads call->parameters into call->arguments. What is wrong inside of a record is InvalidField with its path (a single
 * record's own: `peers.allow[1]`; of several: `services[2].port`), everything else InvalidParameter. As handlers
 * answer. */
int parameters_read(Call *call);
