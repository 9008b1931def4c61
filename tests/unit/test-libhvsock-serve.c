/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on a socket of Serve, good and bad, as hvsock_accept reads them; no descriptor of any is left. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/libhvsock/hvsock.h"
#include "schema/base/fd.h"

#define GOOD "{\"service\":\"a\",\"machine\":\"web1\",\"address\":\"vsock://:1\",\"peer\":\"vsock:42:7\",\"since\":\"2026-11-20T10:00:00.000Z\"}"

static size_t count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void send_message(int fd, const char *text, size_t fd_count)
{
    union {
        struct cmsghdr header; /* for the alignment */
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    int fds[8] = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(fd_count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &message, 0), strlen(text));
}

static void test_accept(void **state)
{
    static const struct {
        const char *text;
        size_t fds;
        int answer;
    } table[] = {
        {GOOD, 1, 0},
        {"{\"service\":\"a\",\"machine\":null,\"address\":\"b\",\"peer\":\"c\",\"more\":[1]}", 1, 0},
        {GOOD, 0, -EBADMSG},
        {GOOD, 2, -EBADMSG},
        {GOOD, 3, -EBADMSG},
        {GOOD, 8, -EBADMSG},
        {"{", 1, -EBADMSG},
        {"[]", 1, -EBADMSG},
        {"x", 1, -EBADMSG},
        {"{\"service\":\"a\",\"address\":\"b\"}", 1, -EBADMSG},
        {"{\"service\":1,\"address\":\"b\",\"peer\":\"c\"}", 1, -EBADMSG},
        {"{\"service\":\"a\",\"machine\":7,\"address\":\"b\",\"peer\":\"c\"}", 1, -EBADMSG},
    };
    hvsock_connection connection = {.fd = -1};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    size_t before = count_fds();
    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        send_message(ends[0], table[i].text, table[i].fds);
        assert_int_equal(hvsock_accept(ends[1], &connection), table[i].answer);
        if (table[i].answer == 0) {
            assert_string_equal(connection.service, "a");
            assert_int_equal(fcntl(connection.fd, F_GETFD), FD_CLOEXEC);
            assert_int_equal(connection.process_id, 0);
            hvsock_connection_release(&connection);
        }
        assert_int_equal(connection.fd, -1);
        assert_int_equal(count_fds(), before);
    }
    send_message(ends[0], GOOD, 1);
    assert_int_equal(hvsock_accept(ends[1], &connection), 0);
    assert_string_equal(connection.machine, "web1");
    assert_string_equal(connection.address, "vsock://:1");
    assert_string_equal(connection.peer, "vsock:42:7");
    /* Taken over: it stays open. */
    int taken = connection.fd;
    connection.fd = -1;
    hvsock_connection_release(&connection);
    assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
    close(taken);

    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(hvsock_accept(ends[1], &connection), -EAGAIN);
    close(ends[0]);
    assert_int_equal(hvsock_accept(ends[1], &connection), -ECONNRESET);
    close(ends[1]);
}

/* No descriptor is free: the connection is closed, and told; the next one is as good as ever. */
static void test_accept_without_room(void **state)
{
    struct rlimit before, few = {0};
    hvsock_connection connection = {.fd = -1};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    send_message(ends[0], GOOD, 1);
    send_message(ends[0], GOOD, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = hvsock_accept(ends[1], &connection);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(connection.fd, -1);
    assert_null(connection.service);
    assert_int_equal(hvsock_accept(ends[1], &connection), 0);
    hvsock_connection_release(&connection);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_accept), cmocka_unit_test(test_accept_without_room)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
