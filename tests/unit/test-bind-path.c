/* SPDX-License-Identifier: Apache-2.0 */
/* Unix listeners in a folder of the test's own: what is made, whose it is, what is removed. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "tests/unit/bind-support.h"

static void test_listens(void **state)
{
    static const int types[] = {SERVICE_STREAM, SERVICE_SEQPACKET, SERVICE_DGRAM};
    static const int kernel_types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    const char *path = in_folder("x.sock");

    for (size_t i = 0; i < ELEMENTS_OF(types); i++) {
        PlaceResult result;
        struct stat status;
        mode_t old_mask = umask(0027); /* which has no say */
        try_to_bind(path, (Try){.type = types[i]}, &result);
        assert_int_equal(umask(old_mask), 0027);
        assert_int_equal(result.state, PLACE_LISTENING);
        assert_string_equal(result.path, path);
        assert_int_equal(lstat(path, &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        assert_int_equal(status.st_mode & 07777, 0660);
        assert_int_equal(status.st_uid, geteuid());
        assert_true(status.st_dev == result.device && status.st_ino == result.inode);
        assert_int_equal(fcntl(result.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(result.fd, F_GETFL) & O_NONBLOCK, 0);
        assert_int_equal(connect_to(path, kernel_types[i]), 0);

        /* Let go: the file is gone, and a copy that somebody has is deaf. */
        int copy = fd_duplicate(result.fd);
        int extra = open(in_folder("."), O_RDONLY | O_CLOEXEC);
        char link[128], other[128];
        snprintf(link, sizeof(link), "%s", path);
        snprintf(other, sizeof(other), "%s", in_folder("y.sock"));
        assert_int_equal(rename(link, other), 0); /* so that there is still a way to it */
        release(&result);
        assert_true(is_there(other)); /* it was not where we made it, so we did not look for it */
        assert_int_equal(connect_to(other, kernel_types[i]), types[i] == SERVICE_DGRAM ? EPIPE * 0 : ECONNREFUSED);
        fd_close(copy);
        fd_close(extra);
        assert_int_equal(unlink(other), 0);
    }
    assert_int_equal(entries_in(folder), 0);
}

static void test_release_removes_only_ours(void **state)
{
    const char *path = in_folder("x.sock");
    PlaceResult result;

    try_to_bind(path, (Try){0}, &result);
    release(&result);
    assert_false(is_there(path));

    /* Somebody else's by now: stays. The kernel keeps our inode until our socket is closed, so theirs is another. */
    try_to_bind(path, (Try){0}, &result);
    assert_int_equal(unlink(path), 0);
    _cleanup_(fd_closep) _unused_ int theirs = foreign_socket(path, SOCK_STREAM, true);
    release(&result);
    assert_true(is_there(path));
    assert_int_equal(connect_to(path, SOCK_STREAM), 0);
}

static void test_owner_and_mode(void **state)
{
    static const struct {
        const char *user, *group, *mode;
        uid_t uid;
        gid_t gid;
        mode_t wanted;
    } table[] = {
        {NULL, NULL, NULL, 0, 0, 0660},
        {"nobody", NULL, NULL, 65534, 0, 0660},
        {"65534", "adm", "0600", 65534, 4, 0600},
        {NULL, "adm", "0666", 0, 4, 0666},
        {"123456", "654321", "0", 123456, 654321, 0},
        {"root", "root", "0777", 0, 0, 0777},
    };
    static const int types[] = {SERVICE_STREAM, SERVICE_DGRAM};

    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ELEMENTS_OF(table) * ELEMENTS_OF(types); i++) {
        size_t row = i / 2;
        PlaceResult result;
        struct stat status;
        const char *path = in_folder("x.sock");
        try_to_bind(path, (Try){table[row].user, table[row].group, table[row].mode, .type = types[i % 2]}, &result);
        assert_int_equal(result.state, PLACE_LISTENING);
        assert_int_equal(lstat(path, &status), 0);
        assert_int_equal(status.st_uid, table[row].uid);
        assert_int_equal(status.st_gid, table[row].gid);
        assert_int_equal(status.st_mode & 07777, table[row].wanted);
        release(&result);
    }

    PlaceResult result;
    try_to_bind(in_folder("x.sock"), (Try){.user = "no-such-user"}, &result);
    assert_said(&result, PLACE_FAILED, ESRCH, "no user no-such-user");
    place_result_release(&result);
    try_to_bind(in_folder("x.sock"), (Try){.group = "no-such-group"}, &result);
    assert_said(&result, PLACE_FAILED, ESRCH, "no group no-such-group");
    place_result_release(&result);
    static const char *const bad_modes[] = {"", "abc", "0680", "01777", "-1"};
    for (size_t i = 0; i < ELEMENTS_OF(bad_modes); i++) {
        try_to_bind(in_folder("x.sock"), (Try){.mode = bad_modes[i]}, &result);
        assert_said(&result, PLACE_FAILED, EINVAL, "access mode");
        place_result_release(&result);
    }
    assert_int_equal(entries_in(folder), 0);
}

