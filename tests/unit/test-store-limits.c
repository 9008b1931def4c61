/* SPDX-License-Identifier: Apache-2.0 */
/* The store where it cannot have what it needs: folders and files that are read-only, full disks, no descriptors left,
 * a state folder that is in use. */

#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/test-store.h"

static const StoredRecord ephemeral_record = {.kind = STORED_SERVICE,
                                              .origin = STORED_USER,
                                              .name = "mayfly",
                                              .context = "{}",
                                              .ephemeral_pid = 1,
                                              .ephemeral_start_time_ticks = 2};
static const StoredRecord lasting_record = {
    .kind = STORED_SERVICE, .origin = STORED_USER, .name = "tortoise", .context = "{}"};

/* ---- read-only ---- */

static void expect_read_only(Fixture *fixture, size_t rows)
{
    Store *store = fixture_open(fixture, STORE_READ_ONLY);

    assert_int_equal(count_rows(store), rows);
    assert_int_equal(store_put(store, &lasting_record), STORE_READ_ONLY);
    assert_int_equal(store_delete(store, STORED_SERVICE, STORED_USER, "tortoise", false), STORE_READ_ONLY);
    assert_int_equal(store_put_override(store, "x", true), STORE_READ_ONLY);
    assert_non_null(strstr(store_error(store), "cannot be written"));
    store_drop_refused(store);
    assert_int_equal(store_put(store, &lasting_record), 0);
    assert_int_equal(store_delete_auto_port(store, "x"), 0);
    assert_false(store_has_changes(store));
    assert_int_equal(store_put(store, &ephemeral_record), 0);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(count_rows(store), rows + 1);
    assert_int_equal(store_delete(store, STORED_SERVICE, STORED_USER, "mayfly", true), 0);
    assert_int_equal(store_commit(store), 0);
    store_free(store);
}

