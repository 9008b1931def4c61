/* SPDX-License-Identifier: Apache-2.0 */
/* Small flat JSON objects, read where they stand; a FlatObject lives for one reading. RFC 8259. */

#include <string.h>

#include "schema/codec/value-flat.h"

static char *skip_space(char *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
        at++;
    return at;
}

/* At the opening quote: ends the string with a NUL where the closing one was. NULL: not that simple. */
static char *read_string(char *at, const char **ret_text)
{
    if (*at != '"')
        return NULL;
    *ret_text = ++at;
    for (; *at != '"'; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x80 || *at == '\\')
            return NULL;
    *at = '\0';
    return at + 1;
}

static char *read_value(char *at, FlatMember *member)
{
    if (*at == '"') {
        member->kind = VALUE_TEXT;
        return read_string(at, &member->text);
    }
    if (strncmp(at, "true", 4) == 0 || strncmp(at, "false", 5) == 0) {
        member->kind = VALUE_BOOLEAN;
        member->integer = *at == 't';
        return at + (*at == 't' ? 4 : 5);
    }

    const char *start = at;
    member->kind = VALUE_INTEGER;
    member->integer = 0;
    for (; *at >= '0' && *at <= '9' && at - start < 18; at++)
        member->integer = member->integer * 10 + (*at - '0');
    return at == start || (*start == '0' && at - start > 1) ? NULL : at;
}

static bool has_key(const FlatObject *object, const char *key)
{
    for (size_t i = 0; i < object->count; i++)
        if (strcmp(object->members[i].key, key) == 0)
            return true;
    return false;
}

bool flat_read(const char *text, size_t size_bytes, FlatObject *ret)
{
    if (size_bytes > FLAT_SIZE_MAX_BYTES || memchr(text, '\0', size_bytes))
        return false;
    memcpy(ret->text, text, size_bytes);
    ret->text[size_bytes] = '\0';
    ret->self = (FlatMember){.kind = VALUE_OBJECT, .object = ret};
    ret->count = 0;

    char *at = skip_space(ret->text);
    if (*at++ != '{')
        return false;
    for (;;) {
        FlatMember *member = &ret->members[ret->count];
        const char *key = NULL;
        if (ret->count == FLAT_MEMBERS_MAX || !(at = read_string(skip_space(at), &key)))
            return false;
        at = skip_space(at);
        if (*at++ != ':' || has_key(ret, key) || !(at = read_value(skip_space(at), member)))
            return false;
        member->key = key;
        member->object = NULL;
        ret->count++;
        at = skip_space(at);
        if (*at == '}')
            break;
        if (*at++ != ',')
            return false;
    }
    return *skip_space(at + 1) == '\0';
}

static ValueKind flat_kind(const void *node)
{
    return ((const FlatMember *)node)->kind;
}

static bool flat_boolean(const void *node)
{
    return ((const FlatMember *)node)->integer != 0;
}

static int64_t flat_integer(const void *node)
{
    return ((const FlatMember *)node)->integer;
}

static const char *flat_text(const void *node)
{
    return ((const FlatMember *)node)->text;
}

static size_t flat_count(const void *node)
{
    return ((const FlatMember *)node)->object->count;
}

static const void *flat_element(const void *node, size_t index)
{
    return &((const FlatMember *)node)->object->members[index];
}

static bool flat_member(const void *node, const void **iterator, const char **ret_key, const void **ret_value)
{
    const FlatObject *object = ((const FlatMember *)node)->object;
    const FlatMember *member = *iterator ? (const FlatMember *)*iterator + 1 : object->members;

    if (member == object->members + object->count)
        return false;
    *iterator = member;
    *ret_key = member->key;
    *ret_value = member;
    return true;
}

static const ValueOps flat_ops = {
    .kind = flat_kind,
    .boolean = flat_boolean,
    .integer = flat_integer,
    .text = flat_text,
    .count = flat_count,
    .element = flat_element,
    .member = flat_member,
};

Value value_from_flat(const FlatObject *object)
{
    return (Value){.ops = &flat_ops, .node = &object->self};
}
