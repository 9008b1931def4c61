/* SPDX-License-Identifier: Apache-2.0 */
/* Opening registry.db. What is not sound, or of a newer version, or cannot be written, stays as it is to the byte. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "daemon/store/file.h"
#include "daemon/store/registry.h"

static int say_unsound(const char *path, const char *reason, Buffer *trouble)
{
    buffer_clear(trouble);
    buffer_printf(trouble,
                  "%s is not sound: %s; nothing was changed. `hvsockd --recover` keeps every row that can be read",
                  path, reason);
    return STORE_UNSOUND;
}

static int say_failed(const char *path, int r, Buffer *reason, Buffer *trouble)
{
    buffer_append_char(reason, '\0');
    if (reason->failed)
        return -ENOMEM;
    if (r == DATABASE_UNSOUND)
        return say_unsound(path, reason->data, trouble);
    buffer_clear(trouble);
    buffer_printf(trouble, "%s cannot be opened: %s", path, reason->data);
    return r;
}

static bool can_write(const char *path)
{
    return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

static bool can_write_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_(freep) char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");

    return folder && can_write(folder);
}

/* What can be said before SQLite touches it: 0, STORE_NEWER, STORE_UNSOUND, -errno. */
static int registry_look(const char *path, const Migrations *migrations, DatabaseFile *ret, Buffer *trouble)
{
    _cleanup_(freep) char *recovered = path_with(path, ".recovered");

    if (!recovered)
        return -ENOMEM;
    int r = database_look(path, ret);
    if (r < 0) {
        buffer_printf(trouble, "%s cannot be opened: %s", path, strerror(-r));
        return r;
    }
    if (file_size_bytes(recovered) >= 0)
        return say_unsound(path, "its recovery was interrupted", trouble);
    if (ret->unsound)
        return say_unsound(path, ret->unsound, trouble);
    return ret->exists && ret->version > migrations->count ? STORE_NEWER : 0;
}

/* 0; STORE_NEWER by what the -wal says; STORE_UNSOUND; -errno. Only after 0 there is a connection. */
static int registry_try(const char *path, const Migrations *migrations, DatabaseAccess access, const DatabaseFile *file,
                        Registry *ret, Buffer *trouble)
{
    _cleanup_(database_closep) sqlite3 *database = NULL;
    _cleanup_(buffer_release) Buffer reason = {0};
    int64_t version = 0;

    int r = database_open(path, access, &database);
    if (r < 0)
        database_explain(database, &reason);
    else
        r = database_check(database, &reason);
    if (r == 0)
        r = database_number(database, "PRAGMA user_version", &version);
    if (r == 0 && version <= migrations->count) {
        *ret = (Registry){.database = TAKE_PTR(database), .version = (int)version};
        return 0;
    }
    if (database && file->has_wal)
        database_keep_wal(database);
    return r == 0 ? STORE_NEWER : say_failed(path, r, &reason, trouble);
}

static int registry_open_empty(const Migrations *migrations, bool tables, Registry *ret, Buffer *trouble)
{
    _cleanup_(database_closep) sqlite3 *database = NULL;

    int r = database_open(":memory:", DATABASE_CREATE, &database);
    if (r < 0) {
        database_explain(database, trouble);
        return r;
    }
    r = tables ? migrations_run(migrations, database, false, migrations->count, trouble) : 0;
    if (r >= 0)
        *ret = (Registry){.database = TAKE_PTR(database), .version = migrations->count};
    return r;
}

/* That we cannot read it says nothing about its soundness: a newer SQLite may have written it. */
static int registry_open_newer(const char *path, const Migrations *migrations, const DatabaseFile *file, Registry *ret,
                               Buffer *trouble)
{
    const Migrations any_version = {.items = migrations->items, .count = INT32_MAX};

    int r = registry_try(path, &any_version, database_reading_access(file), file, ret, trouble);
    if (r != 0) {
        r = registry_open_empty(migrations, false, ret, trouble);
        if (r < 0)
            return r;
        ret->version = file->version;
    }
    ret->refusal = STORE_NEWER;
    ret->lenient = true;
    buffer_clear(trouble);
    buffer_printf(trouble,
                  "%s is of schema version %d, and this hvsockd knows %d: it is only read, and every change is "
                  "refused; install the newer hvsockd again, or begin anew as hvsockd(8) has it under RECOVERY",
                  path, ret->version, migrations->count);
    return STORE_NEWER;
}

