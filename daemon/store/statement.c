/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of the store, made from the table of tables; constant. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/store/database.h"
#include "daemon/store/statement.h"

typedef struct TableInfo TableInfo;
typedef struct TableSql TableSql;

typedef enum TableShape {
    SHAPE_DECLARED,
    SHAPE_KEPT,
    SHAPE_EPHEMERAL,
} TableShape;

struct TableInfo {
    const char *name;
    StoredKind kind;
    TableShape shape;
};

static const TableInfo tables[TABLE_COUNT] = {
    [TABLE_DECLARED_SETTINGS] = {"main.declared_settings", STORED_SETTINGS, SHAPE_DECLARED},
    [TABLE_DECLARED_MACHINES] = {"main.declared_machines", STORED_MACHINE, SHAPE_DECLARED},
    [TABLE_MACHINES] = {"main.machines", STORED_MACHINE, SHAPE_KEPT},
    [TABLE_EPHEMERAL_MACHINES] = {"ephemeral.machines", STORED_MACHINE, SHAPE_EPHEMERAL},
    [TABLE_DECLARED_SERVICES] = {"main.declared_services", STORED_SERVICE, SHAPE_DECLARED},
    [TABLE_SERVICES] = {"main.services", STORED_SERVICE, SHAPE_KEPT},
    [TABLE_EPHEMERAL_SERVICES] = {"ephemeral.services", STORED_SERVICE, SHAPE_EPHEMERAL},
};

/* Each with the table's name for %s. An update in place keeps the row's id and touches the index not at all. */
struct TableSql {
    const char *put, *delete, *load;
};

static const TableSql shapes[] = {
    [SHAPE_DECLARED] = {
        .put = "INSERT INTO %s (name, context, registered_at_us, file, file_line, file_column)"
               " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
               " ON CONFLICT (name) DO UPDATE SET context = excluded.context,"
               " registered_at_us = excluded.registered_at_us, file = excluded.file, file_line = excluded.file_line,"
               " file_column = excluded.file_column",
        .delete = "DELETE FROM %s WHERE name = ?1",
        .load = "SELECT name, context, 'file', file, file_line, file_column, 0, registered_at_us, 0, 0 FROM %s"
                " ORDER BY name",
    },
    [SHAPE_KEPT] = {
        .put = "INSERT INTO %s (name, context, registered_at_us, set_name, uid, origin) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
               " ON CONFLICT (origin, name) DO UPDATE SET context = excluded.context,"
               " registered_at_us = excluded.registered_at_us, set_name = excluded.set_name, uid = excluded.uid",
        .delete = "DELETE FROM %s WHERE name = ?1 AND origin = ?6",
        .load = "SELECT name, context, origin, set_name, 0, 0, uid, registered_at_us, 0, 0 FROM %s"
                " ORDER BY origin, name",
    },
    [SHAPE_EPHEMERAL] = {
        .put = "INSERT INTO %s (name, context, registered_at_us, set_name, uid, origin, process_id,"
               " process_start_ticks) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
               " ON CONFLICT (origin, name) DO UPDATE SET context = excluded.context,"
               " registered_at_us = excluded.registered_at_us, set_name = excluded.set_name, uid = excluded.uid,"
               " process_id = excluded.process_id, process_start_ticks = excluded.process_start_ticks",
        .delete = "DELETE FROM %s WHERE name = ?1 AND origin = ?6",
        .load = "SELECT name, context, origin, set_name, 0, 0, uid, registered_at_us, process_id, process_start_ticks"
                " FROM %s ORDER BY origin, name",
    },
};

static const char *const others[STATEMENT_COUNT] = {
    [STATEMENT_BEGIN] = "BEGIN",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_PUT_OVERRIDE] = "INSERT INTO main.overrides (name, enabled) VALUES (?1, ?2)"
                               " ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled",
    [STATEMENT_DELETE_OVERRIDE] = "DELETE FROM main.overrides WHERE name = ?1",
    [STATEMENT_LOAD_OVERRIDES] = "SELECT name, enabled FROM main.overrides ORDER BY name",
    [STATEMENT_PUT_AUTO_PORT] = "INSERT INTO main.auto_ports (name, port) VALUES (?1, ?2)"
                                " ON CONFLICT (name) DO UPDATE SET port = excluded.port",
    [STATEMENT_DELETE_AUTO_PORT] = "DELETE FROM main.auto_ports WHERE name = ?1",
    [STATEMENT_LOAD_AUTO_PORTS] = "SELECT name, port FROM main.auto_ports ORDER BY name",
};

int table_of(StoredKind kind, StoredOrigin origin, bool ephemeral)
{
    TableShape shape = origin == STORED_FILE ? SHAPE_DECLARED : ephemeral ? SHAPE_EPHEMERAL : SHAPE_KEPT;

    if (shape == SHAPE_DECLARED && ephemeral)
        return -EINVAL;
    for (int i = 0; i < TABLE_COUNT; i++)
        if (tables[i].kind == kind && tables[i].shape == shape)
            return i;
    return -EINVAL;
}

StoredKind table_kind(RecordTable table)
{
    return tables[table].kind;
}

bool table_is_declared(RecordTable table)
{
    return tables[table].shape == SHAPE_DECLARED;
}

bool table_is_ephemeral(RecordTable table)
{
    return tables[table].shape == SHAPE_EPHEMERAL;
}

int statement_prepare(sqlite3 *database, StatementId id, sqlite3_stmt **ret)
{
    char made[640];
    const char *sql = others[id];

    if (!sql) {
        const TableInfo *table = &tables[id % TABLE_COUNT];
        const TableSql *shape = &shapes[table->shape];
        const char *form = id < STATEMENT_DELETE ? shape->put : id < STATEMENT_LOAD ? shape->delete : shape->load;
        const char *place = strstr(form, "%s");
        int size = snprintf(made, sizeof(made), "%.*s%s%s", (int)(place - form), form, table->name, place + 2);
        if (size < 0 || (size_t)size >= sizeof(made))
            return SQLITE_TOOBIG;
        sql = made;
    }
    return sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
}
