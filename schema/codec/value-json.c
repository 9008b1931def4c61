/* SPDX-License-Identifier: Apache-2.0 */
/* A json_t seen as a Value; the tree stays its owner's. jansson's integers are 64 bits wide: greater ones it refuses itself. */

#include <jansson.h>

#include "schema/codec/value.h"

/* jansson asks for what it does not change as not const. */
static json_t *json_of(const void *node)
{
    return (json_t *)(uintptr_t)node;
}

static ValueKind json_kind(const void *node)
{
    switch (json_typeof((const json_t *)node)) {
    case JSON_OBJECT:
        return VALUE_OBJECT;
    case JSON_ARRAY:
        return VALUE_ARRAY;
    case JSON_STRING:
        return VALUE_TEXT;
    case JSON_INTEGER:
        return VALUE_INTEGER;
    case JSON_REAL:
        return VALUE_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return VALUE_BOOLEAN;
    case JSON_NULL:
        return VALUE_NULL;
    }
    return VALUE_NULL;
}

static bool json_boolean_of(const void *node)
{
    return json_is_true((const json_t *)node);
}

static int64_t json_integer_of(const void *node)
{
    return json_integer_value(node);
}

static const char *json_text_of(const void *node)
{
    return json_string_value(node);
}

static size_t json_count(const void *node)
{
    return json_is_array((const json_t *)node) ? json_array_size(node) : json_object_size(node);
}

static const void *json_element(const void *node, size_t index)
{
    return json_array_get(node, index);
}

static bool json_member(const void *node, const void **iterator, const char **ret_key, const void **ret_value)
{
    void *at = *iterator ? json_object_iter_next(json_of(node), (void *)(uintptr_t)*iterator) : json_object_iter(json_of(node));

    if (!at)
        return false;
    *iterator = at;
    *ret_key = json_object_iter_key(at);
    *ret_value = json_object_iter_value(at);
    return true;
}

static const ValueOps json_ops = {
    .kind = json_kind,
    .boolean = json_boolean_of,
    .integer = json_integer_of,
    .text = json_text_of,
    .count = json_count,
    .element = json_element,
    .member = json_member,
};

Value value_from_json(const void *json)
{
    return (Value){.ops = &json_ops, .node = json};
}
