/* SPDX-License-Identifier: Apache-2.0 */
/* Who may what: a matrix of callers, delegations and services, and the kernel's credentials of real connections. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/access/access.h"
#include "schema/base/fd.h"
#include "schema/base/process.h"

/* Records hold char *, a literal is const. */
#define T(text_) ((char[]){text_})
#define TEXTS(...) ((char *[]){__VA_ARGS__, NULL})
#define NO_ID UINT32_MAX

/* Of every Debian: user daemon is 1, group adm is 4. */
static Administrators administrators = {.users = (char *[]){T("2000"), T("no-such-user"), T("2100-2199"), NULL},
                                        .groups = (char *[]){T("adm"), T("no-such-group"), T("3000"), NULL}};
static Delegation podman = {.users = (char *[]){T("daemon"), T("100000-165535"), T("no-such-user"), NULL},
                            .names = T("podman-*"),
                            .ports = T("50000-50999")};
static Delegation of_group = {.groups = (char *[]){T("4000-4010"), NULL}, .names = T("*-log")};
static Delegation more_ports = {.users = (char *[]){T("daemon"), NULL}, .names = T("extra"), .ports = T("7-9")};
static Delegation greedy = {.users = (char *[]){T("0-4294967295"), NULL},
                            .groups = (char *[]){T("0-4294967295"), NULL},
                            .names = T("greedy*"),
                            .ports = T("0-4294967295")};
static Settings settings = {.administrators = &administrators,
                            .delegations = (Delegation *[]){&podman, &of_group, &more_ports, &greedy, NULL}};

static Access *access_for(const Settings *of)
{
    Access *access = NULL;

    assert_int_equal(access_new(of, &access), 0);
    return access;
}

/* Credentials that no kernel was asked for; groups end with NO_ID. */
static Credentials caller(uid_t uid, gid_t gid, const gid_t *groups)
{
    Credentials credentials = {.socket_fd = -1, .pid = getpid(), .uid = uid, .gid = gid, .groups_known = true};

    while (groups && groups[credentials.group_count] != NO_ID)
        credentials.group_count++;
    if (credentials.group_count > 0) {
        credentials.groups = calloc(credentials.group_count, sizeof(gid_t));
        assert_non_null(credentials.groups);
        memcpy(credentials.groups, groups, credentials.group_count * sizeof(gid_t));
    }
    return credentials;
}

enum { CHANGE = 1 << 0, TAKE = 1 << 1, ADMINISTRATOR = 1 << 2, DELEGATE = 1 << 3, ALL = CHANGE | TAKE | ADMINISTRATOR };

