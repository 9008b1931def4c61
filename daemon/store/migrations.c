/* SPDX-License-Identifier: Apache-2.0 */
/* The migrations, embedded, and how they are run: once each in a database's life. */

#include <stdio.h>

#include "daemon/store/database.h"
#include "daemon/store/migrations.h"
#include "schema/base/embed.h"

EMBED(sql_0001_registry, "schema/sql/0001-registry.sql");
EMBED(sql_0001_ephemeral, "schema/sql/0001-ephemeral.sql");

/* Append only: what has been released is never changed. */
static const Migration items[] = {
    {embedded_sql_0001_registry, embedded_sql_0001_ephemeral},
};

const Migrations migrations_all = {.items = items, .count = ELEMENTS_OF(items)};

static int migrations_run_locked(const Migrations *migrations, sqlite3 *database, bool ephemeral, int version)
{
    int64_t from;
    char set_version[64];

    int r = database_number(database, "PRAGMA user_version", &from);
    for (int64_t i = from; r >= 0 && i < version; i++) {
        const Migration *migration = &migrations->items[i];
        const char *sql = ephemeral ? migration->ephemeral : migration->registry;
        if (sql)
            r = database_run(database, sql);
    }
    if (r < 0 || from >= version)
        return r;
    snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %d", version);
    return database_run(database, set_version);
}

int migrations_run(const Migrations *migrations, sqlite3 *database, bool ephemeral, int version, Buffer *reason)
{
    int r = database_run(database, "BEGIN EXCLUSIVE");

    if (r >= 0)
        r = migrations_run_locked(migrations, database, ephemeral, version);
    if (r >= 0)
        r = database_run(database, "COMMIT");
    if (r >= 0)
        return 0;
    database_explain(database, reason);
    if (!sqlite3_get_autocommit(database))
        sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL);
    return r;
}