static int registry_open_read_only(const char *path, const Migrations *migrations, const DatabaseFile *file,
                                   Registry *ret, Buffer *trouble)
{
    int r = file->exists ? registry_try(path, migrations, database_reading_access(file), file, ret, trouble)
                         : registry_open_empty(migrations, true, ret, trouble);

    if (r == STORE_NEWER)
        return registry_open_newer(path, migrations, file, ret, trouble);
    if (r != 0)
        return r;
    ret->refusal = STORE_READ_ONLY;
    ret->lenient = ret->version < migrations->count;
    buffer_clear(trouble);
    buffer_printf(trouble,
                  "%s cannot be written: it is only read, and every lasting change is refused; make it and its folder "
                  "writable for the user that hvsockd runs as",
                  path);
    return STORE_READ_ONLY;
}

/* An older one is copied before anything in it changes. */
static int registry_migrate(const char *path, const Migrations *migrations, Registry *registry, Buffer *trouble)
{
    _cleanup_(buffer_release) Buffer reason = {0};
    char suffix[32];

    if (registry->version == migrations->count)
        return 0;
    snprintf(suffix, sizeof(suffix), ".v%d", registry->version);
    _cleanup_(freep) char *copy = path_with(path, suffix);
    if (!copy)
        return -ENOMEM;
    int r = database_copy(registry->database, copy, &reason);
    if (r >= 0)
        r = migrations_run(migrations, registry->database, false, migrations->count, &reason);
    if (r < 0) {
        buffer_append_char(&reason, '\0');
        buffer_printf(trouble, "%s cannot be brought from schema version %d to %d, and stays as it is: %s", path,
                      registry->version, migrations->count, reason.failed ? "out of memory" : reason.data);
        return r;
    }
    registry->version = migrations->count;
    /* The version in the file's own header is what an older hvsockd looks at first. */
    sqlite3_wal_checkpoint_v2(registry->database, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return 0;
}

static int registry_prepare(const char *path, const Migrations *migrations, Registry *registry, Buffer *trouble)
{
    int r = registry_migrate(path, migrations, registry, trouble);

    if (r < 0)
        return r;
    /* A copy that was put back need not be in WAL mode. */
    r = database_run(registry->database, "PRAGMA main.journal_mode = WAL; PRAGMA main.synchronous = FULL;"
                                         "PRAGMA main.journal_size_limit = 16777216");
    if (r < 0) {
        buffer_printf(trouble, "%s cannot be opened: ", path);
        database_explain(registry->database, trouble);
    }
    return r;
}

static int registry_open_to_write(const char *path, const Migrations *migrations, const DatabaseFile *file,
                                  Registry *ret, Buffer *trouble)
{
    Registry registry = {0};

    int r = registry_try(path, migrations, DATABASE_WRITE, file, &registry, trouble);
    if (r == -ENOSPC) {
        /* No room for a -shm file: without one it can be read at least, and written as soon as there is room. */
        buffer_clear(trouble);
        r = registry_try(path, migrations, DATABASE_EXCLUSIVE, file, &registry, trouble);
    }
    if (r == STORE_NEWER)
        return registry_open_newer(path, migrations, file, ret, trouble);
    if (r != 0)
        return r;
    if (sqlite3_db_readonly(registry.database, "main") == 1) {
        database_close(registry.database);
        return registry_open_read_only(path, migrations, file, ret, trouble);
    }
    r = registry_prepare(path, migrations, &registry, trouble);
    if (r < 0) {
        database_close(registry.database);
        return r;
    }
    *ret = registry;
    return 0;
}

int registry_open(const char *path, const Migrations *migrations, Registry *ret, Buffer *trouble)
{
    _cleanup_(buffer_release) Buffer reason = {0};
    DatabaseFile file;

    int r = registry_look(path, migrations, &file, trouble);
    if (r == STORE_NEWER)
        return registry_open_newer(path, migrations, &file, ret, trouble);
    if (r != 0)
        return r;
    if (!can_write_folder_of(path) || (file.exists && !can_write(path)))
        return registry_open_read_only(path, migrations, &file, ret, trouble);
    if (!file.exists) {
        r = database_make(path, migrations, false, migrations->count, &reason);
        if (r < 0)
            return say_failed(path, r, &reason, trouble);
    }
    return registry_open_to_write(path, migrations, &file, ret, trouble);
}

int registry_judge(const char *path, const Migrations *migrations, Buffer *trouble)
{
    Registry registry = {0};
    DatabaseFile file;

    int r = registry_look(path, migrations, &file, trouble);
    if (r != 0)
        return r;
    if (!file.exists) {
        buffer_printf(trouble, "%s is not there", path);
        return -ENOENT;
    }
    r = registry_try(path, migrations, DATABASE_EXCLUSIVE, &file, &registry, trouble);
    if (r != 0)
        return r;
    if (file.has_wal)
        database_keep_wal(registry.database);
    database_close(registry.database);
    return 0;
}
