/* SPDX-License-Identifier: Apache-2.0 */
/* The store's rows: loaded once at the start, changed in transactions that their user ends. A Store lives as long as
 * the daemon, and is the only one of its state folder. */

#include <errno.h>
#include <string.h>

#include "daemon/store/state.h"
#include "schema/base/fd.h"

static const char *const origins[] = {
    [STORED_FILE] = "file",
    [STORED_APPLY] = "apply",
    [STORED_USER] = "user",
};

/* ---- failures ---- */

int store_fail(Store *store, bool registry, bool ephemeral, const char *what)
{
    buffer_clear(&store->error);
    if (registry || !ephemeral)
        buffer_append_text(&store->error, store->path);
    if (registry && ephemeral)
        buffer_append_text(&store->error, " or ");
    if (ephemeral)
        buffer_append_text(&store->error, store->ephemeral_path);
    buffer_printf(&store->error, " %s: ", what);
    database_explain(store->database, &store->error);
    buffer_append_char(&store->error, '\0');
    return database_error(store->database);
}

static int store_fail_to_write(Store *store)
{
    return store_fail(store, store->registry_touched, store->ephemeral_touched, "cannot be written");
}

static int store_refuse(Store *store, int refusal)
{
    buffer_clear(&store->error);
    if (refusal == STORE_NEWER)
        buffer_printf(&store->error,
                      "%s is of schema version %d, which this hvsockd does not know: it is only read; install "
                      "the newer hvsockd again, or begin anew as hvsockd(8) has it under RECOVERY",
                      store->path, store->version);
    else
        buffer_printf(&store->error,
                      "%s cannot be written: make it and its folder writable for the user that hvsockd runs as, "
                      "and start hvsockd again",
                      store->path);
    buffer_append_char(&store->error, '\0');
    return refusal;
}

const char *store_error(const Store *store)
{
    if (store->error.failed)
        return "out of memory";
    return store->error.data && store->error.size_bytes > 0 ? store->error.data : "nothing has failed";
}

/* ---- statements ---- */

static int store_statement(Store *store, StatementId id, sqlite3_stmt **ret)
{
    if (!store->statements[id] && statement_prepare(store->database, id, &store->statements[id]) != SQLITE_OK)
        return store_fail_to_write(store);
    *ret = store->statements[id];
    return 0;
}

/* Of a statement that gives no rows. Its parameters are forgotten afterwards: they are borrowed. */
static int store_step(Store *store, sqlite3_stmt *statement)
{
    errno = 0;
    int r = sqlite3_step(statement) == SQLITE_DONE ? 0 : store_fail_to_write(store);

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return r;
}

/* ---- changes ---- */

static void store_forget_changes(Store *store)
{
    store->changed = store->registry_touched = store->ephemeral_touched = false;
    store->broken = 0;
}

/* The statement, in the transaction that the first change begins. */
static int store_change(Store *store, bool ephemeral, StatementId id, sqlite3_stmt **ret)
{
    int refusal = ephemeral ? store->ephemeral_refusal : store->refusal;
    sqlite3_stmt *begin;

    if (refusal != 0)
        return store_refuse(store, refusal);
    if (store->broken != 0)
        return store->broken;
    if (!store->changed) {
        int r = store_statement(store, STATEMENT_BEGIN, &begin);
        if (r >= 0)
            r = store_step(store, begin);
        if (r < 0)
            return r;
        store->changed = true;
    }
    store->registry_touched |= !ephemeral;
    store->ephemeral_touched |= ephemeral;
    int r = store_statement(store, id, ret);
    if (r < 0)
        store->broken = r;
    return r;
}

static int store_answer(const Store *store, int r)
{
    return r > 0 && store->drops_refused ? 0 : r;
}

void store_drop_refused(Store *store)
{
    store->drops_refused = true;
}

/* SQLite can have ended the transaction by itself: nothing more may be put into it, nor stand alone. */
static int store_run(Store *store, sqlite3_stmt *statement)
{
    int r = store_step(store, statement);

    if (r < 0)
        store->broken = r;
    return r;
}

