/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups of programs, below the one that was delegated to the keeper; its folder is held open as long as the keeper lives.
 *
 * systemd marks what it delegates (the extended attribute user.delegate, before 251 trusted.delegate); anything else, as a
 * user's session, is not ours to divide, even where we could. */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "daemon/keeper/cgroup.h"
#include "schema/base/fd.h"

#define LEAF "keeper"
#define PREFIX "program-"
#define PROCS_MAX_BYTES (4u << 20)

static int write_text(int folder_fd, const char *path, const char *text)
{
    _cleanup_(fd_closep) int fd = openat(folder_fd, path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static bool is_delegated(const char *path)
{
    static const char *const names[] = {"user.delegate", "trusted.delegate"};
    char value;

    for (size_t i = 0; i < ELEMENTS_OF(names); i++)
        if (getxattr(path, names[i], &value, sizeof(value)) == 1 && value == '1')
            return true;
    return false;
}

/* Ours, in the file system. */
static bool find_own(char path[static PATH_MAX])
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    _cleanup_(freep) char *text = NULL;
    size_t size;
    struct statfs status;

    if (file_read(AT_FDCWD, "/proc/self/cgroup", 1 << 16, &text, &size) < 0)
        return false;
    char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!line)
        return false;
    line += *line == '\n' ? strlen("\n0::") : strlen("0::");
    line[strcspn(line, "\n")] = '\0';
    for (size_t i = 0; i < ELEMENTS_OF(roots); i++)
        if (statfs(roots[i], &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC)
            return snprintf(path, PATH_MAX, "%s%s", roots[i], line) < PATH_MAX;
    return false;
}

void cgroups_open(Cgroups *cgroups)
{
    char path[PATH_MAX];

    cgroups->fd = -1;
    if (!find_own(path))
        return;
    char *last = strrchr(path, '/');
    bool in_leaf = strcmp(last, "/" LEAF) == 0; /* we have executed ourselves anew */
    if (in_leaf)
        *last = '\0';
    if (!is_delegated(path))
        return;
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!in_leaf && ((mkdirat(fd, LEAF, 0755) < 0 && errno != EEXIST) || write_text(fd, LEAF "/cgroup.procs", "0") < 0))
        return;
    cgroups->fd = TAKE_FD(fd);
}

void cgroups_close(Cgroups *cgroups)
{
    cgroups->fd = fd_close(cgroups->fd);
}

void cgroups_each(const Cgroups *cgroups, void (*found)(const char *name, void *userdata), void *userdata)
{
    int fd = cgroups->fd < 0 ? -1 : openat(cgroups->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!folder) {
        fd_close(fd);
        return;
    }
    while ((entry = readdir(folder)))
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 && strlen(entry->d_name) < CGROUP_NAME_SIZE_BYTES)
            found(entry->d_name, userdata);
    closedir(folder);
}

int cgroups_make(Cgroups *cgroups, const char *wanted, char name[static CGROUP_NAME_SIZE_BYTES])
{
    if (cgroups->fd < 0)
        return -1;
    do {
        cgroups->serial++;
        snprintf(name, CGROUP_NAME_SIZE_BYTES, PREFIX "%.100s%s%llu", wanted ? wanted : "", wanted ? "-" : "",
                 (unsigned long long)cgroups->serial);
        for (char *c = name; *c; c++)
            if (!isalnum((unsigned char)*c) && !strchr("-_.@:", *c))
                *c = '_';
    } while (mkdirat(cgroups->fd, name, 0755) < 0 && errno == EEXIST);
    int fd = openat(cgroups->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        cgroups_remove(cgroups, name);
    return fd;
}

/* To each of them, again and again as long as there are new ones. */
static void signal_each(const Cgroups *cgroups, const char *path, int signal, pid_t group)
{
    for (int round = 0; round < 8; round++) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        if (file_read(cgroups->fd, path, PROCS_MAX_BYTES, &text, &size) < 0 || size == 0)
            return;
        char *next = text;
        for (long pid; (pid = strtol(next, &next, 10)) > 0;)
            if (group == 0 || getpgid((pid_t)pid) != group)
                kill((pid_t)pid, signal);
        if (signal != SIGKILL)
            return;
    }
}

void cgroups_kill(const Cgroups *cgroups, const char *name, int signal, pid_t group)
{
    char path[CGROUP_NAME_SIZE_BYTES + 16];

    if (cgroups->fd < 0)
        return;
    snprintf(path, sizeof(path), "%s/cgroup.kill", name);
    if (signal == SIGKILL && write_text(cgroups->fd, path, "1") == 0) /* Linux 5.14 */
        return;
    snprintf(path, sizeof(path), "%s/cgroup.procs", name);
    signal_each(cgroups, path, signal, group);
}

/* Those that a program has made below its own go first, the lowest before. */
static bool remove_below(int parent_fd, const char *name, int depth)
{
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return true;
    int fd = depth == 0 ? -1 : openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    if (!folder) {
        fd_close(fd);
        return false;
    }
    while ((entry = readdir(folder)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            remove_below(fd, entry->d_name, depth - 1);
    closedir(folder);
    return unlinkat(parent_fd, name, AT_REMOVEDIR) == 0;
}

bool cgroups_remove(const Cgroups *cgroups, const char *name)
{
    return cgroups->fd < 0 || remove_below(cgroups->fd, name, 8);
}
