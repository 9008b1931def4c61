/* SPDX-License-Identifier: Apache-2.0 */
/* What verbs print on stdout, one OutputOps a format; an Output lives as long as its list is written. Tables are in
 * table.c. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/yaml.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "schema/base/text.h"
#include "schema/codec/record.h"

static int output_write(Buffer *text)
{
    if (text->failed)
        return -ENOMEM;
    if (fwrite_unlocked(text->data ? text->data : "", 1, text->size_bytes, stdout) != text->size_bytes)
        return -errno;
    buffer_clear(text);
    return 0;
}

void output_json(const OutputOptions *options, const char *json, size_t size_bytes)
{
    Buffer text = {0};

    if (options->terminal) {
        json_indent(json, size_bytes, &text);
        fwrite_unlocked(text.data ? text.data : "", 1, text.size_bytes, stdout);
        buffer_release(&text);
    } else {
        fwrite_unlocked(json, 1, size_bytes, stdout);
    }
    putc_unlocked('\n', stdout);
}

const char *output_colour(const OutputOptions *options, const char *colour)
{
    /* ECMA-48; the names are libsmartcols'. */
    static const struct {
        const char *name, *sequence;
    } colours[] = {
        {"reset", "\033[0m"},  {"bold", "\033[1m"},    {"red", "\033[31m"},
        {"green", "\033[32m"}, {"yellow", "\033[33m"}, {"darkgray", "\033[90m"},
    };

    for (size_t i = 0; options->colours && colour && i < ELEMENTS_OF(colours); i++)
        if (strcmp(colours[i].name, colour) == 0)
            return colours[i].sequence;
    return "";
}

int output_finding(const OutputOptions *options, const char *what, const char *why, const char *mend, Output *findings)
{
    _cleanup_(freep) char *line = NULL;

    if (options->json) {
        json_t *finding = json_pack("{s:s,s:s,s:s*}", "what", what, "why", why, "mend", mend);
        line = finding ? json_dumps(finding, JSON_COMPACT) : NULL;
        json_decref(finding);
        return line ? output_add(line, strlen(line), findings) : -ENOMEM;
    }
    if (asprintf(&line, "%s: %s", what, why) < 0)
        return -ENOMEM;
    output_line(line);
    if (mend)
        printf("    %s%s%s\n", output_colour(options, "bold"), mend, output_colour(options, "reset"));
    return 0;
}

void output_defuse(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f ||
            ((unsigned char)c[0] == 0xc2 && ((unsigned char)c[1] & 0xe0) == 0x80)) {
            if ((unsigned char)*c == 0xc2)
                *c++ = '?'; /* U+0080 to U+009F are two bytes */
            *c = '?';
        }
}

void output_line(char *text)
{
    output_defuse(text);
    puts(text);
}

/* ---- JSON: an array, an object a line; never all of it in memory ---- */

static int output_nothing(Output *output)
{
    return 0;
}

static int json_add(Output *output, const char *json, size_t size_bytes)
{
    buffer_append_text(&output->text, output->count > 0 ? ",\n" : "[\n");
    if (output->options->terminal)
        json_indent(json, size_bytes, &output->text);
    else
        buffer_append(&output->text, json, size_bytes);
    return output_write(&output->text);
}

static int json_close(Output *output)
{
    return fputs(output->count > 0 ? "\n]\n" : "[]\n", stdout) == EOF ? -errno : 0;
}

static const OutputOps output_json_array = {.open = output_nothing, .add = json_add, .close = json_close};

static int lines_add(Output *output, const char *json, size_t size_bytes)
{
    buffer_append(&output->text, json, size_bytes);
    buffer_append_char(&output->text, '\n');
    int r = output_write(&output->text);
    /* Whoever reads these waits for them. */
    return r < 0 ? r : fflush_unlocked(stdout) == EOF ? -errno : 0;
}

static const OutputOps output_json_lines = {.open = output_nothing, .add = lines_add, .close = output_nothing};

/* ---- YAML ---- */