/* By default the folder's owner and group, also of a folder that gives its own group. */
static void test_owner_of_folder(void **state)
{
    static const mode_t modes[] = {0755, 0777, 02775, 01777, 0700};

    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ELEMENTS_OF(modes); i++) {
        const char *sub = in_folder("vm"), *path = in_folder("vm/v.sock");
        PlaceResult result;
        struct stat status;
        assert_int_equal(mkdir(sub, 0755), 0);
        assert_int_equal(chown(sub, OTHER_UID, 4), 0);
        assert_int_equal(chmod(sub, modes[i]), 0);
        try_to_bind(path, (Try){.transport = &transport_hybrid, .port = 5140}, &result);
        assert_int_equal(result.state, PLACE_LISTENING);
        assert_string_equal(result.path, in_folder("vm/v.sock_5140"));
        assert_int_equal(lstat(result.path, &status), 0);
        assert_int_equal(status.st_uid, OTHER_UID);
        assert_int_equal(status.st_gid, 4);
        assert_int_equal(status.st_mode & 07777, 0660);
        assert_true(status.st_dev == result.device && status.st_ino == result.inode);
        assert_int_equal(connect_to(result.path, SOCK_STREAM), 0);
        release(&result);
        assert_int_equal(entries_in(sub), 0);
        assert_int_equal(rmdir(sub), 0);
    }
}

/* The plain path is what `ss -xl` shows, wherever nobody but us can swap a part of it. */
static void test_shown_path(void **state)
{
    struct sockaddr_un name;
    socklen_t size = sizeof(name);
    const char *path = in_folder("x.sock");
    PlaceResult result;

    try_to_bind(path, (Try){0}, &result);
    assert_int_equal(getsockname(result.fd, (struct sockaddr *)&name, &size), 0);
    assert_string_equal(name.sun_path, path);
    release(&result);
    if (geteuid() == 0) {
        assert_int_equal(chmod(folder, 0777), 0); /* anybody can rename in it now */
        size = sizeof(name);
        try_to_bind(path, (Try){0}, &result);
        assert_int_equal(result.state, PLACE_LISTENING);
        assert_int_equal(getsockname(result.fd, (struct sockaddr *)&name, &size), 0);
        assert_string_equal(name.sun_path, "x.sock"); /* bound from within */
        assert_int_equal(connect_to(path, SOCK_STREAM), 0);
        release(&result);
    }
    assert_int_equal(entries_in(folder), 0);
}

static void test_other_transports(void **state)
{
    PlaceResult result;

    try_to_bind(folder, (Try){.transport = &transport_hyperkit, .port = 5140}, &result);
    assert_int_equal(result.state, PLACE_LISTENING);
    assert_string_equal(result.path, in_folder("00000002.00001414"));
    release(&result);
    try_to_bind(in_folder("v"), (Try){.transport = &transport_hybrid, .port = 1, .type = SERVICE_SEQPACKET}, &result);
    assert_said(&result, PLACE_FAILED, ESOCKTNOSUPPORT, "stream only");
    place_result_release(&result);
    try_to_bind(in_folder("v"), (Try){.transport = &transport_hybrid}, &result);
    assert_said(&result, PLACE_FAILED, EINVAL, "no path");
    place_result_release(&result);
}

static void test_no_descriptor(void **state)
{
    struct rlimit limit, few;
    PlaceResult result;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    int next = dup(0);
    close(next);
    for (rlim_t i = 0; i < 4; i++) {
        fd_close(foreign_socket(in_folder("x.sock"), SOCK_STREAM, true)); /* one for the looking, too */
        few.rlim_cur = (rlim_t)next + i;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        try_to_bind(in_folder("x.sock"), (Try){0}, &result);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (i < 2)
            assert_said(&result, PLACE_WAITING, EMFILE, "RLIMIT_NOFILE");
        release(&result);
        unlink(in_folder("x.sock"));
    }
    assert_int_equal(entries_in(folder), 0);
}

static void test_change(void **state)
{
    PlaceResult result, change;
    struct stat status;
    char *path = in_folder("x.sock");

    if (geteuid() != 0)
        skip();
    Address address = {.transport = &transport_unix, .path = path};
    BindRequest request = {
        .address = &address, .type = SERVICE_STREAM, .backlog = 7, .user = "nobody", .group = "adm", .mode = "0606"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(chmod(folder, i == 2 ? 0777 : 0755), 0);
        try_to_bind(path, (Try){0}, &result);
        request.device = i == 1 ? result.device : 0;
        request.inode = i == 1 ? result.inode : 0;
        assert_int_equal(bind_change(&request, result.fd, result.path, &change, NULL), 0);
        assert_int_equal(change.state, PLACE_LISTENING);
        assert_null(change.reason);
        assert_int_equal(lstat(path, &status), 0);
        assert_int_equal(status.st_uid, 65534);
        assert_int_equal(status.st_gid, 4);
        assert_int_equal(status.st_mode & 07777, 0606);
        place_result_release(&change);

        /* What stands there by now is another's: untouched. */
        assert_int_equal(unlink(path), 0);
        int theirs = foreign_socket(path, SOCK_STREAM, true);
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(bind_change(&request, result.fd, result.path, &change, NULL), 0);
        assert_said(&change, PLACE_FAILED, ESTALE, "another's by now");
        assert_int_equal(lstat(path, &status), 0);
        assert_int_equal(status.st_uid, 0);
        assert_int_equal(status.st_mode & 07777, 0600);
        place_result_release(&change);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(bind_change(&request, result.fd, result.path, &change, NULL), 0);
        assert_said(&change, PLACE_FAILED, ENOENT, "not there any more");
        place_result_release(&change);
        fd_close(theirs);
        release(&result);
    }
}

int main(void)
{
#define TEST(function_) cmocka_unit_test_setup_teardown(function_, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_listens),
        TEST(test_release_removes_only_ours),
        TEST(test_owner_and_mode),
        TEST(test_owner_of_folder),
        TEST(test_shown_path),
        TEST(test_other_transports),
        TEST(test_no_descriptor),
        TEST(test_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
