/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people, without libsmartcols: cells are kept until the end, then each column is as wide as its widest. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl/output.h"

typedef struct Table {
    char **cells; /* a line after the other */
    const char **colours;
    size_t columns, count, capacity;
} Table;

static void table_free(Table *table)
{
    for (size_t i = 0; table && i < table->count; i++)
        free(table->cells[i]);
    if (table) {
        free(table->cells);
        free(table->colours);
    }
    free(table);
}

static int table_open(Output *output)
{
    Table *table = calloc(1, sizeof(*table));

    if (!table)
        return -ENOMEM;
    while (output->columns[table->columns])
        table->columns++;
    output->table = table;
    return 0;
}

/* How many columns of a terminal a text takes: East Asian wide characters and emoji two, marks that combine none. */
static size_t text_width(const char *text)
{
    static const struct {
        uint32_t first, last;
        size_t width;
    } ranges[] = {
        {0x300, 0x36f, 0},     {0x200b, 0x200f, 0},   {0xfe00, 0xfe0f, 0},     {0x1100, 0x115f, 2},   {0x2e80, 0xa4cf, 2},
        {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},   {0xfe30, 0xfe6f, 2},     {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},
        {0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1faff, 2},   {0x20000, 0x3fffd, 2},
    };
    size_t width = 0;

    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t follow = *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : *at >= 0xc0 ? 1 : 0, own = 1;
        uint32_t code = follow == 0 ? *at : *at & (0x3fu >> follow);
        for (at++; follow > 0 && *at; follow--)
            code = code << 6 | (*at++ & 0x3f);
        for (size_t i = 0; i < ELEMENTS_OF(ranges); i++)
            if (code >= ranges[i].first && code <= ranges[i].last)
                own = ranges[i].width;
        width += own;
    }
    return width;
}

/* text: taken over. */
static int table_put(Table *table, char *text, const char *colour)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 256;
        char **cells = reallocarray(table->cells, capacity, sizeof(*cells));
        if (cells)
            table->cells = cells;
        const char **colours = cells ? reallocarray(table->colours, capacity, sizeof(*colours)) : NULL;
        if (!colours) {
            free(text);
            return -ENOMEM;
        }
        table->colours = colours;
        table->capacity = capacity;
    }
    table->cells[table->count] = text;
    table->colours[table->count++] = colour;
    return 0;
}

static int table_add(Output *output, const char *json, size_t size_bytes)
{
    json_t *object = json_loadb(json, size_bytes, 0, NULL);
    int r = object ? 0 : -EBADMSG;

    for (size_t i = 0; output->columns[i] && r >= 0; i++) {
        const char *colour = NULL;
        Buffer text = {0};
        char *cell;
        output->columns[i]->cell(object, &text, &colour);
        r = buffer_take(&text, &cell, NULL);
        if (r >= 0) {
            output_defuse(cell);
            r = table_put(output->table, cell, colour);
        }
    }
    json_decref(object);
    return r;
}

static const char *table_escape(const Output *output, const char *colour)
{
    return colour ? output_colour(output->options, colour) : "";
}

static void table_print_cell(const Output *output, size_t column, size_t width, const char *text, const char *colour)
{
    bool last = !output->columns[column + 1];
    int blanks = (int)(width - text_width(text));

    printf("%s%*s%s%s%s%*s", column > 0 ? " " : "", output->columns[column]->right ? blanks : 0, "", table_escape(output, colour), text,
           colour ? table_escape(output, "reset") : "", output->columns[column]->right || last ? 0 : blanks, "");
}

static int table_close(Output *output)
{
    const Table *table = output->table;
    size_t lines = table->count / table->columns;
    _cleanup_(freep) size_t *widths = calloc(table->columns, sizeof(*widths));

    if (!widths)
        return -ENOMEM;
    if (lines == 0)
        return 0;
    for (size_t i = 0; i < table->columns && !output->options->no_headings; i++)
        widths[i] = text_width(output->columns[i]->name);
    for (size_t i = 0; i < table->count; i++) {
        size_t width = text_width(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; i < table->columns && !output->options->no_headings; i++)
        table_print_cell(output, i, widths[i], output->columns[i]->name, NULL);
    if (!output->options->no_headings)
        putchar('\n');
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        table_print_cell(output, column, widths[column], table->cells[i], table->colours[i]);
        if (column + 1 == table->columns)
            putchar('\n');
    }
    return 0;
}

static void table_release(Output *output)
{
    table_free(output->table);
}

const OutputOps output_table = {.open = table_open, .add = table_add, .close = table_close, .release = table_release};
