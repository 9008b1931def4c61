/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockd --recover and its rows: every one that can be read is kept, the others are named. */

#include "tests/unit/test-store-recover.h"

/* Each page in turn is zeroed: whatever it was, only what lay on it is lost, and that is named. */
static void test_each_page(void **state)
{
    Fixture *fixture = *state;
    size_t size;
    unsigned whole = 0;

    fill(fixture, 0, ROWS);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size);
    unsigned pages = count_pages(fixture), step = pages > 50 ? pages / 50 : 1;
    for (unsigned page = 0; page < pages; page += page < 20 ? 1 : step) {
        unsigned kept, lost;
        spill(fixture->registry, bytes, size);
        overwrite(fixture->registry, (off_t)page * PAGE, PAGE);
        _cleanup_(freep) char *report = recover(fixture, 0);
        read_report(report, "services", &kept, &lost);
        assert_int_equal(kept + lost, ROWS);
        assert_int_equal(count_rows_after(fixture), kept);
        if (lost > PAGE / 100)
            fail_msg("page %u: %s", page, report);
        whole += lost == 0;
        assert_int_equal(count_files(fixture, "registry.db.bad-"), 1);
        expect_tidy(fixture);
        database_remove(fixture->registry);
        assert_int_equal(nftw(fixture->state, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
        assert_int_equal(mkdir(fixture->state, 0700), 0);
    }
    assert_in_range(whole, 10,
                    pages / 2); /* the schema's, the index's, the other tables', and what leads to the leaves */
}

/* All tables, not the big one alone; and rows that can be read, but make no sense. */
static void test_all_tables(void **state)
{
    Fixture *fixture = *state;
    Store *store = fixture_open(fixture, 0);
    char long_context[20000];
    static const StoredOrigin origins[] = {STORED_FILE, STORED_APPLY, STORED_USER};

    memset(long_context, 'x', sizeof(long_context));
    memcpy(long_context, "{\"elementName\":\"", 16);
    strcpy(long_context + sizeof(long_context) - 3, "\"}");
    for (int i = 0; i < 6; i++) {
        const StoredRecord record = {
            .kind = i < 3 ? STORED_SERVICE : STORED_MACHINE,
            .origin = origins[i % 3],
            .name = "x",
            .context = i == 1 ? long_context : "{}",
            .source = i % 3 == 2 ? NULL : "somewhere",
            .registered_at_us = (uint64_t)i,
        };
        assert_int_equal(store_put(store, &record), 0);
    }
    const StoredRecord settings = {.kind = STORED_SETTINGS, .origin = STORED_FILE, .name = "settings", .context = "{}"};
    assert_int_equal(store_put(store, &settings), 0);
    assert_int_equal(store_put_override(store, "x", true), 0);
    assert_int_equal(store_put_auto_port(store, "x", 77), 0);
    assert_int_equal(store_commit(store), 0);
    _cleanup_(freep) char *before = dump(store);
    store_free(store);

    overwrite(fixture->registry, 0, 100);
    free(recover(fixture, 0));
    store = fixture_open(fixture, 0);
    _cleanup_(freep) char *after = dump(store);
    store_free(store);
    assert_string_equal(after, before);

    /* The long context's pages are the last: zeros in the middle of a text. */
    overwrite(fixture->registry, (off_t)(count_pages(fixture) - 1) * PAGE + 100, PAGE - 100);
    overwrite(fixture->registry, 0, 100);
    _cleanup_(freep) char *second = recover(fixture, 0);
    assert_non_null(strstr(second, "\nservices: 1 kept, 1 lost: x\n"));
    assert_int_equal(count_rows_after(fixture), count_lines(before) - 1);
}

static unsigned root_page(Fixture *fixture, const char *name)
{
    sqlite3 *database;
    sqlite3_stmt *statement;

    assert_int_equal(sqlite3_open(fixture->registry, &database), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(database, "SELECT rootpage FROM sqlite_schema WHERE name = ?1", -1, &statement, NULL),
        SQLITE_OK);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    unsigned root = (unsigned)sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return root;
}

/* The page that leads to all others of the table. Rows are found in its leaves; deleted ones, and those of other
 * tables, which look the same, are not. */
static void test_without_root(void **state)
{
    Fixture *fixture = *state;
    char long_context[12000];

    memset(long_context, 'x', sizeof(long_context));
    memcpy(long_context, "{\"elementName\":\"", 16);
    strcpy(long_context + sizeof(long_context) - 3, "\"}");
    fill(fixture, 0, ROWS);
    Store *store = fixture_open(fixture, 0);
    for (unsigned i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof(name), "service-%06u", i * 3);
        if (i < 100)
            assert_int_equal(store_delete(store, STORED_SERVICE, STORED_USER, name, false), 0);
        const StoredRecord machine = {.kind = STORED_MACHINE,
                                      .origin = STORED_USER,
                                      .name = name,
                                      .context = "{\"wrong\":1}",
                                      .registered_at_us = i};
        assert_int_equal(store_put(store, &machine), 0);
        const StoredRecord applied = {.kind = STORED_SERVICE,
                                      .origin = STORED_APPLY,
                                      .name = name,
                                      .source = "set",
                                      .context = i % 10 ? "{}" : long_context,
                                      .uid = 0xfffffff0u + i % 8,
                                      .registered_at_us = (uint64_t)1 << (i % 63)};
        assert_int_equal(store_put(store, &applied), 0);
    }
    assert_int_equal(store_commit(store), 0);
    _cleanup_(freep) char *before = dump(store);
    store_free(store);

    overwrite(fixture->registry, (off_t)(root_page(fixture, "services") - 1) * PAGE, PAGE);
    _cleanup_(freep) char *report = recover(fixture, 0);
    assert_non_null(strstr(report, "\nservices: 1400 kept, 0 lost\n"));
    store = fixture_open(fixture, 0);
    _cleanup_(freep) char *after = dump(store);
    store_free(store);
    assert_string_equal(after, before);
}

