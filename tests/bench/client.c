/* SPDX-License-Identifier: Apache-2.0 */
/* A client that does nothing but write a call and read to the NUL of its reply: the same for hvsockd and for bare servers, so
 * that the ratio is the servers'. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/bench/bench.h"

int client_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("%s: %s", path, strerror(errno));
    return fd;
}

void client_send(int fd, const char *bytes, size_t size_bytes)
{
    while (size_bytes > 0) {
        ssize_t n = send(fd, bytes, size_bytes, MSG_NOSIGNAL);
        if (n < 0)
            die("send: %s", strerror(errno));
        bytes += n;
        size_bytes -= (size_t)n;
    }
}

static void receive(int fd, Buffer *reply, int *ret_fd)
{
    static char bytes[256 * 1024];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;

    buffer_clear(reply);
    do {
        struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (ret_fd) {
            message.msg_control = &control;
            message.msg_controllen = sizeof(control);
        }
        ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        if (n <= 0)
            die("the server went away: %s", n < 0 ? strerror(errno) : "end of stream");
        if (ret_fd && message.msg_controllen > 0)
            memcpy(ret_fd, CMSG_DATA(&control.header), sizeof(int));
        buffer_append(reply, bytes, (size_t)n);
    } while (reply->data[reply->size_bytes - 1] != '\0');
}

void client_receive(int fd, Buffer *reply)
{
    receive(fd, reply, NULL);
}

void client_receive_fd(int fd, Buffer *reply)
{
    int received = -1;

    receive(fd, reply, &received);
    if (received < 0)
        die("no descriptor came with %s", reply->data);
    close(received);
}

void client_call(int fd, const char *call, Buffer *reply)
{
    client_send(fd, call, strlen(call) + 1);
    client_receive(fd, reply);
    if (strstr(reply->data, "\"error\""))
        die("%.200s: %.400s", call, reply->data);
}
