/* SPDX-License-Identifier: Apache-2.0 */
/* Making, judging and attaching ephemeral.db. It is never worth a failed start as long as a new one can be made. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "daemon/store/ephemeral.h"
#include "daemon/store/file.h"
#include "schema/base/fd.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

/* Positive answers of ephemeral_judge. */
enum {
    EPHEMERAL_OVER = 1, /* not there, or of another boot */
    EPHEMERAL_USELESS,  /* the reason says why */
};

static int boot_id_read(char **ret)
{
    size_t size;

    int r = file_read(AT_FDCWD, BOOT_ID_PATH, 64, ret, &size);
    if (r >= 0)
        (*ret)[strcspn(*ret, "\n")] = '\0';
    return r;
}

static bool is_of_boot(sqlite3 *database, const char *boot_id)
{
    _cleanup_(statement_freep) sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(database, "SELECT 1 FROM boot WHERE id = ?1", -1, &statement, NULL) != SQLITE_OK)
        return false;
    sqlite3_bind_text(statement, 1, boot_id, -1, SQLITE_STATIC);
    return sqlite3_step(statement) == SQLITE_ROW;
}

static int ephemeral_judge(const char *path, DatabaseAccess access, const char *boot_id, int *ret_version,
                           sqlite3 **ret, Buffer *reason)
{
    _cleanup_(database_closep) sqlite3 *database = NULL;
    DatabaseFile file;
    int64_t version;

    int r = database_look(path, &file);
    if (r < 0) {
        buffer_append_text(reason, strerror(-r));
        return r;
    }
    if (!file.exists)
        return EPHEMERAL_OVER;
    if (file.unsound) {
        buffer_append_text(reason, file.unsound);
        return EPHEMERAL_USELESS;
    }
    r = database_open(path, access, &database);
    if (r < 0)
        database_explain(database, reason);
    else
        r = database_check(database, reason);
    if (r != 0)
        return r == DATABASE_UNSOUND ? EPHEMERAL_USELESS : r;
    if (!is_of_boot(database, boot_id))
        return EPHEMERAL_OVER;
    r = database_number(database, "PRAGMA user_version", &version);
    if (r < 0)
        return r;
    *ret_version = (int)version;
    *ret = TAKE_PTR(database);
    return 0;
}

static int ephemeral_make(const char *path, const Migrations *migrations, const char *boot_id, Buffer *reason)
{
    _cleanup_(database_closep) sqlite3 *database = NULL;
    _cleanup_(statement_freep) sqlite3_stmt *statement = NULL;

    database_remove(path);
    int r = database_make(path, migrations, true, migrations->count, reason);
    if (r < 0)
        return r;
    r = database_open(path, DATABASE_EXCLUSIVE, &database);
    if (r >= 0 &&
        (sqlite3_prepare_v2(database, "INSERT INTO boot (id) VALUES (?1)", -1, &statement, NULL) != SQLITE_OK ||
         sqlite3_bind_text(statement, 1, boot_id, -1, SQLITE_STATIC) != SQLITE_OK ||
         sqlite3_step(statement) != SQLITE_DONE))
        r = database_error(database);
    if (r < 0)
        database_explain(database, reason);
    return r;
}

/* Leaves a database of this boot and version at path. */
static int ephemeral_prepare(const char *path, const Migrations *migrations, Buffer *warning, Buffer *reason)
{
    _cleanup_(freep) char *boot_id = NULL, *bad = path_with(path, ".bad");
    _cleanup_(database_closep) sqlite3 *database = NULL;
    int version = 0;

    if (!bad)
        return -ENOMEM;
    int r = boot_id_read(&boot_id);
    if (r < 0) {
        buffer_printf(reason, "%s: %s", BOOT_ID_PATH, strerror(-r));
        return r;
    }
    r = ephemeral_judge(path, DATABASE_EXCLUSIVE, boot_id, &version, &database, reason);
    if (r == 0 && version <= migrations->count)
        return version < migrations->count ? migrations_run(migrations, database, true, migrations->count, reason) : 0;
    if (r == 0)
        buffer_printf(reason, "it is of schema version %d, and this hvsockd knows %d", version, migrations->count);
    if (r < 0)
        return r;
    if (r != EPHEMERAL_OVER) {
        database_close(TAKE_PTR(database));
        rename(path, bad);
        buffer_append_char(reason, '\0');
        buffer_printf(warning,
                      "%s%s cannot be used, and is %s now: %s. What was registered with --ephemeral is forgotten",
                      warning->size_bytes > 0 ? "; " : "", path, bad, reason->failed ? "out of memory" : reason->data);
        buffer_clear(reason);
    }
    return ephemeral_make(path, migrations, boot_id, reason);
}

static int attach(sqlite3 *database, const char *path, DatabaseAccess access)
{
    _cleanup_(statement_freep) sqlite3_stmt *statement = NULL;
    _cleanup_(freep) char *uri = NULL;

    int r = database_uri(path, access, &uri);
    if (r < 0)
        return r;
    if (sqlite3_prepare_v2(database, "ATTACH ?1 AS ephemeral", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_bind_text(statement, 1, uri, -1, SQLITE_STATIC) != SQLITE_OK || sqlite3_step(statement) != SQLITE_DONE)
        return database_error(database);
    return 0;
}

int ephemeral_attach(sqlite3 *database, const char *path, const Migrations *migrations, Buffer *warning,
                     Buffer *trouble)
{
    _cleanup_(buffer_release) Buffer reason = {0};

    int r = ephemeral_prepare(path, migrations, warning, &reason);
    if (r >= 0) {
        r = attach(database, path, DATABASE_WRITE);
        if (r == -ENOSPC) {
            /* No room for a -shm file: do without; see registry.c. */
            r = database_run(database, "PRAGMA locking_mode = EXCLUSIVE");
            if (r >= 0)
                r = attach(database, path, DATABASE_WRITE);
        }
        if (r >= 0)
            r = database_run(database,
                             "PRAGMA ephemeral.locking_mode = EXCLUSIVE; PRAGMA ephemeral.synchronous = OFF; PRAGMA ephemeral.journal_size_limit = 16777216");
        if (r < 0)
            database_explain(database, &reason);
    }
    if (r >= 0)
        return 0;
    buffer_append_char(&reason, '\0');
    buffer_clear(trouble);
    buffer_printf(trouble, "%s cannot be opened: %s", path, reason.failed ? "out of memory" : reason.data);
    return r;
}

void ephemeral_attach_for_reading(sqlite3 *database, const char *path)
{
    _cleanup_(freep) char *boot_id = NULL;
    _cleanup_(buffer_release) Buffer reason = {0};
    _cleanup_(database_closep) sqlite3 *judged = NULL;
    DatabaseFile file;
    int version;

    if (boot_id_read(&boot_id) < 0 || database_look(path, &file) < 0)
        return;
    DatabaseAccess access = database_reading_access(&file);
    if (ephemeral_judge(path, access, boot_id, &version, &judged, &reason) == 0)
        attach(database, path, access);
}