/* Borrowed until the statement has run. A failure to bind is a missing value, which the tables refuse (NOT NULL). */
static void bind_text(sqlite3_stmt *statement, int parameter, const char *text)
{
    if (text)
        sqlite3_bind_text(statement, parameter, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *statement, int parameter, uint64_t number)
{
    sqlite3_bind_int64(statement, parameter, (sqlite3_int64)number);
}

int store_put(Store *store, const StoredRecord *record)
{
    int table = table_of(record->kind, record->origin, record->ephemeral_pid != 0);
    sqlite3_stmt *statement;

    if (table < 0)
        return table;
    bool ephemeral = table_is_ephemeral((RecordTable)table);
    int r = store_change(store, ephemeral, STATEMENT_PUT + (StatementId)table, &statement);
    if (r != 0)
        return store_answer(store, r);
    bind_text(statement, PARAMETER_NAME, record->name);
    bind_text(statement, PARAMETER_CONTEXT, record->context);
    bind_number(statement, PARAMETER_REGISTERED_AT, record->registered_at_us);
    bind_text(statement, PARAMETER_SOURCE, record->source);
    if (table_is_declared((RecordTable)table)) {
        bind_number(statement, PARAMETER_LINE, record->line);
        bind_number(statement, PARAMETER_COLUMN, record->column);
    } else {
        bind_number(statement, PARAMETER_UID, record->uid);
        bind_text(statement, PARAMETER_ORIGIN, origins[record->origin]);
    }
    if (ephemeral) {
        bind_number(statement, PARAMETER_PROCESS, (uint64_t)record->ephemeral_pid);
        bind_number(statement, PARAMETER_START_TICKS, record->ephemeral_start_time_ticks);
    }
    return store_run(store, statement);
}

int store_delete(Store *store, StoredKind kind, StoredOrigin origin, const char *name, bool ephemeral)
{
    int table = table_of(kind, origin, ephemeral);
    sqlite3_stmt *statement;

    if (table < 0)
        return table;
    int r = store_change(store, ephemeral, STATEMENT_DELETE + (StatementId)table, &statement);
    if (r != 0)
        return store_answer(store, r);
    bind_text(statement, PARAMETER_NAME, name);
    if (!table_is_declared((RecordTable)table))
        bind_text(statement, PARAMETER_ORIGIN, origins[origin]);
    return store_run(store, statement);
}

static int store_put_number(Store *store, StatementId id, const char *name, uint64_t number)
{
    sqlite3_stmt *statement;

    int r = store_change(store, false, id, &statement);
    if (r != 0)
        return store_answer(store, r);
    bind_text(statement, 1, name);
    bind_number(statement, 2, number);
    return store_run(store, statement);
}

static int store_delete_name(Store *store, StatementId id, const char *name)
{
    sqlite3_stmt *statement;

    int r = store_change(store, false, id, &statement);
    if (r != 0)
        return store_answer(store, r);
    bind_text(statement, 1, name);
    return store_run(store, statement);
}

int store_put_override(Store *store, const char *name, bool enabled)
{
    return store_put_number(store, STATEMENT_PUT_OVERRIDE, name, enabled);
}

int store_delete_override(Store *store, const char *name)
{
    return store_delete_name(store, STATEMENT_DELETE_OVERRIDE, name);
}

int store_put_auto_port(Store *store, const char *name, uint32_t port)
{
    return store_put_number(store, STATEMENT_PUT_AUTO_PORT, name, port);
}

int store_delete_auto_port(Store *store, const char *name)
{
    return store_delete_name(store, STATEMENT_DELETE_AUTO_PORT, name);
}

bool store_has_changes(const Store *store)
{
    return store->changed;
}

int store_commit(Store *store)
{
    sqlite3_stmt *commit;

    if (!store->changed)
        return 0;
    int r = store->broken;
    if (r == 0)
        r = store_statement(store, STATEMENT_COMMIT, &commit);
    if (r >= 0)
        r = store_step(store, commit);
    if (r < 0) {
        store_rollback(store);
        return r;
    }
    store_forget_changes(store);
    store->commits++;
    return 0;
}

void store_rollback(Store *store)
{
    if (store->changed && !sqlite3_get_autocommit(store->database))
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
    store_forget_changes(store);
}

uint64_t store_commits(const Store *store)
{
    return store->commits;
}

int store_version(const Store *store)
{
    return store->version;
}

void store_free(Store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(store->statements[i]);
    database_close(store->database);
    fd_close(store->lock_fd);
    free(store->path);
    free(store->ephemeral_path);
    buffer_release(&store->error);
    free(store);
}