static const struct {
    uid_t uid;
    gid_t gid;
    gid_t groups[4];
    const char *name;
    uint32_t port; /* NO_ID: none */
    char *handout_user, *handout_group;
    int allowed; /* besides what the greedy delegation makes everybody */
} matrix[] = {
    /* administrators */
    {0, 0, {NO_ID}, "x", 1, NULL, NULL, ALL},
    {2000, 2000, {NO_ID}, "x", 1, NULL, NULL, ALL},
    {2100, 1, {NO_ID}, "x", 1, NULL, NULL, ALL},
    {2199, 1, {NO_ID}, "x", 1, NULL, NULL, ALL},
    {2200, 1, {NO_ID}, "x", 1, NULL, NULL, 0},
    {2099, 1, {NO_ID}, "x", 1, NULL, NULL, 0},
    {5000, 4, {NO_ID}, "x", 1, NULL, NULL, ALL},             /* adm, as its own group */
    {5000, 5000, {7, 4, NO_ID}, "x", 1, NULL, NULL, ALL},    /* adm, supplementary */
    {5000, 5000, {7, 3000, NO_ID}, "x", 1, NULL, NULL, ALL}, /* a group by number */
    {5000, 5000, {7, 3001, NO_ID}, "x", 1, NULL, NULL, 0},
    {5000, 0, {0, NO_ID}, "x", 1, NULL, NULL, 0}, /* root's group is not root */
    /* delegations: name and port of one and the same */
    {1, 1, {NO_ID}, "podman-a", 50000, NULL, NULL, CHANGE | TAKE},
    {1, 1, {NO_ID}, "podman-", 50999, NULL, NULL, CHANGE | TAKE},
    {1, 1, {NO_ID}, "podman", 50000, NULL, NULL, 0},
    {1, 1, {NO_ID}, "xpodman-a", 50000, NULL, NULL, 0},
    {1, 1, {NO_ID}, "podman-a", 49999, NULL, NULL, 0},
    {1, 1, {NO_ID}, "podman-a", 51000, NULL, NULL, 0},
    {1, 1, {NO_ID}, "podman-a", 8, NULL, NULL, 0}, /* the port of another delegation */
    {1, 1, {NO_ID}, "extra", 8, NULL, NULL, CHANGE | TAKE},
    {1, 1, {NO_ID}, "extra", 50000, NULL, NULL, 0},
    {1, 1, {NO_ID}, "podman-a", NO_ID, NULL, NULL, CHANGE | TAKE},
    {100000, 1, {NO_ID}, "podman-a", 50500, NULL, NULL, CHANGE | TAKE},
    {165535, 1, {NO_ID}, "podman-a", 50500, NULL, NULL, CHANGE | TAKE},
    {99999, 1, {NO_ID}, "podman-a", 50500, NULL, NULL, 0},
    {165536, 1, {NO_ID}, "podman-a", 50500, NULL, NULL, 0},
    {5000, 4000, {NO_ID}, "a-log", NO_ID, NULL, NULL, CHANGE | TAKE},
    {5000, 1, {9, 4010, NO_ID}, "-log", NO_ID, NULL, NULL, CHANGE | TAKE},
    {5000, 1, {9, 4011, NO_ID}, "a-log", NO_ID, NULL, NULL, 0},
    {5000, 4000, {NO_ID}, "a-log", 0, NULL, NULL, 0}, /* no ports in that delegation, not even 0 */
    {5000, 4000, {NO_ID}, "a-logs", NO_ID, NULL, NULL, 0},
    {7777, 7777, {NO_ID}, "greedy", NO_ID - 1, NULL, NULL, CHANGE | TAKE},
    /* handout */
    {5000, 5000, {NO_ID}, "x", 1, T("5000"), NULL, TAKE},
    {5000, 5000, {NO_ID}, "x", 1, T("4000-6000"), NULL, TAKE},
    {5000, 5000, {NO_ID}, "x", 1, T("5001-6000"), NULL, 0},
    {1, 5000, {NO_ID}, "x", 1, T("daemon"), NULL, TAKE},
    {2, 5000, {NO_ID}, "x", 1, T("daemon"), NULL, 0},
    {5000, 5000, {NO_ID}, "x", 1, T("no-such-user"), NULL, 0},
    {5000, 5000, {NO_ID}, "x", 1, T(""), NULL, 0},
    {5000, 5000, {NO_ID}, "x", 1, T("0-4294967295"), NULL, TAKE},
    {5000, 5000, {NO_ID}, "x", 1, NULL, T("5000"), TAKE},
    {5000, 5000, {8, 81, NO_ID}, "x", 1, NULL, T("80-90"), TAKE},
    {5000, 5000, {8, 91, NO_ID}, "x", 1, NULL, T("80-90"), 0},
    {5000, 5000, {8, 2, NO_ID}, "x", 1, NULL, T("bin"), TAKE},
    {5000, 5000, {8, 2, NO_ID}, "x", 1, NULL, T("no-such-group"), 0},
    {5000, 5000, {8, 2, NO_ID}, "x", 1, T("8"), NULL, 0}, /* a gid is no uid */
    /* nobody is nobody, whatever names it */
    {NO_ID, NO_ID, {NO_ID}, "greedy", 1, T("0-4294967295"), T("0-4294967295"), 0},
    {NO_ID, 4, {4, 3000, NO_ID}, "greedy", 1, T("0-4294967295"), T("0-4294967295"), 0},
    {5000, NO_ID, {NO_ID}, "x", 1, NULL, T("4294967295"), 0},
    {5000, NO_ID, {NO_ID}, "x", 1, NULL, T("1-4294967295"), 0},
    /* the uid of nobody(5) is a user like others where every uid is mapped */
    {65534, 65534, {NO_ID}, "x", 1, T("65534"), NULL, TAKE},
    {65534, 65534, {NO_ID}, "x", 1, NULL, NULL, 0},
};

