/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to one SQLite file, and what its answers mean: as long as its Store lives, or a judgement takes. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/store/database.h"
#include "daemon/store/file.h"

#define BUSY_TIMEOUT_MS 500 /* an administrator's sqlite3 that writes */

int database_uri(const char *path, DatabaseAccess access, char **ret_uri)
{
    static const char *const modes[] = {
        [DATABASE_CREATE] = "?mode=rwc",
        [DATABASE_WRITE] = "?mode=rw",
        [DATABASE_EXCLUSIVE] = "?mode=rw",
        [DATABASE_READ] = "?mode=ro",
        [DATABASE_FROZEN] = "?mode=ro&immutable=1",
    };
    _cleanup_(buffer_release) Buffer uri = {0};

    buffer_append_text(&uri, "file:");
    for (const char *c = path; *c; c++) {
        if (isalnum((unsigned char)*c) || strchr("/._-", *c))
            buffer_append_char(&uri, *c);
        else
            buffer_printf(&uri, "%%%02x", (unsigned char)*c);
    }
    buffer_append_text(&uri, modes[access]);
    return buffer_take(&uri, ret_uri, NULL);
}

/* Nothing in here reads the file: what is wrong with it is database_check's to tell. */
static int database_configure(sqlite3 *database, DatabaseAccess access)
{
    sqlite3_busy_timeout(database, BUSY_TIMEOUT_MS);
    sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    int r = database_run(database, "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;"
                                   "PRAGMA trusted_schema = OFF");
    if (r >= 0 && access == DATABASE_EXCLUSIVE)
        r = database_run(database, "PRAGMA locking_mode = EXCLUSIVE");
    return r;
}

int database_open(const char *path, DatabaseAccess access, sqlite3 **ret)
{
    /* The URI lowers what these flags allow, for this file alone: another can be attached to be written. */
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                      SQLITE_OPEN_EXRESCODE;
    _cleanup_(freep) char *uri = NULL;

    int r = database_uri(path, access, &uri);
    if (r < 0)
        return r;
    if (sqlite3_open_v2(uri, ret, flags, NULL) != SQLITE_OK)
        return database_error(*ret);
    return database_configure(*ret, access);
}

void database_keep_wal(sqlite3 *database)
{
    sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

/* ---- what went wrong ---- */

/* The system's own word. SQLite does not keep it where a commit fails, but errno is still what the write left. */
static int system_error(sqlite3 *database)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* RLIMIT_FSIZE */
        return errno;
    }
    return sqlite3_system_errno(database);
}

static int error_of_file(int system_errno, int otherwise)
{
    switch (system_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return -ENOSPC;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOENT:
        return -system_errno;
    default:
        return otherwise;
    }
}

int database_error(sqlite3 *database)
{
    if (!database)
        return -ENOMEM;
    int code = sqlite3_extended_errcode(database), system_errno = system_error(database);

    switch (code) {
    case SQLITE_IOERR_NOMEM:
        return -ENOMEM;
    case SQLITE_IOERR_SHMSIZE:
        return error_of_file(system_errno, -ENOSPC);
    case SQLITE_IOERR_SHORT_READ:
    case SQLITE_IOERR_CORRUPTFS:
        return -EUCLEAN;
    }
    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return -EUCLEAN;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_TOOBIG:
        return -EFBIG;
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
        return -EINVAL;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return error_of_file(system_errno, -EIO);
    }
    return -EIO;
}

void database_explain(sqlite3 *database, Buffer *text)
{
    if (!database) {
        buffer_append_text(text, "out of memory");
        return;
    }
    buffer_append_text(text, sqlite3_errmsg(database));
    int primary = sqlite3_errcode(database) & 0xff, system_errno = system_error(database);
    if ((primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) && system_errno != 0)
        buffer_printf(text, " (%s)", strerror(system_errno));

    switch (database_error(database)) {
    case -ENOSPC:
        buffer_append_text(text, "; make room on that file system");
        break;
    case -EROFS:
    case -EACCES:
    case -EPERM:
        buffer_append_text(text, "; make the file and its folder writable for the user that hvsockd runs as");
        break;
    case -EBUSY:
        buffer_append_text(text, "; another program is writing to it, end that one");
        break;
    case -EMFILE:
    case -ENFILE:
        buffer_append_text(text, "; raise the limit of open files");
        break;
    case -EIO:
        buffer_append_text(text, "; look at the disk and the kernel's log");
        break;
    }
}

/* ---- asking ---- */

int database_run(sqlite3 *database, const char *sql)
{
    errno = 0;
    return sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : database_error(database);
}

int database_number(sqlite3 *database, const char *sql, int64_t *ret)
{
    _cleanup_(statement_freep) sqlite3_stmt *statement = NULL;

    errno = 0;
    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK)
        return database_error(database);
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? -ENODATA : database_error(database);
    *ret = sqlite3_column_int64(statement, 0);
    return 0;
}

/* Of a failure while judging: about the file, or about something else? */
static int database_verdict(sqlite3 *database, Buffer *reason)
{
    int r = database_error(database), primary = sqlite3_errcode(database) & 0xff;

    database_explain(database, reason);
    return r == -EUCLEAN || primary == SQLITE_ERROR ? DATABASE_UNSOUND : r;
}

/* Reads every page and every row once: 2 ms for 10,000 services, 22 ms for 100,000. What it does not do, comparing each
 * index with its table, would cost thrice as much. */
static int database_quick_check(sqlite3 *database, Buffer *reason)
{
    _cleanup_(statement_freep) sqlite3_stmt *statement = NULL;

    errno = 0;
    if (sqlite3_prepare_v2(database, "PRAGMA main.quick_check(1)", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        return database_verdict(database, reason);
    const char *answer = (const char *)sqlite3_column_text(statement, 0);
    if (!answer)
        return -ENOMEM;
    if (strcmp(answer, "ok") == 0)
        return 0;
    /* `*** in database main ***\nTree 5 page 7: …`: its last line is what is meant. */
    const char *line = strrchr(answer, '\n');
    buffer_append_text(reason, line ? line + 1 : answer);
    return DATABASE_UNSOUND;
}

int database_check(sqlite3 *database, Buffer *reason)
{
    int64_t application_id, version;

    if (database_run(database, "PRAGMA cache_size = -4096") < 0 ||
        database_number(database, "PRAGMA application_id", &application_id) < 0 ||
        database_number(database, "PRAGMA user_version", &version) < 0)
        return database_verdict(database, reason);
    if (application_id != DATABASE_APPLICATION_ID || version < 1) {
        buffer_append_text(reason, "it is a database, but not hvsockd's");
        return DATABASE_UNSOUND;
    }
    return database_quick_check(database, reason);
}
