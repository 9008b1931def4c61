/* SPDX-License-Identifier: Apache-2.0 */
/* How the tables came to be: one array, which is only ever added to. The place in it is the schema version, which a database
 * keeps as its user_version. registry.db and ephemeral.db have the same versions. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>

#include "schema/base/buffer.h"

typedef struct Migration Migration;
typedef struct Migrations Migrations;

struct Migration {
    const char *registry;  /* SQL; NULL: nothing changes there */
    const char *ephemeral;
};

struct Migrations {
    const Migration *items; /* items[0] leads to version 1 */
    int count;
};

extern const Migrations migrations_all;

/* Brings a database to this version in one transaction, reading under the lock from where. What is newer stays as it is.
 * -errno, with the reason appended. */
int migrations_run(const Migrations *migrations, sqlite3 *database, bool ephemeral, int version, Buffer *reason);
