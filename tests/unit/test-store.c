/* SPDX-License-Identifier: Apache-2.0 */
/* The store's rows: round trips, transactions, what is ephemeral, and what an administrator sees. */

#include "tests/unit/test-store.h"

static const StoredRecord records[] = {
    {.kind = STORED_SETTINGS,
     .origin = STORED_FILE,
     .name = "settings",
     .context = "{\"autoPorts\":\"1-2\"}",
     .source = "/etc/hvsockd/hvsockd.yaml",
     .line = 1,
     .column = 1,
     .registered_at_us = 5},
    {.kind = STORED_MACHINE,
     .origin = STORED_FILE,
     .name = "m1",
     .context = "{\"cid\":42}",
     .source = "/etc/m.yaml",
     .line = 7,
     .column = 5,
     .registered_at_us = 6},
    {.kind = STORED_MACHINE,
     .origin = STORED_APPLY,
     .name = "m1",
     .context = "{\"cid\":43}",
     .source = "default",
     .uid = 1000,
     .registered_at_us = 7},
    {.kind = STORED_MACHINE,
     .origin = STORED_USER,
     .name = "m1",
     .context = "{\"cid\":44}",
     .uid = 0,
     .registered_at_us = 8},
    {.kind = STORED_MACHINE,
     .origin = STORED_USER,
     .name = "m1",
     .context = "{\"cid\":45}",
     .uid = 4294967294,
     .registered_at_us = 9,
     .ephemeral_pid = 812,
     .ephemeral_start_time_ticks = 1234567890123},
    {.kind = STORED_SERVICE,
     .origin = STORED_FILE,
     .name = "s1",
     .context = "{}",
     .source = "/etc/s.yaml",
     .line = 4294967295,
     .column = 3,
     .registered_at_us = 10},
    {.kind = STORED_SERVICE,
     .origin = STORED_APPLY,
     .name = "a",
     .context = "{\"elementName\":\"G\u00e4ste \U0001f680 '; DROP\"}",
     .source = "set'x",
     .uid = 1000,
     .registered_at_us = 9007199254740993},
    {.kind = STORED_SERVICE,
     .origin = STORED_APPLY,
     .name = "s1",
     .context = "{}",
     .source = "default",
     .uid = 1,
     .registered_at_us = 11},
    {.kind = STORED_SERVICE, .origin = STORED_USER, .name = "s1", .context = "{}", .uid = 2, .registered_at_us = 12},
    {.kind = STORED_SERVICE,
     .origin = STORED_APPLY,
     .name = "s1",
     .context = "{\"port\":1}",
     .source = "x",
     .uid = 3,
     .registered_at_us = 13,
     .ephemeral_pid = 1,
     .ephemeral_start_time_ticks = 2},
    {.kind = STORED_SERVICE,
     .origin = STORED_USER,
     .name = "s1",
     .context = "{\"port\":2}",
     .uid = 3,
     .registered_at_us = 14,
     .ephemeral_pid = 1,
     .ephemeral_start_time_ticks = 2},
};

/* In the order of a load, which is that of the table above. */
static const char everything[] =
    "override a 0\n"
    "override b 1\n"
    "port a 268435456\n"
    "port z 4294967294\n"
    "gf settings {\"autoPorts\":\"1-2\"} source=/etc/hvsockd/hvsockd.yaml at=1:1 uid=0 time=5\n"
    "mf m1 {\"cid\":42} source=/etc/m.yaml at=7:5 uid=0 time=6\n"
    "ma m1 {\"cid\":43} source=default at=0:0 uid=1000 time=7\n"
    "mu m1 {\"cid\":44} source=- at=0:0 uid=0 time=8\n"
    "mu m1 {\"cid\":45} source=- at=0:0 uid=4294967294 time=9 pid=812 since=1234567890123\n"
    "sf s1 {} source=/etc/s.yaml at=4294967295:3 uid=0 time=10\n"
    "sa a {\"elementName\":\"G\u00e4ste \U0001f680 '; DROP\"} source=set'x at=0:0 uid=1000 time=9007199254740993\n"
    "sa s1 {} source=default at=0:0 uid=1 time=11\n"
    "su s1 {} source=- at=0:0 uid=2 time=12\n"
    "sa s1 {\"port\":1} source=x at=0:0 uid=3 time=13 pid=1 since=2\n"
    "su s1 {\"port\":2} source=- at=0:0 uid=3 time=14 pid=1 since=2\n";

static void put_everything(Store *store)
{
    /* From the end: the order of a load is not that of the puts. */
    for (size_t i = ELEMENTS_OF(records); i > 0; i--)
        assert_int_equal(store_put(store, &records[i - 1]), 0);
    assert_int_equal(store_put_override(store, "b", false), 0);
    assert_int_equal(store_put_override(store, "b", true), 0);
    assert_int_equal(store_put_override(store, "a", false), 0);
    assert_int_equal(store_put_auto_port(store, "z", 4294967294), 0);
    assert_int_equal(store_put_auto_port(store, "a", 1), 0);
    assert_int_equal(store_put_auto_port(store, "a", 0x10000000), 0);
    assert_int_equal(store_commit(store), 0);
}

