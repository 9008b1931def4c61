/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows; lives as long as its owner wants. */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/buffer.h"

bool buffer_grow(Buffer *buffer, size_t size_bytes)
{
    if (buffer->failed)
        return false;

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

#define PRINTF_GUESS_BYTES 112 /* most fit, and need no second go */

void buffer_vprintf(Buffer *buffer, const char *format, va_list arguments)
{
    va_list copy;

    if (!buffer_reserve(buffer, PRINTF_GUESS_BYTES))
        return;
    size_t space = buffer->capacity_bytes - buffer->size_bytes;
    va_copy(copy, arguments);
    int size = vsnprintf(buffer->data + buffer->size_bytes, space, format, copy);
    va_end(copy);
    if (size < 0) {
        buffer->failed = true;
        return;
    }
    if ((size_t)size >= space) {
        if (!buffer_reserve(buffer, (size_t)size))
            return;
        vsnprintf(buffer->data + buffer->size_bytes, (size_t)size + 1, format, arguments);
    }
    buffer->size_bytes += (size_t)size;
}

void buffer_printf(Buffer *buffer, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    buffer_vprintf(buffer, format, arguments);
    va_end(arguments);
}

/* What a byte is in a JSON string: 0 itself, else an escape. */
static const char json_escapes[256] = {
    [0 ... 8] = 'u', ['\t'] = 't', ['\n'] = 'n', [0x0b ... 0x1f] = 'u', ['"'] = '"', ['\\'] = '\\', [0x7f] = 'u',
};

void buffer_append_json_sized(Buffer *buffer, const char *text, size_t size_bytes)
{
    size_t start = 0;

    if (size_bytes > SIZE_MAX / 2 || !buffer_reserve(buffer, size_bytes + 2)) {
        buffer->failed = true;
        return;
    }
    buffer_append_char(buffer, '"');
    for (size_t i = 0; i < size_bytes; i++) {
        char escape = json_escapes[(unsigned char)text[i]];
        if (__builtin_expect(escape == 0, 1))
            continue;
        buffer_append(buffer, text + start, i - start);
        start = i + 1;
        buffer_append_char(buffer, '\\');
        buffer_append_char(buffer, escape);
        if (escape == 'u') {
            buffer_append(buffer, "00", 2);
            buffer_append_char(buffer, (char)('0' + (text[i] >> 4)));
            buffer_append_char(buffer, "0123456789abcdef"[text[i] & 15]);
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

#define QUOTED_MAX_BYTES 64

void buffer_append_quoted(Buffer *buffer, const char *text)
{
    size_t size = strlen(text), cut = size;

    if (size > QUOTED_MAX_BYTES)
        for (cut = QUOTED_MAX_BYTES; cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80;)
            cut--;
    buffer_append_json_sized(buffer, text, cut);
    if (cut < size)
        buffer_printf(buffer, "… (%zu bytes)", size);
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
