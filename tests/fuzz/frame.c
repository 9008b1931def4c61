/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a frame: it is refused, or its fields fill it to the last byte, stay within it, and put together again give the
 * same bytes. Fields are read as fields too, as deep as they go. */

#include <errno.h>
#include <string.h>

#include "schema/wire/frame.h"
#include "tests/fuzz/fuzz.h"

#define DEPTH_MAX 8

/* Writes down again what is read. */
static void copy_fields(FrameFields fields, Buffer *copy, int depth)
{
    const char *begin = fields.data, *end = begin + fields.size_bytes;
    FrameField field;
    uint64_t number;
    char *text;

    while (frame_next(&fields, &field)) {
        FrameFields inner;
        PROMISED(field.data >= begin && field.size_bytes <= (size_t)(end - field.data));
        PROMISED((frame_field_number(&field, &number) == 0) == (field.size_bytes == 8));
        if (frame_field_text(&field, &text) == 0) {
            PROMISED(strlen(text) == field.size_bytes);
            free(text);
        } else {
            PROMISED(memchr(field.data, '\0', field.size_bytes));
        }
        if (depth < DEPTH_MAX && frame_field_fields(&field, &inner) == 0) {
            size_t opened = frame_open(copy, field.tag);
            copy_fields(inner, copy, depth + 1);
            frame_close(copy, opened);
        } else {
            frame_put(copy, field.tag, field.data, field.size_bytes);
        }
    }
    PROMISED(fields.size_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    Buffer copy = {0};
    Frame frame = {.type = 12345};
    size_t first = frame_size(data, size_bytes);
    int r = frame_read(data, size_bytes, &frame);

    PROMISED(first <= size_bytes && (first == 0 || first >= 16));
    PROMISED(r == 0 || (r == -EBADMSG && frame.type == 12345));
    if (r == 0) {
        PROMISED(first == size_bytes && size_bytes <= FRAME_MAX_BYTES);
        frame_begin(&copy, frame.version, frame.type, frame.request);
        copy_fields(frame.fields, &copy, 0);
        PROMISED(frame_end(&copy) == 0);
        PROMISED(copy.size_bytes == size_bytes && memcmp(copy.data, data, size_bytes) == 0);
    }
    buffer_release(&copy);
    return 0;
}
