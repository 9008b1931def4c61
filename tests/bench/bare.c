/* SPDX-License-Identifier: Apache-2.0 */
/* Servers to compare with: blocking, one process, no thought. A bare server lives until bare_stop. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

static void answer_with_fd(int connection, const char *reply, size_t reply_size_bytes, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)reply, .iov_len = reply_size_bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    if (sendmsg(connection, &message, MSG_NOSIGNAL) != (ssize_t)reply_size_bytes)
        _exit(1);
}

static void serve(int connection, const char *reply, size_t reply_size_bytes, BareMode mode, int fd)
{
    char bytes[64 * 1024];
    ssize_t n;

    while ((n = recv(connection, bytes, sizeof(bytes), 0)) > 0) {
        if (bytes[n - 1] != '\0')
            continue;
        if (mode == BARE_FD)
            answer_with_fd(connection, reply, reply_size_bytes, fd);
        else if (send(connection, reply, reply_size_bytes, MSG_NOSIGNAL) != (ssize_t)reply_size_bytes)
            _exit(1);
    }
}

pid_t bare_start(const char *path, const char *reply, size_t reply_size_bytes, BareMode mode)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 128) < 0)
        die("%s: %s", path, strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), connection;
        while ((connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
            serve(connection, reply, reply_size_bytes, mode, fd);
            close(connection);
        }
        _exit(1);
    }
    close(listener);
    return pid;
}

void bare_stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
