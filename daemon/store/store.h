/* SPDX-License-Identifier: Apache-2.0 */
/* What survives: STATE/registry.db (SQLite, WAL, synchronous=FULL), and RUNTIME/ephemeral.db for what ends with a process or
 * the boot (synchronous=OFF, the same tables, attached). The only user of <sqlite3.h>. It knows rows, not what they mean:
 * contexts are JSON text as given. sqlite.org/wal.html, pragma.html. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

typedef struct Store Store;
typedef struct StoredRecord StoredRecord;
typedef struct StoreVisitor StoreVisitor;

typedef enum StoredKind {
    STORED_SERVICE,
    STORED_MACHINE,
    STORED_SETTINGS, /* one row, origin FILE, name "settings": the last good hvsockd.yaml */
} StoredKind;

typedef enum StoredOrigin {
    STORED_FILE, /* the last good declared set */
    STORED_APPLY,
    STORED_USER,
} StoredOrigin;

struct StoredRecord {
    StoredKind kind;
    StoredOrigin origin;
    const char *name;
    const char *context;       /* JSON object, sparse: what was given */
    const char *source;        /* FILE: the path; APPLY: the set; USER: NULL */
    uint32_t line, column;     /* FILE */
    uid_t uid;                 /* who made it; 0 for files */
    uint64_t registered_at_us;
    pid_t ephemeral_pid;       /* 0: not ephemeral. Such a record is kept in RUNTIME */
    uint64_t ephemeral_start_time_ticks;
};

/* Called for each row; the texts are good until it returns. A negative answer ends the load and is passed on. */
struct StoreVisitor {
    int (*on_record)(const StoredRecord *record, void *userdata);
    int (*on_override)(const char *name, bool enabled, void *userdata);
    int (*on_auto_port)(const char *name, uint32_t port, void *userdata);
};

enum {
    STORE_NEWER = 1, /* user_version is above ours: opened read-only; every change answers it again */
    STORE_UNSOUND,   /* not a database, or it fails its integrity check: nothing was changed; --recover is the way out */
    STORE_READ_ONLY, /* the file or folder cannot be written: opened for reading */
};
/* Makes the folders where they are missing, locks STATE (-EBUSY: another hvsockd has it; trouble names its pid), opens, checks,
 * migrates (with a copy first: registry.db.vN). *ret_trouble: for people, where the answer is not 0, or a warning where it is;
 * owned by the caller. For STORE_NEWER and STORE_READ_ONLY *ret is set too. -errno. */
int store_open(const char *state_path, const char *runtime_path, Store **ret, char **ret_trouble);
void store_free(Store *store);
DEFINE_CLEANUP(Store *, store_free)
/* The schema version of the file, which is newer than ours for STORE_NEWER. */
int store_version(const Store *store);

/* hvsockd --recover: keeps every row that can be read (table by table, by rowid) in a new registry.db, moves the bad one to
 * registry.db.bad-TIME (with its -wal), and writes into report, for people, what was kept and what was lost. 0: done, or
 * nothing to do as the file is sound; the report says so. -errno: nothing was changed, and the report says why (-ENOENT,
 * -EBUSY, -ENOSPC, …; -ENOTSUP: of a newer version). Killed at any moment, it can be run again. */
int store_recover(const char *state_path, Buffer *report);

/* Everything, in one read transaction: overrides, auto ports, then records by kind (settings, machines, services), origin and name.
 * Ephemeral records of another boot are gone by then. */
int store_load(Store *store, const StoreVisitor *visitor, void *userdata);

/* Changes go into one transaction that the first of them begins.
 * Positive, STORE_NEWER or STORE_READ_ONLY: refused, as registry.db is only read; nothing else has happened. (Ephemeral records
 * can be changed beside a read-only registry.db.)
 * Negative: -errno of the kind that SQLite's answer means (ENOSPC, EIO, EROFS, …) and store_error says it in words; after it the
 * transaction must be rolled back. */
int store_put(Store *store, const StoredRecord *record);  /* replaces */
int store_delete(Store *store, StoredKind kind, StoredOrigin origin, const char *name, bool ephemeral);
int store_put_override(Store *store, const char *name, bool enabled);
int store_delete_override(Store *store, const char *name);
int store_put_auto_port(Store *store, const char *name, uint32_t port);
int store_delete_auto_port(Store *store, const char *name);
/* From now on what is refused is dropped, and answered with 0: for what is to be served though it cannot be kept. */
void store_drop_refused(Store *store);
bool store_has_changes(const Store *store);
/* On disk when it answers 0. On failure everything since the first change is undone. */
int store_commit(Store *store);
void store_rollback(Store *store);
/* What the last failure was, in words. */
const char *store_error(const Store *store);
/* Commits since the start, for Metrics. */
uint64_t store_commits(const Store *store);
