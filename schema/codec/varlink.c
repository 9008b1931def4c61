/* SPDX-License-Identifier: Apache-2.0 */
/* A record type in Varlink's own spelling, so that the interface and the table of fields can be held against each other.
 * varlink.org/Interface-Definition. */

#include "schema/codec/record.h"

static void write_kind(const Field *field, Buffer *text)
{
    switch (field->kind) {
    case FIELD_TEXT:
        buffer_append_text(text, "string");
        break;
    case FIELD_NUMBER:
        buffer_append_text(text, "int");
        break;
    case FIELD_CHOICE:
        buffer_append_text(text, "bool");
        break;
    case FIELD_WORD:
        for (size_t i = 0; field->words[i]; i++)
            buffer_printf(text, "%s%s", i == 0 ? "(" : ", ", field->words[i]);
        buffer_append_char(text, ')');
        break;
    case FIELD_TEXTS:
        buffer_append_text(text, "[]string");
        break;
    case FIELD_MAP:
        buffer_append_text(text, "[string]string");
        break;
    case FIELD_RECORD:
        buffer_append_text(text, field->record->name);
        break;
    case FIELD_RECORDS:
        buffer_printf(text, "[]%s", field->record->name);
        break;
    }
}

void record_write_varlink(const RecordType *type, Buffer *text)
{
    buffer_printf(text, "type %s (\n", type->name);
    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        buffer_printf(text, "  %s: %s", field->name, field->required ? "" : "?");
        write_kind(field, text);
        buffer_append_text(text, i + 1 < type->field_count ? ",\n" : "\n");
    }
    buffer_append_text(text, ")\n");
}
