/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockd's own folder: made, and locked for as long as the process lives. flock(2) */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "daemon/folder.h"
#include "daemon/log.h"
#include "schema/base/cleanup.h"
#include "schema/base/process.h"

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
static int lock_owner(int fd)
{
    FILE *locks = fopen("/proc/locks", "re");
    struct stat status;
    char line[256];
    int found = 0;

    while (locks && !found && fstat(fd, &status) == 0 && fgets(line, sizeof(line), locks)) {
        int pid;
        unsigned long long inode;
        if (sscanf(line, "%*d: FLOCK %*s %*s %d %*x:%*x:%llu", &pid, &inode) == 2 && inode == status.st_ino)
            found = pid;
    }
    if (locks)
        fclose(locks);
    return found;
}

#define FOLDER_TRIES 20
#define FOLDER_TRIES_MAX 1000
#define FOLDER_TRY_US 20000

/* One that was killed has it until all of it is closed; in the moment in which it started its keeper, until that executes. Neither
 * is waited for by a count of tries: a machine may be slow. Whoever lives is, a moment, in case it is about to end. */
static int lock_wait(int fd)
{
    for (int tries = 0, all = 0;; all++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK)
            return -errno;
        int pid = lock_owner(fd);
        bool ends = pid > 0 && process_is_ending(pid);
        if (all >= FOLDER_TRIES_MAX || (!ends && tries++ >= FOLDER_TRIES))
            return -EWOULDBLOCK;
        usleep(FOLDER_TRY_US);
    }
}

int folder_take(const char *path, mode_t mode)
{
    int r = folder_make(path, mode);
    int fd = r < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (r == 0 && fd < 0)
        r = -errno;
    if (r < 0) {
        log_error("%s: %s; hvsockd needs this folder, or another given with --runtime", path, strerror(-r));
        return r;
    }
    r = lock_wait(fd);
    if (r == 0)
        return 0; /* fd is kept open on purpose */
    int pid = r == -EWOULDBLOCK ? lock_owner(fd) : 0;
    if (pid > 0)
        log_error("%s: another hvsockd runs in this folder, process %d; end that one, or choose another with --runtime",
                  path, pid);
    else
        log_error("%s: another hvsockd runs in this folder (%s)", path, strerror(-r));
    close(fd);
    return r;
}
