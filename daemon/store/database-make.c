/* SPDX-License-Identifier: Apache-2.0 */
/* Database files: what is there, a new one, a copy of one. A file that is being made is called PATH.new until it is
 * complete and on disk; what is left of such a one is thrown away by the next attempt. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/store/database.h"
#include "daemon/store/file.h"
#include "schema/base/fd.h"

#define HEADER_SIZE_BYTES 100
#define HEADER_VERSION_OFFSET 60
#define WAL_HEADER_SIZE_BYTES 32

static int32_t read_big_endian(const uint8_t *bytes)
{
    return (int32_t)((uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3]);
}

static int database_look_at_header(int fd, DatabaseFile *file)
{
    uint8_t header[HEADER_SIZE_BYTES];

    ssize_t n = pread(fd, header, sizeof(header), 0);
    if (n < 0)
        return -errno;
    if (n == 0)
        file->unsound = "the file is empty";
    else if (n < (ssize_t)sizeof(header))
        file->unsound = "the file is cut off";
    else if (memcmp(header, "SQLite format 3", 16) != 0)
        file->unsound = "the file is not a SQLite database";
    else
        file->version = read_big_endian(header + HEADER_VERSION_OFFSET);
    return 0;
}

int database_look(const char *path, DatabaseFile *ret)
{
    DatabaseFile file = {0};
    _cleanup_(freep) char *wal = path_with(path, "-wal");
    struct stat status;

    if (!wal)
        return -ENOMEM;
    file.has_wal = file_size_bytes(wal) > WAL_HEADER_SIZE_BYTES;
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno != ENOENT)
        return -errno;
    if (fd >= 0) {
        if (fstat(fd, &status) < 0)
            return -errno;
        file.exists = true;
        int r = 0;
        if (S_ISREG(status.st_mode))
            r = database_look_at_header(fd, &file);
        else
            file.unsound = "it is not a file";
        if (r < 0)
            return r;
    } else if (file.has_wal) {
        file.unsound = "the file is gone, but its -wal is there";
    }
    *ret = file;
    return 0;
}

static int database_fill(const char *path, const Migrations *migrations, bool ephemeral, int version, Buffer *reason)
{
    _cleanup_(database_closep) sqlite3 *database = NULL;
    char identify[64];

    snprintf(identify, sizeof(identify), "PRAGMA application_id = %d", DATABASE_APPLICATION_ID);
    int r = database_open(path, DATABASE_EXCLUSIVE, &database);
    /* Without auto_vacuum every version of the schema has its tables on the same pages: salvage relies on it. It is
     * synced as a whole before it gets its name. */
    if (r >= 0)
        r = database_run(database, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = NONE; PRAGMA synchronous = OFF");
    if (r >= 0)
        r = database_run(database, identify);
    if (r < 0) {
        database_explain(database, reason);
        return r;
    }
    r = migrations_run(migrations, database, ephemeral, version, reason);
    if (r < 0)
        return r;
    r = database_run(database, "PRAGMA journal_mode = WAL");
    if (r < 0)
        database_explain(database, reason);
    return r;
}

static int explain_file(const char *path, int error, Buffer *reason)
{
    buffer_printf(reason, "%s: %s", path, strerror(-error));
    return error;
}

int database_make(const char *path, const Migrations *migrations, bool ephemeral, int version, Buffer *reason)
{
    _cleanup_(freep) char *unfinished = path_with(path, ".new");

    if (!unfinished)
        return -ENOMEM;
    database_remove(unfinished);
    int r = file_make(unfinished);
    if (r < 0)
        return explain_file(unfinished, r, reason);
    r = database_fill(unfinished, migrations, ephemeral, version, reason);
    if (r >= 0) {
        r = file_put_in_place(unfinished, path);
        if (r < 0)
            explain_file(path, r, reason);
    }
    if (r < 0)
        database_remove(unfinished);
    return r;
}

int database_copy(sqlite3 *database, const char *path, Buffer *reason)
{
    _cleanup_(freep) char *unfinished = path_with(path, ".new"), *uri = NULL;
    _cleanup_(statement_freep) sqlite3_stmt *statement = NULL;

    if (!unfinished)
        return -ENOMEM;
    database_remove(unfinished);
    int r = file_make(unfinished);
    if (r < 0)
        return explain_file(unfinished, r, reason);
    r = database_uri(unfinished, DATABASE_WRITE, &uri);
    if (r < 0)
        return r;
    if (sqlite3_prepare_v2(database, "VACUUM main INTO ?1", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_bind_text(statement, 1, uri, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_DONE) {
        r = database_error(database);
        database_explain(database, reason);
    } else {
        r = file_put_in_place(unfinished, path);
        if (r < 0)
            explain_file(path, r, reason);
    }
    if (r < 0)
        database_remove(unfinished);
    return r;
}
