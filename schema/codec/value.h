/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of values that a record is read from: a view on somebody else's tree (jansson's, or config/yaml's), which must
 * outlive it. The field decides how a VALUE_PLAIN is read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ValueKind {
    VALUE_NULL,
    VALUE_BOOLEAN,
    VALUE_INTEGER,
    VALUE_REAL,
    VALUE_TEXT,   /* quoted: text and nothing else */
    VALUE_PLAIN,  /* YAML's plain scalar: text, number or boolean as the field wants */
    VALUE_ARRAY,
    VALUE_OBJECT,
} ValueKind;

typedef struct Value Value;
typedef struct ValueOps ValueOps;

struct Value {
    const ValueOps *ops;
    const void *node;
};

struct ValueOps {
    ValueKind (*kind)(const void *node);
    bool (*boolean)(const void *node);
    int64_t (*integer)(const void *node);
    /* TEXT, PLAIN: UTF-8 without NUL, ended by one. */
    const char *(*text)(const void *node);
    /* ARRAY, OBJECT: how many. */
    size_t (*count)(const void *node);
    const void *(*element)(const void *node, size_t index);
    /* OBJECT: each member in turn; *iterator is NULL at first. false: no more. */
    bool (*member)(const void *node, const void **iterator, const char **ret_key, const void **ret_value);
    /* Where the value stands in its text; key: where the key before it stands. NULL: not known (JSON). */
    void (*where)(const void *node, bool key, unsigned *ret_line, unsigned *ret_column);
};

/* A json_t. */
Value value_from_json(const void *json);

/* The value at a path like `services[2].peers.allow[1]`, or the nearest that is there. */
Value value_find(Value root, const char *path);
