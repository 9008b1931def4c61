/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors moved to their places: every order of a few, with others in between, and a table without room. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "ctl/descriptors.h"
#include "schema/base/cleanup.h"

#define FIRST 40
#define COUNT_MAX 5

/* Pipes' read ends: each has an inode of its own to be known by. */
static ino_t inode_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static int open_at(int number)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0 || dup3(ends[0], number, O_CLOEXEC) < 0)
        return -1;
    close(ends[0]);
    close(ends[1]);
    return number;
}

/* In a child, so that the test's own descriptors stay where they are. 0: as promised; else the line where it was not.
 */
static int place_in_child(const int *numbers, size_t count, int limit)
{
    int fds[COUNT_MAX];
    ino_t inodes[COUNT_MAX];

    for (size_t i = 0; i < count; i++) {
        fds[i] = open_at(numbers[i]);
        inodes[i] = inode_of(fds[i]);
        if (fds[i] < 0 || inodes[i] == 0)
            return __LINE__;
    }
    if (limit > 0 &&
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = (rlim_t)limit, .rlim_max = (rlim_t)limit}) < 0)
        return __LINE__;
    if (descriptors_place(fds, count, FIRST) < 0)
        return __LINE__;
    for (size_t i = 0; i < count; i++) {
        if (fds[i] != FIRST + (int)i || inode_of(fds[i]) != inodes[i])
            return __LINE__;
        if (fcntl(fds[i], F_GETFD) != 0)
            return __LINE__;
    }
    /* None is left behind. */
    for (int fd = FIRST + (int)count; fd < 80; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return __LINE__;
    return 0;
}

static int place(const int *numbers, size_t count, int limit)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        int line = place_in_child(numbers, count, limit);
        if (line)
            dprintf(STDERR_FILENO, "line %d\n", line);
        _exit(line ? 1 : 0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Every order of the numbers FIRST-1 … FIRST+3 (Heap's algorithm). */
static void permute(int *numbers, size_t size, size_t count, unsigned *tried)
{
    if (size == 1) {
        assert_int_equal(place(numbers, count, 0), 0);
        (*tried)++;
        return;
    }
    for (size_t i = 0; i < size; i++) {
        permute(numbers, size - 1, count, tried);
        size_t other = size % 2 ? 0 : i;
        int number = numbers[other];
        numbers[other] = numbers[size - 1];
        numbers[size - 1] = number;
    }
}

static void test_every_order(void **state)
{
    for (int from = FIRST - 1; from <= FIRST + 1; from++) {
        int numbers[4] = {from, from + 1, from + 2, from + 3};
        unsigned tried = 0;
        permute(numbers, ELEMENTS_OF(numbers), ELEMENTS_OF(numbers), &tried);
        assert_int_equal(tried, 24);
    }
}

static void test_places(void **state)
{
    static const struct {
        int numbers[COUNT_MAX];
        size_t count;
        int limit;
    } cases[] = {
        {{FIRST}, 1, FIRST + 1},            /* where it is to be, and no number above */
        {{FIRST + 1, FIRST}, 2, FIRST + 3}, /* changed places: one number above is enough */
        {{70, FIRST, 60, FIRST + 1}, 4, 0}, /* gaps */
        {{FIRST + 4, FIRST + 3, FIRST + 2, FIRST + 1, FIRST}, 5, FIRST + 6},
        {{30, 31, 32, 33, 34}, 5, 0}, /* all below */
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_int_equal(place(cases[i].numbers, cases[i].count, cases[i].limit), 0);
    int none[1] = {-1};
    assert_int_equal(descriptors_place(none, 0, FIRST), 0);
}

static void test_no_room(void **state)
{
    static const int crossed[] = {FIRST + 1, FIRST};

    /* FIRST and FIRST + 1 are the last there may be. */
    assert_int_equal(place(crossed, 2, FIRST + 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
