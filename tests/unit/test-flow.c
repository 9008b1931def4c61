/* SPDX-License-Identifier: Apache-2.0 */
/* One direction of a connection between every kind of ends: the bytes, the end, who is gone, and which way was taken. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/stream/flow.h"
#include "schema/base/fd.h"

#define VOLUME_BYTES (3u << 20)

typedef enum Kind { PIPE, FILE_END, APPENDED, OURS, FOREIGN, KINDS } Kind;

static const char *const kind_names[] = {"pipe", "file", "appended file", "socket of ours", "socket of others"};

typedef struct Ends {
    int near, far; /* the flow's, the test's */
} Ends;

static char volume[VOLUME_BYTES];

static Ends ends_make(Kind kind, bool source)
{
    char path[] = "/tmp/test-flow.XXXXXX";
    int fds[2];

    if (kind == FILE_END || kind == APPENDED) {
        fds[0] = mkostemp(path, kind == APPENDED ? O_APPEND : 0);
        fds[1] = open(path, O_RDWR | O_CLOEXEC);
        assert_true(fds[0] >= 0 && fds[1] >= 0);
        unlink(path);
        return (Ends){fds[0], fds[1]};
    }
    if (kind == PIPE) {
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        return source ? (Ends){fds[0], fds[1]} : (Ends){fds[1], fds[0]};
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    if (kind == OURS)
        fd_set_nonblocking(fds[0], true);
    return (Ends){fds[0], fds[1]};
}

/* A bit of it at a time, as a peer would. false: all is written, and told to have ended. */
static bool feed(Ends *from, size_t *fed)
{
    ssize_t size = *fed < VOLUME_BYTES ? write(from->far, volume + *fed, VOLUME_BYTES - *fed < 50000 ? VOLUME_BYTES - *fed : 50000) : 0;

    assert_true(size >= 0 || errno == EAGAIN);
    *fed += size > 0 ? (size_t)size : 0;
    if (*fed < VOLUME_BYTES)
        return true;
    from->far = fd_close(from->far);
    return false;
}

static size_t drain(int fd, size_t got)
{
    static char bytes[70000];
    ssize_t size;

    while ((size = read(fd, bytes, sizeof(bytes))) > 0) {
        assert_true(got + (size_t)size <= VOLUME_BYTES);
        assert_memory_equal(bytes, volume + got, size);
        got += (size_t)size;
    }
    return got;
}

static bool is_ready(const Flow *flow)
{
    struct pollfd watched = {.fd = flow->waits_for_room ? flow->to : flow->from, .events = flow->waits_for_room ? POLLOUT : POLLIN};

    return poll(&watched, 1, 0) > 0;
}

static void check_volume(Kind source, Kind sink, FlowWay way)
{
    Ends from = ends_make(source, true), to = ends_make(sink, false);
    int ours = source == OURS ? from.near : sink == OURS ? to.near : -1;
    bool feeding = true, file = source == FILE_END;
    size_t fed = 0, got = 0;
    Flow flow;
    int r = 0;

    if (source == OURS && sink == OURS) /* an echo has one socket; here each is told by itself */
        ours = -1;
    fd_set_nonblocking(from.far, true);
    fd_set_nonblocking(to.far, true);
    while (file && feeding)
        feeding = feed(&from, &fed);
    flow_open(&flow, from.near, to.near, ours, SOCK_STREAM);
    for (unsigned rounds = 0; r == 0; rounds++) {
        assert_true(rounds < 1000000);
        if (feeding)
            feeding = feed(&from, &fed);
        if (is_ready(&flow))
            r = flow_move(&flow);
        got = drain(to.far, got);
    }
    got = drain(to.far, got);
    if (r != FLOW_ENDED || got != VOLUME_BYTES || flow.bytes != VOLUME_BYTES || flow.way != way)
        fail_msg("%s to %s: answer %d, %zu bytes, way %d", kind_names[source], kind_names[sink], r, got, flow.way);
    flow_release(&flow);
    fd_close(from.near);
    fd_close(from.far);
    fd_close(to.near);
    fd_close(to.far);
}

static void test_volumes(void **state)
{
    static const struct {
        Kind source, sink;
        FlowWay way;
    } cases[] = {
        {PIPE, OURS, FLOW_SPLICES},
        {OURS, PIPE, FLOW_SPLICES},
        {PIPE, PIPE, FLOW_SPLICES},
        {PIPE, FILE_END, FLOW_SPLICES},
        {FILE_END, PIPE, FLOW_SPLICES},
        {OURS, FILE_END, FLOW_SPLICES_BY_PIPE},
        {FILE_END, OURS, FLOW_SPLICES_BY_PIPE},
        {FILE_END, FILE_END, FLOW_SPLICES_BY_PIPE},
        /* The kernel says EINVAL: in the first step, and in the second with bytes in the pipe. */
        {PIPE, APPENDED, FLOW_COPIES},
        {OURS, APPENDED, FLOW_COPIES},
        /* Others' flags are not changed, so that splice(2) would block. */
        {FOREIGN, OURS, FLOW_COPIES},
        {OURS, FOREIGN, FLOW_COPIES},
        {PIPE, FOREIGN, FLOW_COPIES},
        {FOREIGN, PIPE, FLOW_COPIES},
        {FOREIGN, FOREIGN, FLOW_COPIES},
    };

    for (size_t i = 0; i < VOLUME_BYTES; i++)
        volume[i] = (char)(i * 2654435761u >> 13);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        check_volume(cases[i].source, cases[i].sink, cases[i].way);
}

/* Nobody reads; and where it was cut off. */
static void test_gone_and_lost(void **state)
{
    static const Kind kinds[] = {PIPE, OURS, FOREIGN};

    for (size_t i = 0; i < ELEMENTS_OF(kinds); i++)
        for (size_t k = 0; k < ELEMENTS_OF(kinds); k++) {
            Ends from = ends_make(kinds[i], true), to = ends_make(kinds[k], false);
            int ours = kinds[i] == OURS ? from.near : kinds[k] == OURS ? to.near : -1, r = 0;
            Flow flow;
            flow_open(&flow, from.near, to.near, ours, SOCK_STREAM);
            assert_int_equal(write(from.far, "abc", 3), 3);
            to.far = fd_close(to.far);
            for (unsigned rounds = 0; r == 0 && rounds < 10; rounds++)
                if (is_ready(&flow))
                    r = flow_move(&flow);
            assert_int_equal(r, FLOW_GONE);
            flow_release(&flow);
            fd_close(from.near);
            fd_close(from.far);
            fd_close(to.near);
        }
    for (size_t k = 0; k < ELEMENTS_OF(kinds); k++) {
        Ends from = ends_make(OURS, true), to = ends_make(kinds[k], false);
        char byte;
        int r = 0;
        Flow flow;
        flow_open(&flow, from.near, to.near, from.near, SOCK_STREAM);
        /* What it has sent arrives; that it did not read all of ours is told after that. */
        assert_int_equal(write(from.near, "unread", 6), 6);
        assert_int_equal(write(from.far, "x", 1), 1);
        from.far = fd_close(from.far);
        for (unsigned rounds = 0; r == 0 && rounds < 10; rounds++)
            if (is_ready(&flow))
                r = flow_move(&flow);
        assert_int_equal(r, FLOW_LOST);
        assert_int_equal(read(to.far, &byte, 1), 1);
        flow_release(&flow);
        fd_close(from.near);
        fd_close(to.near);
        fd_close(to.far);
    }
}

static void test_messages(void **state)
{
    int a[2], b[2];
    char bytes[1000];
    Flow flow;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, b), 0);
    flow_open(&flow, a[1], b[0], a[1], SOCK_SEQPACKET);
    assert_int_equal(write(a[0], "one", 3), 3);
    assert_int_equal(write(a[0], "three", 5), 5);
    assert_int_equal(flow_move(&flow), 0);
    assert_false(flow.waits_for_room);
    assert_int_equal(read(b[1], bytes, sizeof(bytes)), 3);
    assert_int_equal(read(b[1], bytes, sizeof(bytes)), 5);
    fd_close(a[0]);
    assert_int_equal(flow_move(&flow), FLOW_ENDED);
    flow_release(&flow);
    fd_close(a[1]);
    fd_close(b[0]);
    fd_close(b[1]);
}

