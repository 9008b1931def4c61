/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockd --recover and its files: what is refused, what is left of which damage, and that a kill in the middle loses
 * nothing. */

#include <signal.h>

#include "tests/unit/test-store-recover.h"

#define KILLS 40

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
        if (WIFEXITED(status) && i > 0) /* it takes no longer than that */
            whole_us = whole_us * i / KILLS;

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
        fixture_test(test_nothing_to_do),
        fixture_test(test_header),
        fixture_test(test_truncated),
        fixture_test(test_with_wal),
        fixture_test(test_nothing_left),
        fixture_test(test_killed),
        fixture_test(test_killed_at_the_end),
    };
    return cmocka_run_group_tests_name("store-recover", tests, NULL, NULL);
}
