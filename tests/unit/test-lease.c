/* SPDX-License-Identifier: Apache-2.0 */
/* Leases with real processes: that they end with them, and with nothing else. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/handout/lease.h"
#include "schema/base/fd.h"
#include "schema/base/process.h"

typedef struct Ended {
    size_t count;
    char last[64];
    pid_t pids[32];
    Leases *leases;
    const char *drop_then; /* what on_end does */
} Ended;

static void on_end(const Lease *lease, void *userdata)
{
    Ended *ended = userdata;

    snprintf(ended->last, sizeof(ended->last), "%s", lease->service);
    if (ended->count < ELEMENTS_OF(ended->pids))
        ended->pids[ended->count] = lease->pid;
    ended->count++;
    assert_null(lease->next_of_service);
    if (ended->drop_then)
        leases_drop_service(ended->leases, ended->drop_then);
}

static pid_t child_new(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is left behind where a test fails */
        pause();
        _exit(0);
    }
    return pid;
}

static int pidfd_of(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    assert_true(fd >= 0);
    return fd;
}

static void child_end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Runs the loop until so many have ended, at most a minute. */
static void run_until(sd_event *event, const Ended *ended, size_t count)
{
    for (int i = 0; ended->count < count && i < 6000; i++)
        assert_true(sd_event_run(event, 10000) >= 0);
    assert_int_equal(ended->count, count);
}

static void run_for(sd_event *event, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        assert_true(sd_event_run(event, 2000) >= 0);
}

static int add(Leases *leases, const char *service, pid_t pid, uid_t uid, uint32_t max)
{
    return leases_add_consume(leases, service, pidfd_of(pid), pid, uid, max);
}

static size_t fds_open(void)
{
    size_t count = 0;

    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            count++;
    return count;
}

static int setup(void **state)
{
    static Ended ended;

    ended = (Ended){0};
    *state = &ended;
    return 0;
}

#define SETUP                                                                                                          \
    Ended *ended = *state;                                                                                             \
    sd_event *event = NULL;                                                                                            \
    Leases *leases = NULL;                                                                                             \
    size_t fds_before = fds_open();                                                                                    \
    assert_true(sd_event_new(&event) >= 0);                                                                            \
    assert_int_equal(leases_new(event, on_end, ended, &leases), 0);                                                    \
    ended->leases = leases
#define TEARDOWN                                                                                                       \
    leases_free(leases);                                                                                               \
    sd_event_unref(event);                                                                                             \
    assert_int_equal(fds_open(), fds_before)

static void test_ends_with_process(void **state)
{
    SETUP;
    pid_t a = child_new(), b = child_new();
    uint64_t ticks;

    assert_int_equal(add(leases, "x", a, 7, 10), 0);
    assert_int_equal(add(leases, "x", b, 8, 10), 0);
    assert_int_equal(add(leases, "y", a, 7, 10), 0);
    assert_int_equal(add(leases, "x", a, 7, 10), 0); /* however often */
    assert_int_equal(leases_count(leases), 3);

    const Lease *lease = leases_of_service(leases, "x");
    assert_int_equal(lease->pid, a); /* in the order they were taken */
    assert_int_equal(lease->uid, 7);
    assert_string_equal(lease->service, "x");
    assert_true(process_start_time(a, &ticks));
    assert_true(lease->start_time_ticks == ticks && ticks > 0);
    assert_true(lease->since_us > 1600000000000000u);
    assert_non_null(lease->next_of_service);
    assert_int_equal(lease->next_of_service->pid, b);
    assert_null(lease->next_of_service->next_of_service);
    assert_null(leases_of_service(leases, "z"));

    run_for(event, 3);
    assert_int_equal(ended->count, 0);
    child_end(a);
    run_until(event, ended, 2);
    assert_int_equal(ended->pids[0], a);
    assert_int_equal(ended->pids[1], a);
    assert_int_equal(leases_count(leases), 1);
    assert_null(leases_of_service(leases, "y"));
    assert_int_equal(leases_of_service(leases, "x")->pid, b);

    child_end(b);
    run_until(event, ended, 3);
    assert_int_equal(leases_count(leases), 0);
    TEARDOWN;
}

