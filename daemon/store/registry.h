/* SPDX-License-Identifier: Apache-2.0 */
/* registry.db as a file: what kind it is, and how it is opened accordingly. Inside of daemon/store only. */
#pragma once

#include "daemon/store/database.h"
#include "daemon/store/store.h"

typedef struct Registry Registry;

struct Registry {
    sqlite3 *database;
    int version;
    int refusal;   /* what a change of it answers: 0, STORE_NEWER, STORE_READ_ONLY */
    bool lenient;  /* of another version than ours: a table that cannot be read is none */
};

/* Opens, checks, makes or migrates. 0; STORE_NEWER, STORE_READ_ONLY with *ret set too; STORE_UNSOUND; -errno. Where it is not
 * 0 trouble has a sentence for people. */
int registry_open(const char *path, const Migrations *migrations, Registry *ret, Buffer *trouble);

/* What registry_open would find, with nothing made or changed: 0, STORE_NEWER, STORE_UNSOUND, -ENOENT, -errno. */
int registry_judge(const char *path, const Migrations *migrations, Buffer *trouble);
