/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as nearly all of it is here, contexts in registry.db and calls of the API: small, and texts without escapes. Read
 * without an allocation, in about a tenth of the time that a tree of the JSON library takes; a start reads tens of thousands
 * of contexts, and most of what a call costs would be its parsing. Whatever is not just that (escapes, fractions, signs,
 * depth, size, a key twice, a mistake) is left to the library, which alone says what is wrong with a text. */
#pragma once

#include "schema/codec/value.h"

#define QUICK_SIZE_MAX_BYTES 2048
#define QUICK_NODES_MAX 96
#define QUICK_DEPTH_MAX 8

typedef struct QuickNode QuickNode;
typedef struct QuickTree QuickTree;

struct QuickNode {
    const char *key;        /* in an object */
    const QuickNode *first; /* of an object or array */
    const QuickNode *next;  /* beside it */
    const char *text;
    int64_t integer;        /* also 0 and 1 of a boolean */
    uint32_t count;         /* of an object or array */
    ValueKind kind;
};

/* Lives where the caller puts it; values point into it. */
struct QuickTree {
    size_t node_count;
    QuickNode nodes[QUICK_NODES_MAX]; /* the first is the whole */
    char text[QUICK_SIZE_MAX_BYTES + 1];
};

/* false: it is not that simple, good or not. */
bool quick_read(const char *text, size_t size_bytes, QuickTree *ret);
Value value_from_quick(const QuickTree *tree);
