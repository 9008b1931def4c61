/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of a wire share: its other end as a plain socket, descriptors to send, and counting those that are open. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "schema/base/buffer.h"
#include "schema/wire/wire.h"

static inline size_t count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static inline int setup(void **state)
{
    *state = (void *)count_fds();
    return 0;
}

static inline int teardown(void **state)
{
    size_t before = (size_t)*state, after = count_fds();

    if (before != after)
        fprintf(stderr, "%zu descriptors at the start, %zu at the end\n", before, after);
    return before == after ? 0 : -1;
}

/* A wire and, at the other end, a plain socket. */
static inline Wire *make_wire(size_t message_max_bytes, int *ret_peer)
{
    int pair[2];
    Wire *wire;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(wire_new_consume(pair[0], message_max_bytes, &wire), 0);
    *ret_peer = pair[1];
    return wire;
}

static inline void make_wires(size_t message_max_bytes, Wire **ret_a, Wire **ret_b)
{
    int peer;

    *ret_a = make_wire(message_max_bytes, &peer);
    assert_int_equal(wire_new_consume(peer, message_max_bytes, ret_b), 0);
}

/* A pipe's reading end: something that can be told by its inode. */
static inline int make_fd(ino_t *ret_inode)
{
    int ends[2];
    struct stat status;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[1]);
    assert_int_equal(fstat(ends[0], &status), 0);
    if (ret_inode)
        *ret_inode = status.st_ino;
    return ends[0];
}

static inline void make_fds(size_t count, FdList *ret)
{
    *ret = (FdList){0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(fd_list_add_consume(ret, make_fd(NULL)), 0);
}

/* One sendmsg of exactly these bytes, with `count` new descriptors. */
static inline void send_raw(int fd, const char *bytes, size_t size, size_t count)
{
    union {
        char bytes[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
        struct cmsghdr header;
    } control;
    struct iovec vector = {(char *)(uintptr_t)bytes, size};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    FdList fds;

    make_fds(count, &fds);
    if (count > 0) {
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds.fds, count * sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &header, MSG_NOSIGNAL), size);
    fd_list_clear(&fds);
}

/* Everything that comes until wire_read says something else than 0, which is returned: `message|message(fds)|…`. */
static inline int read_all(Wire *wire, Buffer *ret)
{
    for (;;) {
        int r = wire_read(wire);
        if (r != 0)
            return r;
        char *message;
        size_t size;
        FdList fds;
        while (wire_next(wire, &message, &size, &fds)) {
            assert_int_equal(strlen(message), size);
            if (ret->size_bytes > 0)
                buffer_append_char(ret, '|');
            buffer_append(ret, message, size);
            if (fds.count > 0)
                buffer_printf(ret, "(%zu)", fds.count);
            for (size_t i = 0; i < fds.count; i++)
                assert_true(fcntl(fds.fds[i], F_GETFD) & FD_CLOEXEC);
            fd_list_clear(&fds);
        }
    }
}

static inline void assert_text(Buffer *buffer, const char *expected)
{
    char *text;

    assert_int_equal(buffer_take(buffer, &text, NULL), 0);
    assert_string_equal(text, expected);
    free(text);
}
