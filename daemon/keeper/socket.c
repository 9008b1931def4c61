/* SPDX-License-Identifier: Apache-2.0 */
/* RUNTIME/keeper, a listening SOCK_SEQPACKET socket; lives as long as the keeper. unix(7), sd_listen_fds(3). */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/keeper/socket.h"
#include "schema/base/text.h"

#define LISTEN_FDS_FIRST 3
#define BACKLOG 16

bool socket_is_ours(const Keeper *keeper)
{
    struct stat status;

    return stat(keeper->path, &status) == 0 && status.st_ino == keeper->path_status.st_ino &&
           status.st_dev == keeper->path_status.st_dev;
}

static bool is_listening(int fd)
{
    int domain, type, listening;
    socklen_t size = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

/* How many descriptors came by LISTEN_FDS; LISTEN_PID may be left out by who starts us by a plain fork and exec. */
static int inherited_count(void)
{
    const char *count_text = getenv("LISTEN_FDS"), *pid_text = getenv("LISTEN_PID");
    uint64_t count, pid;

    if (!count_text || !text_to_number(count_text, 1024, &count))
        return 0;
    if (pid_text && (!text_to_number(pid_text, INT32_MAX, &pid) || (pid_t)pid != getpid()))
        return 0;
    return (int)count;
}

/* A path that nobody serves is a left-over, and removed. -EADDRINUSE: somebody does. */
static int remove_stale(const struct sockaddr_un *address)
{
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat status;

    if (fd < 0)
        return -errno;
    if (lstat(address->sun_path, &status) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode))
        return -EEXIST;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int make(Keeper *keeper)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(keeper->path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, keeper->path);
    if (mkdir(keeper->runtime_path, 0755) < 0 && errno != EEXIST)
        return -errno;
    int r = remove_stale(&address);
    if (r < 0)
        return r;
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    r = fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(before);
    if (r < 0)
        return r;
    if (keeper->user != (uid_t)-1 && geteuid() == 0 && lchown(keeper->path, keeper->user, (gid_t)-1) < 0)
        return -errno;
    if (listen(fd, BACKLOG) < 0)
        return -errno;
    keeper->listener_fd = TAKE_FD(fd);
    keeper->removes_path = true;
    return 0;
}

static int adopt(Keeper *keeper, int fd)
{
    if (!is_listening(fd))
        return -ENOTSOCK;
    int r = fd_set_nonblocking(fd, true);
    if (r < 0)
        return r;
    int copy = fd_duplicate(fd); /* a high number: low ones are for the spawner */
    if (copy < 0)
        return copy;
    fd_close(fd);
    /* Its credentials are who called this last: a client can tell who we are. */
    if (listen(copy, BACKLOG) < 0)
        return -errno;
    keeper->listener_fd = copy;
    return stat(keeper->path, &keeper->path_status) < 0 ? -errno : 0;
}

int socket_open(Keeper *keeper)
{
    int count = inherited_count(), r;

    for (int i = 1; i < count; i++)
        fd_close(LISTEN_FDS_FIRST + i);
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    unsetenv("LISTEN_PIDFDID");
    if (count > 0) {
        r = adopt(keeper, LISTEN_FDS_FIRST);
        /* systemd keeps its own. */
        keeper->removes_path = keeper->is_private;
        if (r == -ENOTSOCK)
            keeper_note("descriptor 3 (LISTEN_FDS) is no listening unix seqpacket socket");
    } else {
        r = make(keeper);
        if (r == 0)
            r = stat(keeper->path, &keeper->path_status) < 0 ? -errno : 0;
    }
    if (r == -EADDRINUSE)
        keeper_note("%s: another hvsock-keeper serves this path; end that one, or choose another folder with --runtime",
                    keeper->path);
    else if (r == -EEXIST)
        keeper_note("%s: there is something else than a socket; remove it, or choose another folder with --runtime", keeper->path);
    else if (r == -ENAMETOOLONG)
        keeper_note("%s: the path is too long for a unix socket (107 bytes); choose another folder with --runtime", keeper->path);
    else if (r < 0)
        keeper_note("%s: %s; hvsock-keeper needs this folder, or another given with --runtime", keeper->path, strerror(-r));
    return r;
}

void socket_close(Keeper *keeper)
{
    if (keeper->removes_path && socket_is_ours(keeper))
        unlink(keeper->path);
    keeper->removes_path = false;
    keeper->listener_fd = fd_close(keeper->listener_fd);
}
