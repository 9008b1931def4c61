/* SPDX-License-Identifier: Apache-2.0 */
/* Rows out of a database that is not sound, into one that is. Inside of daemon/store only. */
#pragma once

#include "daemon/store/database.h"

/* Makes path, which is a copy that may be changed, readable for SQLite: a lost header is put in from `fresh`, a sound and
 * empty database, and so is, with `replace`, a first page that says anything else than that one's. Opens it. -EUCLEAN: it is
 * not of that schema. -errno, with the reason. */
int salvage_open(const char *path, const char *fresh_path, bool replace, sqlite3 **ret, Buffer *reason);

/* Copies every row that can be read, of every table that `good` has, and appends a line for each table to the report.
 * -errno of `good`, with the reason. */
int salvage_rows(sqlite3 *bad, sqlite3 *good, Buffer *report, Buffer *reason);
