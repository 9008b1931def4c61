/* SPDX-License-Identifier: Apache-2.0 */
/* One SQLite file: how it is made, opened, judged and copied, and what SQLite's answers mean. Inside of daemon/store
 * only. sqlite.org/uri.html, wal.html, fileformat2.html, rescode.html. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/store/migrations.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

typedef struct DatabaseFile DatabaseFile;

/* `HVSK`, in the header of the file: that it is ours, for file(1) too. */
#define DATABASE_APPLICATION_ID 0x4856534b
#define DATABASE_PAGE_SIZE_BYTES 4096

typedef enum DatabaseAccess {
    DATABASE_CREATE,
    DATABASE_WRITE,     /* the file must be there */
    DATABASE_EXCLUSIVE, /* the same, alone: without a -shm file, for a full disk and for salvage */
    DATABASE_READ,
    DATABASE_FROZEN, /* reads what nobody writes: no lock, no -wal, no -shm; works in a folder that cannot be written */
} DatabaseAccess;

/* What can be told without SQLite, which would take an empty file for a new database and throw its -wal away. */
struct DatabaseFile {
    bool exists;
    bool has_wal;        /* there is a -wal with something in it */
    int32_t version;     /* user_version in the file's header, which a -wal can have made old */
    const char *unsound; /* why it cannot be a database; static text, or NULL */
};

int database_look(const char *path, DatabaseFile *ret);

/* For what is not to be written: nothing is made beside it where there is no -wal to be read. */
static inline DatabaseAccess database_reading_access(const DatabaseFile *file)
{
    return file->has_wal ? DATABASE_READ : DATABASE_FROZEN;
}

static inline void database_close(sqlite3 *database)
{
    sqlite3_close_v2(database);
}
DEFINE_CLEANUP(sqlite3 *, database_close)
static inline void statement_free(sqlite3_stmt *statement)
{
    sqlite3_finalize(statement);
}
DEFINE_CLEANUP(sqlite3_stmt *, statement_free)

/* `file:…?mode=…`, whatever characters are in the path. */
int database_uri(const char *path, DatabaseAccess access, char **ret_uri);
/* Where it fails, *ret can be set all the same, for database_error and database_explain; the caller closes it. */
int database_open(const char *path, DatabaseAccess access, sqlite3 **ret);
/* The connection's end is not to write what stands in the -wal into the file. */
void database_keep_wal(sqlite3 *database);

/* The last failure of this connection as -errno: FULL -ENOSPC, IOERR -EIO, READONLY -EROFS, NOMEM -ENOMEM, CANTOPEN the
 * system's own, BUSY -EBUSY, CORRUPT and NOTADB -EUCLEAN. Never 0. database NULL: -ENOMEM. errno is to be 0 before the
 * call that may fail: it says what SQLite does not keep. */
int database_error(sqlite3 *database);
/* Appends what it was, and what would help. */
void database_explain(sqlite3 *database, Buffer *text);

int database_run(sqlite3 *database, const char *sql);
int database_number(sqlite3 *database, const char *sql, int64_t *ret);

/* Whether it is a sound database, and ours. DATABASE_UNSOUND: reason says why. */
enum { DATABASE_UNSOUND = 1 };
int database_check(sqlite3 *database, Buffer *reason);

/* A new database at path, which must not be there: complete or not there at all. */
int database_make(const char *path, const Migrations *migrations, bool ephemeral, int version, Buffer *reason);
/* A copy of an open database: complete or not there at all; replaces. */
int database_copy(sqlite3 *database, const char *path, Buffer *reason);
