/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the store share: a folder of their own, and a store's content as one text. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "daemon/store/file.h"
#include "daemon/store/state.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"

typedef struct Fixture Fixture;

struct Fixture {
    char state[64];
    char runtime[80];
    char registry[96];
    char ephemeral[96];
};

static inline int fixture_set_up(void **state)
{
    static Fixture fixture;

    /* In memory: what a kill leaves behind is the same there, and a sync costs nothing. */
    strcpy(fixture.state, access("/dev/shm", W_OK) == 0 ? "/dev/shm/test-store-XXXXXX" : "/tmp/test-store-XXXXXX");
    if (!mkdtemp(fixture.state))
        return -1;
    snprintf(fixture.runtime, sizeof(fixture.runtime), "%s/run", fixture.state);
    snprintf(fixture.registry, sizeof(fixture.registry), "%s/registry.db", fixture.state);
    snprintf(fixture.ephemeral, sizeof(fixture.ephemeral), "%s/ephemeral.db", fixture.runtime);
    *state = &fixture;
    return 0;
}

static inline int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

static inline int fixture_tear_down(void **state)
{
    Fixture *fixture = *state;

    /* Of a test that failed in the middle. */
    umount2(fixture->registry, MNT_DETACH);
    umount2(fixture->state, MNT_DETACH);
    nftw(fixture->runtime, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    return nftw(fixture->state, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

#define fixture_test(function_) cmocka_unit_test_setup_teardown(function_, fixture_set_up, fixture_tear_down)

/* Opens, and fails with what the store says where the answer is another. */
static inline Store *fixture_open_with(Fixture *fixture, const Migrations *migrations, int expected)
{
    _cleanup_(freep) char *trouble = NULL;
    Store *store = NULL;

    int r = store_open_with(fixture->state, fixture->runtime, migrations, &store, &trouble);
    if (r != expected)
        fail_msg("store_open answered %d, expected %d: %s", r, expected, trouble ? trouble : "-");
    if (r != 0 && !trouble)
        fail_msg("store_open answered %d without saying why", r);
    if (r == 0 && trouble)
        fail_msg("store_open warns: %s", trouble);
    return store;
}

static inline Store *fixture_open(Fixture *fixture, int expected)
{
    return fixture_open_with(fixture, &migrations_all, expected);
}

/* ---- content as text ---- */

static inline int dump_record(const StoredRecord *record, void *userdata)
{
    Buffer *text = userdata;

    buffer_printf(text, "%c%c %s %s source=%s at=%u:%u uid=%u time=%llu", "smg"[record->kind], "fau"[record->origin],
                  record -> name, record -> context, record -> source ? record -> source : "-", record->line,
                  record->column, (unsigned)record->uid, (unsigned long long)record->registered_at_us);
    if (record->ephemeral_pid)
        buffer_printf(text, " pid=%d since=%llu", (int)record->ephemeral_pid,
                      (unsigned long long)record->ephemeral_start_time_ticks);
    buffer_append_char(text, '\n');
    return 0;
}

static inline int dump_override(const char *name, bool enabled, void *userdata)
{
    buffer_printf(userdata, "override %s %d\n", name, enabled);
    return 0;
}

static inline int dump_auto_port(const char *name, uint32_t port, void *userdata)
{
    buffer_printf(userdata, "port %s %u\n", name, port);
    return 0;
}

static inline char *dump(Store *store)
{
    const StoreVisitor visitor = {dump_record, dump_override, dump_auto_port};
    Buffer text = {0};
    char *ret;

    int r = store_load(store, &visitor, &text);
    if (r != 0)
        fail_msg("store_load answered %d: %s", r, store_error(store));
    assert_int_equal(buffer_take(&text, &ret, NULL), 0);
    return ret;
}

static inline size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static inline size_t count_rows(Store *store)
{
    _cleanup_(freep) char *text = dump(store);

    return count_lines(text);
}

/* A registered service called service-NUMBER. */
static inline int put_numbered(Store *store, unsigned number)
{
    char name[32], context[160];

    snprintf(name, sizeof(name), "service-%06u", number);
    snprintf(context, sizeof(context),
             "{\"name\":\"%s\",\"port\":%u,\"elementName\":\"Service number %u\",\"handout\":{\"users\":[\"syslog\"]}}",
             name, number + 1024, number);
    const StoredRecord record = {
        .kind = STORED_SERVICE,
        .origin = STORED_USER,
        .name = name,
        .context = context,
        .uid = 1000,
        .registered_at_us = 1792345678901234 + number,
    };
    return store_put(store, &record);
}

static inline void fill(Fixture *fixture, unsigned first, unsigned count)
{
    _cleanup_(store_freep) Store *store = fixture_open(fixture, 0);

    for (unsigned i = first; i < first + count; i++)
        assert_int_equal(put_numbered(store, i), 0);
    assert_int_equal(store_commit(store), 0);
}

/* ---- files ---- */

static inline char *slurp(const char *path, size_t *ret_size_bytes)
{
    char *text = NULL;

    if (file_read(AT_FDCWD, path, 256u << 20, &text, ret_size_bytes) < 0)
        fail_msg("%s cannot be read", path);
    return text;
}

static inline void spill(const char *path, const void *bytes, size_t size_bytes)
{
    _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size_bytes), size_bytes);
}

static inline void overwrite(const char *path, off_t offset, size_t size_bytes)
{
    _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    _cleanup_(freep) char *zeros = calloc(1, size_bytes);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, zeros, size_bytes, offset), size_bytes);
}

static inline bool exists(const Fixture *fixture, const char *name)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", fixture->state, name);
    return access(path, F_OK) == 0;
}

/* One statement by another connection, as an administrator's sqlite3 would run it. */
static inline void run_sql(const char *path, const char *sql)
{
    sqlite3 *database = NULL;
    char *message = NULL;

    assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(database, 1000);
    if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(database);
}
