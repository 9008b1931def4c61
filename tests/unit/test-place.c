/* SPDX-License-Identifier: Apache-2.0 */
/* Many binds at once, in folders of different owners: each as who it shall be, and nothing of it stays. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/bind-support.h"

#define THIRD_UID 64077

static PlaceRequest request_for(char *path)
{
    return (PlaceRequest){
        .path = path,
        .type = SOCK_STREAM,
        .backlog = 16,
        .uid = PLACE_NOT_ASKED,
        .gid = PLACE_NOT_ASKED,
        .mode = PLACE_NOT_ASKED,
        .as_uid = PLACE_NOT_ASKED,
        .as_gid = PLACE_NOT_ASKED,
    };
}

static void make_folder(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
    assert_int_equal(mkdir(in_folder(name), 0755), 0);
    assert_int_equal(chown(in_folder(name), uid, gid), 0);
    assert_int_equal(chmod(in_folder(name), mode), 0);
}

/* Who we are to the file system, where, and with which umask: as it was. */
static void assert_outside(const char *working_folder)
{
    char now[PATH_MAX];
    mode_t mask = umask(022);

    assert_int_equal(mask, 022);
    assert_int_equal(setfsuid((uid_t)-1), geteuid());
    assert_int_equal(setfsgid((gid_t)-1), getegid());
    assert_non_null(getcwd(now, sizeof(now)));
    assert_string_equal(now, working_folder);
}

static void test_many(void **state)
{
    enum { EACH = 7 };
    static const struct {
        const char *folder;
        uid_t uid;
        gid_t gid;
        mode_t mode;
    } folders[] = {{"ours", 0, 0, 0755}, {"first", OTHER_UID, OTHER_UID, 0700}, {"second", THIRD_UID, 5, 0770}};
    enum { FOLDERS = ELEMENTS_OF(folders), COUNT = EACH * FOLDERS };
    PlaceRequest requests[COUNT];
    PlaceResult results[COUNT];
    char paths[COUNT][128], working_folder[PATH_MAX];
    struct stat status;

    if (geteuid() != 0)
        skip();
    umask(022);
    assert_non_null(getcwd(working_folder, sizeof(working_folder)));
    assert_int_equal(chmod(folder, 0755), 0);
    for (size_t i = 0; i < FOLDERS; i++)
        make_folder(folders[i].folder, folders[i].uid, folders[i].gid, folders[i].mode);
    /* By folder, and then from one to the next all the time. */
    for (int mixed = 0; mixed < 2; mixed++) {
        for (size_t i = 0; i < COUNT; i++) {
            size_t which = mixed ? i % FOLDERS : i / EACH;
            snprintf(paths[i], sizeof(paths[i]), "%s/%s/v.sock_%zu", folder, folders[which].folder, i);
            requests[i] = request_for(paths[i]);
            requests[i].mode = i % 4 == 0 ? 0600 : i % 4 == 1 ? 0666 : i % 4 == 2 ? 0 : PLACE_NOT_ASKED;
            requests[i].type = i % 5 == 4 ? SOCK_DGRAM : SOCK_STREAM;
            requests[i].gid = i % 6 == 5 ? 4 : PLACE_NOT_ASKED;
        }
        place_bind_many(requests, results, COUNT);
        assert_outside(working_folder);
        for (size_t i = 0; i < COUNT; i++) {
            size_t which = mixed ? i % FOLDERS : i / EACH;
            mode_t mode = requests[i].mode == PLACE_NOT_ASKED ? PLACE_MODE_DEFAULT : requests[i].mode;
            assert_int_equal(results[i].state, PLACE_LISTENING);
            assert_string_equal(results[i].path, paths[i]);
            assert_int_equal(lstat(paths[i], &status), 0);
            assert_int_equal(status.st_ino, results[i].inode);
            assert_int_equal(status.st_dev, results[i].device);
            assert_int_equal(status.st_uid, folders[which].uid);
            assert_int_equal(status.st_gid, i % 6 == 5 ? 4 : folders[which].gid);
            assert_int_equal(status.st_mode, S_IFSOCK | mode);
            release(&results[i]);
            assert_false(is_there(paths[i]));
        }
        assert_outside(working_folder);
    }
}

