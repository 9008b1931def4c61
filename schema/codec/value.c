/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a value by the path that a problem names. */

#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/text.h"
#include "schema/codec/value.h"

static bool value_find_member(Value object, const char *key, size_t size_bytes, Value *ret)
{
    const void *iterator = NULL, *node;
    const char *name;

    if (object.ops->kind(object.node) != VALUE_OBJECT)
        return false;
    while (object.ops->member(object.node, &iterator, &name, &node))
        if (strlen(name) == size_bytes && memcmp(name, key, size_bytes) == 0) {
            *ret = (Value){.ops = object.ops, .node = node};
            return true;
        }
    return false;
}

/* A key that is no plain name stands as ["…"], escaped as JSON has it; so the member is the one whose key is written so. */
static bool value_find_quoted(Value object, const char *quoted, size_t size_bytes, Value *ret)
{
    const void *iterator = NULL, *node;
    const char *name;

    if (object.ops->kind(object.node) != VALUE_OBJECT)
        return false;
    while (object.ops->member(object.node, &iterator, &name, &node)) {
        Buffer text = {0};
        buffer_append_json(&text, name);
        bool same = !text.failed && text.size_bytes == size_bytes && memcmp(text.data, quoted, size_bytes) == 0;
        buffer_release(&text);
        if (same) {
            *ret = (Value){.ops = object.ops, .node = node};
            return true;
        }
    }
    return false;
}

/* The size of `"…"` at the beginning of text; 0: there is no end. */
static size_t quoted_size(const char *text)
{
    for (size_t i = 1; text[i]; i++) {
        if (text[i] == '\\' && text[i + 1])
            i++;
        else if (text[i] == '"')
            return i + 1;
    }
    return 0;
}

Value value_find(Value root, const char *path)
{
    Value at = root;

    while (path && *path) {
        if (path[0] == '[' && path[1] == '"') {
            size_t size = quoted_size(path + 1);
            if (size == 0 || path[1 + size] != ']' || !value_find_quoted(at, path + 1, size, &at))
                return at;
            path += size + 2;
        } else if (path[0] == '[') {
            size_t digits = strspn(path + 1, "0123456789");
            uint64_t index;
            if (path[1 + digits] != ']' || !text_to_number_sized(path + 1, digits, UINT32_MAX, &index) ||
                at.ops->kind(at.node) != VALUE_ARRAY || index >= at.ops->count(at.node))
                return at;
            at.node = at.ops->element(at.node, (size_t)index);
            path += digits + 2;
        } else {
            path += *path == '.';
            size_t size = strcspn(path, ".[");
            if (size == 0 || !value_find_member(at, path, size, &at))
                return at;
            path += size;
        }
    }
    return at;
}
