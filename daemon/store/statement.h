/* SPDX-License-Identifier: Apache-2.0 */
/* The statements of a Store: one table of the tables, from which their SQL is made. Inside of daemon/store only. */
#pragma once

#include <sqlite3.h>

#include "daemon/store/store.h"

typedef enum RecordTable {
    TABLE_DECLARED_SETTINGS, /* in the order that they are loaded in */
    TABLE_DECLARED_MACHINES,
    TABLE_MACHINES,
    TABLE_EPHEMERAL_MACHINES,
    TABLE_DECLARED_SERVICES,
    TABLE_SERVICES,
    TABLE_EPHEMERAL_SERVICES,
    TABLE_COUNT,
} RecordTable;

typedef enum StatementId {
    STATEMENT_PUT,                                        /* + RecordTable */
    STATEMENT_DELETE = STATEMENT_PUT + TABLE_COUNT,       /* + RecordTable */
    STATEMENT_LOAD = STATEMENT_DELETE + TABLE_COUNT,      /* + RecordTable */
    STATEMENT_BEGIN = STATEMENT_LOAD + TABLE_COUNT,
    STATEMENT_COMMIT,
    STATEMENT_PUT_OVERRIDE,
    STATEMENT_DELETE_OVERRIDE,
    STATEMENT_LOAD_OVERRIDES,
    STATEMENT_PUT_AUTO_PORT,
    STATEMENT_DELETE_AUTO_PORT,
    STATEMENT_LOAD_AUTO_PORTS,
    STATEMENT_COUNT,
} StatementId;

/* The parameters of PUT and DELETE; the numbers are in the SQL. */
enum {
    PARAMETER_NAME = 1,
    PARAMETER_CONTEXT,
    PARAMETER_REGISTERED_AT,
    PARAMETER_SOURCE,
    PARAMETER_LINE,                   /* declared */
    PARAMETER_COLUMN,
    PARAMETER_UID = PARAMETER_LINE,   /* not declared */
    PARAMETER_ORIGIN = PARAMETER_COLUMN,
    PARAMETER_PROCESS,                /* ephemeral */
    PARAMETER_START_TICKS,
};
/* The columns of LOAD, the same for every table. */
enum {
    COLUMN_NAME,
    COLUMN_CONTEXT,
    COLUMN_ORIGIN,
    COLUMN_SOURCE,
    COLUMN_LINE,
    COLUMN_COLUMN,
    COLUMN_UID,
    COLUMN_REGISTERED_AT,
    COLUMN_PROCESS,
    COLUMN_START_TICKS,
};

/* Where a record is kept; -EINVAL: nowhere (settings that are not declared, declared and ephemeral at once). */
int table_of(StoredKind kind, StoredOrigin origin, bool ephemeral);
StoredKind table_kind(RecordTable table);
bool table_is_declared(RecordTable table);
bool table_is_ephemeral(RecordTable table);

/* 0; SQLite's code. */
int statement_prepare(sqlite3 *database, StatementId id, sqlite3_stmt **ret);