/* An empty one is a message like any other, which nothing can be written for. */
static void test_datagrams(void **state)
{
    int a[2], b[2];
    char bytes[1000];
    Flow flow;

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, a), 0);
    assert_int_equal(pipe2(b, O_CLOEXEC), 0);
    flow_open(&flow, a[1], b[1], a[1], SOCK_DGRAM);
    assert_int_equal(send(a[0], "one", 3, 0), 3);
    assert_int_equal(send(a[0], "", 0, 0), 0);
    assert_int_equal(send(a[0], "two", 3, 0), 3);
    assert_int_equal(flow_move(&flow), 0);
    assert_false(flow.waits_for_room);
    assert_int_equal(read(b[0], bytes, sizeof(bytes)), 6);
    assert_memory_equal(bytes, "onetwo", 6);
    flow_release(&flow);
    for (size_t i = 0; i < 2; i++) {
        fd_close(a[i]);
        fd_close(b[i]);
    }
}

static void test_failures(void **state)
{
    int folder = open("/", O_RDONLY | O_CLOEXEC), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    Ends from = ends_make(PIPE, true);
    Flow flow;

    flow_open(&flow, folder, null, -1, SOCK_STREAM);
    assert_int_equal(flow_move(&flow), -EISDIR);
    assert_false(flow.failed_to);
    flow_release(&flow);
    flow_open(&flow, from.near, full, -1, SOCK_STREAM);
    assert_int_equal(write(from.far, "x", 1), 1);
    assert_int_equal(flow_move(&flow), -ENOSPC);
    assert_true(flow.failed_to);
    flow_release(&flow);
    fd_close(folder);
    fd_close(null);
    fd_close(full);
    fd_close(from.near);
    fd_close(from.far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_gone_and_lost),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_failures),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
