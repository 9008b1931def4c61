/* SPDX-License-Identifier: Apache-2.0 */
/* The bench: pins itself and all it starts to one CPU, runs each part, prints the table, writes JSON to $BENCH_JSON. */

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define SECONDS_MAX 3600 /* of all: something hangs */

typedef struct Row {
    const char *what;
    const char *note;
    double figure;
    double target;
    bool at_least;
} Row;

static Row rows[64];
static size_t row_count;
const char *bench_build;

double bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int compare_doubles(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;

    return (first > second) - (first < second);
}

double bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

void bench_fail(const char *format, ...)
{
    va_list arguments;

    fputs("bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static bool row_met(const Row *row)
{
    return row->at_least ? row->figure >= row->target : row->figure <= row->target;
}

void bench_row(const char *what, double figure, bool at_least, double target, const char *note)
{
    Row row = {.what = what, .figure = figure, .at_least = at_least, .target = target, .note = strdup(note)};

    printf("%-62s %8.2f  %s %6.2f  %s  %s\n", what, figure, at_least ? ">=" : "<=", target,
           row_met(&row) ? "met    " : "NOT MET", note);
    fflush(stdout);
    rows[row_count++] = row;
}

static void write_json(const char *path)
{
    FILE *file = fopen(path, "we");

    if (!file)
        bench_fail("%s: %m", path);
    fputs("[\n", file);
    for (size_t i = 0; i < row_count; i++)
        fprintf(file, "  {\"what\": \"%s\", \"figure\": %.4f, \"relation\": \"%s\", \"target\": %.2f, \"met\": %s, \"note\": \"%s\"}%s\n",
                rows[i].what, rows[i].figure, rows[i].at_least ? ">=" : "<=", rows[i].target,
                row_met(&rows[i]) ? "true" : "false", rows[i].note, i + 1 < row_count ? "," : "");
    fputs("]\n", file);
    fclose(file);
}

static void pin(void)
{
    cpu_set_t cpus;

    if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
        return;
    int last = -1;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &cpus))
            last = i;
    CPU_ZERO(&cpus);
    CPU_SET(last, &cpus);
    sched_setaffinity(0, sizeof(cpus), &cpus);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {
        {"calls", bench_calls}, {"process", bench_process}, {"registers", bench_registers},
        {"start", bench_start}, {"list", bench_list},       {"reload", bench_reload}, {"export", bench_export},
        {"machines", bench_machines}, {"serve", bench_serve}, {"connect", bench_connect_verb},
        {"activate", bench_activate},
    };
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (argc == 4 && strcmp(argv[1], "bare-start") == 0)
        return bench_bare_start(argv[2], atoi(argv[3]));
    bench_build = getenv("BENCH_BUILD");
    if (!bench_build)
        bench_fail("BENCH_BUILD is not set; run `make bench`");
    signal(SIGPIPE, SIG_IGN);
    alarm(SECONDS_MAX);
    pin();
    printf("%-62s %8s  %9s\n", "what", "figure", "target");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++)
            wanted |= strcmp(argv[k], parts[i].name) == 0;
        if (wanted)
            parts[i].run();
    }
    if (getenv("BENCH_JSON"))
        write_json(getenv("BENCH_JSON"));
    size_t met = 0;
    for (size_t i = 0; i < row_count; i++)
        met += row_met(&rows[i]);
    /* On a busy machine a figure may be off: that it runs is what the exit status says. */
    printf("%zu of %zu targets met\n", met, row_count);
    return 0;
}
