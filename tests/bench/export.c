/* SPDX-License-Identifier: Apache-2.0 */
/* 100,000 services as a .reg file, beside writing the same bytes; and back, beside iconv on the same file. */

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/export.h"
#include "tests/bench/bench.h"

#define SERVICES 100000
#define PIECE_BYTES (64 * 1024)

extern char **environ;

static int write_all(const void *bytes, size_t size_bytes, void *userdata)
{
    const int *fd = userdata;

    for (const char *at = bytes; size_bytes > 0;) {
        ssize_t size = write(*fd, at, size_bytes);
        if (size < 0)
            return -errno;
        at += size;
        size_bytes -= (size_t)size;
    }
    return 0;
}

static int open_new(const char *path)
{
    unlink(path);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        bench_fail("%s: %m", path);
    return fd;
}

/* What is exported is there before: it is not the export that makes it. */
typedef struct Text {
    char name[16], element_name[48];
} Text;
static Text *texts;

static void prepare(void)
{
    texts = calloc(SERVICES, sizeof(*texts));
    if (!texts)
        bench_fail("no memory");
    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(texts[i].name, sizeof(texts[i].name), "bench-%06u", i);
        snprintf(texts[i].element_name, sizeof(texts[i].element_name), "Bench: service number %u of many", i);
    }
}

static double seconds_of_export(const char *path)
{
    Problems problems = {0};
    Export *export;
    int fd = open_new(path);
    double start = bench_now();
    const ExportSink sink = {.write = write_all, .userdata = &fd};

    if (export_open(export_target_find("reg"), &(ExportOptions){0}, &sink, &problems, &export) != 0)
        bench_fail("export_open");
    for (unsigned i = 0; i < SERVICES; i++) {
        ServiceContext service = {
            .name = texts[i].name,
            .element_name = texts[i].element_name,
            .port = {.value = 0x20000000u + i, .set = true},
        };
        if (export_add(export, &service) != 0)
            bench_fail("export_add");
    }
    if (export_close(export) != 0 || export->count != SERVICES)
        bench_fail("export_close");
    export_free(export);
    double seconds = bench_now() - start;
    close(fd);
    return seconds;
}

/* The same bytes, which are in memory already, in pieces of the same size. */
static double seconds_of_writing(const char *path, const char *bytes, size_t size_bytes)
{
    int fd = open_new(path);
    double start = bench_now();

    for (size_t at = 0; at < size_bytes; at += PIECE_BYTES)
        if (write_all(bytes + at, size_bytes - at < PIECE_BYTES ? size_bytes - at : PIECE_BYTES, &fd) < 0)
            bench_fail("%s: %m", path);
    double seconds = bench_now() - start;
    close(fd);
    return seconds;
}

static long memory_peak_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");

    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kib;
}

/* How much the process grows by while it exports. */
static long growth_kib(const char *path)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, "5", 1) != 1)
        bench_fail("/proc/self/clear_refs: %m");
    close(fd);
    long before = memory_peak_kib();
    seconds_of_export(path);
    return memory_peak_kib() - before;
}

static double seconds_of_process(char *const *arguments)
{
    posix_spawn_file_actions_t actions;
    double start;
    pid_t pid;
    int status;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    start = bench_now();
    if (posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ) != 0 || waitpid(pid, &status, 0) < 0)
        bench_fail("%s: cannot be run", arguments[0]);
    double seconds = bench_now() - start;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_fail("%s: status %d", arguments[0], status);
    posix_spawn_file_actions_destroy(&actions);
    return seconds;
}

static void bench_import(char *path)
{
    char program[300], verb[] = "import", iconv[] = "iconv", from[] = "-fUTF-16", to[] = "-tUTF-8", note[128];
    char *ours_line[] = {program, verb, path, NULL}, *bare_line[] = {iconv, from, to, path, NULL};
    double ours[BENCH_ROUNDS], bare[BENCH_ROUNDS], ratios[BENCH_ROUNDS];

    snprintf(program, sizeof(program), "%s/hvsockctl", bench_build);
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        ours[i] = seconds_of_process(ours_line);
        bare[i] = seconds_of_process(bare_line);
        ratios[i] = ours[i] / bare[i];
    }
    snprintf(note, sizeof(note), "%.0f ms, iconv %.0f ms, both as processes", bench_median(ours, BENCH_ROUNDS) * 1e3,
             bench_median(bare, BENCH_ROUNDS) * 1e3);
    bench_row("import of a .reg of 100,000 services / iconv of the same", bench_median(ratios, BENCH_ROUNDS), false, 5, note);
}

void bench_export(void)
{
    char folder[] = "/tmp/hvbench.XXXXXX", path[64], copy[64], note[128];
    double ours[BENCH_ROUNDS], bare[BENCH_ROUNDS], ratios[BENCH_ROUNDS];

    if (!mkdtemp(folder))
        bench_fail("%s: %m", folder);
    snprintf(path, sizeof(path), "%s/services.reg", folder);
    snprintf(copy, sizeof(copy), "%s/bare.reg", folder);
    prepare();
    long growth = growth_kib(path);
    FILE *file = fopen(path, "re");
    struct stat status;
    if (!file || fstat(fileno(file), &status) < 0)
        bench_fail("%s: %m", path);
    size_t size = (size_t)status.st_size;
    char *bytes = malloc(size);
    if (!bytes || fread(bytes, 1, size, file) != size)
        bench_fail("%s: %m", path);
    fclose(file);
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        ours[i] = seconds_of_export(path);
        bare[i] = seconds_of_writing(copy, bytes, size);
        ratios[i] = ours[i] / bare[i];
    }
    free(bytes);
    free(texts);
    snprintf(note, sizeof(note), "%.0f ms, bare %.0f ms for %zu MiB; grows by %ld KiB", bench_median(ours, BENCH_ROUNDS) * 1e3,
             bench_median(bare, BENCH_ROUNDS) * 1e3, size >> 20, growth);
    bench_row("export --to reg of 100,000 services / writing the same bytes", bench_median(ratios, BENCH_ROUNDS), false, 4, note);
    bench_import(path);
    unlink(path);
    unlink(copy);
    rmdir(folder);
}
