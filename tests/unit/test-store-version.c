/* SPDX-License-Identifier: Apache-2.0 */
/* Older databases are migrated, with a copy first; newer ones are read and left alone. */

#include "schema/base/embed.h"
#include "tests/unit/test-store.h"

EMBED(test_sql_0001_registry, "schema/sql/0001-registry.sql");
EMBED(test_sql_0001_ephemeral, "schema/sql/0001-ephemeral.sql");

/* As a later hvsockd would have them. */
static const Migration later_items[] = {
    {embedded_test_sql_0001_registry, embedded_test_sql_0001_ephemeral},
    {"ALTER TABLE services ADD COLUMN note TEXT; UPDATE services SET note = 'from before'", NULL},
    {"CREATE TABLE notes (name TEXT NOT NULL, PRIMARY KEY (name))", "ALTER TABLE services ADD COLUMN note TEXT"},
};
static const Migrations first = {.items = later_items, .count = 1};
static const Migrations later = {.items = later_items, .count = ELEMENTS_OF(later_items)};
static const Migration broken_items[] = {
    {embedded_test_sql_0001_registry, embedded_test_sql_0001_ephemeral},
    {"CREATE TABLE half (x); CREATE TABLE services (x)", NULL},
};
static const Migrations broken = {.items = broken_items, .count = ELEMENTS_OF(broken_items)};

static const StoredRecord ephemeral_record = {.kind = STORED_SERVICE,
                                              .origin = STORED_USER,
                                              .name = "mayfly",
                                              .context = "{}",
                                              .ephemeral_pid = 1,
                                              .ephemeral_start_time_ticks = 2};
static const StoredRecord lasting_record = {
    .kind = STORED_SERVICE, .origin = STORED_USER, .name = "tortoise", .context = "{}"};

