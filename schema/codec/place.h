/* SPDX-License-Identifier: Apache-2.0 */
/* Where a reader stands in a tree of values, as a chain on its stack; it becomes text only where there is a problem. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/buffer.h"

typedef struct Place Place;

struct Place {
    const Place *parent; /* NULL: the root, whose key and index mean nothing */
    const char *key;     /* NULL: index counts */
    size_t index;
};

/* `services[2].peers.allow[1]`, `labels["a.b"]`; the root is empty. */
void place_format(const Place *place, Buffer *text);
