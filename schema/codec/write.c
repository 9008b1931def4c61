/* SPDX-License-Identifier: Apache-2.0 */
/* A record as JSON text, straight into a Buffer: no tree, nothing allocated but the buffer's own growth. */

#include <string.h>

#include "schema/codec/record.h"

static void write_texts(char *const *texts, Buffer *text)
{
    buffer_append_char(text, '[');
    for (size_t i = 0; texts[i]; i++) {
        if (i > 0)
            buffer_append_char(text, ',');
        buffer_append_json(text, texts[i]);
    }
    buffer_append_char(text, ']');
}

static void write_map(char *const *pairs, Buffer *text)
{
    buffer_append_char(text, '{');
    for (size_t i = 0; pairs[i]; i += 2) {
        if (i > 0)
            buffer_append_char(text, ',');
        buffer_append_json(text, pairs[i]);
        buffer_append_char(text, ':');
        buffer_append_json(text, pairs[i + 1]);
    }
    buffer_append_char(text, '}');
}

static void write_member(const Field *field, const void *member, RecordWriteFlags flags, Buffer *text)
{
    switch (field->kind) {
    case FIELD_TEXT:
        buffer_append_json(text, *(char *const *)member);
        break;
    case FIELD_NUMBER:
        buffer_append_number(text, ((const Number *)member)->value);
        break;
    case FIELD_CHOICE:
        if (*(const Choice *)member == YES)
            buffer_append(text, "true", 4);
        else
            buffer_append(text, "false", 5);
        break;
    case FIELD_WORD:
        buffer_append_char(text, '"');
        buffer_append_text(text, field->words[*(const uint8_t *)member - 1]);
        buffer_append_char(text, '"');
        break;
    case FIELD_TEXTS:
        write_texts(*(char **const *)member, text);
        break;
    case FIELD_MAP:
        write_map(*(char **const *)member, text);
        break;
    case FIELD_RECORD:
        record_write_json(field->record, *(void *const *)member, flags, text);
        break;
    case FIELD_RECORDS: {
        void *const *records = *(void **const *)member;
        buffer_append_char(text, '[');
        for (size_t i = 0; records[i]; i++) {
            if (i > 0)
                buffer_append_char(text, ',');
            record_write_json(field->record, records[i], flags, text);
        }
        buffer_append_char(text, ']');
        break;
    }
    }
}

/* `,"name":` at once: names are ASCII letters, so nothing in them is ever escaped. */
static void write_name(char before, const char *name, Buffer *text)
{
    size_t size = strlen(name);

    if (!buffer_reserve(text, size + 4))
        return;
    char *to = text->data + text->size_bytes;
    to[0] = before;
    to[1] = '"';
    memcpy(to + 2, name, size);
    to[size + 2] = '"';
    to[size + 3] = ':';
    text->size_bytes += size + 4;
}

void record_write_json(const RecordType *type, const void *record, RecordWriteFlags flags, Buffer *text)
{
    char before = '{';

    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        if (field_is_absent(field, record) || (field->secret && (flags & RECORD_OMIT_SECRETS)))
            continue;
        write_name(before, field->name, text);
        before = ',';
        write_member(field, field_of(field, record), flags, text);
    }
    if (before == '{')
        buffer_append_char(text, '{');
    buffer_append_char(text, '}');
}
