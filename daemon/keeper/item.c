/* SPDX-License-Identifier: Apache-2.0 */
/* A table of items by key, and their order; an item lives until it is removed or another replaces it. */

#include <errno.h>
#include <string.h>

#include "daemon/keeper/item.h"
#include "daemon/keeper/program.h"
#include "schema/base/fd.h"

#define BUCKETS_MIN 256

/* FNV-1a, 32 bits; keys are hvsockd's, which has no reason to make them collide. */
static uint32_t hash_of(const char *key, size_t size_bytes)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < size_bytes; i++)
        hash = (hash ^ (unsigned char)key[i]) * 16777619u;
    return hash;
}

void items_init(Items *items)
{
    *items = (Items){0};
    TAILQ_INIT(&items->order);
}

static void item_free(Items *items, Item *item)
{
    for (size_t i = 0; i < item->fd_count; i++)
        fd_close(item->fds[i]);
    items->fd_count -= item->fd_count;
    free(item);
}

void items_release(Items *items)
{
    for (Item *item = TAILQ_FIRST(&items->order), *next; item; item = next) {
        next = TAILQ_NEXT(item, link);
        item_free(items, item);
    }
    free(items->buckets);
    items_init(items);
}

/* Where the item with the key is pointed to from, or would be. */
static Item **place_of(const Items *items, uint32_t hash, const char *key, size_t size_bytes)
{
    Item **place = &items->buckets[hash & (items->bucket_count - 1)];

    for (; *place; place = &(*place)->next)
        if ((*place)->hash == hash && (*place)->key_size_bytes == size_bytes && memcmp(item_key(*place), key, size_bytes) == 0)
            break;
    return place;
}

Item *items_find(const Items *items, const char *key, size_t key_size_bytes)
{
    if (items->bucket_count == 0)
        return NULL;
    return *place_of(items, hash_of(key, key_size_bytes), key, key_size_bytes);
}

/* With as many buckets as items; where there is no memory for more, those that are there do. */
static int items_grow(Items *items)
{
    if (items->count < items->bucket_count)
        return 0;
    size_t count = items->bucket_count > 0 ? items->bucket_count * 2 : BUCKETS_MIN;
    Item **buckets = calloc(count, sizeof(*buckets)), *item;
    if (!buckets)
        return items->bucket_count > 0 ? 0 : -ENOMEM;
    TAILQ_FOREACH(item, &items->order, link) {
        item->next = buckets[item->hash & (count - 1)];
        buckets[item->hash & (count - 1)] = item;
    }
    free(items->buckets);
    items->buckets = buckets;
    items->bucket_count = count;
    return 0;
}

int items_put(Items *items, const char *key, size_t key_size_bytes, const char *value, size_t value_size_bytes, const int *fds,
              size_t fd_count, Item **ret)
{
    int r = items_grow(items);

    if (r < 0)
        return r;
    Item *item = malloc(sizeof(*item) + fd_count * sizeof(int) + key_size_bytes + value_size_bytes);
    if (!item)
        return -ENOMEM;
    *item = (Item){
        .hash = hash_of(key, key_size_bytes),
        .key_size_bytes = (uint16_t)key_size_bytes,
        .value_size_bytes = (uint32_t)value_size_bytes,
        .fd_count = (uint16_t)fd_count,
    };
    char *bytes = (char *)(item->fds + fd_count);
    if (fd_count > 0)
        memcpy(item->fds, fds, fd_count * sizeof(int));
    memcpy(bytes, key, key_size_bytes);
    if (value_size_bytes > 0)
        memcpy(bytes + key_size_bytes, value, value_size_bytes);

    Item **place = place_of(items, item->hash, key, key_size_bytes), *old = *place;
    if (old) {
        item->next = old->next;
        item->program = old->program;
        if (item->program)
            item->program->item = item;
        TAILQ_INSERT_AFTER(&items->order, old, item, link);
        TAILQ_REMOVE(&items->order, old, link);
        item_free(items, old);
    } else {
        items->count++;
        TAILQ_INSERT_TAIL(&items->order, item, link);
    }
    *place = item;
    items->fd_count += fd_count;
    if (ret)
        *ret = item;
    return 0;
}

void items_remove(Items *items, Item *item)
{
    Item **place = place_of(items, item->hash, item_key(item), item->key_size_bytes);

    *place = item->next;
    TAILQ_REMOVE(&items->order, item, link);
    items->count--;
    item_free(items, item);
}
