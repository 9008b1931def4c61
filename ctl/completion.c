/* SPDX-License-Identifier: Apache-2.0 */
/* What completion is the same in every shell; nothing here outlives its call. */

#include <stdio.h>
#include <string.h>

#include "ctl/completion.h"

static void leaves_write(const Verb *const *table, const char *prefix, CompletionWriter write, Buffer *text)
{
    for (; *table; table++) {
        CompletionLeaf leaf = {.verb = *table};
        snprintf(leaf.words, sizeof(leaf.words), "%s%s%s", prefix, prefix[0] ? " " : "", leaf.verb->name);
        if (leaf.verb->verbs) {
            leaves_write(leaf.verb->verbs, leaf.words, write, text);
        } else if (verb_options(leaf.verb, &leaf.options) < 0) {
            text->failed = true;
        } else {
            write(&leaf, text);
            option_set_release(&leaf.options);
        }
    }
}

void completion_each_leaf(CompletionWriter write, Buffer *text)
{
    leaves_write(verbs, "", write, text);
}

void completion_write_names(const Verb *const *table, Buffer *text)
{
    for (size_t i = 0; table[i]; i++)
        buffer_printf(text, "%s%s", i > 0 ? " " : "", table[i]->name);
}

void completion_write_words(const char *const *words, Buffer *text)
{
    for (size_t i = 0; words && words[i]; i++)
        buffer_printf(text, "%s%s", i > 0 ? " " : "", words[i]);
}

void completion_write_help(const char *help, const char *special, const char *quote, Buffer *text)
{
    const char *end = strstr(help, ". ");
    size_t size = end ? (size_t)(end - help) : strlen(help);

    if (!end && size > 0 && help[size - 1] == '.')
        size--;
    for (size_t i = 0; i < size; i++) {
        if (help[i] == '\'') {
            buffer_append_text(text, quote);
            continue;
        }
        if (strchr(special, help[i]))
            buffer_append_char(text, '\\');
        buffer_append_char(text, help[i]);
    }
}
