/* SPDX-License-Identifier: Apache-2.0 */
/* Examples of the table of fields, from YAML flow to JSON; pure. */

#include <string.h>

#include "schema/codec/example.h"

/* One scalar at text, up to a character of `end` or the text's end, as a JSON string. Returns what follows it. */
static const char *write_scalar(const char *text, const char *end, Buffer *json)
{
    text += strspn(text, " ");
    if (*text == '"') {
        size_t size = 1;
        while (text[size] && text[size] != '"')
            size += text[size] == '\\' && text[size + 1] ? 2 : 1;
        size += text[size] == '"';
        buffer_append(json, text, size); /* YAML's double quotes are JSON's, as far as the table goes */
        return text + size + strspn(text + size, " ");
    }
    size_t size = strcspn(text, end), plain = size;
    while (plain > 0 && text[plain - 1] == ' ')
        plain--;
    buffer_append_json_sized(json, text, plain);
    return text + size;
}

static void write_list(const char *text, Buffer *json)
{
    char before = '[';

    for (text += strspn(text, " ["); *text && *text != ']'; text += *text == ',') {
        buffer_append_char(json, before);
        before = ',';
        text = write_scalar(text, ",]", json);
    }
    if (before == '[')
        buffer_append_char(json, '[');
    buffer_append_char(json, ']');
}

static void write_mapping(const char *text, Buffer *json)
{
    char before = '{';

    for (text += strspn(text, " {"); *text && *text != '}'; text += *text == ',') {
        buffer_append_char(json, before);
        before = ',';
        text = write_scalar(text, ":}", json);
        buffer_append_char(json, ':');
        text = write_scalar(text + (*text == ':'), ",}", json);
    }
    if (before == '{')
        buffer_append_char(json, '{');
    buffer_append_char(json, '}');
}

void example_write_json(const Field *field, Buffer *text)
{
    switch (field->kind) {
    case FIELD_NUMBER:
    case FIELD_CHOICE:
        buffer_append_text(text, field->example);
        break;
    case FIELD_TEXT:
    case FIELD_WORD:
        write_scalar(field->example, "", text);
        break;
    case FIELD_TEXTS:
        write_list(field->example, text);
        break;
    case FIELD_MAP:
        write_mapping(field->example, text);
        break;
    case FIELD_RECORD:
    case FIELD_RECORDS:
        buffer_append_text(text, "null"); /* records are shown by their own fields' examples */
        break;
    }
}