static void test_matrix(void **state)
{
    _cleanup_(access_freep) Access *access = access_for(&settings);

    for (size_t i = 0; i < ELEMENTS_OF(matrix); i++) {
        Credentials credentials = caller(matrix[i].uid, matrix[i].gid, matrix[i].groups);
        Handout handout = {.users = matrix[i].handout_user ? TEXTS(matrix[i].handout_user) : NULL,
                           .groups = matrix[i].handout_group ? TEXTS(matrix[i].handout_group) : NULL};
        char name[65];
        snprintf(name, sizeof(name), "%s", matrix[i].name);
        ServiceContext service = {.name = name, .handout = &handout};
        const uint32_t *port = matrix[i].port == NO_ID ? NULL : &matrix[i].port;

        const char *change = access_may_change(access, &credentials, &service, port);
        bool change_said = !change || (strlen(change) > 20 && strchr(change, ';'));
        const char *take = access_may_take(access, &credentials, &service, port);
        int allowed = (change ? 0 : CHANGE) | (take ? 0 : TAKE) |
                      (access_is_administrator(access, &credentials) ? ADMINISTRATOR : 0);
        if (allowed != matrix[i].allowed || !change_said || (take && !strchr(take, ';')))
            fail_msg("row %zu (uid %u, %s): %d instead of %d; take: %s", i, (unsigned)matrix[i].uid, name, allowed,
                     matrix[i].allowed, take ? take : "allowed");
        assert_int_equal(access_is_delegate(access, &credentials), matrix[i].uid != NO_ID);
        credentials_release(&credentials);
    }
}

/* Without administrators and delegations there are root and the daemon's own user. */
static void test_defaults(void **state)
{
    Settings empty = {0};
    Administrators nobody = {0};
    Settings half = {.administrators = &nobody, .delegations = (Delegation *[]){NULL}};
    char name[] = "x";
    ServiceContext service = {.name = name};

    for (size_t i = 0; i < 2; i++) {
        _cleanup_(access_freep) Access *access = access_for(i == 0 ? &empty : &half);
        for (uid_t uid = 0; uid < 3; uid++) {
            Credentials credentials = caller(uid, 0, NULL);
            bool may = uid == 0 || uid == geteuid();
            assert_int_equal(!access_may_change(access, &credentials, &service, NULL), may);
            assert_int_equal(!access_may_take(access, &credentials, &service, NULL), may);
            assert_int_equal(access_is_administrator(access, &credentials), may);
            assert_false(access_is_delegate(access, &credentials));
        }
    }
}

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool fits;
    } table[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a", "ab", false},
        {"*", "anything", true},
        {"a*", "a", true},
        {"a*", "ba", false},
        {"*a", "banana", true},
        {"*a", "bananas", false},
        {"a*c", "abcbc", true},
        {"a*c", "abcb", false},
        {"*-*-*", "a-b", false},
        {"*-*-*", "a-b-c", true},
        {"**a", "a", true},
        {"a**", "a", true},
        {"a.c", "abc", false},
        {"a?c", "abc", false},
        {"", "a", false},
        {"[a]", "a", false},
        {"*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        char pattern[64], name[64];
        snprintf(pattern, sizeof(pattern), "%s", table[i].pattern);
        snprintf(name, sizeof(name), "%s", table[i].name);
        Delegation delegation = {.users = TEXTS(T("5000")), .names = pattern};
        Settings of = {.delegations = (Delegation *[]){&delegation, NULL}};
        _cleanup_(access_freep) Access *access = access_for(&of);
        Credentials credentials = caller(5000, 5000, NULL);
        ServiceContext service = {.name = name};
        const char *reason = access_may_change(access, &credentials, &service, NULL);
        if (!reason != table[i].fits)
            fail_msg("%s and %s: %s", table[i].pattern, table[i].name, reason ? reason : "fits");
    }
}