static void expect(Store *store, const char *expected)
{
    _cleanup_(freep) char *text = dump(store);

    assert_string_equal(text, expected);
}

static void test_round_trip(void **state)
{
    Fixture *fixture = *state;
    Store *store = fixture_open(fixture, 0);

    expect(store, "");
    put_everything(store);
    expect(store, everything);
    assert_int_equal(store_commits(store), 1);
    assert_int_equal(store_version(store), migrations_all.count);
    store_free(store);

    store = fixture_open(fixture, 0);
    expect(store, everything);
    store_free(store);
    /* A clean end leaves no -wal behind: a copy of the file is a copy of everything. */
    assert_false(exists(fixture, "registry.db-wal"));
    assert_false(exists(fixture, "registry.db-shm"));
    struct stat status;
    assert_int_equal(stat(fixture->registry, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_replace_and_delete(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(store_freep) Store *store = fixture_open(fixture, 0);

    put_everything(store);
    StoredRecord changed = records[8];
    changed.context = "{\"port\":9}";
    changed.registered_at_us = 99;
    changed.uid = 77;
    assert_int_equal(store_put(store, &changed), 0);
    /* Of three or four that are called s1 and m1, only the one that is meant. */
    assert_int_equal(store_delete(store, STORED_SERVICE, STORED_APPLY, "s1", false), 0);
    assert_int_equal(store_delete(store, STORED_SERVICE, STORED_USER, "s1", true), 0);
    assert_int_equal(store_delete(store, STORED_MACHINE, STORED_FILE, "m1", false), 0);
    assert_int_equal(store_delete(store, STORED_SETTINGS, STORED_FILE, "settings", false), 0);
    assert_int_equal(store_delete(store, STORED_SERVICE, STORED_USER, "nobody", false), 0);
    assert_int_equal(store_delete_override(store, "a"), 0);
    assert_int_equal(store_delete_auto_port(store, "a"), 0);
    assert_int_equal(store_commit(store), 0);
    expect(
        store,
        "override b 1\n"
        "port z 4294967294\n"
        "ma m1 {\"cid\":43} source=default at=0:0 uid=1000 time=7\n"
        "mu m1 {\"cid\":44} source=- at=0:0 uid=0 time=8\n"
        "mu m1 {\"cid\":45} source=- at=0:0 uid=4294967294 time=9 pid=812 since=1234567890123\n"
        "sf s1 {} source=/etc/s.yaml at=4294967295:3 uid=0 time=10\n"
        "sa a {\"elementName\":\"G\u00e4ste \U0001f680 '; DROP\"} source=set'x at=0:0 uid=1000 time=9007199254740993\n"
        "su s1 {\"port\":9} source=- at=0:0 uid=77 time=99\n"
        "sa s1 {\"port\":1} source=x at=0:0 uid=3 time=13 pid=1 since=2\n");
}

static void test_rollback(void **state)
{
    Fixture *fixture = *state;
    Store *store = fixture_open(fixture, 0);

    put_everything(store);
    assert_false(store_has_changes(store));
    assert_int_equal(put_numbered(store, 1), 0);
    assert_int_equal(store_delete(store, STORED_SERVICE, STORED_USER, "s1", true), 0);
    assert_int_equal(store_delete_override(store, "a"), 0);
    assert_true(store_has_changes(store));
    store_rollback(store);
    assert_false(store_has_changes(store));
    expect(store, everything);
    assert_int_equal(store_commit(store), 0); /* of nothing */
    assert_int_equal(store_commits(store), 1);

    /* An end without a commit is a rollback too. */
    assert_int_equal(put_numbered(store, 1), 0);
    store_free(store);
    store = fixture_open(fixture, 0);
    expect(store, everything);
    store_free(store);
}

static void test_bad_records(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(store_freep) Store *store = fixture_open(fixture, 0);
    const StoredRecord nowhere[] = {
        {.kind = STORED_SETTINGS, .origin = STORED_USER, .name = "settings", .context = "{}"},
        {.kind = STORED_SETTINGS, .origin = STORED_FILE, .name = "settings", .context = "{}", .ephemeral_pid = 1},
        {.kind = STORED_SERVICE, .origin = STORED_FILE, .name = "x", .context = "{}", .ephemeral_pid = 1},
    };

    for (size_t i = 0; i < ELEMENTS_OF(nowhere); i++)
        assert_int_equal(store_put(store, &nowhere[i]), -EINVAL);
    assert_false(store_has_changes(store));

    /* A change that fails: nothing goes into its transaction any more, nothing stands alone, the next one is whole. */
    const StoredRecord nameless = {.kind = STORED_SERVICE, .origin = STORED_USER, .context = "{}"};
    assert_int_equal(put_numbered(store, 1), 0);
    assert_int_equal(store_put(store, &nameless), -EINVAL);
    assert_non_null(strstr(store_error(store), fixture->registry));
    assert_non_null(strstr(store_error(store), "services.name"));
    assert_int_equal(put_numbered(store, 2), -EINVAL);
    assert_int_equal(store_commit(store), -EINVAL);
    assert_int_equal(count_rows(store), 0);
    assert_int_equal(put_numbered(store, 3), 0);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(count_rows(store), 1);
}

static int stop_at_second(const StoredRecord *record, void *userdata)
{
    unsigned *seen = userdata;

    return ++*seen == 2 ? -ECANCELED : 0;
}

static void test_visitor_stops(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(store_freep) Store *store = fixture_open(fixture, 0);
    const StoreVisitor visitor = {.on_record = stop_at_second};
    unsigned seen = 0;

    put_everything(store);
    assert_int_equal(store_load(store, &visitor, &seen), -ECANCELED);
    assert_int_equal(seen, 2);
    assert_int_equal(put_numbered(store, 1), 0);
    assert_int_equal(store_commit(store), 0);
    /* Inside of a transaction, as when a commit is about to be given up. */
    assert_int_equal(put_numbered(store, 2), 0);
    assert_int_equal(count_rows(store), count_lines(everything) + 2);
    store_rollback(store);
    assert_int_equal(count_rows(store), count_lines(everything) + 1);
}

static void test_another_boot(void **state)
{
    Fixture *fixture = *state;
    Store *store = fixture_open(fixture, 0);

    put_everything(store);
    store_free(store);
    run_sql(fixture->ephemeral, "UPDATE boot SET id = '00000000-0000-0000-0000-000000000000'");
    store = fixture_open(fixture, 0);
    _cleanup_(freep) char *text = dump(store);
    store_free(store);
    assert_null(strstr(text, "pid="));
    assert_int_equal(count_lines(text), count_lines(everything) - 3);

    /* Nor is it told later, when the boot is the right one again. */
    store = fixture_open(fixture, 0);
    assert_int_equal(count_rows(store), count_lines(everything) - 3);
    store_free(store);
}

static void test_bad_ephemeral(void **state)
{
    Fixture *fixture = *state;
    Store *store = fixture_open(fixture, 0);
    _cleanup_(freep) char *trouble = NULL;

    put_everything(store);
    store_free(store);
    overwrite(fixture->ephemeral, 0, 4096);
    assert_int_equal(store_open(fixture->state, fixture->runtime, &store, &trouble), 0);
    assert_non_null(strstr(trouble, "ephemeral.db.bad"));
    assert_true(exists(fixture, "run/ephemeral.db.bad"));
    assert_int_equal(count_rows(store), count_lines(everything) - 3);
    assert_int_equal(store_put(store, &records[4]), 0);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(count_rows(store), count_lines(everything) - 2);
    store_free(store);
}

/* sqlite3 registry.db, while hvsockd runs. */
static void test_administrator_reads(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(store_freep) Store *store = fixture_open(fixture, 0);
    sqlite3 *database;
    sqlite3_stmt *statement;
    _cleanup_(buffer_release) Buffer text = {0};

    put_everything(store);
    assert_int_equal(sqlite3_open_v2(fixture->registry, &database, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database,
                                        "SELECT kind, name, origin, registered_at FROM overview ORDER BY 1, 2, 3", -1,
                                        &statement, NULL),
                     SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW)
        for (int i = 0; i < 4; i++)
            buffer_printf(&text, "%s%c", sqlite3_column_text(statement, i), i < 3 ? ' ' : '\n');
    sqlite3_finalize(statement);
    buffer_append_char(&text, '\0');
    assert_string_equal(text.data, "machine m1 apply:default 1970-01-01T00:00:00.000Z\n"
                                   "machine m1 file:/etc/m.yaml 1970-01-01T00:00:00.000Z\n"
                                   "machine m1 user:0 1970-01-01T00:00:00.000Z\n"
                                   "service a apply:set'x 2255-06-05T23:47:34.741Z\n"
                                   "service s1 apply:default 1970-01-01T00:00:00.000Z\n"
                                   "service s1 file:/etc/s.yaml 1970-01-01T00:00:00.000Z\n"
                                   "service s1 user:2 1970-01-01T00:00:00.000Z\n"
                                   "settings settings file:/etc/hvsockd/hvsockd.yaml 1970-01-01T00:00:00.000Z\n");

    /* A read that lasts does not hold the daemon up. */
    assert_int_equal(sqlite3_exec(database, "BEGIN; SELECT count(*) FROM services", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(put_numbered(store, 1), 0);
    assert_int_equal(store_commit(store), 0);
    sqlite3_close(database);
    /* His writing does, and is told. */
    assert_int_equal(sqlite3_open_v2(fixture->registry, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(put_numbered(store, 2), -EBUSY);
    assert_non_null(strstr(store_error(store), "another program"));
    store_rollback(store);
    sqlite3_close(database);
    assert_int_equal(put_numbered(store, 2), 0);
    assert_int_equal(store_commit(store), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_round_trip),    fixture_test(test_replace_and_delete),  fixture_test(test_rollback),
        fixture_test(test_bad_records),   fixture_test(test_visitor_stops),       fixture_test(test_another_boot),
        fixture_test(test_bad_ephemeral), fixture_test(test_administrator_reads),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
