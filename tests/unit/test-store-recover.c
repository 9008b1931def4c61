/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockd --recover: every row that can be read is kept, the rest is named, the bad file stays, and a kill in the
 * middle of it loses nothing. */

#include <dirent.h>
#include <signal.h>

#include "tests/unit/test-store.h"

#define ROWS 1200
#define PAGE 4096
#define KILLS 40

/* The report; fails unless the answer is the expected one. */
static char *recover(Fixture *fixture, int expected)
{
    _cleanup_(buffer_release) Buffer report = {0};
    char *text;

    int r = store_recover(fixture->state, &report);
    assert_int_equal(buffer_take(&report, &text, NULL), 0);
    if (r != expected)
        fail_msg("store_recover answered %d: %s", r, text);
    return text;
}

static size_t count_rows_after(Fixture *fixture)
{
    _cleanup_(store_freep) Store *store = fixture_open(fixture, 0);

    return count_rows(store);
}

/* `services: 1980 kept, 20 lost: …` */
static void read_report(const char *report, const char *table, unsigned *ret_kept, unsigned *ret_lost)
{
    char line[64];

    snprintf(line, sizeof(line), "%s: ", table);
    const char *at = strstr(report, line);
    while (at && at != report && at[-1] != '\n')
        at = strstr(at + 1, line);
    if (!at || sscanf(at + strlen(line), "%u kept, %u lost", ret_kept, ret_lost) != 2)
        fail_msg("nothing about %s in: %s", table, report);
}

static size_t count_files(Fixture *fixture, const char *prefix)
{
    DIR *folder = opendir(fixture->state);
    size_t count = 0;

    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(folder);
    return count;
}

static void expect_tidy(Fixture *fixture)
{
    assert_int_equal(count_files(fixture, "registry.db.salvage"), 0);
    assert_int_equal(count_files(fixture, "registry.db.recover"), 0);
    assert_int_equal(count_files(fixture, "registry.db-"), 0);
}

/* The content of table `services` lies on these pages, root, leaves and index, among others. */
static unsigned count_pages(Fixture *fixture)
{
    return (unsigned)(file_size_bytes(fixture->registry) / PAGE);
}

static void test_nothing_to_do(void **state)
{
    Fixture *fixture = *state;

    _cleanup_(freep) char *none = recover(fixture, -ENOENT);
    assert_non_null(strstr(none, "is not there"));
    fill(fixture, 0, 10);
    _cleanup_(freep) char *sound = recover(fixture, 0);
    assert_non_null(strstr(sound, "is sound"));
    run_sql(fixture->registry, "PRAGMA user_version = 99");
    _cleanup_(freep) char *newer = recover(fixture, -ENOTSUP);
    assert_non_null(strstr(newer, "newer"));
    assert_int_equal(count_files(fixture, "registry.db.bad"), 0);
}

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

static void test_header(void **state)
{
    static const struct {
        off_t offset;
        size_t size_bytes;
    } damages[] = {{0, 16}, {0, 100}, {16, 2}, {0, 512}, {100, 1000}, {0, PAGE}};
    Fixture *fixture = *state;
    size_t size;

    fill(fixture, 0, ROWS);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size);
    for (size_t i = 0; i < ELEMENTS_OF(damages); i++) {
        spill(fixture->registry, bytes, size);
        overwrite(fixture->registry, damages[i].offset, damages[i].size_bytes);
        _cleanup_(freep) char *report = recover(fixture, 0);
        assert_non_null(strstr(report, "services: 1200 kept, 0 lost\n"));
        assert_int_equal(count_rows_after(fixture), ROWS);
    }
}

static void test_truncated(void **state)
{
    Fixture *fixture = *state;
    unsigned before = 0;
    size_t size;

    fill(fixture, 0, ROWS);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size);
    for (size_t length = 0; length < size; length += length < 3 * PAGE ? 512 : 5 * PAGE + 512) {
        _cleanup_(freep) char *trouble = NULL;
        Store *store = NULL;
        spill(fixture->registry, bytes, length);
        assert_int_equal(store_open(fixture->state, fixture->runtime, &store, &trouble), STORE_UNSOUND);
        free(recover(fixture, 0));
        size_t kept = count_rows_after(fixture);
        assert_true(kept >= before);
        before = (unsigned)kept;
        expect_tidy(fixture);
    }
    assert_in_range(before, ROWS * 3 / 4, ROWS);
}

