/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of files for one test, and problems as lines of text with that folder's path taken out. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/load.h"

static char files_root[64];

static inline int files_setup(void **state)
{
    snprintf(files_root, sizeof(files_root), "/tmp/hvsockd-test-load-XXXXXX");
    return mkdtemp(files_root) ? 0 : -1;
}

static inline int files_remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

static inline int files_teardown(void **state)
{
    return nftw(files_root, files_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path below the test's folder; good until the eighth call after it. */
static inline const char *files_path(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", files_root, name);
    return path;
}

static inline void files_folder(const char *name)
{
    assert_true(mkdir(files_path(name), 0700) == 0 || errno == EEXIST);
}

static inline void files_write(const char *name, const char *text)
{
    int fd = open(files_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Sets a file's times back, so that it counts as settled. */
static inline void files_settle(const char *name)
{
    struct timespec times[2] = {{.tv_sec = 1000000000, .tv_nsec = 1}, {.tv_sec = 1000000000, .tv_nsec = 1}};

    assert_int_equal(utimensat(AT_FDCWD, files_path(name), times, 0), 0);
    usleep(50000); /* ctime cannot be set */
}

/* The caller's, each `from` of it a `to`. */
static inline char *files_replace(const char *text, const char *from, const char *to)
{
    Buffer replaced = {0};
    const char *rest = text;
    char *ret;

    for (const char *found; from[0] && (found = strstr(rest, from)); rest = found + strlen(from)) {
        buffer_append(&replaced, rest, (size_t)(found - rest));
        buffer_append_text(&replaced, to);
    }
    buffer_append_text(&replaced, rest);
    assert_int_equal(buffer_take(&replaced, &ret, NULL), 0);
    return ret;
}

/* Where the test's folder is named, it is called ROOT. */
static inline char *files_problems(const Problems *problems)
{
    Buffer lines = {0};
    char *text;

    for (size_t i = 0; i < problems->count; i++) {
        problem_format(&problems->items[i], &lines);
        buffer_append_char(&lines, '\n');
    }
    assert_int_equal(buffer_take(&lines, &text, NULL), 0);
    char *ret = files_replace(text, files_root, "ROOT");
    free(text);
    return ret;
}

static inline void files_assert_problems(Problems *problems, const char *wanted)
{
    char *told = files_problems(problems);

    if (strcmp(told, wanted) != 0) {
        fprintf(stderr, "told:\n%swanted:\n%s", told, wanted); /* cmocka cuts long texts */
        fail_msg("not what was wanted");
    }
    free(told);
    problems_release(problems);
}

/* The names of all records: `service` and `machine/`, in order. */
static inline const char *files_names(const Declared *declared)
{
    static char names[1024];

    names[0] = '\0';
    for (size_t i = 0; i < declared->file_count; i++)
        for (size_t k = 0; k < declared->files[i]->record_count; k++) {
            const DeclaredRecord *record = &declared->files[i]->records[k];
            size_t size = strlen(names);
            if (record->type == &record_type_ServiceContext)
                snprintf(names + size, sizeof(names) - size, "%s ", ((const ServiceContext *)record->record)->name);
            else
                snprintf(names + size, sizeof(names) - size, "%s/ ", ((const MachineContext *)record->record)->name);
        }
    return names;
}
