/* SPDX-License-Identifier: Apache-2.0 */
/* Rows out of a database that is not sound, into one that is. Inside of daemon/store only. */
#pragma once

#include "daemon/store/database.h"

/* Makes path, which is a copy that may be changed, readable for SQLite: a lost header or first page is put in from
 * `fresh`, a sound and empty database of the same schema. Opens it. -errno, with the reason. */
int salvage_open(const char *path, const char *fresh_path, sqlite3 **ret, Buffer *reason);

/* Copies every row that can be read, of every table that `good` has, and appends a line for each table to the report.
 * -errno of `good`, with the reason. */
int salvage_rows(sqlite3 *bad, sqlite3 *good, Buffer *report, Buffer *reason);
