/* SPDX-License-Identifier: Apache-2.0 */
/* The folders that sockets go into: links, swaps, rights, long names, full and read-only ones. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/bind-support.h"

static void test_folders(void **state)
{
    PlaceResult result;
    char long_part[300];

    try_to_bind(in_folder("not/there/yet/x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, ENOENT, in_folder("not/there/yet is not there"));
    assert_string_equal(result.watch_path, folder);
    place_result_release(&result);

    try_to_bind("/no-such-folder-at-all/a/x.sock", (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, ENOENT, "/no-such-folder-at-all/a is not there");
    assert_string_equal(result.watch_path, "/");
    place_result_release(&result);

    assert_int_equal(close(open(in_folder("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    try_to_bind(in_folder("file/x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, ENOTDIR, "not a folder");
    place_result_release(&result);
    assert_int_equal(unlink(in_folder("file")), 0);

    memset(long_part, 'a', sizeof(long_part));
    long_part[256] = '\0';
    try_to_bind(in_folder(long_part), (Try){0}, &result);
    assert_said(&result, PLACE_FAILED, ENAMETOOLONG, "too long");
    place_result_release(&result);
    strcpy(long_part + 256, "/x");
    try_to_bind(in_folder(long_part), (Try){0}, &result);
    assert_said(&result, PLACE_FAILED, ENAMETOOLONG, "too long");
    place_result_release(&result);

    static const char *const bad[] = {"x.sock", "/tmp/", "/tmp/.", "/tmp/..", ""};
    for (size_t i = 0; i < ELEMENTS_OF(bad); i++) {
        try_to_bind(bad[i], (Try){0}, &result);
        assert_int_equal(result.state, PLACE_FAILED);
        assert_int_equal(result.error, EINVAL);
        place_result_release(&result);
    }
    assert_int_equal(entries_in(folder), 0);
}

/* Symbolic links: root's and our own are followed in folders that are ours, nobody else's, and none elsewhere. */
static void test_links_in_folders(void **state)
{
    PlaceResult result;

    assert_int_equal(mkdir(in_folder("real"), 0755), 0);
    assert_int_equal(symlink("real", in_folder("relative")), 0);
    assert_int_equal(symlink(in_folder("relative"), in_folder("absolute")), 0);
    assert_int_equal(symlink("loop", in_folder("loop")), 0);
    assert_int_equal(symlink("nothing", in_folder("dangling")), 0);

    static const char *const good[] = {"relative/x.sock", "absolute/x.sock", "absolute/../real/./x.sock",
                                       "real//x.sock"};
    for (size_t i = 0; i < ELEMENTS_OF(good); i++) {
        try_to_bind(in_folder(good[i]), (Try){0}, &result);
        assert_int_equal(result.state, PLACE_LISTENING);
        assert_string_equal(result.path, in_folder(good[i]));
        assert_true(is_there(in_folder("real/x.sock")));
        release(&result);
        assert_false(is_there(in_folder("real/x.sock")));
    }
    try_to_bind(in_folder("loop/x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_FAILED, ELOOP, "symbolic link");
    place_result_release(&result);
    try_to_bind(in_folder("dangling/x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, ENOENT, "nothing is not there");
    assert_string_equal(result.watch_path, folder);
    place_result_release(&result);

    if (geteuid() != 0)
        skip();
    /* Somebody else's link in a folder of ours: as in /tmp. */
    assert_int_equal(lchown(in_folder("relative"), OTHER_UID, OTHER_UID), 0);
    try_to_bind(in_folder("relative/x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_FAILED, ELOOP, "not followed");
    place_result_release(&result);
    /* Root's own link in somebody else's folder. */
    assert_int_equal(chown(in_folder("real"), OTHER_UID, OTHER_UID), 0);
    assert_int_equal(symlink("/tmp", in_folder("real/out")), 0);
    try_to_bind(in_folder("real/out/x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_FAILED, ELOOP, "not followed");
    place_result_release(&result);
    try_to_bind(in_folder("real/../real/x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_FAILED, EINVAL, ".. in it");
    place_result_release(&result);
    try_to_bind(in_folder("real/a/b/x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, ENOENT, "is not there");
    assert_string_equal(result.watch_path, in_folder("real"));
    place_result_release(&result);
    assert_int_equal(entries_in(in_folder("real")), 1);
}

/* Longer than sun_path: the folder's length does not matter, the last part's does. */
static void test_long_paths(void **state)
{
    char path[1024], name[200];
    PlaceResult result;

    snprintf(path, sizeof(path), "%s", folder);
    for (int i = 0; i < 6; i++) {
        size_t length = strlen(path);
        memset(path + length, 'a' + i, 80);
        path[length] = '/';
        path[length + 80] = '\0';
        assert_int_equal(mkdir(path, 0755), 0);
    }
    size_t length = strlen(path);
    snprintf(path + length, sizeof(path) - length, "/v.sock");
    try_to_bind(path, (Try){0}, &result);
    assert_int_equal(result.state, PLACE_LISTENING);
    assert_true(is_there(path));
    _cleanup_(fd_closep) int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    path[length] = '\0';
    assert_int_equal(chdir(path), 0);
    assert_int_equal(connect_to("v.sock", SOCK_STREAM), 0);
    assert_int_equal(fchdir(here), 0);
    path[length] = '/';
    /* stale at such a path, too */
    fd_close(TAKE_FD(result.fd));
    place_result_release(&result);
    try_to_bind(path, (Try){0}, &result);
    assert_int_equal(result.state, PLACE_LISTENING);
    path[length] = '\0';
    assert_int_equal(entries_in(path), 1);
    release(&result);
    assert_int_equal(entries_in(path), 0);

    /* Around the bound of sun_path, one byte by the other. */
    for (size_t i = 50; i < 100; i++) {
        memset(name, 'n', i);
        name[i] = '\0';
        try_to_bind(in_folder(name), (Try){0}, &result);
        if (strlen(in_folder(name)) <= 107 || i <= 80)
            assert_int_equal(result.state, PLACE_LISTENING);
        else if (result.state != PLACE_LISTENING)
            assert_said(&result, PLACE_FAILED, ENAMETOOLONG, "too long for a socket");
        release(&result);
    }
    assert_int_equal(entries_in(folder), 1);
}

/* A child swaps the folder for a link to elsewhere and back, all the time: what is made lies in the folder, or nowhere.
 */
static void test_swapped_folder(void **state)
{
    enum { SWAPS = 2000 };
    size_t listening = 0, refused = 0;
    int status;

    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(in_folder("theirs"), 0755), 0);
    assert_int_equal(chown(in_folder("theirs"), OTHER_UID, OTHER_UID), 0);
    assert_int_equal(mkdir(in_folder("theirs/vm"), 0755), 0);
    assert_int_equal(chown(in_folder("theirs/vm"), OTHER_UID, OTHER_UID), 0);
    assert_int_equal(mkdir(in_folder("outside"), 0755), 0);
    assert_int_equal(chmod(folder, 0755), 0);

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char vm[128], away[128], link[128];
        snprintf(vm, sizeof(vm), "%s/theirs/vm", folder);
        snprintf(away, sizeof(away), "%s/theirs/away", folder);
        snprintf(link, sizeof(link), "%s/theirs/link", folder);
        if (setgid(OTHER_UID) < 0 || setuid(OTHER_UID) < 0 || symlink("../outside", link) < 0)
            _exit(1);
        for (int i = 0; i < SWAPS; i++)
            if (rename(vm, away) < 0 || rename(link, vm) < 0 || rename(vm, link) < 0 || rename(away, vm) < 0)
                _exit(2);
        _exit(0);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        PlaceResult result;
        try_to_bind(in_folder("theirs/vm/v.sock"), (Try){0}, &result);
        if (result.state == PLACE_LISTENING)
            listening++;
        else
            refused++;
        assert_true(result.state == PLACE_LISTENING || result.error == ELOOP || result.error == ENOENT ||
                    result.error == ENOTDIR || result.error == EADDRINUSE);
        release(&result);
        assert_false(is_there(in_folder("outside/v.sock")));
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(entries_in(in_folder("outside")), 0);
    print_message("%d swaps: %zu bound, %zu refused\n", SWAPS, listening, refused);
    assert_true(listening > 0);
}

/* The folder's owner swaps what we have just bound for a socket of root's, all the time: root gives its own socket to
 * the owner, as it should, and never the other. (Of two names in the owner's own folder, which the owner may remove as
 * well, the wrong one can be removed.) */
static void test_swapped_file(void **state)
{
    char victim[128];
    struct stat status;
    size_t listening = 0;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(mkdir(in_folder("theirs"), 0755), 0);
    assert_int_equal(chown(in_folder("theirs"), OTHER_UID, OTHER_UID), 0);
    snprintf(victim, sizeof(victim), "%s", in_folder("theirs/victim"));
    _cleanup_(fd_closep) int served = foreign_socket(victim, SOCK_STREAM, true);
    assert_int_equal(chmod(victim, 0600), 0);
    _cleanup_(fd_closep) int victim_fd = open(victim, O_PATH | O_CLOEXEC);
    assert_true(served >= 0 && victim_fd >= 0);

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (chdir(in_folder("theirs")) < 0 || setgid(OTHER_UID) < 0 || setuid(OTHER_UID) < 0)
            _exit(1);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            if (renameat2(AT_FDCWD, "v.sock", AT_FDCWD, "victim", RENAME_EXCHANGE) == 0) {
                for (int i = 0; i < 200; i++) /* for as long as it takes to be noticed */
                    getppid();
                renameat2(AT_FDCWD, "v.sock", AT_FDCWD, "victim", RENAME_EXCHANGE);
            }
    }
    for (int i = 0; i < 3000; i++) {
        PlaceResult result;
        try_to_bind(in_folder("theirs/v.sock"), (Try){.mode = "0666"}, &result);
        listening += result.state == PLACE_LISTENING;
        release(&result);
        assert_int_equal(fstat(victim_fd, &status), 0);
        assert_int_equal(status.st_uid, 0);
        assert_int_equal(status.st_mode & 07777, 0600);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    print_message("3000 binds: %zu listening\n", listening);
    assert_true(listening > 0);
}

/* Runs what as nobody, in a child; its answer is 0 or a number that says where it failed. */
static void as_nobody(int (*what)(void))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (setgid(OTHER_UID) < 0 || setuid(OTHER_UID) < 0)
            _exit(99);
        _exit(what());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int unprivileged(void)
{
    PlaceResult result;
    struct stat status;

    /* in its own folder */
    try_to_bind(in_folder("own/x.sock"), (Try){0}, &result);
    if (result.state != PLACE_LISTENING || lstat(result.path, &status) < 0 || status.st_uid != OTHER_UID)
        return 1;
    release(&result);
    /* asked for another owner, by name: that fails; by default, in a folder that it may write to: it goes on with its
     * own */
    try_to_bind(in_folder("own/x.sock"), (Try){.user = "root"}, &result);
    if (result.state != PLACE_FAILED || result.error != EPERM || !strstr(result.reason, "CAP_CHOWN") ||
        is_there(in_folder("own/x.sock")))
        return 2;
    place_result_release(&result);
    try_to_bind(in_folder("own/x.sock"), (Try){.group = "adm"}, &result);
    if (result.state != PLACE_FAILED || result.error != EPERM || is_there(in_folder("own/x.sock")))
        return 3;
    place_result_release(&result);
    try_to_bind(in_folder("shared/x.sock"), (Try){.mode = "0600"}, &result);
    if (result.state != PLACE_LISTENING || lstat(result.path, &status) < 0 || status.st_uid != OTHER_UID ||
        (status.st_mode & 07777) != 0600)
        return 4;
    release(&result);
    if (is_there(in_folder("shared/x.sock")))
        return 5;
    try_to_bind(in_folder("shared/x.sock"), (Try){.user = "65534", .group = "65534", .mode = "0666"}, &result);
    if (result.state != PLACE_LISTENING)
        return 6;
    release(&result);
    /* where it may not write, and where it may not even look */
    try_to_bind(in_folder("roots/x.sock"), (Try){0}, &result);
    if (result.state != PLACE_FAILED || result.error != EACCES || !strstr(result.reason, "may not write"))
        return 7;
    place_result_release(&result);
    try_to_bind(in_folder("hidden/x/x.sock"), (Try){0}, &result);
    if (result.state != PLACE_FAILED || result.error != EACCES || !strstr(result.reason, "may not reach"))
        return 8;
    place_result_release(&result);
    /* root's stale socket in a folder for all: not ours to remove, and cannot even be asked */
    try_to_bind(in_folder("sticky/x.sock"), (Try){0}, &result);
    if (result.state != PLACE_WAITING || !result.watch_path || !is_there(in_folder("sticky/x.sock")))
        return 9;
    place_result_release(&result);
    /* the same, asked and found stale */
    try_to_bind(in_folder("sticky/y.sock"), (Try){0}, &result);
    if (result.state != PLACE_WAITING || !strstr(result.reason, "stale") || !is_there(in_folder("sticky/y.sock")))
        return 10;
    place_result_release(&result);
    return 0;
}

static void test_unprivileged(void **state)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(mkdir(in_folder("own"), 0755), 0);
    assert_int_equal(chown(in_folder("own"), OTHER_UID, OTHER_UID), 0);
    assert_int_equal(mkdir(in_folder("shared"), 0755), 0);
    assert_int_equal(chmod(in_folder("shared"), 0777), 0);
    assert_int_equal(mkdir(in_folder("roots"), 0755), 0);
    assert_int_equal(mkdir(in_folder("hidden"), 0700), 0);
    assert_int_equal(mkdir(in_folder("sticky"), 0755), 0);
    assert_int_equal(chmod(in_folder("sticky"), 01777), 0);
    fd_close(foreign_socket(in_folder("sticky/x.sock"), SOCK_STREAM, true));
    fd_close(foreign_socket(in_folder("sticky/y.sock"), SOCK_STREAM, true));
    assert_int_equal(chmod(in_folder("sticky/y.sock"), 0666), 0);
    as_nobody(unprivileged);
}

static void test_full_and_read_only(void **state)
{
    PlaceResult result;
    char options[] = "size=4k,nr_inodes=2,mode=0755";

    if (geteuid() != 0 || mount("tmpfs", folder, "tmpfs", 0, options) < 0)
        skip();
    assert_int_equal(close(open(in_folder("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    try_to_bind(in_folder("x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, ENOSPC, "is full");
    place_result_release(&result);
    assert_int_equal(mount(NULL, folder, NULL, MS_REMOUNT | MS_RDONLY, options), 0);
    try_to_bind(in_folder("x.sock"), (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, EROFS, "read-only");
    place_result_release(&result);
    assert_int_equal(umount(folder), 0);
}

int main(void)
{
#define TEST(function_) cmocka_unit_test_setup_teardown(function_, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_folders),      TEST(test_links_in_folders), TEST(test_long_paths),         TEST(test_swapped_folder),
        TEST(test_swapped_file), TEST(test_unprivileged),     TEST(test_full_and_read_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
