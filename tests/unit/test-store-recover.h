/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of hvsockd --recover share. */
#pragma once

#include <dirent.h>

#include "tests/unit/test-store.h"

#define ROWS 1200
#define PAGE 4096

/* The report; fails unless the answer is the expected one. */
static inline char *recover(Fixture *fixture, int expected)
{
    _cleanup_(buffer_release) Buffer report = {0};

    int r = store_recover(fixture->state, &report);
    buffer_append_char(&report, '\0');
    assert_false(report.failed);
    if (r != expected)
        fail_msg("store_recover answered %d: %s", r, report.data);
    return strdup(report.data);
}

static inline size_t count_rows_after(Fixture *fixture)
{
    _cleanup_(store_freep) Store *store = fixture_open(fixture, 0);

    return count_rows(store);
}

/* `services: 1980 kept, 20 lost: …` */
static inline void read_report(const char *report, const char *table, unsigned *ret_kept, unsigned *ret_lost)
{
    char line[64];

    snprintf(line, sizeof(line), "%s: ", table);
    const char *at = strstr(report, line);
    while (at && at != report && at[-1] != '\n')
        at = strstr(at + 1, line);
    if (!at || sscanf(at + strlen(line), "%u kept, %u lost", ret_kept, ret_lost) != 2)
        fail_msg("nothing about %s in: %s", table, report);
}

static inline size_t count_files(Fixture *fixture, const char *prefix)
{
    DIR *folder = opendir(fixture->state);
    size_t count = 0;

    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(folder);
    return count;
}

static inline void expect_tidy(Fixture *fixture)
{
    assert_int_equal(count_files(fixture, "registry.db.salvage"), 0);
    assert_int_equal(count_files(fixture, "registry.db.recover"), 0);
    assert_int_equal(count_files(fixture, "registry.db-"), 0);
}

static inline unsigned count_pages(Fixture *fixture)
{
    return (unsigned)(file_size_bytes(fixture->registry) / PAGE);
}
