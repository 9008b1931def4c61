/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds a socket, found in real processes; and what /proc says of them. */

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
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/place/holders.h"
#include "schema/base/fd.h"

/* A child that has what we have open, called like this; it waits until it is killed. */
static pid_t child_new(const char *name, int close_fd)
{
    int ready[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is left behind where a test fails */
        prctl(PR_SET_NAME, name);
        fd_close(close_fd);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void child_end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool is_among(pid_t pid, const pid_t *pids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

static void test_find(void **state)
{
    int first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), second = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint64_t inodes[] = {holders_inode(second), 1, holders_inode(first)}; /* in no order */
    pid_t *pids;
    size_t count;

    assert_true(inodes[0] > 0 && inodes[2] > 0 && inodes[0] != inodes[2]);
    assert_int_equal(holders_find(inodes, 3, 8, &pids, &count), 0);
    assert_int_equal(count, 0); /* ourselves alone: nobody */
    assert_null(pids);

    pid_t both = child_new("both", -1), only_second = child_new("only-second", first);
    assert_int_equal(holders_find(inodes, 3, 8, &pids, &count), 0);
    assert_int_equal(count, 2);
    assert_true(is_among(both, pids, count) && is_among(only_second, pids, count));
    free(pids);
    assert_int_equal(holders_find(&inodes[2], 1, 8, &pids, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(pids[0], both);
    free(pids);
    assert_int_equal(holders_find(inodes, 3, 1, &pids, &count), 0); /* as many as asked for */
    assert_int_equal(count, 1);
    free(pids);
    assert_int_equal(holders_find(NULL, 0, 8, &pids, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(holders_find(inodes, 3, 0, &pids, &count), 0);
    assert_int_equal(count, 0);

    child_end(both);
    assert_int_equal(holders_find(&inodes[2], 1, 8, &pids, &count), 0);
    assert_int_equal(count, 0);
    child_end(only_second);
    close(first);
    close(second);
}

/* More holders than the first allocation has room for. */
static void test_many_holders(void **state)
{
    enum { CHILDREN = 20 };
    pid_t children[CHILDREN];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t inode = holders_inode(fd);
    pid_t *pids;
    size_t count;

    for (int i = 0; i < CHILDREN; i++)
        children[i] = child_new("one-of-many", -1);
    assert_int_equal(holders_find(&inode, 1, 100, &pids, &count), 0);
    assert_int_equal(count, CHILDREN);
    for (int i = 0; i < CHILDREN; i++) {
        assert_true(is_among(children[i], pids, count));
        child_end(children[i]);
    }
    free(pids);
    close(fd);
}

static void test_inode(void **state)
{
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(holders_inode(file), 0);
    assert_int_equal(holders_inode(-1), 0);
    close(file);
}

/* Other users' processes are not seen without the right to, and that is no error. */
static void test_without_rights(void **state)
{
    if (geteuid() != 0)
        skip();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
    uint64_t inode = holders_inode(fd);
    pid_t roots = child_new("roots", -1);
    pid_t looker = fork();
    assert_true(looker >= 0);
    if (looker == 0) {
        pid_t *pids;
        size_t count;
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(1);
        _exit(holders_find(&inode, 1, 8, &pids, &count) < 0 ? 2 : count != 0 ? 3 : 0);
    }
    assert_int_equal(waitpid(looker, &status, 0), looker);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    child_end(roots);
    close(fd);
}

static void test_unix_inode(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct stat status;
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

    snprintf(name.sun_path, sizeof(name.sun_path), "/tmp/test-holders-%d", (int)getpid());
    for (size_t i = 0; i < ELEMENTS_OF(types); i++) {
        int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0), client = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0),
            accepted = -1;
        assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
        assert_int_equal(stat(name.sun_path, &status), 0);
        uint64_t inode = holders_unix_inode(status.st_dev, status.st_ino);
        if (inode == 0) {
            unlink(name.sun_path);
            print_message("no unix_diag here\n");
            skip();
        }
        assert_int_equal(inode, holders_inode(fd)); /* bound, not listening */
        if (types[i] != SOCK_DGRAM)
            assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(connect(client, (struct sockaddr *)&name, sizeof(name)), 0);
        if (types[i] != SOCK_DGRAM)
            accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_int_equal(holders_unix_inode(status.st_dev, status.st_ino), holders_inode(fd)); /* not the connection */
        close(fd);
        assert_int_equal(holders_unix_inode(status.st_dev, status.st_ino), 0);
        close(client);
        fd_close(accepted);
        assert_int_equal(unlink(name.sun_path), 0);
    }
    assert_int_equal(holders_unix_inode(0, 0), 0);
    assert_int_equal(holders_vsock_inode(0x7fffffff), 0); /* whether there is vsock_diag or not */
}

/* The name is the process's to choose, and stands in the middle of what is read. */
static void test_names(void **state)
{
    static const struct {
        const char *name, *shown;
    } table[] = {
        {"plain", "plain"},
        {"with space", "with space"},
        {"a) S 1 (b", "a) S 1 (b"},
        {"))) 1 2 3", "))) 1 2 3"},
        {"new\nline\t!", "new?line?!"},
        {"\033[31mred", "?[31mred"},
        {"umlaut \303\274", "umlaut ??"},
        {"", ""},
        {"Uid:\t7\t7", "Uid:?7?7"},
        {"fifteen-bytes-x", "fifteen-bytes-x"},
    };
    char name[64], tiny[4];
    uint64_t ours, ticks;

    assert_true(process_start_time(getpid(), &ours));
    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        pid_t pid = child_new(table[i].name, -1);
        assert_true(process_name(pid, name, sizeof(name)));
        assert_string_equal(name, table[i].shown);
        assert_true(process_start_time(pid, &ticks));
        assert_true(ticks >= ours && ticks < ours + 60 * (uint64_t)sysconf(_SC_CLK_TCK));
        assert_int_equal(process_owner(pid), geteuid());
        child_end(pid);
    }
    assert_true(process_name(getpid(), tiny, sizeof(tiny)));
    assert_string_equal(tiny, "tes");
    assert_false(process_name(getpid(), tiny, 0));
}

/* The start is in ticks since boot: what boot time it is now, less the age. */
static void test_start_time(void **state)
{
    struct timespec now;
    uint64_t ticks;
    uint64_t hertz = (uint64_t)sysconf(_SC_CLK_TCK);

    pid_t pid = child_new("young", -1);
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &now), 0);
    uint64_t now_ticks = (uint64_t)now.tv_sec * hertz + (uint64_t)now.tv_nsec * hertz / 1000000000u;
    assert_true(process_start_time(pid, &ticks));
    assert_true(ticks <= now_ticks && ticks + 60 * hertz > now_ticks);
    child_end(pid);
}

static void test_nobody(void **state)
{
    static const pid_t pids[] = {0, -1, INT32_MAX};
    char name[64] = "kept";
    uint64_t ticks = 42;
    pid_t gone = child_new("gone", -1);

    child_end(gone);
    for (size_t i = 0; i <= ELEMENTS_OF(pids); i++) {
        pid_t pid = i < ELEMENTS_OF(pids) ? pids[i] : gone;
        assert_false(process_name(pid, name, sizeof(name)));
        assert_false(process_start_time(pid, &ticks));
        assert_int_equal(process_owner(pid), (uid_t)-1);
        assert_true(process_is_ending(pid) && process_is_closed(pid));
    }
    assert_string_equal(name, "kept");
    assert_int_equal(ticks, 42);
}

static void test_ended(void **state)
{
    pid_t pid = child_new("x", -1);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    assert_false(process_has_ended(pidfd));
    assert_false(process_is_ending(pid) || process_is_closed(pid) || process_is_ending(getpid()));
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_false(process_is_ending(pid) || process_is_closed(pid));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(process_is_ending(pid)); /* from the moment on in which it was killed */
    for (int i = 0; i < 60000 && !process_has_ended(pidfd); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(process_has_ended(pidfd)); /* a zombie */
    assert_true(process_is_ending(pid) && process_is_closed(pid));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(process_has_ended(pidfd));
    close(pidfd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),           cmocka_unit_test(test_many_holders), cmocka_unit_test(test_inode),
        cmocka_unit_test(test_without_rights), cmocka_unit_test(test_unix_inode),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_start_time),     cmocka_unit_test(test_nobody),       cmocka_unit_test(test_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
