/* SPDX-License-Identifier: Apache-2.0 */
/* What store_open makes of files that are not sound, and that it leaves them as they are. */

#include "tests/unit/test-store.h"

static void expect_unsound(Fixture *fixture, const char *why)
{
    _cleanup_(freep) char *trouble = NULL;
    Store *store = NULL;

    int r = store_open(fixture->state, fixture->runtime, &store, &trouble);
    if (r != STORE_UNSOUND)
        fail_msg("%s: store_open answered %d: %s", why, r, trouble ? trouble : "-");
    assert_null(store);
    assert_non_null(strstr(trouble, fixture->registry));
    assert_non_null(strstr(trouble, "--recover"));
    if (!strstr(trouble, why))
        fail_msg("expected \"%s\" in: %s", why, trouble);
}

static void test_truncated(void **state)
{
    Fixture *fixture = *state;
    size_t size, size_now;

    fill(fixture, 0, 300);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size);
    assert_true(size > 65536);
    for (size_t length = 0; length < size; length += 512) {
        spill(fixture->registry, bytes, length);
        expect_unsound(fixture, "");
        _cleanup_(freep) char *now = slurp(fixture->registry, &size_now);
        assert_int_equal(size_now, length);
        assert_memory_equal(now, bytes, length);
        assert_false(exists(fixture, "registry.db-wal"));
        assert_false(exists(fixture, "registry.db-shm"));
    }
    spill(fixture->registry, bytes, size);
    store_free(fixture_open(fixture, 0));
}

typedef struct Damage {
    const char *name;
    off_t offset;
    size_t size_bytes;
    const char *why;
} Damage;

static void test_damaged(void **state)
{
    static const Damage damages[] = {
        {"magic", 0, 16, "not a SQLite database"},
        {"header", 0, 100, "not a SQLite database"},
        {"first page", 0, 4096, "not a SQLite database"},
        {"first page but for the header", 100, 3996, "nothing was changed"},
        {"a table's root", 4096, 4096, "nothing was changed"},
        {"page 20", 19 * 4096, 4096, "nothing was changed"},
        {"half of page 20", 19 * 4096, 2048, "nothing was changed"},
    };
    Fixture *fixture = *state;
    size_t size, size_now, size_before;

    fill(fixture, 0, 300);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size);
    for (size_t i = 0; i < ELEMENTS_OF(damages); i++) {
        const Damage *damage = &damages[i];
        spill(fixture->registry, bytes, size);
        overwrite(fixture->registry, damage->offset, damage->size_bytes);
        _cleanup_(freep) char *before = slurp(fixture->registry, &size_before);
        print_message("%s\n", damage->name);
        expect_unsound(fixture, damage->why);
        _cleanup_(freep) char *now = slurp(fixture->registry, &size_now);
        assert_int_equal(size_now, size_before);
        assert_memory_equal(now, before, size_now);
    }
    spill(fixture->registry, bytes, size);
    overwrite(fixture->registry, 0, size);
    expect_unsound(fixture, "not a SQLite database");
    spill(fixture->registry, "hello", 5);
    expect_unsound(fixture, "cut off");
    spill(fixture->registry, "", 0);
    expect_unsound(fixture, "empty");
    assert_int_equal(unlink(fixture->registry), 0);
    assert_int_equal(mkdir(fixture->registry, 0700), 0);
    expect_unsound(fixture, "not a file");
}

/* What stands only in the -wal is neither lost nor written into a file that is not sound. */
static void test_damaged_with_wal(void **state)
{
    Fixture *fixture = *state;
    char wal[128], saved[128], saved_wal[128];
    size_t size, size_now, wal_size, wal_size_now;

    snprintf(wal, sizeof(wal), "%s-wal", fixture->registry);
    snprintf(saved, sizeof(saved), "%s/saved", fixture->state);
    snprintf(saved_wal, sizeof(saved_wal), "%s/saved-wal", fixture->state);
    fill(fixture, 0, 300);
    Store *store = fixture_open(fixture, 0);
    assert_int_equal(put_numbered(store, 300), 0);
    assert_int_equal(store_commit(store), 0);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size), *wal_bytes = slurp(wal, &wal_size);
    store_free(store);

    assert_true(wal_size > 4096);
    spill(fixture->registry, bytes, size);
    spill(wal, wal_bytes, wal_size);
    overwrite(fixture->registry, 19 * 4096, 4096);
    _cleanup_(freep) char *damaged = slurp(fixture->registry, &size);
    expect_unsound(fixture, "nothing was changed");
    _cleanup_(freep) char *now = slurp(fixture->registry, &size_now), *wal_now = slurp(wal, &wal_size_now);
    assert_int_equal(size_now, size);
    assert_memory_equal(now, damaged, size);
    assert_int_equal(wal_size_now, wal_size);
    assert_memory_equal(wal_now, wal_bytes, wal_size);

    /* And the same without damage is whole, with the row of the -wal. */
    spill(fixture->registry, bytes, size);
    store = fixture_open(fixture, 0);
    assert_int_equal(count_rows(store), 301);
    store_free(store);

    /* The file is gone, the -wal is not. */
    assert_int_equal(unlink(fixture->registry), 0);
    spill(wal, wal_bytes, wal_size);
    expect_unsound(fixture, "-wal");
}

static void test_not_ours(void **state)
{
    Fixture *fixture = *state;
    sqlite3 *database;

    assert_int_equal(sqlite3_open(fixture->registry, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "CREATE TABLE recipes (x); PRAGMA user_version = 1", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(database);
    expect_unsound(fixture, "not hvsockd's");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_truncated),
        fixture_test(test_damaged),
        fixture_test(test_damaged_with_wal),
        fixture_test(test_not_ours),
    };
    return cmocka_run_group_tests_name("store-open", tests, NULL, NULL);
}
