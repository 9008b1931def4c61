/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of one client of Serve; lives until that client has ended. unix(7), cmsg(3). */

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/handout/connection-socket.h"
#include "schema/base/fd.h"

#ifndef SCM_PIDFD
#define SCM_PIDFD 4 /* linux/socket.h; glibc of Debian 12 does not know it */
#endif

/* The kernel doubles it, and counts its own memory: some seven connections of the usual length. More would wait at one
 * client while another has nothing to do. */
#define BUFFER_BYTES 4096

typedef union Control {
    struct cmsghdr header; /* for the alignment */
    char bytes[CMSG_SPACE(sizeof(int))];
} Control;

int connection_socket_new(ConnectionSocket *ret)
{
    int ends[2], size = BUFFER_BYTES;
    socklen_t size_size = sizeof(size);
    struct stat status;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    _cleanup_(fd_closep) int fd = ends[0], client_fd = ends[1];
    int r = fd_set_nonblocking(fd, true);
    if (r < 0)
        return r;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &size_size) < 0 || fstat(client_fd, &status) < 0)
        return -errno;
    *ret = (ConnectionSocket){
        .fd = TAKE_FD(fd), .client_fd = TAKE_FD(client_fd), .inode = status.st_ino, .buffer_bytes = size};
    return 0;
}

int connection_socket_restore_consume(int fd_consume, int client_fd_consume, ConnectionSocket *ret)
{
    _cleanup_(fd_closep) int fd = fd_consume, client_fd = client_fd_consume;
    int size;
    socklen_t size_size = sizeof(size);
    struct stat status;

    if (fd < 0 || client_fd < 0)
        return -EBADF;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &size_size) < 0 || fstat(client_fd, &status) < 0)
        return -errno;
    *ret = (ConnectionSocket){
        .fd = TAKE_FD(fd), .client_fd = TAKE_FD(client_fd), .inode = status.st_ino, .buffer_bytes = size};
    return 0;
}

void connection_socket_close(ConnectionSocket *socket)
{
    socket->fd = fd_close(socket->fd);
    socket->client_fd = fd_close(socket->client_fd);
}

size_t connection_socket_unread(const ConnectionSocket *socket)
{
    int bytes = 0;

    return ioctl(socket->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

/* The kernel takes a message whole as long as what waits is less than the buffer: sock_alloc_send_pskb() in
 * net/core/sock.c, which counts one more than it tells. */
bool connection_socket_has_room(const ConnectionSocket *socket)
{
    return connection_socket_unread(socket) + 1 < (size_t)socket->buffer_bytes;
}

int connection_socket_send(const ConnectionSocket *socket, const char *text, size_t size_bytes, int fd)
{
    Control control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = size_bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(sizeof(int))};

    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    ssize_t n;
    do
        n = sendmsg(socket->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    switch (errno) {
    case EAGAIN:
    case ENOBUFS:
    case ETOOMANYREFS: /* too many descriptors are on their way already */
        return CONNECTION_SOCKET_FULL;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
        return CONNECTION_SOCKET_ENDED;
    default:
        return -errno;
    }
}

/* The descriptor that was sent, out of all that the kernel adds for options which the client may have set on its end, which is
 * ours here: its credentials, the time, a pidfd. -1: there is none. */
static int take_descriptor(struct msghdr *message)
{
    int found = -1, fd;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        bool sent = header->cmsg_type == SCM_RIGHTS;
        if (header->cmsg_level != SOL_SOCKET || (!sent && header->cmsg_type != SCM_PIDFD) || header->cmsg_len != CMSG_LEN(sizeof(fd)))
            continue;
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        if (sent && found < 0)
            found = fd;
        else
            fd_close(fd);
    }
    return found;
}

int connection_socket_take_back(const ConnectionSocket *socket, char *text, size_t *ret_size_bytes, int *ret_fd)
{
    struct iovec part = {.iov_base = text, .iov_len = CONNECTION_MESSAGE_MAX_BYTES};
    union {
        struct cmsghdr header; /* for the alignment */
        char bytes[1024];
    } control = {0};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    ssize_t n;
    do
        n = recvmsg(socket->client_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno == EAGAIN))
        return CONNECTION_SOCKET_EMPTY;
    if (n < 0)
        return -errno;
    int fd = take_descriptor(&message);
    if (fd < 0)
        return -EMFILE; /* only we write there, so it was cut off for want of a number */
    *ret_fd = fd;
    *ret_size_bytes = (size_t)n;
    return 0;
}