/* Root ignores modes, a read-only mount it does not. */
static void test_read_only_folder(void **state)
{
    Fixture *fixture = *state;
    bool root = geteuid() == 0;
    char wal[128], shm[128];
    size_t wal_size, shm_size, size;

    fill(fixture, 0, 10);
    snprintf(fixture->runtime, sizeof(fixture->runtime), "%s-run", fixture->state); /* this one stays writable */
    if (root && (mount(fixture->state, fixture->state, NULL, MS_BIND, NULL) < 0 ||
                 mount(NULL, fixture->state, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)) {
        umount2(fixture->state, MNT_DETACH);
        print_message("no mount here (%s)\n", strerror(errno));
        skip();
    }
    if (!root)
        assert_int_equal(chmod(fixture->state, 0500), 0);
    expect_read_only(fixture, 10);
    expect_read_only(fixture, 10);
    assert_int_equal(root ? umount2(fixture->state, MNT_DETACH) : chmod(fixture->state, 0700), 0);

    /* A daemon was killed, and then the file system became read-only: the last commits are in the -wal. */
    snprintf(wal, sizeof(wal), "%s-wal", fixture->registry);
    snprintf(shm, sizeof(shm), "%s-shm", fixture->registry);
    Store *store = fixture_open(fixture, 0);
    assert_int_equal(put_numbered(store, 10), 0);
    assert_int_equal(store_commit(store), 0);
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size);
    _cleanup_(freep) char *in_wal = slurp(wal, &wal_size), *in_shm = slurp(shm, &shm_size);
    store_free(store);
    spill(fixture->registry, bytes, size);
    spill(wal, in_wal, wal_size);
    spill(shm, in_shm, shm_size);
    if (root) {
        assert_int_equal(mount(fixture->state, fixture->state, NULL, MS_BIND, NULL), 0);
        assert_int_equal(mount(NULL, fixture->state, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    } else {
        assert_int_equal(chmod(fixture->state, 0500), 0);
    }
    expect_read_only(fixture, 11);
    assert_int_equal(root ? umount2(fixture->state, MNT_DETACH) : chmod(fixture->state, 0700), 0);

    /* Nothing is there yet, and nothing can be made. */
    assert_int_equal(unlink(wal) | unlink(shm) | unlink(fixture->registry), 0);
    if (root) {
        assert_int_equal(mount(fixture->state, fixture->state, NULL, MS_BIND, NULL), 0);
        assert_int_equal(mount(NULL, fixture->state, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    } else {
        assert_int_equal(chmod(fixture->state, 0500), 0);
    }
    expect_read_only(fixture, 0);
    assert_int_equal(root ? umount2(fixture->state, MNT_DETACH) : chmod(fixture->state, 0700), 0);
}

/* The file alone: mounted over itself, as chattr +i would have it. */
static void test_read_only_file(void **state)
{
    Fixture *fixture = *state;
    bool root = geteuid() == 0;

    fill(fixture, 0, 10);
    if (root && (mount(fixture->registry, fixture->registry, NULL, MS_BIND, NULL) < 0 ||
                 mount(NULL, fixture->registry, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)) {
        umount2(fixture->registry, MNT_DETACH);
        print_message("no mount here (%s)\n", strerror(errno));
        skip();
    }
    if (!root)
        assert_int_equal(chmod(fixture->registry, 0400), 0);
    expect_read_only(fixture, 10);
    assert_int_equal(root ? umount2(fixture->registry, MNT_DETACH) : chmod(fixture->registry, 0600), 0);
    store_free(fixture_open(fixture, 0));
}

/* ---- room, descriptors, locks ---- */

static void fill_disk(const char *path)
{
    _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char block[4096] = {1};

    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0)
        ;
}

static void test_full_disk(void **state)
{
    Fixture *fixture = *state;
    char filler[128];
    unsigned written = 100;

    if (mount("test-store", fixture->state, "tmpfs", 0, "size=1m,mode=0700") < 0) {
        print_message("no mount here (%s)\n", strerror(errno));
        skip();
    }
    snprintf(filler, sizeof(filler), "%s/filler", fixture->state);
    fill(fixture, 0, written);
    Store *store = fixture_open(fixture, 0);
    fill_disk(filler);

    /* Some fit into what there is already; then each is refused, and nothing that was answered is lost. */
    int r = 0;
    for (int i = 0; i < 1000 && r == 0; i++) {
        r = put_numbered(store, written);
        if (r == 0)
            r = store_commit(store);
        else
            store_rollback(store);
        written += r == 0;
    }
    assert_int_equal(r, -ENOSPC);
    assert_non_null(strstr(store_error(store), "make room"));
    assert_int_equal(count_rows(store), written);
    for (int i = 0; i < 3; i++) {
        r = put_numbered(store, written);
        if (r == 0)
            r = store_commit(store);
        store_rollback(store);
        assert_int_equal(r, -ENOSPC);
    }
    store_free(store);

    /* A start on the full disk reads everything, refuses changes, and takes them when there is room again. */
    fill_disk(filler);
    store = fixture_open(fixture, 0);
    assert_int_equal(count_rows(store), written);
    for (unsigned i = 0; i < 1000 && (r = put_numbered(store, written + i)) == 0; i++)
        ;
    if (r == 0)
        r = store_commit(store);
    store_rollback(store);
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(count_rows(store), written);
    assert_int_equal(unlink(filler), 0);
    assert_int_equal(put_numbered(store, written), 0);
    assert_int_equal(store_commit(store), 0);
    store_free(store);
    store = fixture_open(fixture, 0);
    assert_int_equal(count_rows(store), written + 1);
    store_free(store);

    /* No room for a first registry: said, and nothing half-made is left. */
    database_remove(fixture->registry);
    fill_disk(filler);
    _cleanup_(freep) char *trouble = NULL;
    assert_int_equal(store_open(fixture->state, fixture->runtime, &store, &trouble), -ENOSPC);
    assert_non_null(strstr(trouble, "registry.db"));
    assert_false(exists(fixture, "registry.db"));
    assert_false(exists(fixture, "registry.db.new"));
    assert_int_equal(umount2(fixture->state, MNT_DETACH), 0);
}

/* The same without root: files that may not grow. */
static void test_file_size_limit(void **state)
{
    Fixture *fixture = *state;
    struct rlimit before, limit;
    unsigned written = 0;
    int r = 0;

    Store *store = fixture_open(fixture, 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 300000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 3000 && r == 0; i++) {
        r = put_numbered(store, written);
        if (r == 0)
            r = store_commit(store);
        written += r == 0;
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    if (r != -ENOSPC)
        fail_msg("%d: %s", r, store_error(store));
    store_rollback(store);
    assert_int_equal(count_rows(store), written);
    assert_int_equal(put_numbered(store, written), 0);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(count_rows(store), written + 1);
    store_free(store);
}

static void test_no_descriptors(void **state)
{
    Fixture *fixture = *state;
    struct rlimit before, limit;
    int refused = 0;

    fill(fixture, 0, 10);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    assert_true(next > 2);
    close(next);
    for (int spare = 0; spare < 16; spare++) {
        _cleanup_(freep) char *trouble = NULL;
        Store *store = NULL;
        limit = (struct rlimit){.rlim_cur = (rlim_t)(next + spare), .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        int r = store_open(fixture->state, fixture->runtime, &store, &trouble);
        if (r == 0)
            assert_int_equal(count_rows(store), 10);
        store_free(store);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (r != 0 && r != -EMFILE)
            fail_msg("with %d descriptors: %d, %s", spare, r, trouble);
        if (r == -EMFILE)
            assert_non_null(trouble);
        refused += r == -EMFILE;
    }
    assert_in_range(refused, 3, 15);
    assert_false(exists(fixture, "run/ephemeral.db.bad"));
    Store *store = fixture_open(fixture, 0);
    assert_int_equal(count_rows(store), 10);
    store_free(store);
    int after = dup(0);
    close(after);
    assert_int_equal(after, next); /* and no failure kept any */
}

static void test_lock(void **state)
{
    Fixture *fixture = *state;
    Store *store = fixture_open(fixture, 0), *second = NULL;
    _cleanup_(freep) char *trouble = NULL;
    _cleanup_(buffer_release) Buffer report = {0};
    char pid[32];

    snprintf(pid, sizeof(pid), "pid %d)", (int)getpid());
    assert_int_equal(store_open(fixture->state, fixture->runtime, &second, &trouble), -EBUSY);
    assert_non_null(strstr(trouble, pid));
    assert_int_equal(store_recover(fixture->state, &report), -EBUSY);
    buffer_append_char(&report, '\0');
    assert_non_null(strstr(report.data, pid));
    store_free(store);
    store_free(fixture_open(fixture, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_read_only_folder), fixture_test(test_read_only_file), fixture_test(test_full_disk),
        fixture_test(test_file_size_limit),  fixture_test(test_no_descriptors), fixture_test(test_lock),
    };
    return cmocka_run_group_tests_name("store-limits", tests, NULL, NULL);
}
