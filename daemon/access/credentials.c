/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a connection, as the kernel noted it when the connection was made. Lives as long as the
 * connection. unix(7), socket(7), pidfd_open(2). */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "daemon/access/access.h"
#include "schema/base/fd.h"
#include "schema/base/process.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* asm-generic/socket.h; glibc of Debian 12 does not know it */
#endif

#define GROUPS_MAX 65536 /* NGROUPS_MAX */

int credentials_read(int socket_fd, Credentials *ret)
{
    struct ucred peer;
    socklen_t size_bytes = sizeof(peer);
    struct timespec now;

    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size_bytes) < 0)
        return -errno;
    if (size_bytes != sizeof(peer) || peer.uid == (uid_t)-1 || peer.gid == (gid_t)-1)
        return -ENOTCONN;
    if (clock_gettime(CLOCK_BOOTTIME, &now) < 0)
        return -errno;
    *ret = (Credentials){
        .socket_fd = socket_fd,
        .pid = peer.pid,
        .uid = peer.uid,
        .gid = peer.gid,
        .read_at_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
    };
    return 0;
}

void credentials_release(Credentials *credentials)
{
    free(credentials->groups);
    *credentials = (Credentials){.socket_fd = -1, .uid = (uid_t)-1, .gid = (gid_t)-1};
}

void credentials_fetch_groups(Credentials *credentials)
{
    socklen_t size_bytes = 0;

    if (credentials->groups_known)
        return;
    credentials->groups_known = true;
    if (getsockopt(credentials->socket_fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size_bytes) == 0 || errno != ERANGE)
        return;
    if (size_bytes == 0 || size_bytes > GROUPS_MAX * sizeof(gid_t))
        return;
    _cleanup_(freep) gid_t *groups = malloc(size_bytes);
    if (!groups) {
        credentials->groups_known = false;
        return;
    }
    if (getsockopt(credentials->socket_fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size_bytes) < 0)
        return;
    credentials->groups = TAKE_PTR(groups);
    credentials->group_count = size_bytes / sizeof(gid_t);
}

bool credentials_in_group(Credentials *credentials, gid_t group)
{
    if (group == (gid_t)-1)
        return false;
    if (credentials->gid == group)
        return true;
    credentials_fetch_groups(credentials);
    for (size_t i = 0; i < credentials->group_count; i++)
        if (credentials->groups[i] == group)
            return true;
    return false;
}

/* Without SO_PEERPIDFD there is a number, and the process that had it may have ended and another have got it. A pidfd
 * pins whoever has it now; what /proc says is of that process if it still lives afterwards. It is refused
 * - where it started after the connection was read: it cannot have made it;
 * - where its effective uid is not the one that connected.
 * What is left is another process of the same user that began before we accepted, while the one that connected has
 * ended and left the socket to a third. Who can bring that about can as well connect from that other process: nothing
 * is gained by it but a lease that ends with one of one's own processes instead of another. (Ticks are 10 ms, and a
 * program connects within that time of its fork: so the same tick is not refused.) */
int credentials_open_pidfd_by_pid(const Credentials *credentials)
{
    uint64_t started_at_ticks;

    if (credentials->pid <= 0)
        return -ESRCH; /* of a pid namespace that we do not see */
    _cleanup_(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, credentials->pid, 0);
    if (pidfd < 0)
        return errno == EINVAL ? -ESRCH : -errno; /* EINVAL: a thread's id, so not the process that connected */

    uid_t uid = process_owner(credentials->pid);
    bool known = process_start_time(credentials->pid, &started_at_ticks) && uid != (uid_t)-1;
    if (process_has_ended(pidfd))
        return -ESRCH;
    if (!known)
        return -EACCES; /* /proc hides it (hidepid=) or is not there */
    long ticks_per_second = sysconf(_SC_CLK_TCK);
    uint64_t read_at_ticks =
        credentials->read_at_ns / (1000000000u / (uint64_t)(ticks_per_second > 0 ? ticks_per_second : 100));
    if (started_at_ticks > read_at_ticks || uid != credentials->uid)
        return -ESRCH;
    return TAKE_FD(pidfd);
}

int credentials_open_pidfd(const Credentials *credentials)
{
    int pidfd;
    socklen_t size_bytes = sizeof(pidfd);

    if (getsockopt(credentials->socket_fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size_bytes) == 0)
        return pidfd;
    switch (errno) {
    case ENOPROTOOPT:
        return credentials_open_pidfd_by_pid(credentials);
    case EINVAL: /* it has been reaped: 6.5 to 6.14 */
    case ENODATA:
        return -ESRCH;
    default:
        return -errno;
    }
}

const char *credentials_program(Credentials *credentials)
{
    if (!credentials->program_known && !process_name(credentials->pid, credentials->program, sizeof(credentials->program)))
        credentials->program[0] = '\0';
    credentials->program_known = true;
    return credentials->program[0] ? credentials->program : NULL;
}
