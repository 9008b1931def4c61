/* SPDX-License-Identifier: Apache-2.0 */
/* Socket files that nobody is bound to, and those that somebody binds in the very moment that they are found. */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/stream/listener.h"
#include "schema/base/fd.h"
#include "schema/base/stale.h"

static char folder[64], path[80];

static int setup(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/hvsockd-test-stale-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/x.sock", folder);
    return 0;
}

static int teardown(void **state)
{
    unlink(path);
    return rmdir(folder); /* nothing else may be left in it */
}

static int bound(int type, bool listening)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
    if (listening)
        assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int hold(struct stat *ret)
{
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, ret), 0);
    return fd;
}

static int ask(int file_fd)
{
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return stale_is_bound(file_fd, fd);
}

static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

static void test_is_bound(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(types) * 2; i++) {
        bool listening = i >= 3;
        if (listening && types[i % 3] == SOCK_DGRAM)
            continue;
        struct stat status;
        int server = bound(types[i % 3], listening);
        _cleanup_(fd_closep) int file_fd = hold(&status);
        assert_int_equal(ask(file_fd), 1);
        if (listening) { /* which does not see that it was asked */
            assert_int_equal(fcntl(server, F_SETFL, O_NONBLOCK), 0);
            assert_int_equal(accept(server, NULL, NULL), -1);
        }
        fd_close(server);
        assert_int_equal(ask(file_fd), 0);
        assert_int_equal(stale_remove(AT_FDCWD, path, &status), 0);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(stale_remove(AT_FDCWD, path, &status), 0); /* gone already */
    }
}

/* Two find it stale; the other was quicker. */
static void test_other_is_quicker(void **state)
{
    struct stat stale, after;

    fd_close(bound(SOCK_STREAM, false));
    _cleanup_(fd_closep) int file_fd = hold(&stale), other_fd = hold(&after);
    assert_int_equal(ask(file_fd), 0);
    assert_int_equal(ask(other_fd), 0);
    assert_int_equal(stale_remove(AT_FDCWD, path, &after), 0);
    _cleanup_(fd_closep) int server = bound(SOCK_STREAM, false);
    assert_int_equal(stale_remove(AT_FDCWD, path, &stale), 0);
    /* By the folder's descriptor, too. */
    _cleanup_(fd_closep) int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(stale_remove(folder_fd, "x.sock", &stale), 0);
    assert_int_equal(listen(server, 8), 0);
    _cleanup_(fd_closep) int again_fd = hold(&after);
    assert_true(after.st_ino != stale.st_ino);
    assert_int_equal(ask(again_fd), 1);
}

/* ---- hvsockctl listen ---- */

static int listen_there(Listener *listener, Failure *failure)
{
    _cleanup_(address_release) Address address = {0};
    _cleanup_(freep) char *uri = NULL;
    const char *why, *hint;

    assert_true(asprintf(&uri, "unix://%s", path) > 0);
    assert_int_equal(address_parse(uri, &address, &why, &hint), 0);
    return listener_open(&address, uri, SERVICE_STREAM, failure, listener);
}

/* One that has bound, and comes to listen(2) only then: it is not taken for dead. */
static void test_listen_spares_what_is_bound(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(types); i++) {
        _cleanup_(listener_close) Listener listener = {.fd = -1};
        struct stat before, after;
        Failure failure;
        int server = bound(types[i], false);
        _cleanup_(fd_closep) _unused_ int file_fd = hold(&before);
        assert_int_equal(listen_there(&listener, &failure), LISTENER_FAILED);
        assert_non_null(strstr(failure.why, "listens on"));
        assert_false(failure.for_good);
        assert_int_equal(lstat(path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        fd_close(server);
        assert_int_equal(listen_there(&listener, &failure), 0);
        listener_close(&listener);
        assert_int_equal(access(path, F_OK), -1);
    }
}

/* Whoever keeps the folder locked keeps nobody from listening for good. */
static void test_listen_in_a_locked_folder(void **state)
{
    _cleanup_(listener_close) Listener listener = {.fd = -1};
    _cleanup_(fd_closep) int lock_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Failure failure;

    fd_close(bound(SOCK_STREAM, false));
    assert_int_equal(flock(lock_fd, LOCK_EX), 0);
    assert_int_equal(listen_there(&listener, &failure), 0);
}

#define CONTENDERS 6

/* It says whether it listens, and does so until it is told to end. */
static void contend(int go_fd, int said_fd)
{
    Listener listener = {.fd = -1};
    Failure failure = {0};
    char byte;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || read(go_fd, &byte, 1) < 0)
        _exit(1);
    byte = listen_there(&listener, &failure) == 0 ? 'y' : 'n';
    if (write(said_fd, &byte, 1) != 1)
        _exit(1);
    pause();
}

static int connect_there(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    return connect(fd, (const struct sockaddr *)&name, sizeof(name));
}

/* Several that begin at one time where a left-over lies: one has the path, and keeps it. */
static void test_listen_at_one_moment(void **state)
{
    for (unsigned round = 0; round < 20; round++) {
        pid_t pids[CONTENDERS];
        int go[2], said[2], listening = 0;
        char answers[CONTENDERS];

        fd_close(bound(SOCK_STREAM, false));
        assert_int_equal(pipe(go), 0);
        assert_int_equal(pipe(said), 0);
        for (size_t i = 0; i < CONTENDERS; i++) {
            pids[i] = fork();
            assert_true(pids[i] >= 0);
            if (pids[i] == 0) {
                close(go[1]);
                contend(go[0], said[1]);
            }
        }
        close(go[1]); /* all of them see its end */
        for (size_t i = 0; i < CONTENDERS; i++) {
            assert_int_equal(read(said[0], &answers[i], 1), 1);
            listening += answers[i] == 'y';
        }
        assert_int_equal(listening, 1);
        assert_int_equal(connect_there(), 0);
        for (size_t i = 0; i < CONTENDERS; i++) {
            assert_int_equal(kill(pids[i], SIGKILL), 0);
            assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
        }
        close(go[0]);
        close(said[0]);
        close(said[1]);
        assert_int_equal(unlink(path), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_is_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_is_quicker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listen_spares_what_is_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listen_in_a_locked_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listen_at_one_moment, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
