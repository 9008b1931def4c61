/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schema of a file, from the table of fields; nested records stand once, under $defs. It describes the file as a
 * YAML reader sees it: where a text may look like a number or a boolean, that is good too, and null is as good as nothing.
 * json-schema.org/draft/2020-12. */

#include <inttypes.h>
#include <string.h>

#include "schema/codec/example.h"
#include "schema/codec/record.h"

#define TYPES_MAX 32

typedef struct Types Types;

struct Types {
    const RecordType *types[TYPES_MAX];
    size_t count;
};

/* Every record type under this one, each once, in the order in which they are met. */
static void collect(const RecordType *type, Types *types)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const RecordType *nested = type->fields[i].record;
        bool known = !nested;
        for (size_t k = 0; k < types->count && !known; k++)
            known = types->types[k] == nested;
        if (known || types->count == TYPES_MAX)
            continue;
        types->types[types->count++] = nested;
        collect(nested, types);
    }
}

static void write_indent(unsigned depth, Buffer *text)
{
    buffer_printf(text, "\n%*s", (int)depth * 2, "");
}

/* `"name": ` on a line of its own. */
static void write_key(unsigned depth, const char *name, Buffer *text)
{
    if (text->size_bytes > 0 && text->data[text->size_bytes - 1] != '{')
        buffer_append_char(text, ',');
    write_indent(depth, text);
    buffer_append_json(text, name);
    buffer_append(text, ": ", 2);
}

static void write_text_key(unsigned depth, const char *name, const char *value, Buffer *text)
{
    write_key(depth, name, text);
    buffer_append_json(text, value);
}

static void write_number_key(unsigned depth, const char *name, int64_t value, Buffer *text)
{
    write_key(depth, name, text);
    buffer_printf(text, "%" PRId64, value);
}

static void write_close(unsigned depth, Buffer *text)
{
    write_indent(depth, text);
    buffer_append_char(text, '}');
}

/* Does some plain scalar that a reader takes for something else fit? */
static bool takes_one_of(const Format *format, const char *const *samples)
{
    for (size_t i = 0; samples[i]; i++)
        if (!format || !format->check || !format->check(samples[i]))
            return true;
    return false;
}

static void write_type(unsigned depth, const char *type, bool nullable, Buffer *text)
{
    write_key(depth, "type", text);
    buffer_printf(text, nullable ? "[\"%s\", \"null\"]" : "\"%s\"", type);
}

/* What a text is: alone, or in a list or a map. */
static void write_text_type(unsigned depth, const Format *format, bool nullable, Buffer *text)
{
    static const char *const integers[] = {"0", "5", "660", "65536", NULL}, *const others[] = {"1.5", NULL},
                      *const booleans[] = {"true", NULL};
    bool number = takes_one_of(format, others), integer = !number && takes_one_of(format, integers);
    bool boolean = takes_one_of(format, booleans);
    bool many = number || integer || boolean || nullable;

    write_key(depth, "type", text);
    buffer_printf(text, "%s\"string\"%s%s%s%s", many ? "[" : "", number ? ", \"number\"" : integer ? ", \"integer\"" : "",
                  boolean ? ", \"boolean\"" : "", nullable ? ", \"null\"" : "", many ? "]" : "");
    if (format && format->pattern)
        write_text_key(depth, "pattern", format->pattern, text);
}

static void write_items(unsigned depth, const char *key, const Format *format, Buffer *text)
{
    write_key(depth, key, text);
    buffer_append_char(text, '{');
    write_text_type(depth + 1, format, false, text);
    write_close(depth, text);
}

static void write_reference(unsigned depth, const RecordType *type, bool nullable, Buffer *text)
{
    write_key(depth, nullable ? "anyOf" : "$ref", text);
    buffer_printf(text, nullable ? "[{\"$ref\": \"#/$defs/%s\"}, {\"type\": \"null\"}]" : "\"#/$defs/%s\"", type->name);
}

static void write_bounds(unsigned depth, const Field *field, const char *least, const char *most, Buffer *text)
{
    if (field->min > 0 || field->kind == FIELD_NUMBER)
        write_number_key(depth, least, field->min, text);
    if (field->max > 0)
        write_number_key(depth, most, field->max, text);
}