/* An index that is broken together with its table: the rows are found without it. */
static void test_without_index(void **state)
{
    Fixture *fixture = *state;

    fill(fixture, 0, ROWS);
    unsigned root = root_page(fixture, "sqlite_autoindex_services_1");
    overwrite(fixture->registry, (off_t)(root - 1) * PAGE, PAGE);
    unsigned pages = count_pages(fixture);
    overwrite(fixture->registry, (off_t)(pages - 1) * PAGE, PAGE);
    overwrite(fixture->registry, (off_t)(pages / 2) * PAGE, PAGE);
    overwrite(fixture->registry, (off_t)(pages / 2 + 3) * PAGE, PAGE);
    _cleanup_(freep) char *report = recover(fixture, 0);
    assert_in_range(count_rows_after(fixture), ROWS - 3 * PAGE / 100, ROWS - 1);
    assert_non_null(strstr(report, "services: 1"));
}

/* The number of the last page of that type before `before`. */
static unsigned find_page(const char *bytes, unsigned before, char type)
{
    while (before-- > 1)
        if (bytes[(size_t)before * PAGE] == type)
            return before;
    fail_msg("no page of type %d", type);
    return 0;
}

/* One leaf of the index and one of the table: lost rows are named from what is left of the index, on both sides of its
 * hole. */
static void test_with_half_an_index(void **state)
{
    Fixture *fixture = *state;
    unsigned kept, lost, at_least;
    size_t size;

    fill(fixture, 0, ROWS);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size);
    unsigned pages = count_pages(fixture);
    unsigned index_leaf = find_page(bytes, pages / 2, 0x0a), table_leaf = find_page(bytes, pages * 9 / 10, 0x0d);
    overwrite(fixture->registry, (off_t)table_leaf * PAGE, PAGE);
    _cleanup_(freep) char *whole_index = recover(fixture, 0);
    read_report(whole_index, "services", &kept, &lost);
    assert_in_range(lost, 1, PAGE / 100);
    assert_int_equal(kept + lost, ROWS);

    spill(fixture->registry, bytes, size);
    overwrite(fixture->registry, (off_t)table_leaf * PAGE, PAGE);
    overwrite(fixture->registry, (off_t)index_leaf * PAGE, PAGE);
    _cleanup_(freep) char *half_index = recover(fixture, 0);
    const char *line = strstr(half_index, "\nservices: ");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "\nservices: %u kept, at least %u lost: service-", &kept, &at_least), 2);
    assert_int_equal(kept, ROWS - lost);
    assert_int_equal(at_least, lost);
    assert_int_equal(count_rows_after(fixture), kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_each_page),
        fixture_test(test_all_tables),
        fixture_test(test_without_root),
        fixture_test(test_without_index),
        fixture_test(test_with_half_an_index),
    };
    return cmocka_run_group_tests_name("store-salvage", tests, NULL, NULL);
}
