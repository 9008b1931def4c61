/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows. Appending never has to be checked: the first failed allocation is remembered in `failed`,
 * further appends do nothing, and buffer_take answers -ENOMEM. Empty = {0}. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "schema/base/cleanup.h"

typedef struct Buffer Buffer;

struct Buffer {
    char *data;
    size_t size_bytes;
    size_t capacity_bytes;
    bool failed;
};

/* Room for size_bytes more and a NUL; false: failed. The few that are called for every word of a long list are inline. */
bool buffer_grow(Buffer *buffer, size_t size_bytes);
static inline bool buffer_reserve(Buffer *buffer, size_t size_bytes)
{
    if (buffer->capacity_bytes - buffer->size_bytes > size_bytes && !buffer->failed)
        return true;
    return buffer_grow(buffer, size_bytes);
}
static inline void buffer_append(Buffer *buffer, const void *bytes, size_t size_bytes)
{
    if (size_bytes == 0 || !buffer_reserve(buffer, size_bytes))
        return;
    memcpy(buffer->data + buffer->size_bytes, bytes, size_bytes);
    buffer->size_bytes += size_bytes;
}
static inline void buffer_append_text(Buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}
static inline void buffer_append_char(Buffer *buffer, char c)
{
    if (buffer_reserve(buffer, 1))
        buffer->data[buffer->size_bytes++] = c;
}
void buffer_append_number(Buffer *buffer, unsigned long long number);
void buffer_printf(Buffer *buffer, const char *format, ...) _printf_(2, 3);
void buffer_vprintf(Buffer *buffer, const char *format, va_list arguments) _printf_(2, 0);
/* A JSON string with its quotes: `"`, `\` and control characters escaped. text must be UTF-8. NULL gives null. */
void buffer_append_json(Buffer *buffer, const char *text);
void buffer_append_json_sized(Buffer *buffer, const char *text, size_t size_bytes);
/* For messages to people: the same, but a long text is cut (never inside of a character) and its size named. */
void buffer_append_quoted(Buffer *buffer, const char *text);
/* Forgets the text, keeps the memory. */
void buffer_clear(Buffer *buffer);
/* Frees everything; the buffer is empty and usable afterwards. */
void buffer_release(Buffer *buffer);
/* The text with a NUL at its end, owned by the caller; the buffer is empty afterwards. -ENOMEM. */
int buffer_take(Buffer *buffer, char **ret_text, size_t *ret_size_bytes);
