/* SPDX-License-Identifier: Apache-2.0 */
/* What runs between clone and execve. The memory is the keeper's, which stands still meanwhile: nothing here allocates,
 * locks, or uses what libc keeps a process' state for; credentials are set by system calls of our own, as libc's would
 * tell other threads; and so is execve, as coverage brings one that writes files first. clone(2), vfork(2),
 * signal-safety(7). */

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/keeper/child.h"

#define LISTEN_FDS_FIRST 3
#ifdef SYS_setgroups32 /* where the others know ids of 16 bits only */
#define SETGROUPS SYS_setgroups32
#define SETRESGID SYS_setresgid32
#define SETRESUID SYS_setresuid32
#else
#define SETGROUPS SYS_setgroups
#define SETRESGID SYS_setresgid
#define SETRESUID SYS_setresuid
#endif

/* true: it failed, and that is written down. */
static bool failed(Child *child, long result, const char *what)
{
    if (result >= 0)
        return false;
    child->error = errno;
    child->what = what;
    return true;
}

static void move_to_cgroup(int cgroup_fd)
{
    int fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "0", 1) < 0)
        errno = 0; /* it goes on where it is */
    close(fd);
}

/* From here on the descriptors are our own: 0 to 2, and from 3 on those of LISTEN_FDS. */
static bool arrange_descriptors(Child *child)
{
    const Spec *spec = child->spec;

    if (failed(child, syscall(SYS_close_range, (unsigned)child->source_max + 1, ~0u, CLOSE_RANGE_UNSHARE), "close_range"))
        return false;
    for (int i = 0; i < 3; i++)
        if (failed(child, dup2(spec->stdio[i] < 0 ? child->null_fd : child->sources[spec->stdio[i]], i), "dup2"))
            return false;
    for (size_t i = 0; i < spec->listen_count; i++)
        if (failed(child, dup2(child->sources[spec->listen[i]], LISTEN_FDS_FIRST + (int)i), "dup2"))
            return false;
    return !failed(child, syscall(SYS_close_range, LISTEN_FDS_FIRST + (unsigned)spec->listen_count, ~0u, 0), "close_range");
}

static bool set_limits(Child *child)
{
    const Spec *spec = child->spec;

    if (failed(child, setrlimit(RLIMIT_NOFILE, &child->files), "limit of open files"))
        return false;
    for (size_t i = 0; i < spec->limit_count; i++)
        if (failed(child, setrlimit((__rlimit_resource_t)spec->limits[i].resource, &spec->limits[i].limit), "limits"))
            return false;
    return true;
}

static bool set_credentials(Child *child)
{
    const Spec *spec = child->spec;

    if (child->sets_groups && failed(child, syscall(SETGROUPS, spec->group_count, spec->groups), "groups"))
        return false;
    if (spec->has_gid && failed(child, syscall(SETRESGID, spec->gid, spec->gid, spec->gid), "group"))
        return false;
    if (spec->has_uid && failed(child, syscall(SETRESUID, spec->uid, spec->uid, spec->uid), "user"))
        return false;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if ((spec->has_uid && (getuid() != spec->uid || geteuid() != spec->uid)) ||
        (spec->has_gid && (getgid() != spec->gid || getegid() != spec->gid))) {
        errno = EPERM;
        failed(child, -1, "user");
        return false;
    }
    return true;
}

/* Programs end with the keeper. The kernel forgets it with a change of credentials, and the keeper may have ended before. */
static bool end_with_keeper(Child *child)
{
    if (failed(child, prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl"))
        return false;
    return getppid() == child->keeper_pid;
}

static bool enter_directory(Child *child)
{
    child->what = "chdir";
    return !failed(child, chdir(child->spec->directory), "chdir");
}

static void write_pid(char *text, pid_t pid)
{
    char digits[16];
    size_t count = 0;

    do
        digits[count++] = (char)('0' + pid % 10);
    while ((pid /= 10) > 0);
    while (count > 0)
        *text++ = digits[--count];
    *text = '\0';
}

int child_main(void *userdata)
{
    Child *child = userdata;
    const Spec *spec = child->spec;
    sigset_t none;

    if (child->cgroup_fd >= 0)
        move_to_cgroup(child->cgroup_fd);
    setsid();
    umask(spec->umask);
    if (arrange_descriptors(child) && set_limits(child) && set_credentials(child) && end_with_keeper(child) &&
        enter_directory(child)) {
        if (spec->listen_pid)
            write_pid(spec->listen_pid + sizeof("LISTEN_PID=") - 1, getpid());
        /* Handlers there are none, and the keeper ignores nothing: what it blocks is all that would be inherited. */
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        child->what = "exec";
        syscall(SYS_execve, spec->arguments[0], spec->arguments, spec->environment);
        failed(child, -1, "exec");
    }
    _exit(127);
}
