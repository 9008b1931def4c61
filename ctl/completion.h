/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts, made from the table of verbs: a new verb or option is in them by itself. One file a shell. */
#pragma once

#include "ctl/verb.h"

typedef struct CompletionLeaf CompletionLeaf;

/* A verb that runs, with the words that lead to it (`machine add`) and all that it takes. */
struct CompletionLeaf {
    const Verb *verb;
    char words[64];
    OptionSet options;
};

void completion_write_bash(Buffer *text);
void completion_write_zsh(Buffer *text);
void completion_write_fish(Buffer *text);

/* ---- for the shells' files ---- */
typedef void (*CompletionWriter)(const CompletionLeaf *leaf, Buffer *text);
/* Of each verb that runs. */
void completion_each_leaf(CompletionWriter write, Buffer *text);
/* The verbs' names, with blanks between. */
void completion_write_names(const Verb *const *table, Buffer *text);
void completion_write_words(const char *const *words, Buffer *text);
/* The first sentence, for a text in single quotes: a backslash before each character that is special to the shell, and
 * quote in place of a single quote. */
void completion_write_help(const char *help, const char *special, const char *quote, Buffer *text);
