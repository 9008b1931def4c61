/* SPDX-License-Identifier: Apache-2.0 */
/* The cells of a database's table leaves, read without the pages above them. Only what the caller knows to be lost is
 * asked for, so that nothing deleted comes back. Inside of daemon/store only. sqlite.org/fileformat2.html. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct LeafVisitor LeafVisitor;

struct LeafVisitor {
    bool (*wants)(int64_t rowid, void *userdata);
    /* A whole record. A negative answer ends the walk and is passed on. */
    int (*on_record)(int64_t rowid, const uint8_t *record, size_t size_bytes, void *userdata);
    void *userdata;
};

/* Every leaf in the file, without its -wal, but for those of other tables: what these roots lead to. -errno. */
int leaf_walk(const char *path, const uint32_t *other_roots, size_t other_root_count, const LeafVisitor *visitor);

/* Binds a record's values to the parameters 1 to count; what it has not is NULL. The texts are borrowed. false: it is
 * no record of so many values. */
bool leaf_bind(const uint8_t *record, size_t size_bytes, sqlite3_stmt *statement, int count);
