/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of problems of an input; they live from reading it to telling of it. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/problem.h"

static void problem_release(Problem *problem)
{
    free(problem->file);
    free(problem->field);
    free(problem->reason);
    free(problem->hint);
}

_printf_(5, 0)
static Problem *problems_add_problem(Problems *problems, bool warning, const char *field, const char *hint,
                                     const char *format, va_list arguments)
{
    if (!warning)
        problems->errors++;
    if (problems->count >= PROBLEMS_MAX) {
        problems->dropped++;
        return NULL;
    }
    if ((problems->count & (problems->count - 1)) == 0) {
        size_t capacity = problems->count ? problems->count * 2 : 1;
        Problem *items = reallocarray(problems->items, capacity, sizeof(*items));
        if (!items) {
            problems->failed = true;
            return NULL;
        }
        problems->items = items;
    }

    Buffer reason = {0};
    buffer_vprintf(&reason, format, arguments);
    Problem problem = {
        .field = field ? strdup(field) : NULL,
        .hint = hint ? strdup(hint) : NULL,
        .warning = warning,
    };
    if (buffer_take(&reason, &problem.reason, NULL) < 0 || (field && !problem.field) || (hint && !problem.hint)) {
        problem_release(&problem);
        problems->failed = true;
        return NULL;
    }
    problems->items[problems->count] = problem;
    return &problems->items[problems->count++];
}

Problem *problems_add(Problems *problems, const char *field, const char *hint, const char *reason_format, ...)
{
    va_list arguments;

    va_start(arguments, reason_format);
    Problem *problem = problems_add_problem(problems, false, field, hint, reason_format, arguments);
    va_end(arguments);
    return problem;
}

Problem *problems_warn(Problems *problems, const char *field, const char *hint, const char *reason_format, ...)
{
    va_list arguments;

    va_start(arguments, reason_format);
    Problem *problem = problems_add_problem(problems, true, field, hint, reason_format, arguments);
    va_end(arguments);
    return problem;
}

Problem *problems_add_absence(Problems *problems, const char *field, const char *hint, const char *reason_format, ...)
{
    va_list arguments;

    va_start(arguments, reason_format);
    Problem *problem = problems_add_problem(problems, false, field, hint, reason_format, arguments);
    va_end(arguments);
    if (problem)
        problem->absence = true;
    return problem;
}

void problem_say(Buffer *reason, const char *text, const char *why)
{
    static const char *const verbs[] = {"is ", "has ", "begins ", "goes "};
    bool predicate = false;

    for (size_t i = 0; i < ELEMENTS_OF(verbs); i++)
        predicate |= strncmp(why, verbs[i], strlen(verbs[i])) == 0;
    buffer_append_quoted(reason, text);
    buffer_append_text(reason, predicate ? " " : ": ");
    buffer_append_text(reason, why);
}

void problem_locate(Problem *problem, const char *file, unsigned line, unsigned column)
{
    if (!problem)
        return;
    if (file) {
        free(problem->file);
        problem->file = strdup(file);
    }
    problem->line = line;
    problem->column = column;
}

void problems_prefix(Problems *problems, size_t first, const char *prefix)
{
    for (size_t i = first; i < problems->count; i++) {
        Problem *problem = &problems->items[i];
        Buffer field = {0};
        buffer_append_text(&field, prefix);
        if (problem->field) {
            if (problem->field[0] != '[' && prefix[0])
                buffer_append_char(&field, '.');
            buffer_append_text(&field, problem->field);
        }
        char *text;
        if (buffer_take(&field, &text, NULL) < 0) {
            problems->failed = true;
            return;
        }
        free(problem->field);
        problem->field = text;
    }
}

void problems_move(Problems *problems, Problems *from)
{
    for (size_t i = 0; i < from->count; i++) {
        Problem *problem = &from->items[i];
        size_t count = problems->count;
        Problem *added = problem->warning ? problems_warn(problems, NULL, NULL, "-") : problems_add(problems, NULL, NULL, "-");
        if (added && problems->count > count) {
            problem_release(added);
            *added = *problem;
            *problem = (Problem){0};
        }
    }
    problems->dropped += from->dropped;
    problems->errors += from->dropped;
    problems->failed |= from->failed;
    problems_release(from);
}

/* a is b, or stands around it: `peers` and `peers.allow[1]`. */
static bool field_is_around(const char *a, const char *b)
{
    size_t size = strlen(a);

    return strncmp(a, b, size) == 0 && (b[size] == '\0' || b[size] == '.' || b[size] == '[');
}

/* Both are members of one record: `activate.exec` and `activate.exce`, or `listen[1]` and `port`. */
static bool fields_are_siblings(const char *a, const char *b)
{
    const char *dot = strrchr(a, '.');
    size_t parent = dot ? (size_t)(dot - a) + 1 : 0;

    return strncmp(a, b, parent) == 0 && !strchr(b + parent, '.') && !strstr(b + parent, "[\"");
}

static bool problem_follows(const Problem *problem, const Problems *problems, size_t first)
{
    for (size_t i = first; problem->field && i < problems->count; i++) {
        const char *field = problems->items[i].field;
        if (!field)
            continue;
        if (field_is_around(field, problem->field) || field_is_around(problem->field, field) ||
            (problem->absence && fields_are_siblings(problem->field, field)))
            return true;
    }
    return false;
}

void problems_drop_following(const Problems *problems, size_t first, Problems *from)
{
    size_t kept = 0;

    for (size_t i = 0; i < from->count; i++) {
        Problem problem = from->items[i];
        if (problem_follows(&problem, problems, first)) {
            from->errors -= !problem.warning;
            problem_release(&problem);
        } else {
            from->items[kept++] = problem;
        }
    }
    from->count = kept;
}

void problem_format(const Problem *problem, Buffer *text)
{
    if (problem->file) {
        buffer_append_text(text, problem->file);
        if (problem->line > 0)
            buffer_printf(text, ":%u:%u", problem->line, problem->column);
        buffer_append_text(text, ": ");
    }
    if (problem->warning)
        buffer_append_text(text, "warning: ");
    if (problem->field && problem->field[0])
        buffer_printf(text, "%s: ", problem->field);
    buffer_append_text(text, problem->reason);
    if (problem->hint)
        buffer_printf(text, "; %s", problem->hint);
}

static int problem_compare(const Problem *a, const Problem *b)
{
    int order = strcmp(a->file ? a->file : "", b->file ? b->file : "");

    if (order == 0)
        order = (a->line > b->line) - (a->line < b->line);
    if (order == 0)
        order = (a->column > b->column) - (a->column < b->column);
    return order;
}

void problems_sort(Problems *problems)
{
    /* Insertion keeps the order of equals, and the list is short and mostly sorted. */
    for (size_t i = 1; i < problems->count; i++) {
        Problem problem = problems->items[i];
        size_t at = i;
        for (; at > 0 && problem_compare(&problems->items[at - 1], &problem) > 0; at--)
            problems->items[at] = problems->items[at - 1];
        problems->items[at] = problem;
    }
}

void problems_release(Problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        problem_release(&problems->items[i]);
    free(problems->items);
    *problems = (Problems){0};
}
