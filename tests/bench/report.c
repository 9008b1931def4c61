/* SPDX-License-Identifier: Apache-2.0 */
/* The table of targets: collected while the measurements run, printed at their end. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/bench.h"

typedef struct Line {
    const char *name, *what;
    double value, target;
    Bound bound;
    char detail[128];
} Line;

static Line lines[32];
static size_t line_count;

static bool line_is_met(const Line *line)
{
    return line->bound == AT_LEAST ? line->value >= line->target : line->value <= line->target;
}

void report(const char *name, const char *what, double value, Bound bound, double target, const char *detail_format, ...)
{
    if (line_count == sizeof(lines) / sizeof(lines[0]))
        die("more measurements than lines");
    Line *line = &lines[line_count++];
    *line = (Line){.name = name, .what = what, .value = value, .bound = bound, .target = target};

    va_list arguments;
    va_start(arguments, detail_format);
    vsnprintf(line->detail, sizeof(line->detail), detail_format, arguments);
    va_end(arguments);
}

static void write_json(const char *path, bool quick)
{
    FILE *file = fopen(path, "we");

    if (!file)
        die("%s: %s", path, strerror(errno));
    fprintf(file, "{\"version\": \"%s\", \"quick\": %s, \"figures\": [", HVSOCK_VERSION, quick ? "true" : "false");
    for (const Line *line = lines; line < lines + line_count; line++)
        fprintf(file, "%s\n  {\"name\": \"%s\", \"value\": %.4f, \"bound\": \"%s\", \"target\": %g, \"met\": %s, \"detail\": \"%s\"}",
                line == lines ? "" : ",", line->name, line->value, line->bound == AT_LEAST ? "at least" : "at most", line->target,
                line_is_met(line) ? "true" : "false", line->detail);
    fprintf(file, "\n]}\n");
    if (fclose(file))
        die("%s: %s", path, strerror(errno));
}

int report_print(const char *json_path, bool quick)
{
    size_t missed = 0;

    printf("%-13s %8s  %-13s %-7s %s\n", "", "figure", "target", "", "what");
    for (const Line *line = lines; line < lines + line_count; line++) {
        char target[32];
        snprintf(target, sizeof(target), "%s %g", line->bound == AT_LEAST ? "at least" : "at most", line->target);
        printf("%-13s %8.2f  %-13s %-7s %s\n", line->name, line->value, target, line_is_met(line) ? "met" : "MISSED", line->what);
        printf("%-45s %s\n", "", line->detail);
        missed += !line_is_met(line);
    }
    if (json_path)
        write_json(json_path, quick);
    printf("bench: %zu passed, %zu failed\n", line_count - missed, missed);
    return missed > 0;
}
