/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of small keys that only grows; lives as long as one export or import. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/index.h"

/* Seeded by where the table lies, so that nobody writes a file of which all names meet. A key's first four bytes are added at the
 * end: of a GUID they are the port, and ports that follow each other lie side by side. */
static uint32_t index_hash(const Index *index, const void *key, size_t size_bytes)
{
    const unsigned char *bytes = key;
    uint32_t first = 0;
    if (size_bytes >= 16) {
        first = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
        first += first >> 18;
        bytes += 4;
        size_bytes -= 4;
    }
    uint64_t hash = (uint64_t)(uintptr_t)index * 0x9e3779b97f4a7c15 + size_bytes;

    while (size_bytes > 0) {
        uint64_t word = 0;
        size_t size = size_bytes < 8 ? size_bytes : 8;
        if (size == 8)
            memcpy(&word, bytes, 8);
        else
            memcpy(&word, bytes, size);
        hash = (hash ^ word) * 0xff51afd7ed558ccd;
        hash ^= hash >> 32;
        bytes += size;
        size_bytes -= size;
    }
    return (uint32_t)(hash ^ hash >> 29) + first;
}

static struct IndexEntry *index_find(const Index *index, const void *key, size_t size_bytes, uint32_t hash)
{
    for (size_t i = hash & (index->capacity - 1);; i = (i + 1) & (index->capacity - 1)) {
        struct IndexEntry *entry = &index->entries[i];
        if (entry->key_at == 0 || (entry->hash == hash && entry->key_size_bytes == size_bytes &&
                                   memcmp(index->keys.data + entry->key_at, key, size_bytes) == 0))
            return entry;
    }
}

static int index_grow(Index *index)
{
    size_t capacity = index->capacity ? index->capacity * 2 : 64;
    struct IndexEntry *old = index->entries, *entries = calloc(capacity, sizeof(*entries));

    if (!entries)
        return -ENOMEM;
    for (size_t i = 0; i < index->capacity; i++) {
        size_t at = old[i].hash & (capacity - 1);
        while (old[i].key_at > 0 && entries[at].key_at > 0)
            at = (at + 1) & (capacity - 1);
        if (old[i].key_at > 0)
            entries[at] = old[i];
    }
    free(old);
    index->entries = entries;
    index->capacity = capacity;
    return 0;
}

int index_add(Index *index, const void *key, size_t size_bytes, uint32_t note, uint32_t *ret_note)
{
    uint32_t hash = index_hash(index, key, size_bytes);

    if (index->count * 4 >= index->capacity * 3 && index_grow(index) < 0)
        return -ENOMEM;
    struct IndexEntry *entry = index_find(index, key, size_bytes, hash);
    if (entry->key_at > 0) {
        if (ret_note)
            *ret_note = entry->note;
        return INDEX_TAKEN;
    }
    if (index->keys.size_bytes == 0)
        buffer_append_char(&index->keys, '\0');
    size_t at = index->keys.size_bytes;
    buffer_append(&index->keys, key, size_bytes);
    if (index->keys.failed || at > UINT32_MAX - size_bytes)
        return -ENOMEM;
    *entry = (struct IndexEntry){hash, (uint32_t)at, (uint32_t)size_bytes, note};
    index->count++;
    return 0;
}

bool index_get(const Index *index, const void *key, size_t size_bytes, uint32_t *ret_note)
{
    const struct IndexEntry *entry =
        index->capacity > 0 ? index_find(index, key, size_bytes, index_hash(index, key, size_bytes)) : NULL;

    if (!entry || entry->key_at == 0)
        return false;
    *ret_note = entry->note;
    return true;
}

void index_release(Index *index)
{
    free(index->entries);
    buffer_release(&index->keys);
    *index = (Index){0};
}
