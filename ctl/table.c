/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people; the only user of libsmartcols, which is loaded with the first table: what prints none starts
 * faster without it. One column without heading needs no widths, so it is written as it comes. */

#include <dlfcn.h>
#include <errno.h>
#include <jansson.h>
#include <libsmartcols.h>
#include <locale.h>
#include <stdio.h>

#include "ctl/output.h"

#define SMARTCOLS_FUNCTIONS(F)                                                                                         \
    F(new_table)                                                                                                       \
    F(unref_table)                                                                                                     \
    F(print_table)                                                                                                     \
    F(table_enable_colors)                                                                                             \
    F(table_enable_noheadings)                                                                                         \
    F(table_new_column)                                                                                                \
    F(table_new_line)                                                                                                  \
    F(line_refer_data)                                                                                                 \
    F(line_get_cell)                                                                                                   \
    F(cell_set_color)

#define SMARTCOLS_MEMBER(name_) __typeof__(scols_##name_) *name_;

typedef struct Table {
    void *library;
    SMARTCOLS_FUNCTIONS(SMARTCOLS_MEMBER)
    struct libscols_table *table;
    bool has_locale;
} Table;

static void table_free(Table *table)
{
    if (!table)
        return;
    if (table->table)
        table->unref_table(table->table);
    if (table->library)
        dlclose(table->library);
    free(table);
}
DEFINE_CLEANUP(Table *, table_free)

/* -ELIBACC: there is no libsmartcols, or it is not the one we know. */
static int table_load(Table *table)
{
    table->library = dlopen("libsmartcols.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!table->library)
        return -ELIBACC;
#define SMARTCOLS_FIND(name_)                                                                                          \
    table->name_ = (__typeof__(scols_##name_) *)dlsym(table->library, "scols_" #name_);                                \
    if (!table->name_)                                                                                                 \
        return -ELIBACC;
    SMARTCOLS_FUNCTIONS(SMARTCOLS_FIND)
    return 0;
}

static bool table_is_plain(const Output *output)
{
    return output->options->no_headings && output->columns[0] && !output->columns[1];
}

static int table_open(Output *output)
{
    if (table_is_plain(output))
        return 0;

    _cleanup_(table_freep) Table *table = calloc(1, sizeof(*table));
    if (!table)
        return -ENOMEM;
    int r = table_load(table);
    if (r < 0)
        return r;
    table->table = table->new_table();
    if (!table->table)
        return -ENOMEM;
    table->table_enable_colors(table->table, output->options->colours);
    table->table_enable_noheadings(table->table, output->options->no_headings);
    for (size_t i = 0; output->columns[i]; i++) {
        const Column *column = output->columns[i];
        if (!table->table_new_column(table->table, column->name, 0, column->right ? SCOLS_FL_RIGHT : 0))
            return -ENOMEM;
    }
    output->table = TAKE_PTR(table);
    return 0;
}

/* The locale says how wide a character is. It costs a dozen system calls, so only who shows more than ASCII has one. */
static void table_set_locale(Table *table, const char *text)
{
    for (; *text && !table->has_locale; text++)
        if ((unsigned char)*text >= 0x80) {
            setlocale(LC_CTYPE, "");
            table->has_locale = true;
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

static int table_add_plain(Output *output, const json_t *object)
{
    const char *colour;
    char *text;

    int r = table_cell_text(output->columns[0], object, &text, &colour);
    if (r < 0)
        return r;
    r = puts(text) == EOF ? -errno : 0;
    free(text);
    return r;
}

static int table_add_line(Output *output, const json_t *object)
{
    Table *table = output->table;
    struct libscols_line *line = table->table_new_line(table->table, NULL);

    if (!line)
        return -ENOMEM;
    for (size_t i = 0; output->columns[i]; i++) {
        const char *colour;
        char *text;
        int r = table_cell_text(output->columns[i], object, &text, &colour);
        if (r < 0)
            return r;
        table_set_locale(table, text);
        r = table->line_refer_data(line, i, text);
        if (r < 0) {
            free(text);
            return r;
        }
        if (colour)
            table->cell_set_color(table->line_get_cell(line, i), colour);
    }
    return 0;
}

static int table_add(Output *output, const char *json, size_t size_bytes)
{
    json_t *object = json_loadb(json, size_bytes, 0, NULL);

    if (!object)
        return -EBADMSG;
    int r = output->table ? table_add_line(output, object) : table_add_plain(output, object);
    json_decref(object);
    return r;
}

static int table_close(Output *output)
{
    Table *table = output->table;
    /* A table without lines is nothing at all to smartcols; an empty list is no heading either. */
    int r = table && output->count > 0 ? table->print_table(table->table) : 0;

    return r < 0 ? r : 0;
}

static void table_release(Output *output)
{
    table_free(output->table);
}

const OutputOps output_table = {.open = table_open, .add = table_add, .close = table_close, .release = table_release};
