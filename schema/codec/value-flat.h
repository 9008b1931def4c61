/* SPDX-License-Identifier: Apache-2.0 */
/* JSON objects as the store keeps most of them: `{"name":"guest-log","port":5140}`, flat, plain ASCII, small. Read without an
 * allocation, in about a tenth of the time that a tree takes; a start reads tens of thousands. Whatever is not just that
 * (escapes, nesting, other bytes, a key twice, a mistake) is left to the JSON library, which says what is wrong with it. */
#pragma once

#include "schema/codec/value.h"

#define FLAT_SIZE_MAX_BYTES 512
#define FLAT_MEMBERS_MAX 16

typedef struct FlatMember FlatMember;
typedef struct FlatObject FlatObject;

struct FlatMember {
    const FlatObject *object; /* NULL: the object itself, which is its own first node */
    const char *key;
    const char *text;
    int64_t integer;
    ValueKind kind;
};

/* Lives where the caller puts it; values point into it. */
struct FlatObject {
    FlatMember self;
    FlatMember members[FLAT_MEMBERS_MAX];
    size_t count;
    char text[FLAT_SIZE_MAX_BYTES + 1];
};

/* false: it is not such an object, good or not. */
bool flat_read(const char *text, size_t size_bytes, FlatObject *ret);
Value value_from_flat(const FlatObject *object);
