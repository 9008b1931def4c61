/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper holds: items by key, in the order in which they were put. One allocation an item. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "schema/base/cleanup.h"

struct Program;
typedef struct Item Item;
typedef struct Items Items;

struct Item {
    Item *next; /* in its bucket */
    TAILQ_ENTRY(Item) link;
    struct Program *program; /* NULL: it is none */
    uint32_t hash;
    uint32_t value_size_bytes;
    uint16_t key_size_bytes;
    uint16_t fd_count;
    int fds[]; /* and behind them the key and the value */
};

struct Items {
    Item **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    size_t fd_count;
    TAILQ_HEAD(, Item) order;
};

static inline const char *item_key(const Item *item)
{
    return (const char *)(item->fds + item->fd_count);
}
static inline const char *item_value(const Item *item)
{
    return item_key(item) + item->key_size_bytes;
}

void items_init(Items *items);
void items_release(Items *items); /* closes everything */

Item *items_find(const Items *items, const char *key, size_t key_size_bytes);
/* Replaces what has the key, whose descriptors are closed and whose program the new one has. Takes fds over where it succeeds.
 * -ENOMEM. */
int items_put(Items *items, const char *key, size_t key_size_bytes, const char *value, size_t value_size_bytes, const int *fds,
              size_t fd_count, Item **ret);
void items_remove(Items *items, Item *item);
