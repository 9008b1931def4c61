/* SPDX-License-Identifier: Apache-2.0 */
/* Writes Prometheus' text format. Functions of a buffer. */

#include "daemon/metrics/exposition.h"

void exposition_family(Buffer *text, const char *name, const char *type, const char *help)
{
    buffer_append_text(text, "# HELP ");
    buffer_append_text(text, name);
    buffer_append_char(text, ' ');
    buffer_append_text(text, help);
    buffer_append_text(text, "\n# TYPE ");
    buffer_append_text(text, name);
    buffer_append_char(text, ' ');
    buffer_append_text(text, type);
    buffer_append_char(text, '\n');
}

static void append_value(Buffer *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n') {
            buffer_append_text(text, "\\n");
            continue;
        }
        if (*value == '\\' || *value == '"')
            buffer_append_char(text, '\\');
        buffer_append_char(text, *value);
    }
}

static void append_label(Buffer *text, char separator, const ExpositionLabel *label)
{
    buffer_append_char(text, separator);
    buffer_append_text(text, label->name);
    buffer_append_text(text, "=\"");
    append_value(text, label->value);
    buffer_append_char(text, '"');
}

void exposition_sample(Buffer *text, const char *name, ExpositionLabel first, ExpositionLabel second, uint64_t value)
{
    buffer_append_text(text, name);
    if (first.name)
        append_label(text, '{', &first);
    if (second.name)
        append_label(text, ',', &second);
    if (first.name)
        buffer_append_char(text, '}');
    buffer_append_char(text, ' ');
    buffer_append_number(text, value);
    buffer_append_char(text, '\n');
}

void exposition_seconds(Buffer *text, const char *name, uint64_t value_ns)
{
    buffer_printf(text, "%s %llu.%09llu\n", name, (unsigned long long)(value_ns / 1000000000u),
                  (unsigned long long)(value_ns % 1000000000u));
}

void exposition_single(Buffer *text, const char *name, const char *type, uint64_t value, const char *help)
{
    exposition_family(text, name, type, help);
    exposition_sample(text, name, (ExpositionLabel){0}, (ExpositionLabel){0}, value);
}
