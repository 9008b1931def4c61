/* SPDX-License-Identifier: Apache-2.0 */
/* What stands at a path already: stale sockets are replaced, and nothing else. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/bind-support.h"

/* What is at the path already. */
static void test_stale_is_replaced(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    const char *path = in_folder("x.sock");

    for (size_t i = 0; i < ELEMENTS_OF(types) * 2; i++) {
        PlaceResult result;
        struct sockaddr_un name;
        socklen_t size = sizeof(name);
        fd_close(foreign_socket(path, types[i % 3], i >= 3 && types[i % 3] != SOCK_DGRAM));
        assert_true(is_there(path));
        try_to_bind(path, (Try){0}, &result);
        assert_int_equal(result.state, PLACE_LISTENING);
        assert_int_equal(connect_to(path, SOCK_STREAM), 0);
        assert_int_equal(entries_in(folder), 1); /* nothing was left beside it */
        assert_int_equal(getsockname(result.fd, (struct sockaddr *)&name, &size), 0);
        assert_string_equal(name.sun_path, path);
        release(&result);
    }
}

static void test_served_is_left_alone(void **state)
{
    static const struct {
        int type;
        bool listening;
    } table[] = {{SOCK_STREAM, true},
                 {SOCK_SEQPACKET, true},
                 {SOCK_DGRAM, false},
                 {SOCK_STREAM, false},
                 {SOCK_SEQPACKET, false}};
    const char *path = in_folder("x.sock");
    struct stat probe_status;
    int probe = foreign_socket(in_folder("probe"), SOCK_STREAM, true);
    assert_int_equal(lstat(in_folder("probe"), &probe_status), 0);
    bool has_unix_diag = holders_unix_inode(probe_status.st_dev, probe_status.st_ino) > 0;
    fd_close(probe);
    assert_int_equal(unlink(in_folder("probe")), 0);

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        int ready[2], done[2];
        char byte;
        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(done), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            int fd = foreign_socket(path, table[i].type, table[i].listening);
            close(done[1]);
            if (write(ready[1], "", 1) != 1 || read(done[0], &byte, 1) < 0)
                _exit(1);
            /* Nobody has connected: the question was not seen. Where there is no unix_diag, it takes that to name it.
             */
            _exit(table[i].listening && has_unix_diag &&
                  (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || accept(fd, NULL, NULL) >= 0 || errno != EAGAIN));
        }
        close(done[0]);
        assert_int_equal(read(ready[0], &byte, 1), 1);

        struct stat before, after;
        PlaceResult result;
        assert_int_equal(lstat(path, &before), 0);
        try_to_bind(path, (Try){0}, &result);
        assert_said(&result, PLACE_WAITING, EADDRINUSE, "is served by");
        if (has_unix_diag || table[i].listening) {
            assert_non_null(strstr(result.reason, "by process"));
            assert_non_null(strstr(result.reason, "(test-bind-occup"));
            assert_int_equal(result.holder_count, 1);
            assert_int_equal(result.holders[0], child);
        }
        assert_string_equal(result.watch_path, folder);
        assert_int_equal(lstat(path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        place_result_release(&result);

        int status;
        close(done[1]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        close(ready[0]);
        close(ready[1]);
        /* It ended and left its file: ours now. */
        try_to_bind(path, (Try){0}, &result);
        assert_int_equal(result.state, PLACE_LISTENING);
        release(&result);
    }
}

static void test_full_backlog_is_served(void **state)
{
    const char *path = in_folder("x.sock");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    _cleanup_(fd_closep) _unused_ int server = foreign_socket(path, SOCK_STREAM, true);
    int clients[8];
    PlaceResult result;

    strcpy(name.sun_path, path);
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(clients[i], (struct sockaddr *)&name, sizeof(name)) < 0)
            assert_int_equal(errno, EAGAIN);
    }
    assert_int_equal(connect_to(path, SOCK_STREAM), EAGAIN);
    try_to_bind(path, (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, EADDRINUSE, "is served by");
    place_result_release(&result);
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++)
        close(clients[i]);
}

static void test_other_files_are_left_alone(void **state)
{
    const char *path = in_folder("x.sock"), *target = in_folder("target");
    PlaceResult result;
    struct stat status;

    assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    try_to_bind(path, (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, EADDRINUSE, "a regular file");
    place_result_release(&result);
    assert_true(is_there(path));
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkdir(path, 0700), 0);
    try_to_bind(path, (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, EADDRINUSE, "a folder");
    place_result_release(&result);
    assert_int_equal(rmdir(path), 0);

    assert_int_equal(mkfifo(path, 0600), 0);
    try_to_bind(path, (Try){0}, &result);
    assert_said(&result, PLACE_WAITING, EADDRINUSE, "a pipe");
    place_result_release(&result);
    assert_int_equal(unlink(path), 0);

    /* A link, also to a stale socket, and to nothing. */
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            fd_close(foreign_socket(target, SOCK_STREAM, true));
        assert_int_equal(symlink(target, path), 0);
        try_to_bind(path, (Try){0}, &result);
        assert_said(&result, PLACE_WAITING, EADDRINUSE, "a symbolic link");
        place_result_release(&result);
        assert_int_equal(lstat(path, &status), 0);
        assert_true(S_ISLNK(status.st_mode));
        assert_int_equal(is_there(target), i == 0);
        unlink(target);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(entries_in(folder), 0);
}

/* Two of us find the same stale file: one of them serves it, and both do not think so. */
static void test_two_replace_one(void **state)
{
    enum { ROUNDS = 100 };
    const char *path = in_folder("x.sock");

    for (int i = 0; i < ROUNDS; i++) {
        int go[2], out[2];
        char byte, answers[3] = "";
        pid_t children[2];
        fd_close(foreign_socket(path, SOCK_STREAM, true));
        assert_int_equal(pipe(go), 0);
        assert_int_equal(pipe(out), 0);
        for (int c = 0; c < 2; c++) {
            children[c] = fork();
            assert_true(children[c] >= 0);
            if (children[c] == 0) {
                PlaceResult result;
                prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is left behind where a test fails */
                close(go[1]);
                if (read(go[0], &byte, 1) != 0)
                    _exit(1);
                try_to_bind(path, (Try){0}, &result);
                /* The other moved it aside for a moment, to look at it: it is tried again, as hvsockd does. */
                while (result.state == PLACE_WAITING && result.error == ENOENT) {
                    place_result_release(&result);
                    try_to_bind(path, (Try){0}, &result);
                }
                if (write(out[1], result.state == PLACE_LISTENING ? "L" : "W", 1) != 1)
                    _exit(2);
                pause();
            }
        }
        close(go[0]);
        close(go[1]);
        assert_int_equal(read(out[0], &answers[0], 1), 1);
        assert_int_equal(read(out[0], &answers[1], 1), 1);
        assert_true(strcmp(answers, "LW") == 0 || strcmp(answers, "WL") == 0);
        assert_int_equal(connect_to(path, SOCK_STREAM), 0);
        assert_int_equal(entries_in(folder), 1);
        for (int c = 0; c < 2; c++) {
            assert_int_equal(kill(children[c], SIGKILL), 0);
            assert_int_equal(waitpid(children[c], NULL, 0), children[c]);
        }
        close(out[0]);
        close(out[1]);
        assert_int_equal(unlink(path), 0);
    }
}

int main(void)
{
#define TEST(function_) cmocka_unit_test_setup_teardown(function_, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_stale_is_replaced),          TEST(test_served_is_left_alone), TEST(test_full_backlog_is_served),
        TEST(test_other_files_are_left_alone), TEST(test_two_replace_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
