/* SPDX-License-Identifier: Apache-2.0 */
/* What store_open makes of files that are not as they should be, and that it leaves them as they are. */

#include <signal.h>
#include <sys/resource.h>

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

static const StoredRecord ephemeral_record = {
    .kind = STORED_SERVICE, .origin = STORED_USER, .name = "mayfly", .context = "{}", .ephemeral_pid = 1, .ephemeral_start_time_ticks = 2};
static const StoredRecord lasting_record = {.kind = STORED_SERVICE, .origin = STORED_USER, .name = "tortoise", .context = "{}"};

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
    assert_int_equal(sqlite3_exec(database, "CREATE TABLE recipes (x); PRAGMA user_version = 1", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    expect_unsound(fixture, "not hvsockd's");
}

/* ---- versions ---- */

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
    _cleanup_(freep) char *in_wal = slurp(wal, &wal_size), *without = slurp(fixture->registry, &size_now);
    store_free(store);

    _cleanup_(freep) char *before = slurp(fixture->registry, &size);
    expect_newer(fixture);
    _cleanup_(freep) char *after = slurp(fixture->registry, &size_now);
    assert_int_equal(size, size_now);
    assert_memory_equal(before, after, size);
    assert_false(exists(fixture, "registry.db-wal"));
    assert_false(exists(fixture, "registry.db-shm"));
    assert_false(exists(fixture, "registry.db.v3"));

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

/* ---- read-only ---- */

static void expect_read_only(Fixture *fixture, size_t rows)
{
    Store *store = fixture_open(fixture, STORE_READ_ONLY);

    assert_int_equal(count_rows(store), rows);
    assert_int_equal(store_put(store, &lasting_record), -EROFS);
    assert_int_equal(store_delete(store, STORED_SERVICE, STORED_USER, "tortoise", false), -EROFS);
    assert_int_equal(store_put_override(store, "x", true), -EROFS);
    assert_non_null(strstr(store_error(store), "cannot be written"));
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
    _cleanup_(freep) char *bytes = slurp(fixture->registry, &size), *in_wal = slurp(wal, &wal_size), *in_shm = slurp(shm, &shm_size);
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
        fixture_test(test_truncated),       fixture_test(test_damaged),        fixture_test(test_damaged_with_wal),
        fixture_test(test_not_ours),        fixture_test(test_migration),      fixture_test(test_newer),
        fixture_test(test_read_only_folder), fixture_test(test_read_only_file), fixture_test(test_full_disk),
        fixture_test(test_file_size_limit), fixture_test(test_no_descriptors), fixture_test(test_lock),
    };
    return cmocka_run_group_tests_name("store-open", tests, NULL, NULL);
}