/* What a delegate's service may have besides. The caller is uid 1 (daemon), gid 1, also in 2 (bin). */
static void test_what_delegates_may_say(void **state)
{
    static const gid_t groups[] = {2, NO_ID};
    SocketFile sockets[] = {{.user = T("daemon")},       {.user = T("1")},    {.user = T("root")}, {.user = T("0-10")},
                            {.user = T("no-such-user")}, {.group = T("bin")}, {.group = T("1")},   {.group = T("adm")},
                            {.group = T("1-2")},         {.mode = T("0666")}};
    Activation activations[] = {{.user = T("daemon")},
                                {.user = T("bin")},
                                {.user = T("0")},
                                {.groups = TEXTS(T("bin"))},
                                {.groups = TEXTS(T("2"), T("adm"))},
                                {.unit = T("x.service")},
                                {.limits = TEXTS(T("NOFILE"), T("9"))},
                                {.exec = TEXTS(T("/bin/true"))},
                                {.groups = TEXTS(T("0-9"))}};
    const struct {
        char **listen;
        SocketFile *socket;
        Activation *activate;
        bool change, activation;
        const char *word; /* that the refusal has in it */
    } table[] = {
        {TEXTS(T("vsock://:50000")), NULL, NULL, true, true, NULL},
        {TEXTS(T("machine:*"), T("machine:web1")), NULL, NULL, true, true, NULL},
        {TEXTS(T("vsock://:50000"), T("unix:///etc/x.sock")), NULL, NULL, false, true, "unix:///etc/x.sock"},
        {TEXTS(T("hybrid:///run/v.sock")), NULL, NULL, false, true, "hybrid:///run/v.sock"},
        {TEXTS(T("hyperkit:///run/m")), NULL, NULL, false, true, "administrators"},
        {TEXTS(T("what is this")), NULL, NULL, false, true, "administrators"},
        {NULL, &sockets[0], NULL, true, true, NULL},
        {NULL, &sockets[1], NULL, true, true, NULL},
        {NULL, &sockets[2], NULL, false, true, "socket.user root"},
        {NULL, &sockets[3], NULL, false, true, "socket.user"},
        {NULL, &sockets[4], NULL, false, true, "socket.user"},
        {NULL, &sockets[5], NULL, true, true, NULL},
        {NULL, &sockets[6], NULL, true, true, NULL},
        {NULL, &sockets[7], NULL, false, true, "socket.group adm"},
        {NULL, &sockets[8], NULL, false, true, "socket.group"},
        {NULL, &sockets[9], NULL, true, true, NULL},
        {NULL, NULL, &activations[0], true, true, NULL},
        {NULL, NULL, &activations[1], true, false, "activate.user bin"},
        {NULL, NULL, &activations[2], true, false, "activate.user 0"},
        {NULL, NULL, &activations[3], true, true, NULL},
        {NULL, NULL, &activations[4], true, false, "adm"},
        {NULL, NULL, &activations[5], true, false, "activate.unit"},
        {NULL, NULL, &activations[6], true, false, "activate.limits"},
        {NULL, NULL, &activations[7], true, true, NULL},
        {NULL, NULL, &activations[8], true, false, "activate.groups"},
    };
    _cleanup_(access_freep) Access *access = access_for(&settings);
    char name[] = "podman-x";
    uint32_t port = 50000;

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        Credentials delegate = caller(1, 1, groups), root = caller(0, 0, NULL), none = caller(NO_ID, 0, NULL);
        ServiceContext service = {
            .name = name, .listen = table[i].listen, .socket = table[i].socket, .activate = table[i].activate};
        const char *reason = access_may_change(access, &delegate, &service, &port);
        if (!reason != table[i].change || (reason && !strstr(reason, table[i].word)))
            fail_msg("row %zu: change: %s", i, reason ? reason : "allowed");
        reason = access_may_activate_as(access, &delegate, &service);
        if (!reason != table[i].activation || (reason && !strstr(reason, table[i].word)))
            fail_msg("row %zu: activation: %s", i, reason ? reason : "allowed");
        assert_null(access_may_change(access, &root, &service, &port));
        assert_null(access_may_activate_as(access, &root, &service));
        if (service.activate)
            assert_non_null(access_may_activate_as(access, &none, &service));
        credentials_release(&delegate);
    }
}

