/* SPDX-License-Identifier: Apache-2.0 */
/* A record -> YAML, by its table of fields and libyaml's emitter, which knows quoting and line breaks; which texts are left
 * unquoted is decided here, and only those are that no reader of YAML 1.1 or 1.2 takes for something else. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "config/yaml.h"

typedef struct Writer Writer;

struct Writer {
    yaml_emitter_t emitter;
    Buffer *text;
    RecordWriteFlags flags;
};

/* libyaml's prototypes have no const; it copies what it is given. */
static yaml_char_t *yaml_text(const char *text)
{
    return (yaml_char_t *)(uintptr_t)text;
}

static int writer_on_text(void *userdata, unsigned char *bytes, size_t size_bytes)
{
    Writer *writer = userdata;

    buffer_append(writer->text, bytes, size_bytes);
    return writer->text->failed ? 0 : 1;
}

static int writer_emit(Writer *writer, int initialized, yaml_event_t *event)
{
    if (!initialized)
        return -ENOMEM;
    if (yaml_emitter_emit(&writer->emitter, event))
        return 0;
    return writer->emitter.error == YAML_EMITTER_ERROR ? -EINVAL : -ENOMEM;
}

/* Words that are a boolean or null somewhere, in any case. */
static bool text_is_word(const char *text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};

    for (size_t i = 0; i < ELEMENTS_OF(words); i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

/* Begins with a letter or a slash (so it is no number, time or indicator), and holds nothing that ends a plain scalar. */
static bool text_can_be_plain(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] = "0123456789_./-+@%*=~ :";
    size_t size = strlen(text);

    if (size == 0 || (text[0] != '/' && !strchr(letters, text[0])) || text_is_word(text))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!strchr(letters, text[i]) && !strchr(others, text[i]))
            return false;
        if (text[i] == ':' && (text[i + 1] == ' ' || text[i + 1] == '\0'))
            return false;
    }
    return text[size - 1] != ' ';
}

static yaml_scalar_style_t text_style(const char *text)
{
    if (text_can_be_plain(text))
        return YAML_PLAIN_SCALAR_STYLE;
    return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

void yaml_append_text(const char *value, Buffer *text)
{
    if (text_can_be_plain(value))
        buffer_append_text(text, value);
    else
        buffer_append_json(text, value); /* JSON's strings are YAML's double-quoted ones */
}

static int write_scalar(Writer *writer, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;
    int initialized = yaml_scalar_event_initialize(&event, NULL, NULL, yaml_text(text), (int)strlen(text), 1, 1, style);

    return writer_emit(writer, initialized, &event);
}

static int write_text(Writer *writer, const char *text)
{
    return write_scalar(writer, text, text_style(text));
}

static int write_begin_list(Writer *writer)
{
    yaml_event_t event;

    return writer_emit(writer, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE), &event);
}

static int write_end_list(Writer *writer)
{
    yaml_event_t event;

    return writer_emit(writer, yaml_sequence_end_event_initialize(&event), &event);
}

static int write_begin_mapping(Writer *writer)
{
    yaml_event_t event;

    return writer_emit(writer, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE), &event);
}

static int write_end_mapping(Writer *writer)
{
    yaml_event_t event;

    return writer_emit(writer, yaml_mapping_end_event_initialize(&event), &event);
}

/* A list, or a mapping where its texts are keys and values in turn. */
static int write_texts(Writer *writer, char *const *texts, bool mapping)
{
    int r = mapping ? write_begin_mapping(writer) : write_begin_list(writer);

    for (; r == 0 && *texts; texts++)
        r = write_text(writer, *texts);
    if (r < 0)
        return r;
    return mapping ? write_end_mapping(writer) : write_end_list(writer);
}

static int write_record(Writer *writer, const RecordType *type, const void *record);

static int write_records(Writer *writer, const RecordType *type, const void *const *records)
{
    int r = write_begin_list(writer);

    for (; r == 0 && *records; records++)
        r = write_record(writer, type, *records);
    return r < 0 ? r : write_end_list(writer);
}

static int write_value(Writer *writer, const Field *field, const void *value)
{
    char digits[16];

    switch (field->kind) {
    case FIELD_TEXT:
        return write_text(writer, *(const char *const *)value);
    case FIELD_NUMBER:
        snprintf(digits, sizeof(digits), "%u", ((const Number *)value)->value);
        return write_scalar(writer, digits, YAML_PLAIN_SCALAR_STYLE);
    case FIELD_CHOICE:
        return write_scalar(writer, *(const Choice *)value == YES ? "true" : "false", YAML_PLAIN_SCALAR_STYLE);
    case FIELD_WORD:
        return write_text(writer, field->words[*(const uint8_t *)value - 1]);
    case FIELD_TEXTS:
        return write_texts(writer, *(char *const *const *)value, false);
    case FIELD_MAP:
        return write_texts(writer, *(char *const *const *)value, true);
    case FIELD_RECORD:
        return write_record(writer, field->record, *(const void *const *)value);
    case FIELD_RECORDS:
        return write_records(writer, field->record, *(const void *const *const *)value);
    }
    return -EINVAL;
}

static int write_record(Writer *writer, const RecordType *type, const void *record)
{
    int r = write_begin_mapping(writer);

    for (size_t i = 0; r == 0 && i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        if (field_is_absent(field, record) || (field->secret && (writer->flags & RECORD_OMIT_SECRETS)))
            continue;
        r = write_scalar(writer, field->name, YAML_PLAIN_SCALAR_STYLE);
        if (r == 0)
            r = write_value(writer, field, field_of(field, record));
    }
    return r < 0 ? r : write_end_mapping(writer);
}

static int write_document(Writer *writer, const RecordType *type, const void *record)
{
    yaml_event_t event;
    int r = writer_emit(writer, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event);

    if (r == 0)
        r = writer_emit(writer, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event);
    if (r == 0)
        r = write_record(writer, type, record);
    if (r == 0)
        r = writer_emit(writer, yaml_document_end_event_initialize(&event, 1), &event);
    if (r == 0)
        r = writer_emit(writer, yaml_stream_end_event_initialize(&event), &event);
    return r;
}

int yaml_write_record(const RecordType *type, const void *record, RecordWriteFlags flags, Buffer *text)
{
    Writer writer = {.text = text, .flags = flags};

    if (!yaml_emitter_initialize(&writer.emitter))
        return -ENOMEM;
    yaml_emitter_set_output(&writer.emitter, writer_on_text, &writer);
    yaml_emitter_set_encoding(&writer.emitter, YAML_UTF8_ENCODING);
    yaml_emitter_set_unicode(&writer.emitter, 1);
    yaml_emitter_set_width(&writer.emitter, -1);
    int r = write_document(&writer, type, record);
    yaml_emitter_delete(&writer.emitter);
    return r == 0 && text->failed ? -ENOMEM : r;
}