static void write_kind(unsigned depth, const Field *field, Buffer *text)
{
    bool nullable = !field->required;

    switch (field->kind) {
    case FIELD_TEXT:
        write_text_type(depth, field->format, nullable, text);
        write_bounds(depth, field, "minLength", "maxLength", text);
        break;
    case FIELD_NUMBER:
        write_type(depth, "integer", nullable, text);
        write_bounds(depth, field, "minimum", "maximum", text);
        break;
    case FIELD_CHOICE:
        write_type(depth, "boolean", nullable, text);
        break;
    case FIELD_WORD:
        write_type(depth, "string", nullable, text);
        write_key(depth, "enum", text);
        for (size_t i = 0; field->words[i]; i++)
            buffer_printf(text, "%s\"%s\"", i == 0 ? "[" : ", ", field->words[i]);
        buffer_append_text(text, nullable ? ", null]" : "]");
        break;
    case FIELD_TEXTS:
        write_type(depth, "array", nullable, text);
        write_items(depth, "items", field->format, text);
        write_bounds(depth, field, "minItems", "maxItems", text);
        break;
    case FIELD_MAP:
        write_type(depth, "object", nullable, text);
        if (field->key_format && field->key_format->pattern) {
            write_key(depth, "propertyNames", text);
            buffer_append_char(text, '{');
            write_text_key(depth + 1, "pattern", field->key_format->pattern, text);
            write_close(depth, text);
        }
        write_items(depth, "additionalProperties", field->format, text);
        write_bounds(depth, field, "minProperties", "maxProperties", text);
        break;
    case FIELD_RECORD:
        write_reference(depth, field->record, nullable, text);
        break;
    case FIELD_RECORDS:
        write_type(depth, "array", nullable, text);
        write_key(depth, "items", text);
        buffer_append_char(text, '{');
        write_reference(depth + 1, field->record, false, text);
        write_close(depth, text);
        write_bounds(depth, field, "minItems", "maxItems", text);
        break;
    }
}

static void write_field(unsigned depth, const Field *field, Buffer *text)
{
    Buffer help = {0};
    char *description;

    buffer_append_text(&help, field->help);
    if (field->fallback)
        buffer_printf(&help, " Default: %s.", field->fallback);
    write_key(depth, field->name, text);
    buffer_append_char(text, '{');
    if (buffer_take(&help, &description, NULL) < 0) {
        text->failed = true;
        return;
    }
    write_text_key(depth + 1, "description", description, text);
    free(description);
    write_kind(depth + 1, field, text);
    if (field->fallback_json) {
        write_key(depth + 1, "default", text);
        buffer_append_text(text, field->fallback_json);
    }
    if (field->example) {
        write_key(depth + 1, "examples", text);
        buffer_append_char(text, '[');
        example_write_json(field, text);
        buffer_append_char(text, ']');
    }
    write_close(depth, text);
}

/* What every object has: its fields, which it needs, and that there are no others. */
static void write_object(unsigned depth, const RecordType *type, Buffer *text)
{
    bool required = false;

    write_text_key(depth, "description", type->help, text);
    write_type(depth, "object", depth == 1, text); /* a file can be empty */
    write_key(depth, "properties", text);
    buffer_append_char(text, '{');
    for (size_t i = 0; i < type->field_count; i++)
        write_field(depth + 1, &type->fields[i], text);
    write_close(depth, text);
    for (size_t i = 0; i < type->field_count; i++) {
        if (!type->fields[i].required)
            continue;
        if (!required)
            write_key(depth, "required", text);
        buffer_printf(text, "%s\"%s\"", required ? ", " : "[", type->fields[i].name);
        required = true;
    }
    if (required)
        buffer_append_char(text, ']');
    write_key(depth, "additionalProperties", text);
    buffer_append_text(text, "false");
}

void record_write_schema(const RecordType *type, const char *id, const char *title, Buffer *text)
{
    Types types = {0};

    collect(type, &types);
    buffer_append_char(text, '{');
    write_text_key(1, "$schema", "https://json-schema.org/draft/2020-12/schema", text);
    write_text_key(1, "$id", id, text);
    write_text_key(1, "title", title, text);
    write_object(1, type, text);
    write_key(1, "$defs", text);
    buffer_append_char(text, '{');
    for (size_t i = 0; i < types.count; i++) {
        write_key(2, types.types[i]->name, text);
        buffer_append_char(text, '{');
        write_object(3, types.types[i], text);
        write_close(2, text);
    }
    write_close(1, text);
    write_close(0, text);
    buffer_append_char(text, '\n');
}