static int yaml_append(const RecordType *type, const char *json, size_t size_bytes, Buffer *text)
{
    Problems problems = {0};
    Buffer mapping = {0};
    void *record = NULL;

    if (!json_member(json, size_bytes, "context", &json, &size_bytes))
        return -EBADMSG;
    int r = record_read_json(type, json, size_bytes, &problems, &record);
    problems_release(&problems);
    if (r != 0)
        return r < 0 ? r : -EBADMSG; /* a newer daemon's field */
    r = yaml_write_record(type, record, RECORD_WRITE_ALL, &mapping);
    record_free(type, record);
    bool first = true;
    for (const char *line = mapping.data, *end = line + mapping.size_bytes; r >= 0 && line && line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *next = newline ? newline + 1 : end;
        buffer_append_text(text, first ? "  - " : "    ");
        buffer_append(text, line, (size_t)((newline ? newline : end) - line));
        buffer_append_char(text, '\n');
        first = false;
        line = next;
    }
    buffer_release(&mapping);
    return r;
}

static int yaml_add(Output *output, const char *json, size_t size_bytes)
{
    if (output->count == 0)
        buffer_printf(&output->text, "%s:\n", output->key);
    int r = yaml_append(output->type, json, size_bytes, &output->text);
    return r < 0 ? r : output_write(&output->text);
}

static int yaml_close(Output *output)
{
    return output->count == 0 && printf("%s: []\n", output->key) < 0 ? -errno : 0;
}

static const OutputOps output_yaml_list = {.open = output_nothing, .add = yaml_add, .close = yaml_close};

int output_yaml(const char *key, const RecordType *type, const char *json, size_t size_bytes)
{
    Buffer text = {0};

    buffer_printf(&text, "%s:\n", key);
    int r = yaml_append(type, json, size_bytes, &text);
    if (r >= 0)
        r = output_write(&text);
    buffer_release(&text);
    return r;
}

/* ---- lists ---- */

OutputFormat output_list_format(const OutputOptions *options)
{
    return options->json ? OUTPUT_JSON : options->yaml ? OUTPUT_YAML : OUTPUT_TABLE;
}

static const OutputOps *output_ops(OutputFormat format)
{
    switch (format) {
    case OUTPUT_TABLE:
        return &output_table;
    case OUTPUT_JSON:
        return &output_json_array;
    case OUTPUT_JSON_LINES:
        return &output_json_lines;
    case OUTPUT_YAML:
        return &output_yaml_list;
    }
    return NULL;
}

int output_open(const OutputOptions *options, OutputFormat format, const Column *const *columns, const char *key,
                const RecordType *type, Output *ret)
{
    *ret = (Output){.options = options, .ops = output_ops(format), .key = key, .type = type};
    if (format == OUTPUT_TABLE) {
        const Column **shown;
        _cleanup_(freep) char *unknown = NULL;
        int r = output_columns(columns, options->columns_wanted, &shown, &unknown);
        if (r != 0)
            return r < 0 ? r : -EINVAL;
        ret->columns = shown;
    }
    return ret->ops->open(ret);
}

int output_add(const char *json, size_t size_bytes, void *userdata)
{
    Output *output = userdata;
    int r = output->ops->add(output, json, size_bytes);

    if (r < 0)
        return r;
    output->count++;
    return 0;
}

int output_close(Output *output)
{
    int r = output->ops->close(output);

    output_release(output);
    return r;
}

void output_release(Output *output)
{
    if (output->ops && output->ops->release)
        output->ops->release(output);
    free((void *)(uintptr_t)output->columns);
    buffer_release(&output->text);
    *output = (Output){0};
}

static int column_append(const Column ***columns, size_t *count, const Column *column)
{
    const Column **more = reallocarray(*columns, *count + 2, sizeof(*more));

    if (!more)
        return -ENOMEM;
    *columns = more;
    more[(*count)++] = column;
    more[*count] = NULL;
    return 0;
}

int output_columns(const Column *const *columns, const char *wanted, const Column ***ret, char **ret_unknown)
{
    _cleanup_(freep) const Column **shown = NULL;
    size_t count = 0;
    int r = 0;

    if (!wanted || wanted[0] == '+')
        for (size_t i = 0; columns[i] && r >= 0; i++)
            if (!columns[i]->hidden)
                r = column_append(&shown, &count, columns[i]);
    for (const char *at = wanted ? wanted + (wanted[0] == '+') : NULL; at && r >= 0;) {
        size_t size = strcspn(at, ","), i = 0;
        while (columns[i] && (strncasecmp(columns[i]->name, at, size) != 0 || columns[i]->name[size] != '\0'))
            i++;
        if (!columns[i]) {
            char *unknown = strndup(at, size);
            if (!unknown)
                return -ENOMEM;
            *ret_unknown = unknown;
            return OUTPUT_NO_COLUMN;
        }
        r = column_append(&shown, &count, columns[i]);
        at = at[size] ? at + size + 1 : NULL;
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(shown);
    return 0;
}
