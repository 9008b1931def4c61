/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of one client of Serve: its credit, what comes back of it, and that no descriptor is left anywhere. */

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/place/holders.h"
#include "daemon/handout/connection-socket.h"
#include "schema/base/fd.h"

static size_t count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* Sends one that says its number; what send answers. */
static int send_number(const ConnectionSocket *socket, int number)
{
    char text[256];
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    memset(text, ' ', sizeof(text));
    text[0] = (char)number;
    int r = connection_socket_send(socket, text, sizeof(text), ends[0]);
    close(ends[0]);
    close(ends[1]);
    return r;
}

static int fill(const ConnectionSocket *socket)
{
    int count = 0;

    while (connection_socket_has_room(socket)) {
        assert_int_equal(send_number(socket, count), 0);
        count++;
        assert_in_range(count, 0, 100);
    }
    return count;
}

static void test_credit(void **state)
{
    size_t before = count_fds();
    char text[CONNECTION_MESSAGE_MAX_BYTES];
    size_t size_bytes;
    ConnectionSocket socket;
    int fd;

    assert_int_equal(connection_socket_new(&socket), 0);
    assert_int_equal(connection_socket_unread(&socket), 0);
    assert_int_equal(holders_inode(socket.client_fd), socket.inode);
    int count = fill(&socket);
    assert_in_range(count, 2, 16);
    /* What has_room said is what send does. */
    assert_int_equal(send_number(&socket, 99), CONNECTION_SOCKET_FULL);
    assert_int_equal(count_fds(), before + 2);
    for (int i = 0; i < count; i++) {
        assert_true(connection_socket_unread(&socket) > 0);
        assert_int_equal(connection_socket_take_back(&socket, text, &size_bytes, &fd), 0);
        assert_int_equal(size_bytes, 256);
        assert_int_equal(text[0], i);
        close(fd);
    }
    assert_int_equal(connection_socket_take_back(&socket, text, &size_bytes, &fd), CONNECTION_SOCKET_EMPTY);
    assert_int_equal(connection_socket_unread(&socket), 0);
    assert_int_equal(fill(&socket), count);
    connection_socket_close(&socket);
    assert_int_equal(count_fds(), before);
}

/* A whole Connection of the greatest size is taken, whatever the buffer's. */
static void test_long(void **state)
{
    char text[CONNECTION_MESSAGE_MAX_BYTES + 1], back[CONNECTION_MESSAGE_MAX_BYTES];
    ConnectionSocket socket;
    size_t size_bytes;
    int fd;

    memset(text, 'x', sizeof(text));
    assert_int_equal(connection_socket_new(&socket), 0);
    assert_int_equal(connection_socket_send(&socket, text, sizeof(text), 0), -EMSGSIZE);
    assert_int_equal(connection_socket_send(&socket, text, sizeof(back), 0), 0);
    assert_false(connection_socket_has_room(&socket));
    assert_int_equal(connection_socket_take_back(&socket, back, &size_bytes, &fd), 0);
    assert_int_equal(size_bytes, sizeof(back));
    assert_memory_equal(text, back, sizeof(back));
    close(fd);
    assert_true(connection_socket_has_room(&socket));
    connection_socket_close(&socket);
}

/* Options of the client's end, which is ours too while it has not read: each adds something to every message. */
static void test_options_of_the_client(void **state)
{
    static const int options[] = {SO_PASSCRED, SO_TIMESTAMP, SO_PASSSEC, 76 /* SO_PASSPIDFD, from Linux 6.5 on */};
    size_t before = count_fds();
    char text[CONNECTION_MESSAGE_MAX_BYTES];
    size_t size_bytes;
    int fd;

    for (unsigned chosen = 1; chosen < 1u << ELEMENTS_OF(options); chosen++) {
        ConnectionSocket socket;
        assert_int_equal(connection_socket_new(&socket), 0);
        assert_int_equal(send_number(&socket, 1), 0);
        for (size_t i = 0; i < ELEMENTS_OF(options); i++)
            if (chosen & 1u << i)
                (void)setsockopt(socket.client_fd, SOL_SOCKET, options[i], &(int){1}, sizeof(int));
        assert_int_equal(send_number(&socket, 2), 0);
        for (int number = 1; number <= 2; number++) {
            assert_int_equal(connection_socket_take_back(&socket, text, &size_bytes, &fd), 0);
            assert_int_equal(text[0], number);
            assert_int_equal(size_bytes, 256);
            close(fd);
        }
        assert_int_equal(connection_socket_take_back(&socket, text, &size_bytes, &fd), CONNECTION_SOCKET_EMPTY);
        connection_socket_close(&socket);
        assert_int_equal(count_fds(), before);
    }
}

static void test_shut_down(void **state)
{
    char text[CONNECTION_MESSAGE_MAX_BYTES];
    size_t size_bytes;
    ConnectionSocket socket;
    int fd;

    assert_int_equal(connection_socket_new(&socket), 0);
    assert_int_equal(send_number(&socket, 1), 0);
    assert_int_equal(shutdown(socket.client_fd, SHUT_RDWR), 0);
    assert_int_equal(send_number(&socket, 2), CONNECTION_SOCKET_ENDED);
    assert_int_equal(connection_socket_take_back(&socket, text, &size_bytes, &fd), 0);
    close(fd);
    assert_int_equal(connection_socket_take_back(&socket, text, &size_bytes, &fd), CONNECTION_SOCKET_EMPTY);
    connection_socket_close(&socket);
}

/* No number is free for what is taken back: it is said, and nothing is left open. */
static void test_no_number(void **state)
{
    char text[CONNECTION_MESSAGE_MAX_BYTES];
    struct rlimit limit, none;
    size_t size_bytes;
    ConnectionSocket socket;
    int fd;

    assert_int_equal(connection_socket_new(&socket), 0);
    assert_int_equal(send_number(&socket, 1), 0);
    assert_int_equal(send_number(&socket, 2), 0);
    size_t before = count_fds();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int r = connection_socket_take_back(&socket, text, &size_bytes, &fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(count_fds(), before);
    assert_int_equal(connection_socket_take_back(&socket, text, &size_bytes, &fd), 0);
    assert_int_equal(text[0], 2);
    close(fd);
    connection_socket_close(&socket);
}

/* Sockets that are open, of more than are asked one by one, in any order; and twice the same. */
static void test_check_open(void **state)
{
    enum { COUNT = 40 };
    uint64_t inodes[COUNT + 1];
    bool open[COUNT + 1];
    int fds[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        inodes[COUNT - 1 - i] = holders_inode(fds[i]);
    }
    inodes[COUNT] = inodes[0];
    int r = holders_check_open(AF_UNIX, inodes, COUNT + 1, open);
    if (r < 0) {
        print_message("unix_diag is not there: %s\n", strerror(-r));
        skip();
    }
    for (size_t i = 0; i <= COUNT; i++)
        assert_true(open[i]);
    for (size_t i = 0; i < COUNT; i += 2)
        close(fds[i]);
    for (size_t count = COUNT + 1; count > 0; count = count == COUNT + 1 ? 8 : count / 2) {
        assert_int_equal(holders_check_open(AF_UNIX, inodes, count, open), 0);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(open[i], i == COUNT || i % 2 == 0);
    }
    assert_int_equal(holders_check_open(AF_UNIX, inodes, 0, open), 0);
    for (size_t i = 1; i < COUNT; i += 2)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credit),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_options_of_the_client),
        cmocka_unit_test(test_shut_down),
        cmocka_unit_test(test_no_number),
        cmocka_unit_test(test_check_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
