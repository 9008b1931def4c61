/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people; the only user of libsmartcols. One column without heading needs no widths, so it is written as it
 * comes. */

#include <errno.h>
#include <jansson.h>
#include <libsmartcols.h>
#include <locale.h>
#include <stdio.h>

#include "ctl/output.h"
#include "schema/base/text.h"

static bool table_is_plain(const Output *output)
{
    return output->options->no_headings && output->columns[0] && !output->columns[1];
}

static int table_open(Output *output)
{
    if (table_is_plain(output))
        return 0;

    struct libscols_table *table = scols_new_table();
    if (!table)
        return -ENOMEM;
    output->table = table;
    scols_table_enable_colors(table, output->options->colours);
    scols_table_enable_noheadings(table, output->options->no_headings);
    for (size_t i = 0; output->columns[i]; i++) {
        const Column *column = output->columns[i];
        if (!scols_table_new_column(table, column->name, 0, column->right ? SCOLS_FL_RIGHT : 0))
            return -ENOMEM;
    }
    return 0;
}

/* The locale says how wide a character is. It costs a dozen system calls, so only who shows more than ASCII has one. */
static void table_set_locale(Output *output, const char *text)
{
    for (; *text && !output->has_locale; text++)
        if ((unsigned char)*text >= 0x80) {
            setlocale(LC_CTYPE, "");
            output->has_locale = true;
        }
}

/* The text of a cell: control characters never reach a terminal. Owned by the caller. */
static int table_cell_text(const Column *column, const json_t *object, char **ret, const char **ret_colour)
{
    Buffer text = {0};

    *ret_colour = NULL;
    column->cell(object, &text, ret_colour);
    int r = buffer_take(&text, ret, NULL);
    if (r >= 0)
        output_defuse(*ret);
    return r;
}

static int table_add_line(Output *output, const json_t *object)
{
    struct libscols_line *line = output->table ? scols_table_new_line(output->table, NULL) : NULL;

    if (output->table && !line)
        return -ENOMEM;
    for (size_t i = 0; output->columns[i]; i++) {
        char *text;
        const char *colour;
        int r = table_cell_text(output->columns[i], object, &text, &colour);
        if (r < 0)
            return r;
        if (!line) {
            r = puts(text) == EOF ? -errno : 0;
            free(text);
            return r;
        }
        table_set_locale(output, text);
        r = scols_line_refer_data(line, i, text);
        if (r < 0) {
            free(text);
            return r;
        }
        if (colour)
            scols_cell_set_color(scols_line_get_cell(line, i), colour);
    }
    return 0;
}

static int table_add(Output *output, const char *json, size_t size_bytes)
{
    json_t *object = json_loadb(json, size_bytes, 0, NULL);

    if (!object)
        return -EBADMSG;
    int r = table_add_line(output, object);
    json_decref(object);
    return r;
}

static int table_close(Output *output)
{
    /* A table without lines is nothing at all to smartcols; an empty list is no heading either. */
    int r = output->table && output->count > 0 ? scols_print_table(output->table) : 0;

    return r < 0 ? r : 0;
}

const OutputOps output_table = {.open = table_open, .add = table_add, .close = table_close};

void output_release(Output *output)
{
    scols_unref_table(output->table);
    free((void *)(uintptr_t)output->columns);
    buffer_release(&output->text);
    *output = (Output){0};
}
