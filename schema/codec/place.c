/* SPDX-License-Identifier: Apache-2.0 */
/* Places in a tree as text. value_find reads what is written here. */

#include <string.h>

#include "schema/codec/place.h"

static bool key_is_plain(const char *key)
{
    return *key && key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == '\0';
}

void place_format(const Place *place, Buffer *text)
{
    if (!place || !place->parent)
        return;
    place_format(place->parent, text);
    if (!place->key) {
        buffer_printf(text, "[%zu]", place->index);
    } else if (key_is_plain(place->key)) {
        if (text->size_bytes > 0)
            buffer_append_char(text, '.');
        buffer_append_text(text, place->key);
    } else {
        buffer_append_char(text, '[');
        buffer_append_json(text, place->key);
        buffer_append_char(text, ']');
    }
}