/* The wire between a caller in a child and what the kernel says of it here. */
static int connection_from(uid_t uid, gid_t gid, const gid_t *groups, size_t group_count, pid_t *ret_child)
{
    int ready[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(name.sun_family); /* autobind: the kernel chooses */
    assert_int_equal(bind(listener, (struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    size = sizeof(name);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &size), 0);

    *ret_child = fork();
    assert_true(*ret_child >= 0);
    if (*ret_child == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (geteuid() == 0 && (setgroups(group_count, groups) < 0 || setgid(gid) < 0 || setuid(uid) < 0))
            _exit(1);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is left behind where a test fails */
        if (connect(fd, (struct sockaddr *)&name, size) < 0 || write(ready[1], "", 1) != 1)
            _exit(2);
        pause();
        _exit(0);
    }
    close(ready[1]);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(listener);
    return fd;
}

static void end_child(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_real_credentials(void **state)
{
    static const gid_t groups[] = {4010, 70000, 4000000000u};
    pid_t child;
    Credentials credentials;

    if (geteuid() != 0)
        skip();
    _cleanup_(access_freep) Access *access = access_for(&settings);
    _cleanup_(fd_closep) int fd = connection_from(5000, 5001, groups, ELEMENTS_OF(groups), &child);
    assert_int_equal(credentials_read(fd, &credentials), 0);
    assert_int_equal(credentials.pid, child);
    assert_int_equal(credentials.uid, 5000);
    assert_int_equal(credentials.gid, 5001);
    assert_false(credentials.groups_known);
    assert_true(credentials_in_group(&credentials, 5001));
    assert_false(credentials.groups_known); /* not needed so far */
    assert_true(credentials_in_group(&credentials, 4000000000u));
    assert_true(credentials_in_group(&credentials, 70000));
    assert_false(credentials_in_group(&credentials, 0));
    assert_false(credentials_in_group(&credentials, NO_ID));
    assert_int_equal(credentials.group_count, 3);
    assert_true(access_is_delegate(access, &credentials));

    for (int way = 0; way < 2; way++) {
        _cleanup_(fd_closep) int pidfd =
            way ? credentials_open_pidfd_by_pid(&credentials) : credentials_open_pidfd(&credentials);
        assert_true(pidfd >= 0);
        assert_int_equal(fcntl(pidfd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_false(process_has_ended(pidfd));
    }
    end_child(child);
    /* By number it is gone; SO_PEERPIDFD may still give a pidfd, of a process that has ended. */
    assert_int_equal(credentials_open_pidfd_by_pid(&credentials), -ESRCH);
    _cleanup_(fd_closep) int late = credentials_open_pidfd(&credentials);
    assert_true(late == -ESRCH || (late >= 0 && process_has_ended(late)));
    credentials_release(&credentials);
}

/* No supplementary groups at all: not an error. */
static void test_no_groups(void **state)
{
    pid_t child;
    Credentials credentials;

    if (geteuid() != 0)
        skip();
    _cleanup_(fd_closep) int fd = connection_from(5000, 5001, NULL, 0, &child);
    assert_int_equal(credentials_read(fd, &credentials), 0);
    assert_false(credentials_in_group(&credentials, 0));
    assert_true(credentials.groups_known);
    assert_int_equal(credentials.group_count, 0);
    credentials_release(&credentials);
    end_child(child);
}

/* The pid of a process that has ended, in the hands of another: told by its start, and by its user. */
static void test_pid_of_another(void **state)
{
    pid_t child;
    Credentials credentials;

    if (geteuid() != 0)
        skip();
    _cleanup_(fd_closep) int fd = connection_from(5000, 5001, NULL, 0, &child);
    assert_int_equal(credentials_read(fd, &credentials), 0);

    Credentials earlier = credentials;
    uint64_t started_at_ticks;
    assert_true(process_start_time(child, &started_at_ticks));
    earlier.read_at_ns = (started_at_ticks - 1) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
    assert_int_equal(credentials_open_pidfd_by_pid(&earlier), -ESRCH);

    Credentials other_user = credentials;
    other_user.uid = 5002;
    assert_int_equal(credentials_open_pidfd_by_pid(&other_user), -ESRCH);

    Credentials unseen = credentials;
    unseen.pid = 0;
    assert_int_equal(credentials_open_pidfd_by_pid(&unseen), -ESRCH);
    end_child(child);
}

static void test_nobody_there(void **state)
{
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Credentials credentials = {.uid = 42};

    assert_int_equal(credentials_read(fd, &credentials), -ENOTCONN);
    assert_int_equal(credentials.uid, 42);
    _cleanup_(fd_closep) int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(credentials_read(file, &credentials), -ENOTSOCK);
}

/* In a user namespace that maps a few uids, all others look like one: that one must be nobody. */
static void test_user_namespace(void **state)
{
    int ends[2];

    if (geteuid() != 0)
        skip();
    assert_int_equal(seteuid(12345), 0); /* whom the kernel notes at the other end */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(seteuid(0), 0);

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int map;
        if (unshare(CLONE_NEWUSER) < 0)
            _exit(77);
        map = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        if (map < 0 || write(map, "0 0 1\n", 6) != 6)
            _exit(77);
        close(map);
        Delegation all = {.users = TEXTS(T("65534"), T("nobody"), T("0-4294967295")), .names = T("*")};
        Administrators too = {.users = TEXTS(T("65534")), .groups = TEXTS(T("65534"), T("0-4294967295"))};
        Settings of = {.administrators = &too, .delegations = (Delegation *[]){&all, NULL}};
        Handout handout = {.users = TEXTS(T("nobody"), T("0-4294967295")), .groups = TEXTS(T("65534"))};
        char name[] = "x";
        ServiceContext service = {.name = name, .handout = &handout};
        Access *access = NULL;
        Credentials credentials;
        if (access_new(&of, &access) < 0 || credentials_read(ends[0], &credentials) < 0 || credentials.uid != 65534)
            _exit(2);
        if (access_is_administrator(access, &credentials) || access_is_delegate(access, &credentials) ||
            !access_may_change(access, &credentials, &service, NULL) ||
            !access_may_take(access, &credentials, &service, NULL))
            _exit(3);
        /* A group that is not mapped is no group; who is mapped is who it is. */
        credentials.uid = 7;
        credentials.gid = 65534;

        if (access_is_administrator(access, &credentials) ||
            !access_may_take(
                access, &credentials,
                &(ServiceContext){.name = name, .handout = &(Handout){.groups = TEXTS(T("65534"), T("60000-70000"))}},
                &(uint32_t){1}))
            _exit(4);
        credentials.uid = 0;
        if (!access_is_administrator(access, &credentials))
            _exit(5);
        access_free(access);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    close(ends[1]);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),           cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_patterns),         cmocka_unit_test(test_what_delegates_may_say),
        cmocka_unit_test(test_real_credentials), cmocka_unit_test(test_no_groups),
        cmocka_unit_test(test_pid_of_another),   cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_user_namespace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
