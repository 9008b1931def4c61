/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that the store holds, told row by row: at the start, and anew where a commit failed. */

#include <errno.h>
#include <string.h>

#include "daemon/store/state.h"

typedef int (*RowTeller)(sqlite3_stmt *statement, RecordTable table, const StoreVisitor *visitor, void *userdata);

static const char *column_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

static int tell_record(sqlite3_stmt *statement, RecordTable table, const StoreVisitor *visitor, void *userdata)
{
    StoredRecord record = {
        .kind = table_kind(table),
        .name = column_text(statement, COLUMN_NAME),
        .context = column_text(statement, COLUMN_CONTEXT),
        .source = column_text(statement, COLUMN_SOURCE),
        .line = (uint32_t)sqlite3_column_int64(statement, COLUMN_LINE),
        .column = (uint32_t)sqlite3_column_int64(statement, COLUMN_COLUMN),
        .uid = (uid_t)sqlite3_column_int64(statement, COLUMN_UID),
        .registered_at_us = (uint64_t)sqlite3_column_int64(statement, COLUMN_REGISTERED_AT),
        .ephemeral_pid = (pid_t)sqlite3_column_int64(statement, COLUMN_PROCESS),
        .ephemeral_start_time_ticks = (uint64_t)sqlite3_column_int64(statement, COLUMN_START_TICKS),
    };
    const char *origin = column_text(statement, COLUMN_ORIGIN);

    if (!record.name || !record.context || !origin) /* none of them can be NULL in the table */
        return -ENOMEM;
    record.origin = origin[0] == 'f' ? STORED_FILE : origin[0] == 'a' ? STORED_APPLY : STORED_USER;
    return visitor->on_record ? visitor->on_record(&record, userdata) : 0;
}

static int tell_override(sqlite3_stmt *statement, RecordTable table, const StoreVisitor *visitor, void *userdata)
{
    const char *name = column_text(statement, 0);

    if (!name)
        return -ENOMEM;
    return visitor->on_override ? visitor->on_override(name, sqlite3_column_int(statement, 1) != 0, userdata) : 0;
}

static int tell_auto_port(sqlite3_stmt *statement, RecordTable table, const StoreVisitor *visitor, void *userdata)
{
    const char *name = column_text(statement, 0);

    if (!name)
        return -ENOMEM;
    return visitor->on_auto_port ? visitor->on_auto_port(name, (uint32_t)sqlite3_column_int64(statement, 1), userdata)
                                 : 0;
}

static int load_failed(Store *store, bool ephemeral)
{
    return store->lenient ? 0 : store_fail(store, !ephemeral, ephemeral, "cannot be read");
}

static int load_rows(Store *store, StatementId id, RecordTable table, RowTeller tell, const StoreVisitor *visitor,
                     void *userdata)
{
    _cleanup_(statement_freep) sqlite3_stmt *statement = NULL; /* used once in a daemon's life: not kept */
    bool ephemeral = table < TABLE_COUNT && table_is_ephemeral(table);
    int code;

    if (statement_prepare(store->database, id, &statement) != SQLITE_OK)
        return load_failed(store, ephemeral);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        int r = tell(statement, table, visitor, userdata);
        if (r < 0)
            return r;
    }
    return code == SQLITE_DONE ? 0 : load_failed(store, ephemeral);
}

int store_load(Store *store, const StoreVisitor *visitor, void *userdata)
{
    bool alone = !store->changed;

    if (alone && database_run(store->database, "BEGIN") < 0)
        return load_failed(store, false);
    int r = load_rows(store, STATEMENT_LOAD_OVERRIDES, TABLE_COUNT, tell_override, visitor, userdata);
    if (r >= 0)
        r = load_rows(store, STATEMENT_LOAD_AUTO_PORTS, TABLE_COUNT, tell_auto_port, visitor, userdata);
    for (int table = 0; table < TABLE_COUNT && r >= 0; table++)
        r = load_rows(store, STATEMENT_LOAD + (StatementId)table, (RecordTable)table, tell_record, visitor, userdata);
    if (alone)
        sqlite3_exec(store->database, "COMMIT", NULL, NULL, NULL);
    /* What was read is in the manager's memory now. */
    sqlite3_exec(store->database, "PRAGMA main.cache_size = -1024; PRAGMA ephemeral.cache_size = -256", NULL, NULL,
                 NULL);
    sqlite3_db_release_memory(store->database);
    return r;
}
