/* SPDX-License-Identifier: Apache-2.0 */
/* What a Store is made of. Inside of daemon/store only. */
#pragma once

#include "daemon/store/database.h"
#include "daemon/store/statement.h"
#include "daemon/store/store.h"

struct Store {
    sqlite3 *database; /* main: registry.db; ephemeral: ephemeral.db */
    sqlite3_stmt *statements[STATEMENT_COUNT]; /* prepared when first needed */
    char *path; /* of registry.db */
    char *ephemeral_path;
    int lock_fd;
    int version;
    int refusal; /* what every durable change answers: 0, STORE_NEWER, STORE_READ_ONLY */
    int ephemeral_refusal;
    bool drops_refused;     /* and answers 0 instead */
    int broken;             /* -errno of the change that failed: the transaction is to be rolled back */
    bool changed;           /* a transaction is open, */
    bool registry_touched;  /* and has changes of registry.db, */
    bool ephemeral_touched; /* of ephemeral.db */
    bool lenient;           /* of a newer version: a table that cannot be read is none */
    Buffer error;
    uint64_t commits;
};

/* Remembers what the connection says of its last failure, for store_error; answers it as -errno. */
int store_fail(Store *store, bool registry, bool ephemeral, const char *what);

/* store_open and store_recover with other migrations than ours, for tests of them. */
int store_open_with(const char *state_path, const char *runtime_path, const Migrations *migrations, Store **ret,
                    char **ret_trouble);
int store_recover_with(const char *state_path, const Migrations *migrations, Buffer *report);
