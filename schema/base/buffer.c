/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows; lives as long as its owner wants. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/buffer.h"

/* Room for size_bytes more and a NUL. */
static bool buffer_reserve(Buffer *buffer, size_t size_bytes)
{
    if (buffer->failed)
        return false;
    if (buffer->capacity_bytes - buffer->size_bytes > size_bytes)
        return true;

    size_t needed, capacity = buffer->capacity_bytes ? buffer->capacity_bytes : 128;
    if (__builtin_add_overflow(buffer->size_bytes, size_bytes + 1, &needed) || size_bytes + 1 == 0) {
        buffer->failed = true;
        return false;
    }
    while (capacity < needed)
        if (__builtin_mul_overflow(capacity, 2, &capacity))
            capacity = needed;
    char *data = realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity_bytes = capacity;
    return true;
}

void buffer_append(Buffer *buffer, const void *bytes, size_t size_bytes)
{
    if (size_bytes == 0 || !buffer_reserve(buffer, size_bytes))
        return;
    memcpy(buffer->data + buffer->size_bytes, bytes, size_bytes);
    buffer->size_bytes += size_bytes;
}

void buffer_append_text(Buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_char(Buffer *buffer, char c)
{
    if (!buffer_reserve(buffer, 1))
        return;
    buffer->data[buffer->size_bytes++] = c;
}

void buffer_append_number(Buffer *buffer, unsigned long long number)
{
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    buffer_append(buffer, digits + at, sizeof(digits) - at);
}

void buffer_vprintf(Buffer *buffer, const char *format, va_list arguments)
{
    va_list copy;

    va_copy(copy, arguments);
    int size = vsnprintf(NULL, 0, format, copy);
    va_end(copy);
    if (size < 0) {
        buffer->failed = true;
        return;
    }
    if (!buffer_reserve(buffer, (size_t)size))
        return;
    vsnprintf(buffer->data + buffer->size_bytes, (size_t)size + 1, format, arguments);
    buffer->size_bytes += (size_t)size;
}

void buffer_printf(Buffer *buffer, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    buffer_vprintf(buffer, format, arguments);
    va_end(arguments);
}

void buffer_append_json_sized(Buffer *buffer, const char *text, size_t size_bytes)
{
    buffer_append_char(buffer, '"');
    size_t start = 0;
    for (size_t i = 0; i < size_bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buffer_append(buffer, text + start, i - start);
        start = i + 1;
        if (c == '"' || c == '\\') {
            buffer_append_char(buffer, '\\');
            buffer_append_char(buffer, (char)c);
        } else if (c == '\n') {
            buffer_append(buffer, "\\n", 2);
        } else if (c == '\t') {
            buffer_append(buffer, "\\t", 2);
        } else {
            buffer_printf(buffer, "\\u%04x", c);
        }
    }
    buffer_append(buffer, text + start, size_bytes - start);
    buffer_append_char(buffer, '"');
}

void buffer_append_json(Buffer *buffer, const char *text)
{
    if (text)
        buffer_append_json_sized(buffer, text, strlen(text));
    else
        buffer_append(buffer, "null", 4);
}

void buffer_clear(Buffer *buffer)
{
    buffer->size_bytes = 0;
    buffer->failed = false;
}

void buffer_release(Buffer *buffer)
{
    free(buffer->data);
    *buffer = (Buffer){0};
}

int buffer_take(Buffer *buffer, char **ret_text, size_t *ret_size_bytes)
{
    if (!buffer_reserve(buffer, 1)) {
        buffer_release(buffer);
        return -ENOMEM;
    }
    buffer->data[buffer->size_bytes] = '\0';
    if (ret_size_bytes)
        *ret_size_bytes = buffer->size_bytes;
    *ret_text = buffer->data;
    *buffer = (Buffer){0};
    return 0;
}
