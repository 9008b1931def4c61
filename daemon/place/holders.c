/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over /proc that finds who holds sockets; nothing is kept. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/place/holders.h"
#include "schema/base/cleanup.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"

typedef struct Pids {
    pid_t *items;
    size_t count, capacity;
} Pids;

static inline void closedirp(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

static int inode_compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return *left == *right ? 0 : *left < *right ? -1 : 1;
}

static int pids_add(Pids *pids, pid_t pid)
{
    if (pids->count == pids->capacity) {
        size_t capacity = pids->capacity ? pids->capacity * 2 : 8;
        pid_t *items = reallocarray(pids->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        pids->items = items;
        pids->capacity = capacity;
    }
    pids->items[pids->count++] = pid;
    return 0;
}

/* `socket:[12345]`; NULL: another, or no socket. inodes are sorted. */
static const uint64_t *find_wanted(int folder_fd, const char *name, const uint64_t *inodes, size_t inode_count)
{
    char target[64];
    uint64_t inode;
    ssize_t size = readlinkat(folder_fd, name, target, sizeof(target));
    static const char prefix[] = "socket:[";
    size_t prefix_size = sizeof(prefix) - 1;

    if (size <= (ssize_t)prefix_size || size == (ssize_t)sizeof(target) || memcmp(target, prefix, prefix_size) != 0)
        return NULL;
    if (!text_to_number_sized(target + prefix_size, (size_t)size - prefix_size - 1, UINT64_MAX, &inode))
        return NULL;
    return bsearch(&inode, inodes, inode_count, sizeof(*inodes), inode_compare);
}

/* Not being allowed to look, or a process that has ended, is the same as finding nothing. pids: where it is noted for
 * each inode that nobody was found for yet; or NULL: the first will do. */
static bool process_holds(int proc_fd, const char *pid, const uint64_t *inodes, size_t inode_count, pid_t *pids)
{
    bool any = false;
    char path[32];

    snprintf(path, sizeof(path), "%.20s/fd", pid);
    _cleanup_(fd_closep) int fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    _cleanup_(closedirp) DIR *folder = fdopendir(fd);
    if (!folder)
        return false;
    TAKE_FD(fd);
    for (struct dirent *entry; (entry = readdir(folder)) && (pids || !any);) {
        const uint64_t *found =
            entry->d_name[0] == '.' ? NULL : find_wanted(dirfd(folder), entry->d_name, inodes, inode_count);
        any |= found != NULL;
        if (found && pids && pids[found - inodes] == 0)
            pids[found - inodes] = (pid_t)atoi(pid);
    }
    return any;
}

int holders_find(const uint64_t *inodes, size_t inode_count, size_t max, pid_t **ret_pids, size_t *ret_count)
{
    Pids pids = {0};

    if (inode_count == 0 || max == 0) {
        *ret_pids = NULL;
        *ret_count = 0;
        return 0;
    }
    _cleanup_(freep) uint64_t *sorted = malloc(inode_count * sizeof(*sorted));
    if (!sorted)
        return -ENOMEM;
    _cleanup_(closedirp) DIR *proc = opendir("/proc");
    if (!proc)
        return -errno;
    memcpy(sorted, inodes, inode_count * sizeof(*sorted));
    qsort(sorted, inode_count, sizeof(*sorted), inode_compare);
    for (struct dirent *entry; pids.count < max && (entry = readdir(proc));) {
        uint64_t pid;
        if (!text_to_number(entry->d_name, INT32_MAX, &pid) || (pid_t)pid == getpid() ||
            !process_holds(dirfd(proc), entry->d_name, sorted, inode_count, NULL))
            continue;
        if (pids_add(&pids, (pid_t)pid) < 0) {
            free(pids.items);
            return -ENOMEM;
        }
    }
    *ret_pids = pids.items;
    *ret_count = pids.count;
    return 0;
}

bool holders_has_process(pid_t pid, uint64_t inode)
{
    _cleanup_(closedirp) DIR *proc = opendir("/proc");
    char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    return proc && process_holds(dirfd(proc), text, &inode, 1, NULL);
}

int holders_of_each(const uint64_t *inodes, size_t count, pid_t but, pid_t *ret_pids)
{
    _cleanup_(freep) uint64_t *sorted = reallocarray(NULL, count + 1, sizeof(*sorted));
    _cleanup_(freep) pid_t *pids = calloc(count + 1, sizeof(*pids));

    if (!sorted || !pids)
        return -ENOMEM;
    if (count == 0)
        return 0;
    memcpy(sorted, inodes, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), inode_compare);
    _cleanup_(closedirp) DIR *proc = opendir("/proc");
    if (!proc)
        return -errno;
    for (struct dirent *entry; (entry = readdir(proc));) {
        uint64_t pid;
        if (text_to_number(entry->d_name, INT32_MAX, &pid) && (pid_t)pid != getpid() && (pid_t)pid != but)
            process_holds(dirfd(proc), entry->d_name, sorted, count, pids);
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t *at = bsearch(&inodes[i], sorted, count, sizeof(*sorted), inode_compare);
        ret_pids[i] = pids[at - sorted];
    }
    return 0;
}

uint64_t holders_inode(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}
