/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockd --recover. The bad registry.db stays where it is until its successor is complete and on disk as
 * registry.db.recovered; from then on the recovery only has files to rename, and store_open refuses until they are. A
 * Recovery lives as long as store_recover takes. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/store/file.h"
#include "daemon/store/lock.h"
#include "daemon/store/registry.h"
#include "daemon/store/salvage.h"
#include "daemon/store/state.h"
#include "schema/base/fd.h"

typedef struct Recovery Recovery;

struct Recovery {
    const Migrations *migrations;
    int lock_fd;
    char *path;      /* STATE/registry.db */
    char *copy_path; /* .salvage: what is read, and may be changed for it */
    char *new_path;  /* .recovering: what is written */
    char *done_path; /* .recovered: complete */
    Buffer *report;
};

static void recovery_release(Recovery *recovery)
{
    fd_close(recovery->lock_fd);
    free(recovery->path);
    free(recovery->copy_path);
    free(recovery->new_path);
    free(recovery->done_path);
}

static int say(Recovery *recovery, const char *path, int error)
{
    buffer_printf(recovery->report, "%s: %s\n", path, strerror(-error));
    return error;
}

/* ---- the last part: names ---- */

/* registry.db.bad-20261121T001355Z, by when its successor was complete: the same however often this is begun. */
static int bad_path(Recovery *recovery, int attempt, char **ret)
{
    struct stat status;
    struct tm parts;
    char suffix[48];

    if (stat(recovery->done_path, &status) < 0)
        return -errno;
    gmtime_r(&status.st_mtime, &parts);
    size_t size = strftime(suffix, sizeof(suffix), ".bad-%Y%m%dT%H%M%SZ", &parts);
    if (attempt > 0)
        snprintf(suffix + size, sizeof(suffix) - size, "-%d", attempt);
    *ret = path_with(recovery->path, suffix);
    return *ret ? 0 : -ENOMEM;
}

/* The -wal first: it must never stand beside a registry.db that is not its own. */
static const char *const suffixes[] = {"-wal", "-shm", ""};

/* -EEXIST: another recovery of the same second has that name. */
static int move_aside(Recovery *recovery, const char *bad)
{
    int r = 0;

    for (int move = 0; move <= 1; move++) {
        for (size_t i = 0; i < ELEMENTS_OF(suffixes) && r >= 0; i++) {
            _cleanup_(freep) char *from = path_with(recovery->path, suffixes[i]), *to = path_with(bad, suffixes[i]);
            if (!from || !to)
                return -ENOMEM;
            if (move)
                r = file_move_aside(from, to);
            else if (file_size_bytes(from) >= 0 && file_size_bytes(to) >= 0)
                r = -EEXIST;
        }
    }
    return r;
}

static int finish(Recovery *recovery)
{
    _cleanup_(freep) char *bad = NULL;
    int r = -EEXIST;

    for (int attempt = 0; r == -EEXIST && attempt < 100; attempt++) {
        free(TAKE_PTR(bad));
        r = bad_path(recovery, attempt, &bad);
        if (r >= 0)
            r = move_aside(recovery, bad);
    }
    if (r < 0)
        return say(recovery, recovery->path, r);
    r = file_put_in_place(recovery->done_path, recovery->path);
    if (r < 0)
        return say(recovery, recovery->path, r);
    database_remove(recovery->copy_path);
    buffer_printf(recovery->report, "%s is new; what was there before is %s\n", recovery->path, bad);
    return 0;
}

/* ---- the long part: rows ---- */

static int copy_bad(Recovery *recovery)
{
    _cleanup_(freep) char *wal = path_with(recovery->path, "-wal"), *copy_wal = path_with(recovery->copy_path, "-wal");

    if (!wal || !copy_wal)
        return -ENOMEM;
    database_remove(recovery->copy_path);
    /* A -wal whose file is gone still has rows. */
    int r = file_size_bytes(recovery->path) >= 0 ? file_copy(recovery->path, recovery->copy_path)
                                                 : file_make(recovery->copy_path);
    if (r >= 0 && file_size_bytes(wal) > 0)
        r = file_copy(wal, copy_wal);
    return r < 0 ? say(recovery, recovery->copy_path, r) : 0;
}

