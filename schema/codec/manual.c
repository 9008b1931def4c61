/* SPDX-License-Identifier: Apache-2.0 */
/* The reference section of hvsockd.yaml(5), from the table of fields: the file's own fields first, then a subsection for each
 * record in it, by its path. mdoc(7). */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schema/codec/record.h"

#define PATH_SIZE_BYTES 128
#define LINE_MAX_BYTES 78

/* A sentence, filled into lines as mdoc wants its input. A backslash is an escape there, and a dot or quote in front a
 * request. */
static void write_line(const char *sentence, Buffer *text)
{
    size_t column = 0;

    while (*sentence) {
        size_t size = strcspn(sentence, " ");
        if (column > 0 && column + 1 + size > LINE_MAX_BYTES) {
            buffer_append_char(text, '\n');
            column = 0;
        } else if (column > 0) {
            buffer_append_char(text, ' ');
        }
        if (column == 0 && (*sentence == '.' || *sentence == '\''))
            buffer_append(text, "\\&", 2);
        column += size + 1;
        for (; size > 0; size--, sentence++) {
            if (*sentence == '\\')
                buffer_append(text, "\\e", 2);
            else if (*sentence == '`')
                buffer_append(text, "\\(ga", 4);
            else
                buffer_append_char(text, *sentence);
        }
        sentence += strspn(sentence, " ");
    }
    buffer_append_char(text, '\n');
}

/* Sentences, each on a line of its own. */
static void write_sentences(const char *sentences, Buffer *text)
{
    const char *at = sentences;

    while (*at) {
        const char *end = strstr(at, ". ");
        size_t size = end ? (size_t)(end - at) + 1 : strlen(at);
        char *line = strndup(at, size);
        if (!line) {
            text->failed = true;
            return;
        }
        write_line(line, text);
        free(line);
        at += size;
        at += *at == ' ';
    }
}

/* As an argument of a macro, in quotes; after it what closes the sentence. */
static void write_argument(const char *argument, const char *after, Buffer *text)
{
    buffer_append(text, " \"", 2);
    for (; *argument; argument++) {
        if (*argument == '"')
            buffer_append(text, "\"\"", 2);
        else if (*argument == '\\')
            buffer_append(text, "\\e", 2);
        else
            buffer_append_char(text, *argument);
    }
    buffer_printf(text, "\"%s\n", after);
}

static void write_kind(const Field *field, Buffer *text)
{
    switch (field->kind) {
    case FIELD_TEXT:
        buffer_append_text(text, field->format && field->format->name ? field->format->name : "text");
        break;
    case FIELD_NUMBER:
        buffer_printf(text, "number from %" PRId64 " to %" PRId64, field->min, field->max);
        break;
    case FIELD_CHOICE:
        buffer_append_text(text, "true or false");
        break;
    case FIELD_WORD:
        for (size_t i = 0; field->words[i]; i++)
            buffer_printf(text, "%s%s", i == 0 ? "" : field->words[i + 1] ? ", " : " or ", field->words[i]);
        break;
    case FIELD_TEXTS:
        buffer_append_text(text, "list");
        break;
    case FIELD_MAP:
        buffer_append_text(text, "mapping");
        break;
    case FIELD_RECORD:
        buffer_append_text(text, "mapping, see below");
        break;
    case FIELD_RECORDS:
        buffer_append_text(text, "list of mappings, see below");
        break;
    }
    bool sized = field->kind == FIELD_TEXT && field->max > 0;
    bool counted = (field->kind == FIELD_TEXTS || field->kind == FIELD_MAP || field->kind == FIELD_RECORDS) && field->max > 0;
    if (sized || counted)
        buffer_printf(text, ", at most %" PRId64 "%s", field->max, sized ? " bytes" : "");
    if (counted && field->min > 0)
        buffer_printf(text, ", at least %" PRId64, field->min);
    if (field->required)
        buffer_append_text(text, ", required");
}

/* `a,` and the like end hints that stand in a sentence. */
static void write_form(const char *what, const Format *format, Buffer *text)
{
    char line[512];

    if (!format || !format->hint)
        return;
    size_t size = strlen(format->hint);
    size -= size > 0 && format->hint[size - 1] == ',';
    snprintf(line, sizeof(line), "%s: %.*s.", what, (int)size, format->hint);
    write_line(line, text);
}

static void write_field(const Field *field, Buffer *text)
{
    buffer_printf(text, ".It Cm %s Pq", field->name);
    Buffer kind = {0};
    char *described;
    write_kind(field, &kind);
    if (buffer_take(&kind, &described, NULL) < 0) {
        text->failed = true;
        return;
    }
    write_argument(described, "", text);
    free(described);
    write_sentences(field->help, text);
    write_form(field->kind == FIELD_TEXT ? "Form" : field->kind == FIELD_MAP ? "Form of the values" : "Form of each", field->format, text);
    write_form("Form of the names", field->key_format, text);
    if (field->fallback) {
        buffer_append_text(text, "Default:\n.Dq");
        write_argument(field->fallback, " .", text);
    }
    if (field->example) {
        Buffer example = {0};
        char *line;
        buffer_printf(&example, "%s: %s", field->name, field->example);
        if (buffer_take(&example, &line, NULL) < 0) {
            text->failed = true;
            return;
        }
        buffer_append_text(text, "Example:\n.Ql");
        write_argument(line, "", text);
        free(line);
    }
}

static void write_record(const RecordType *type, const char *path, Buffer *text)
{
    if (*path) {
        buffer_append_text(text, ".Ss Fields of");
        write_argument(path, "", text);
        write_sentences(type->help, text);
    }
    buffer_append_text(text, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < type->field_count; i++)
        write_field(&type->fields[i], text);
    buffer_append_text(text, ".El\n");
    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        char nested[PATH_SIZE_BYTES];
        if (!field->record)
            continue;
        snprintf(nested, sizeof(nested), "%s%s%s", path, *path ? "." : "", field->name);
        write_record(field->record, nested, text);
    }
}

void record_write_manual(const RecordType *type, Buffer *text)
{
    write_record(type, "", text);
}