static void test_migration(void **state)
{
    Fixture *fixture = *state;
    size_t size, size_now;

    Store *store = fixture_open_with(fixture, &first, 0);
    assert_int_equal(store_put(store, &lasting_record), 0);
    assert_int_equal(store_put(store, &ephemeral_record), 0);
    assert_int_equal(store_commit(store), 0);
    store_free(store);

    /* One that fails changes nothing, and leaves its copy. */
    _cleanup_(freep) char *trouble = NULL;
    _cleanup_(freep) char *before = slurp(fixture->registry, &size);
    assert_int_equal(store_open_with(fixture->state, fixture->runtime, &broken, &store, &trouble), -EINVAL);
    assert_non_null(strstr(trouble, "from schema version 1 to 2"));
    _cleanup_(freep) char *after = slurp(fixture->registry, &size_now);
    assert_int_equal(size, size_now);
    assert_memory_equal(before, after, size);

    store = fixture_open_with(fixture, &later, 0);
    assert_int_equal(store_version(store), 3);
    assert_int_equal(count_rows(store), 2);
    store_free(store);
    run_sql(fixture->registry, "INSERT INTO notes SELECT note FROM services WHERE note = 'from before'");
    run_sql(fixture->ephemeral, "UPDATE services SET note = 'x' WHERE name = 'mayfly'");

    /* The copy is what was there before, and good by itself. */
    char copy[128];
    snprintf(copy, sizeof(copy), "%s.v1", fixture->registry);
    struct stat status;
    assert_int_equal(stat(copy, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(rename(copy, fixture->registry), 0);
    assert_int_equal(unlink(fixture->ephemeral), 0);
    store = fixture_open_with(fixture, &first, 0);
    assert_int_equal(store_version(store), 1);
    assert_int_equal(count_rows(store), 1);
    /* And is in WAL mode again. */
    assert_int_equal(store_put_override(store, "x", true), 0);
    assert_int_equal(store_commit(store), 0);
    assert_true(exists(fixture, "registry.db-wal"));
    store_free(store);
}

static void expect_newer(Fixture *fixture)
{
    Store *store = fixture_open_with(fixture, &first, STORE_NEWER);

    assert_int_equal(store_version(store), 3);
    assert_int_equal(count_rows(store), 2); /* what there is still can be read */
    assert_int_equal(store_put(store, &lasting_record), STORE_NEWER);
    assert_int_equal(store_put(store, &ephemeral_record), STORE_NEWER);
    assert_int_equal(store_delete(store, STORED_SERVICE, STORED_USER, "tortoise", false), STORE_NEWER);
    assert_int_equal(store_put_auto_port(store, "x", 1), STORE_NEWER);
    assert_non_null(strstr(store_error(store), "version 3"));
    assert_false(store_has_changes(store));
    assert_int_equal(store_commit(store), 0);
    store_free(store);
}

static void test_newer(void **state)
{
    Fixture *fixture = *state;
    char wal[128];
    size_t size, size_now, wal_size;

    snprintf(wal, sizeof(wal), "%s-wal", fixture->registry);
    Store *store = fixture_open_with(fixture, &later, 0);
    assert_int_equal(store_put(store, &lasting_record), 0);
    assert_int_equal(store_put(store, &ephemeral_record), 0);
    assert_int_equal(store_commit(store), 0);
    _cleanup_(freep) char *in_wal = slurp(wal, &wal_size);
    store_free(store);

    _cleanup_(freep) char *before = slurp(fixture->registry, &size);
    expect_newer(fixture);
    _cleanup_(freep) char *after = slurp(fixture->registry, &size_now);
    assert_int_equal(size, size_now);
    assert_memory_equal(before, after, size);
    assert_false(exists(fixture, "registry.db-wal"));
    assert_false(exists(fixture, "registry.db-shm"));
    assert_false(exists(fixture, "registry.db.v3"));
    assert_false(exists(fixture, "run/ephemeral.db-wal"));
    assert_false(exists(fixture, "run/ephemeral.db-shm"));

    /* The newer one has crashed: what it did last stands in the -wal. */
    spill(wal, in_wal, wal_size);
    expect_newer(fixture);
    _cleanup_(freep) char *wal_after = slurp(wal, &size_now);
    assert_int_equal(size_now, wal_size);
    assert_memory_equal(wal_after, in_wal, wal_size);

    /* Tables that we cannot read are none; it is not called unsound. */
    assert_int_equal(unlink(wal), 0);
    spill(fixture->registry, before, size);
    run_sql(fixture->registry, "DROP VIEW overview; ALTER TABLE services RENAME TO things");
    store = fixture_open_with(fixture, &first, STORE_NEWER);
    assert_int_equal(count_rows(store), 1); /* the ephemeral one */
    store_free(store);
    overwrite(fixture->registry, 4096, 4096);
    store_free(fixture_open_with(fixture, &first, STORE_NEWER));
}

/* A bad file of an older version is read as what it is, and migrated afterwards; also where its header is lost. */
static void test_recover_older(void **state)
{
    Fixture *fixture = *state;
    size_t size;

    Store *store = fixture_open_with(fixture, &first, 0);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(put_numbered(store, i), 0);
    assert_int_equal(store_commit(store), 0);
    store_free(store);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size);

    for (int i = 0; i < 2; i++) {
        _cleanup_(buffer_release) Buffer report = {0};
        spill(fixture->registry, bytes, size);
        if (i == 0)
            overwrite(fixture->registry, (off_t)size - 4096, 4096);
        else
            overwrite(fixture->registry, 0, 100);
        assert_int_equal(store_recover_with(fixture->state, &later, &report), 0);
        store = fixture_open_with(fixture, &later, 0);
        assert_int_equal(store_version(store), 3);
        assert_in_range(count_rows(store), i == 0 ? 460 : 500, i == 0 ? 499 : 500);
        store_free(store);
        run_sql(fixture->registry, "INSERT INTO notes SELECT DISTINCT note FROM services"); /* not NULL */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_migration),
        fixture_test(test_newer),
        fixture_test(test_recover_older),
    };
    return cmocka_run_group_tests_name("store-version", tests, NULL, NULL);
}
