/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with an input: where, which field, why, and what would be right. Whoever finds a problem knows the field;
 * whoever owns the text (config/load) adds file, line and column afterwards from the field's path. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

#define PROBLEMS_MAX 1000 /* more are counted, not kept */

typedef struct Problem Problem;
typedef struct Problems Problems;

struct Problem {
    char *file;             /* NULL: no file, as in a message of the API */
    unsigned line, column;  /* from 1; 0: not known */
    char *field;            /* `peers.allow[1]`; NULL: the whole record */
    char *reason;           /* why */
    char *hint;             /* what would be right; or NULL */
    bool at_key;            /* it is the key at that path that is wrong (unknown, given twice), not its value */
    bool warning;           /* told, but the input is good */
    bool absence;           /* something is missing: not told where it may be there and be what another problem is about */
};

struct Problems {
    Problem *items;
    size_t count;
    size_t dropped;   /* beyond PROBLEMS_MAX */
    size_t errors;    /* those that are not warnings, dropped ones included */
    bool failed;      /* out of memory */
};

/* field and hint may be NULL; all texts are copied. */
Problem *problems_add(Problems *problems, const char *field, const char *hint, const char *reason_format, ...) _printf_(4, 5);
Problem *problems_warn(Problems *problems, const char *field, const char *hint, const char *reason_format, ...) _printf_(4, 5);
Problem *problems_add_absence(Problems *problems, const char *field, const char *hint, const char *reason_format, ...) _printf_(4, 5);
/* A reason about a text: `"x" is no rate`, or `"x": the path is empty` where why is a sentence of its own. text is quoted, so
 * that its control characters reach no terminal. */
void problem_say(Buffer *reason, const char *text, const char *why);
/* Names the place of a problem that was just added; file is copied, NULL keeps what is there. Takes NULL for problem. */
void problem_locate(Problem *problem, const char *file, unsigned line, unsigned column);
/* Puts prefix before the field: `services[2]` + `port` = `services[2].port`. Of all problems from index first on. */
void problems_prefix(Problems *problems, size_t first, const char *prefix);
/* Moves everything of `from` to the end of `problems`. */
void problems_move(Problems *problems, Problems *from);
/* `file:line:column: field: why; what would be right`, without a newline; parts that are not known are left out. */
void problem_format(const Problem *problem, Buffer *text);
/* Drops those of `from` that may only follow from `problems` from index first on: about the same field, one around or one
 * within it; or something is missing, and a field beside it is bad. */
void problems_drop_following(const Problems *problems, size_t first, Problems *from);
/* By file, line, column; stable. */
void problems_sort(Problems *problems);
void problems_release(Problems *problems);
