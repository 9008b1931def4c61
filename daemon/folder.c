/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockd's own folders: made, and locked for as long as the process lives. flock(2) */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "daemon/folder.h"
#include "daemon/log.h"
#include "schema/base/cleanup.h"

int folder_make(const char *path, mode_t mode)
{
    _cleanup_(freep) char *copy = strdup(path);

    if (!copy)
        return -ENOMEM;
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}

/* Who has the lock on a file, of /proc/locks; 0: not to be had. proc(5) */
static int lock_owner(const struct stat *status)
{
    FILE *locks = fopen("/proc/locks", "re");
    char line[256];
    int found = 0;

    while (locks && !found && fgets(line, sizeof(line), locks)) {
        int pid;
        unsigned long long inode;
        if (sscanf(line, "%*d: FLOCK %*s %*s %d %*x:%*x:%llu", &pid, &inode) == 2 && inode == status->st_ino)
            found = pid;
    }
    if (locks)
        fclose(locks);
    return found;
}

int folder_take(const char *path, mode_t mode, const struct stat *other, struct stat *ret_status)
{
    int r = folder_make(path, mode);
    int fd = r < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (r == 0 && (fd < 0 || fstat(fd, ret_status) < 0))
        r = -errno;
    if (r < 0) {
        log_error("%s: %s; hvsockd needs this folder, another is given with --state or --runtime", path, strerror(-r));
        return r;
    }
    if (other && other->st_dev == ret_status->st_dev && other->st_ino == ret_status->st_ino)
        return 0;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0; /* fd is kept open on purpose */
    r = -errno;
    int pid = r == -EWOULDBLOCK ? lock_owner(ret_status) : 0;
    if (pid > 0)
        log_error("%s: another hvsockd runs in this folder, process %d; end it first, or give folders of its own to this one", path, pid);
    else
        log_error("%s: another hvsockd runs in this folder (%s)", path, strerror(-r));
    return r;
}