/* What fails in the middle harms neither what was before nor what comes after, and is told as who it was tried as. */
static void test_some_fail(void **state)
{
    char paths[5][128], working_folder[PATH_MAX];
    PlaceRequest requests[5];
    PlaceResult results[5];

    if (geteuid() != 0)
        skip();
    umask(022);
    assert_non_null(getcwd(working_folder, sizeof(working_folder)));
    assert_int_equal(chmod(folder, 0755), 0);
    make_folder("first", OTHER_UID, OTHER_UID, 0755);
    snprintf(paths[0], sizeof(paths[0]), "%s", in_folder("first/a"));
    snprintf(paths[1], sizeof(paths[1]), "%s", in_folder("first/file"));
    snprintf(paths[2], sizeof(paths[2]), "%s", in_folder("first/b"));
    snprintf(paths[3], sizeof(paths[3]), "%s", in_folder("gone/c"));
    snprintf(paths[4], sizeof(paths[4]), "%s", in_folder("first/d"));
    assert_int_equal(close(open(paths[1], O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    for (size_t i = 0; i < 5; i++)
        requests[i] = request_for(paths[i]);
    requests[2].as_uid = THIRD_UID; /* it is not this one's */
    place_bind_many(requests, results, 5);
    assert_outside(working_folder);
    assert_int_equal(results[0].state, PLACE_LISTENING);
    assert_said(&results[1], PLACE_WAITING, EADDRINUSE, "a regular file");
    assert_said(&results[2], PLACE_FAILED, EACCES, "uid 64077 may not write to the folder");
    assert_said(&results[2], PLACE_FAILED, EACCES, "name the group, too");
    assert_said(&results[3], PLACE_WAITING, ENOENT, "is not there");
    assert_int_equal(results[4].state, PLACE_LISTENING);
    for (size_t i = 0; i < 5; i++)
        release(&results[i]);
    assert_int_equal(entries_in(in_folder("first")), 1);
}

/* In whose name, where the folder is somebody else's: with his own rights, and with his group's. */
static void test_in_whose_name(void **state)
{
    static const struct {
        uid_t as_uid;
        gid_t as_gid;
        uid_t uid; /* of the file, asked for */
        bool works;
        uid_t found;
    } table[] = {
        {OTHER_UID, PLACE_NOT_ASKED, PLACE_NOT_ASKED, false, 0},
        {OTHER_UID, 4, PLACE_NOT_ASKED, false, 0},
        {OTHER_UID, 5, PLACE_NOT_ASKED, true, THIRD_UID},
        {OTHER_UID, 5, OTHER_UID, true, OTHER_UID},
        {OTHER_UID, 5, 0, true, 0},
        {THIRD_UID, PLACE_NOT_ASKED, PLACE_NOT_ASKED, true, THIRD_UID},
        {PLACE_NOT_ASKED, PLACE_NOT_ASKED, OTHER_UID, true, OTHER_UID},
    };
    char path[128];
    struct stat status;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(folder, 0755), 0);
    make_folder("second", THIRD_UID, 5, 0770);
    snprintf(path, sizeof(path), "%s", in_folder("second/x.sock"));
    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        /* Twice: onto nothing, and onto a stale one, which has to be removed in the same name. */
        for (int stale = 0; stale < 2; stale++) {
            PlaceRequest request = request_for(path);
            PlaceResult result;
            if (stale)
                fd_close(foreign_socket(path, SOCK_STREAM, true));
            request.as_uid = table[i].as_uid;
            request.as_gid = table[i].as_gid;
            request.uid = table[i].uid;
            place_bind(&request, &result);
            if (table[i].works) {
                assert_int_equal(result.state, PLACE_LISTENING);
                assert_int_equal(lstat(path, &status), 0);
                assert_int_equal(status.st_uid, table[i].found);
                assert_int_equal(status.st_gid, 5);
            } else {
                assert_int_equal(result.error, EACCES);
                assert_true(strstr(result.reason, "uid 65534 may not") != NULL);
                assert_int_equal(is_there(path), stale);
                unlink(path);
            }
            release(&result);
        }
    }
    assert_int_equal(entries_in(in_folder("second")), 0);
}

/* A folder that is ours says nothing of others: root makes the file, and gives it away. */
static void test_ours_is_ours(void **state)
{
    PlaceResult result;
    char path[128];
    struct stat status;

    if (geteuid() != 0)
        skip();
    snprintf(path, sizeof(path), "%s", in_folder("x.sock"));
    PlaceRequest request = request_for(path);
    request.as_uid = OTHER_UID;
    request.uid = OTHER_UID;
    place_bind(&request, &result);
    assert_int_equal(result.state, PLACE_LISTENING);
    assert_int_equal(lstat(path, &status), 0);
    assert_int_equal(status.st_uid, OTHER_UID);
    release(&result);
}

int main(void)
{
#define TEST(function_) cmocka_unit_test_setup_teardown(function_, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_many),
        TEST(test_some_fail),
        TEST(test_in_whose_name),
        TEST(test_ours_is_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
