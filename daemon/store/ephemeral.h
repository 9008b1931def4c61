/* SPDX-License-Identifier: Apache-2.0 */
/* ephemeral.db as a file: what ends with a process or with the boot. Inside of daemon/store only. */
#pragma once

#include "daemon/store/database.h"

/* Attaches RUNTIME/ephemeral.db, as the schema `ephemeral`; what is of another boot goes first. One that cannot be used is
 * moved to ephemeral.db.bad, and warning says so. -errno, with the reason in trouble. */
int ephemeral_attach(sqlite3 *database, const char *path, const Migrations *migrations, Buffer *warning, Buffer *trouble);

/* The same where nothing may be changed: attaches what is there, of whatever version, or nothing. */
void ephemeral_attach_for_reading(sqlite3 *database, const char *path);