/* The same process in another program keeps its lease, and loses it when that ends. */
static void test_survives_exec(void **state)
{
    SETUP;
    int go[2], out[2];
    char byte;

    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        dup2(out[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", "echo; exec sleep 60", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    assert_int_equal(add(leases, "x", pid, 0, 10), 0);
    assert_int_equal(write(go[1], "", 1), 1);
    assert_int_equal(read(out[0], &byte, 1), 1); /* it is the shell by now */
    run_for(event, 10);
    assert_int_equal(ended->count, 0);
    assert_int_equal(leases_count(leases), 1);
    child_end(pid);
    run_until(event, ended, 1);
    close(go[0]);
    close(go[1]);
    close(out[0]);
    TEARDOWN;
}

/* A zombie has ended, though nobody has waited for it. */
static void test_zombie(void **state)
{
    SETUP;
    pid_t pid = child_new();

    assert_int_equal(add(leases, "x", pid, 0, 10), 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    run_until(event, ended, 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    TEARDOWN;
}

static void test_limit(void **state)
{
    SETUP;
    pid_t a = child_new(), b = child_new();

    assert_int_equal(add(leases, "x", a, 7, 2), 0);
    assert_int_equal(add(leases, "y", a, 7, 2), 0);
    assert_int_equal(add(leases, "z", a, 7, 2), LEASE_LIMIT);
    assert_int_equal(add(leases, "x", b, 7, 2), LEASE_LIMIT); /* of the uid, not of the process */
    assert_int_equal(add(leases, "y", a, 7, 2), 0);           /* there already */
    assert_int_equal(add(leases, "z", b, 8, 2), 0);           /* another uid */
    assert_int_equal(add(leases, "z", a, 9, 0), LEASE_LIMIT);
    assert_int_equal(leases_count(leases), 3);
    leases_drop_service(leases, "x");
    assert_int_equal(ended->count, 1);
    assert_int_equal(add(leases, "w", b, 7, 2), 0); /* one of its places is free again */
    assert_int_equal(leases_count(leases), 3);
    child_end(a);
    child_end(b);
    run_until(event, ended, 4);
    TEARDOWN;
}

static void test_drop(void **state)
{
    SETUP;
    pid_t a = child_new(), b = child_new();

    assert_int_equal(add(leases, "x", a, 0, 10), 0);
    assert_int_equal(add(leases, "x", b, 0, 10), 0);
    assert_int_equal(add(leases, "y", b, 0, 10), 0);
    leases_drop_service(leases, "nothing");
    leases_drop_service(leases, "x");
    assert_int_equal(ended->count, 2);
    assert_int_equal(leases_count(leases), 1);
    assert_null(leases_of_service(leases, "x"));
    assert_int_equal(add(leases, "x", b, 0, 10), 0); /* the name may come back */
    assert_int_equal(leases_count(leases), 2);
    child_end(a);
    child_end(b);
    run_until(event, ended, 4);
    TEARDOWN;
}

/* Whoever is told of an end may end others, of the same process too. */
static void test_drop_from_on_end(void **state)
{
    SETUP;
    pid_t a = child_new();

    assert_int_equal(add(leases, "x", a, 0, 10), 0);
    assert_int_equal(add(leases, "y", a, 0, 10), 0);
    assert_int_equal(add(leases, "z", a, 0, 10), 0);
    ended->drop_then = "x";
    child_end(a);
    run_until(event, ended, 3);
    assert_int_equal(leases_count(leases), 0);
    TEARDOWN;
}

/* What an earlier process of that pid held does not pass to the next: the old one's end is noticed at the new one's
 * lease. */
static void test_pid_again(void **state)
{
    SETUP;
    pid_t gone = child_new();
    int old_pidfd = pidfd_of(gone);

    assert_int_equal(leases_add_consume(leases, "x", fd_duplicate(old_pidfd), gone, 0, 10), 0);
    child_end(gone);
    /* Another process takes its place; the number alone says that it is the same. */
    pid_t successor = child_new();
    assert_int_equal(leases_add_consume(leases, "y", pidfd_of(successor), gone, 0, 10), 0);
    assert_int_equal(ended->count, 1);
    assert_string_equal(ended->last, "x");
    run_for(event, 3);
    assert_int_equal(leases_count(leases), 1);
    child_end(successor);
    run_until(event, ended, 2);
    assert_string_equal(ended->last, "y");
    close(old_pidfd);
    TEARDOWN;
}

static void test_bad_arguments(void **state)
{
    SETUP;

    assert_int_equal(leases_add_consume(leases, "x", -1, getpid(), 0, 10), -EINVAL);
    assert_int_equal(leases_add_consume(leases, "x", pidfd_of(getpid()), 0, 0, 10), -EINVAL);
    /* no pidfd, but something that epoll does not take */
    assert_int_equal(leases_add_consume(leases, "x", open("/etc/passwd", O_RDONLY | O_CLOEXEC), getpid(), 0, 10),
                     -EPERM);
    assert_int_equal(leases_count(leases), 0);
    assert_null(leases_of_service(leases, "x"));
    TEARDOWN;
}

/* What a process has of a service comes and goes by itself; the lease ends with the last. */
static void test_kinds(void **state)
{
    SETUP;
    int pidfd = pidfd_of(getpid());

    leases_drop_kind(leases, "a", LEASE_CONNECTIONS, getpid());
    assert_int_equal(
        leases_add_kind_consume(leases, "a", LEASE_CONNECTIONS, fd_duplicate(pidfd), getpid(), 0, 10), 0);
    assert_false(leases_have_kind(leases, "a", LEASE_LISTENERS));
    assert_int_equal(leases_add_consume(leases, "a", fd_duplicate(pidfd), getpid(), 0, 10), 0);
    assert_true(leases_have_kind(leases, "a", LEASE_LISTENERS));
    assert_true(leases_have_kind(leases, "a", LEASE_CONNECTIONS));
    assert_false(leases_have_kind(leases, "b", LEASE_CONNECTIONS));
    assert_int_equal(leases_count(leases), 1);
    leases_drop_kind(leases, "a", LEASE_CONNECTIONS, getpid() + 1);
    leases_drop_kind(leases, "a", LEASE_LISTENERS, getpid());
    assert_false(leases_have_kind(leases, "a", LEASE_LISTENERS));
    assert_int_equal(ended->count, 0);
    leases_drop_kind(leases, "a", LEASE_CONNECTIONS, getpid());
    assert_int_equal(ended->count, 1);
    assert_int_equal(leases_count(leases), 0);
    close(pidfd);
    TEARDOWN;
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* the machine has others to serve */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* One process that takes many services, many processes on one service: each lease costs the same in the tenth thousand
 * as in the first. The pidfds of many processes are those of one, which only their number tells apart. */
static void test_many(void **state)
{
    SETUP;
    enum { MANY = 10000, PIDS = 500 };
    int pidfd = pidfd_of(getpid());
    char name[32];
    double started = seconds_now();

    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "service-%d", i);
        assert_int_equal(leases_add_consume(leases, name, fd_duplicate(pidfd), getpid(), 0, MANY + PIDS), 0);
    }
    assert_int_equal(leases_count(leases), MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "service-%d", i);
        assert_int_equal(leases_add_consume(leases, name, fd_duplicate(pidfd), getpid(), 0, MANY + PIDS), 0);
        assert_non_null(leases_of_service(leases, name));
    }
    for (int i = 0; i < PIDS; i++)
        assert_int_equal(leases_add_consume(leases, "shared", fd_duplicate(pidfd), 0x40000000 + i, 0, MANY + PIDS), 0);
    assert_int_equal(leases_count(leases), MANY + PIDS);
    for (int i = MANY - 1; i >= 0; i--) {
        snprintf(name, sizeof(name), "service-%d", i);
        leases_drop_service(leases, name);
    }
    leases_drop_service(leases, "shared");
    assert_int_equal(leases_count(leases), 0);
    assert_int_equal(ended->count, MANY + PIDS);
    double took = seconds_now() - started;
    print_message("%d leases made, found, made again and ended: %.0f ms\n", MANY, took * 1e3);
    assert_true(took < 2.0); /* 10,000 squared would be minutes under a sanitizer, and over ten seconds without */
    close(pidfd);
    TEARDOWN;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ends_with_process, setup),
        cmocka_unit_test_setup(test_survives_exec, setup),
        cmocka_unit_test_setup(test_zombie, setup),
        cmocka_unit_test_setup(test_limit, setup),
        cmocka_unit_test_setup(test_drop, setup),
        cmocka_unit_test_setup(test_drop_from_on_end, setup),
        cmocka_unit_test_setup(test_pid_again, setup),
        cmocka_unit_test_setup(test_bad_arguments, setup),
        cmocka_unit_test_setup(test_kinds, setup),
        cmocka_unit_test_setup(test_many, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