static int write_good(Recovery *recovery, sqlite3 *bad, Buffer *reason)
{
    _cleanup_(database_closep) sqlite3 *good = NULL;

    int r = database_open(recovery->new_path, DATABASE_EXCLUSIVE, &good);
    if (r >= 0)
        r = database_run(good, "PRAGMA synchronous = OFF"); /* it is synced as a whole */
    if (r < 0) {
        database_explain(good, reason);
        return r;
    }
    r = salvage_rows(bad, good, recovery->report, reason);
    if (r >= 0)
        r = migrations_run(recovery->migrations, good, false, recovery->migrations->count, reason);
    if (r < 0)
        return r;
    if (sqlite3_wal_checkpoint_v2(good, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK)
        return 0;
    database_explain(good, reason);
    return database_error(good);
}

static int open_as(Recovery *recovery, int version, bool replace, sqlite3 **ret, Buffer *reason)
{
    database_remove(recovery->new_path);
    int r = database_make(recovery->new_path, recovery->migrations, false, version, reason);
    return r < 0 ? r : salvage_open(recovery->copy_path, recovery->new_path, replace, ret, reason);
}

/* The version is what the file's header says; where that is lost, the one whose tables it has; where these are lost too,
 * it is taken for ours. */
static int open_bad(Recovery *recovery, sqlite3 **ret, Buffer *reason)
{
    int latest = recovery->migrations->count, r = -EUCLEAN;
    DatabaseFile file;

    if (database_look(recovery->path, &file) < 0 || file.version < 1 || file.version > latest)
        file.version = 0;
    for (int version = latest; version >= 1 && r == -EUCLEAN; version--)
        if (file.version == 0 || file.version == version)
            r = open_as(recovery, version, false, ret, reason);
    return r == -EUCLEAN ? open_as(recovery, file.version ? file.version : latest, true, ret, reason) : r;
}

static int salvage_into_new(Recovery *recovery, Buffer *reason)
{
    _cleanup_(database_closep) sqlite3 *bad = NULL;

    int r = open_bad(recovery, &bad, reason);
    return r < 0 ? r : write_good(recovery, bad, reason);
}

static int salvage(Recovery *recovery)
{
    _cleanup_(buffer_release) Buffer reason = {0};

    int r = copy_bad(recovery);
    if (r < 0)
        return r;
    r = salvage_into_new(recovery, &reason);
    if (r >= 0) {
        r = file_put_in_place(recovery->new_path, recovery->done_path);
        if (r < 0)
            say(recovery, recovery->done_path, r);
    } else {
        buffer_append_char(&reason, '\0');
        buffer_printf(recovery->report, "%s cannot be made: %s\n", recovery->new_path,
                      reason.failed ? "out of memory" : reason.data);
    }
    database_remove(recovery->copy_path);
    if (r < 0)
        database_remove(recovery->new_path);
    return r;
}

static int recover(Recovery *recovery, const char *state_path)
{
    _cleanup_(buffer_release) Buffer trouble = {0};

    int r = lock_take(state_path, &recovery->lock_fd, &trouble);
    if (r >= 0 && recovery->lock_fd < 0) {
        buffer_printf(&trouble, "%s cannot be written", state_path);
        r = -EROFS;
    }
    if (r >= 0 && file_size_bytes(recovery->done_path) >= 0) {
        buffer_append_text(recovery->report, "a recovery was interrupted, and is completed now\n");
        return finish(recovery);
    }
    if (r >= 0)
        r = registry_judge(recovery->path, recovery->migrations, &trouble);
    if (r == STORE_UNSOUND || r == -EIO) {
        r = salvage(recovery);
        return r < 0 ? r : finish(recovery);
    }
    if (r == 0) {
        buffer_printf(recovery->report, "%s is sound: there is nothing to recover\n", recovery->path);
        return 0;
    }
    if (r == STORE_NEWER) {
        buffer_printf(recovery->report,
                      "%s is of a newer schema version than this hvsockd knows; recover it with the newer hvsockd\n",
                      recovery->path);
        return -ENOTSUP;
    }
    buffer_append(recovery->report, trouble.data, trouble.size_bytes);
    buffer_append_char(recovery->report, '\n');
    return r;
}

int store_recover_with(const char *state_path, const Migrations *migrations, Buffer *report)
{
    _cleanup_(recovery_release) Recovery recovery = {
        .migrations = migrations,
        .lock_fd = -1,
        .path = path_with(state_path, "/registry.db"),
        .copy_path = path_with(state_path, "/registry.db.salvage"),
        .new_path = path_with(state_path, "/registry.db.recovering"),
        .done_path = path_with(state_path, "/registry.db.recovered"),
        .report = report,
    };

    if (!recovery.path || !recovery.copy_path || !recovery.new_path || !recovery.done_path)
        return -ENOMEM;
    int r = recover(&recovery, state_path);
    return report->failed ? -ENOMEM : r;
}

int store_recover(const char *state_path, Buffer *report)
{
    return store_recover_with(state_path, &migrations_all, report);
}
