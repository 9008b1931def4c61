/* SPDX-License-Identifier: Apache-2.0 */
/* --help, from the tables of verbs and options; written for 80 columns. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/help.h"

#define HELP_WIDTH 80
#define HELP_OPTION_COLUMN 26

/* How many columns a UTF-8 text takes; our own texts have no wide characters. */
static size_t help_columns(const char *text, size_t size_bytes)
{
    size_t columns = 0;

    for (size_t i = 0; i < size_bytes; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

static void help_blanks(size_t count, Buffer *text)
{
    for (size_t i = 0; i < count; i++)
        buffer_append_char(text, ' ');
}

/* Words in lines that end before HELP_WIDTH; the first begins at column, all others after indent blanks. */
static void help_wrap(const char *words, size_t size_bytes, size_t column, size_t indent, Buffer *text)
{
    bool first = true;

    for (size_t at = 0; at < size_bytes;) {
        size_t size = strcspn(words + at, " \n");
        if (size > size_bytes - at)
            size = size_bytes - at;
        size_t columns = help_columns(words + at, size);
        if (!first && column + 1 + columns > HELP_WIDTH) {
            buffer_append_char(text, '\n');
            help_blanks(indent, text);
            column = indent;
            first = true;
        }
        if (!first) {
            buffer_append_char(text, ' ');
            column++;
        }
        buffer_append(text, words + at, size);
        column += columns;
        first = false;
        at += size;
        while (at < size_bytes && (words[at] == ' ' || words[at] == '\n'))
            at++;
    }
    buffer_append_char(text, '\n');
}

/* Paragraphs; a line that begins with a blank stays as it is. */
static void help_paragraphs(const char *description, Buffer *text)
{
    for (const char *line = description; *line;) {
        const char *end = line;
        /* The second of an empty line's. */
        if (*line == '\n') {
            buffer_append_char(text, '\n');
            line++;
            continue;
        }
        while (*end && !(end[0] == '\n' && (end[1] == '\n' || end[1] == ' ' || end[1] == '\0' || line[0] == ' ')))
            end++;
        if (line[0] == ' ')
            buffer_append(text, line, (size_t)(end - line)), buffer_append_char(text, '\n');
        else
            help_wrap(line, (size_t)(end - line), 0, 0, text);
        line = *end ? end + 1 : end;
    }
}

static void help_entry(const char *left, const char *right, size_t column, Buffer *text)
{
    size_t columns = help_columns(left, strlen(left));

    buffer_append_text(text, left);
    if (columns + 2 > column) {
        buffer_append_char(text, '\n');
        columns = 0;
    }
    help_blanks(column - columns, text);
    help_wrap(right, strlen(right), column, column, text);
}

static void help_option(const Option *option, Buffer *text)
{
    Buffer left = {0}, right = {0};
    char *left_text, *right_text;

    if (option->letter)
        buffer_printf(&left, "  -%c, ", option->letter);
    else
        buffer_append_text(&left, "      ");
    buffer_printf(&left, "--%s%s%s", option->name, option->argument ? " " : "",
                  option->argument ? option->argument : "");
    buffer_append_text(&right, option->help);
    if (option->repeats)
        buffer_append_text(&right, " May be given several times.");
    int r = buffer_take(&left, &left_text, NULL), s = buffer_take(&right, &right_text, NULL);
    if (r >= 0 && s >= 0)
        help_entry(left_text, right_text, HELP_OPTION_COLUMN, text);
    else
        text->failed = true;
    if (r >= 0)
        free(left_text);
    if (s >= 0)
        free(right_text);
}

static const char *const help_groups[VERB_GROUPS] = {
    [VERBS_OF_SERVICES] = "Services", [VERBS_OF_FILES] = "Files",         [VERBS_OF_USE] = "Use",
    [VERBS_OF_MACHINES] = "Machines", [VERBS_OF_WATCHING] = NULL,         [VERBS_OF_HELP] = "Reference",
};

static bool help_group_is_empty(int group)
{
    for (size_t i = 0; verbs[i]; i++)
        if ((int)verbs[i]->group == group)
            return false;
    return true;
}

static void help_verb_entries(const Verb *const *table, const char *prefix, Buffer *text)
{
    for (size_t i = 0; table[i]; i++) {
        Buffer left = {0};
        char *left_text;
        buffer_printf(&left, "  %s%s", prefix, table[i]->name);
        if (buffer_take(&left, &left_text, NULL) < 0) {
            text->failed = true;
            return;
        }
        help_entry(left_text, table[i]->help, 18, text);
        free(left_text);
    }
}

int help_all(Buffer *text)
{
    buffer_append_text(text, help_begin);
    for (int group = 0; group < VERB_GROUPS; group++) {
        if (help_group_is_empty(group))
            continue;
        buffer_printf(text, "\n%s:\n", help_groups[group] ? help_groups[group] : help_watching);
        for (size_t i = 0; verbs[i]; i++) {
            if ((int)verbs[i]->group != group)
                continue;
            const Verb *one[] = {verbs[i], NULL};
            Buffer prefix = {0};
            char *prefix_text;
            buffer_printf(&prefix, "%s ", verbs[i]->name);
            if (!verbs[i]->verbs) {
                buffer_release(&prefix);
                help_verb_entries(one, "", text);
            } else if (buffer_take(&prefix, &prefix_text, NULL) >= 0) {
                help_verb_entries(verbs[i]->verbs, prefix_text, text);
                free(prefix_text);
            }
        }
    }
    buffer_append_text(text, "\nOptions of all verbs:\n");
    for (const Option *option = verb_options_common; option->name; option++)
        help_option(option, text);
    buffer_append_text(text, help_end);
    return text->failed ? -ENOMEM : 0;
}

static void help_columns_of(const Column *const *columns, Buffer *text)
{
    buffer_append_text(text, "\nColumns (those with * are always there):\n");
    for (size_t i = 0; columns[i]; i++) {
        char left[32];
        snprintf(left, sizeof(left), "  %c %s", columns[i]->hidden ? ' ' : '*', columns[i]->name);
        help_entry(left, columns[i]->help, 16, text);
    }
}

int help_verb(const Verb *verb, const char *called, const OptionSet *options, Buffer *text)
{
    buffer_printf(text, "usage: hvsockctl %s%s%s\n\n", called, verb->synopsis[0] ? " " : "", verb->synopsis);
    help_wrap(verb->help, strlen(verb->help), 0, 0, text);
    if (verb->description) {
        buffer_append_char(text, '\n');
        help_paragraphs(verb->description, text);
    }
    if (verb->verbs) {
        buffer_append_text(text, "\nVerbs:\n");
        help_verb_entries(verb->verbs, "", text);
    }
    buffer_append_text(text, "\nOptions:\n");
    for (size_t i = 0; i < options->count; i++)
        help_option(&options->items[i], text);
    if (verb->columns)
        help_columns_of(verb->columns, text);
    return text->failed ? -ENOMEM : 0;
}
