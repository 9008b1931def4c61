/* SPDX-License-Identifier: Apache-2.0 */
/* Which names and GUIDs there were already, in a list that is not kept: some 40 bytes each. {0} is empty; it stays
 * where it is, once there is something in it. Between files of this room. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"

typedef struct Index Index;

struct Index {
    struct IndexEntry {
        uint32_t hash, key_at; /* in keys; key_at 0: free, as keys begins with a byte of nobody's */
        uint32_t key_size_bytes;
        uint32_t note;
    } *entries;
    size_t count, capacity;
    Buffer keys;
};

/* Takes a copy of the key, with a number that goes with it. INDEX_TAKEN: it was there, *ret_note is what went with it then (may
 * be NULL). -ENOMEM. */
enum { INDEX_TAKEN = 1 };
int index_add(Index *index, const void *key, size_t size_bytes, uint32_t note, uint32_t *ret_note);
/* What went with it. false: it is not there, and *ret_note as it was. */
bool index_get(const Index *index, const void *key, size_t size_bytes, uint32_t *ret_note);
void index_release(Index *index);
