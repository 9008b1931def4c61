/* SPDX-License-Identifier: Apache-2.0 */
/* Telling a stale socket file from one that somebody serves, without disturbing who serves it, and removing no other; nothing is kept.
 *
 * The file is held by an O_PATH descriptor, and asked by connecting a datagram socket to it: the kernel first looks
 * whether any socket is bound to that inode (none: ECONNREFUSED), and then whether its type fits (EPROTOTYPE). So a
 * stream or seqpacket server never sees the question, not even as a connection that ends at once; one that is bound but
 * does not listen yet is not taken for dead, as a stream connect would; and a full backlog does not matter.
 * (*measured*; unix_find_bsd() of net/unix/af_unix.c.) A socket file that no socket is bound to can never be served
 * again: it is stale for good.
 *
 * Two programs may find the same file stale. So it is first moved aside, which is atomic, and removed only if what was
 * moved is what was asked: the caller's descriptor keeps its inode number from being used again. If another was quicker, and it
 * is its new socket that was moved, it goes back where it was. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "schema/base/stale.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#endif

int stale_is_bound(int file_fd, int datagram_fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    /* By its descriptor: whatever the path leads to by now, this file is meant. */
    snprintf(name.sun_path, sizeof(name.sun_path), "/proc/self/fd/%d", file_fd);
    if (connect(datagram_fd, (const struct sockaddr *)&name, sizeof(name)) == 0)
        return 1;
    if (errno == EPROTOTYPE || errno == EPERM) /* EPERM: a datagram socket that talks to another alone */
        return 1;
    return errno == ECONNREFUSED ? 0 : -errno;
}

/* Beside the path, with a name of its own. */
static bool aside_name(const char *path, char name[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    uint64_t number;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number))
        number = (uint64_t)getpid();
    int size = snprintf(name, PATH_MAX, "%.*s.hvsockd-stale-%016llx", slash ? (int)(slash + 1 - path) : 0, path,
                        (unsigned long long)number);
    return size > 0 && size < PATH_MAX;
}

static bool is_same(int folder_fd, const char *path, const struct stat *file)
{
    struct stat status;

    return fstatat(folder_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_dev == file->st_dev &&
           status.st_ino == file->st_ino;
}

int stale_remove(int folder_fd, const char *path, const struct stat *stale)
{
    char aside[PATH_MAX];
    struct stat status;

    if (!aside_name(path, aside))
        return -ENAMETOOLONG;
    if (renameat2(folder_fd, path, folder_fd, aside, RENAME_NOREPLACE) < 0) {
        if (errno == ENOENT)
            return 0;
        if (errno != EINVAL && errno != ENOSYS)
            return -errno;
        /* A file system that cannot: then looking and removing are two steps, with nothing between them. */
        if (!is_same(folder_fd, path, stale))
            return 0;
        return unlinkat(folder_fd, path, 0) < 0 && errno != ENOENT ? -errno : 0;
    }
    if (fstatat(folder_fd, aside, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        (status.st_dev != stale->st_dev || status.st_ino != stale->st_ino) &&
        (renameat2(folder_fd, aside, folder_fd, path, RENAME_NOREPLACE) == 0 || errno != EEXIST))
        return 0;
    return unlinkat(folder_fd, aside, 0) < 0 && errno != ENOENT ? -errno : 0;
}