/* Commits that are only in the -wal are rows like others. */
static void test_with_wal(void **state)
{
    Fixture *fixture = *state;
    char wal[128];
    size_t size, wal_size;

    snprintf(wal, sizeof(wal), "%s-wal", fixture->registry);
    fill(fixture, 0, ROWS);
    Store *store = fixture_open(fixture, 0);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(put_numbered(store, ROWS + i), 0);
        assert_int_equal(store_commit(store), 0);
    }
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size), *wal_bytes = slurp(wal, &wal_size);
    store_free(store);

    static const size_t damages[] = {0, 20 * PAGE}; /* the header, some leaf */
    for (size_t i = 0; i < ELEMENTS_OF(damages); i++) {
        spill(fixture->registry, bytes, size);
        spill(wal, wal_bytes, wal_size);
        overwrite(fixture->registry, (off_t)damages[i], i == 0 ? 100 : PAGE);
        free(recover(fixture, 0));
        store = fixture_open(fixture, 0);
        _cleanup_(freep) char *text = dump(store);
        store_free(store);
        assert_in_range(count_lines(text), ROWS - PAGE / 100, ROWS + 20);
        assert_non_null(strstr(text, "service-001219"));
        assert_int_equal(count_files(fixture, "registry.db.bad-"), 2 * (i + 1)); /* with its -wal */
        expect_tidy(fixture);
    }

    /* The file is cut to nothing, or gone: what is in the -wal is not. */
    for (int i = 0; i < 2; i++) {
        spill(wal, wal_bytes, wal_size);
        if (i == 0)
            spill(fixture->registry, "", 0);
        else
            assert_int_equal(unlink(fixture->registry), 0);
        free(recover(fixture, 0));
        assert_true(count_rows_after(fixture) < ROWS);
    }
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

static void test_nothing_left(void **state)
{
    Fixture *fixture = *state;

    fill(fixture, 0, 100);
    overwrite(fixture->registry, 0, (size_t)count_pages(fixture) * PAGE);
    _cleanup_(freep) char *report = recover(fixture, 0);
    assert_non_null(strstr(report, "services: 0 kept, how many were lost cannot be told\n"));
    assert_int_equal(count_rows_after(fixture), 0);

    spill(fixture->registry, "this is no database\n", 20);
    free(recover(fixture, 0));
    assert_int_equal(count_rows_after(fixture), 0);
    assert_int_equal(count_files(fixture, "registry.db.bad-"), 2);
    fill(fixture, 0, 10);
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

static void test_killed(void **state)
{
    Fixture *fixture = *state;
    size_t size;
    unsigned interrupted = 0;

    fill(fixture, 0, ROWS);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size);
    overwrite(fixture->registry, 0, 100);
    uint64_t begin_us = time_now_us();
    free(recover(fixture, 0));
    uint64_t whole_us = time_now_us() - begin_us;
    for (unsigned i = 0; i < KILLS; i++) {
        spill(fixture->registry, bytes, size);
        overwrite(fixture->registry, 0, 100);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            Buffer report = {0};
            _exit(store_recover(fixture->state, &report) == 0 ? 0 : 1);
        }
        usleep((useconds_t)(whole_us * i / KILLS));
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        interrupted += WIFSIGNALED(status);

        _cleanup_(freep) char *trouble = NULL;
        Store *store = NULL;
        int r = store_open(fixture->state, fixture->runtime, &store, &trouble);
        if (r == STORE_UNSOUND) {
            free(recover(fixture, 0));
            store = fixture_open(fixture, 0);
        } else {
            assert_int_equal(r, 0);
        }
        assert_int_equal(count_rows(store), ROWS);
        store_free(store);
        expect_tidy(fixture);
    }
    assert_true(interrupted > KILLS / 4);
}

/* Killed between two of the renames at its end: each state that leaves behind is completed. */
static void test_killed_at_the_end(void **state)
{
    Fixture *fixture = *state;
    char done[128], moved[128];
    size_t size;

    fill(fixture, 0, 10);
    _cleanup_(freep) char *good = slurp(fixture->registry, &size);
    snprintf(done, sizeof(done), "%s.recovered", fixture->registry);
    snprintf(moved, sizeof(moved), "%s.bad-by-hand", fixture->registry);
    for (int i = 0; i < 2; i++) {
        _cleanup_(freep) char *trouble = NULL;
        Store *store = NULL;
        spill(done, good, size);
        if (i == 0)
            overwrite(fixture->registry, 0, 100);
        else
            assert_int_equal(rename(fixture->registry, moved), 0);
        assert_int_equal(store_open(fixture->state, fixture->runtime, &store, &trouble), STORE_UNSOUND);
        assert_non_null(strstr(trouble, "interrupted"));
        _cleanup_(freep) char *report = recover(fixture, 0);
        assert_non_null(strstr(report, "completed"));
        assert_int_equal(count_rows_after(fixture), 10);
        expect_tidy(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_nothing_to_do),      fixture_test(test_each_page),    fixture_test(test_header),
        fixture_test(test_truncated),          fixture_test(test_with_wal),     fixture_test(test_all_tables),
        fixture_test(test_nothing_left),       fixture_test(test_without_root), fixture_test(test_without_index),
        fixture_test(test_with_half_an_index), fixture_test(test_killed),       fixture_test(test_killed_at_the_end),
    };
    return cmocka_run_group_tests_name("store-recover", tests, NULL, NULL);
}
