/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of a state folder. The file stays; its text is the pid of who has or had the lock, and only there to be
 * told. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "daemon/store/file.h"
#include "daemon/store/lock.h"
#include "schema/base/cleanup.h"
#include "schema/base/fd.h"
#include "schema/base/process.h"
#include "schema/base/text.h"

#define LOCK_TRY_US 10000
#define LOCK_TRIES_MAX 1000

/* 0: not known. */
static pid_t lock_holder(int fd)
{
    char text[24] = "";
    uint64_t pid;

    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n > 0)
        text[strcspn(text, "\n")] = '\0';
    return n > 0 && text_to_number(text, INT32_MAX, &pid) ? (pid_t)pid : 0;
}

static void explain_holder(const char *state_path, int fd, Buffer *reason)
{
    pid_t pid = lock_holder(fd);

    buffer_printf(reason, "%s: another hvsockd uses this folder", state_path);
    if (pid > 0)
        buffer_printf(reason, " (pid %d)", (int)pid);
    buffer_append_text(reason, "; end that one, or choose another folder with --state");
}

/* One that was killed a moment ago may have the lock still, or have let go of it and not yet of its sockets and paths, which we
 * are about to make anew: so its end is waited for. Nobody else is. false: errno says why. */
static bool lock_wait(int fd)
{
    bool locked;

    for (int tries = 0;; tries++) {
        pid_t holder = lock_holder(fd);
        locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        int error = errno;
        bool waits = holder > 0 && holder != getpid() && process_is_ending(holder) && (!locked || !process_is_closed(holder));
        errno = error;
        if ((!locked && errno != EWOULDBLOCK) || !waits || tries >= LOCK_TRIES_MAX)
            return locked;
        usleep(LOCK_TRY_US);
    }
}

int lock_take(const char *state_path, int *ret_fd, Buffer *reason)
{
    _cleanup_(freep) char *path = path_with(state_path, "/lock");
    char pid[24];

    if (!path)
        return -ENOMEM;
    _cleanup_(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
    if (fd < 0 && (errno == EROFS || errno == EACCES || errno == EPERM)) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
        if (fd < 0) {
            *ret_fd = -1;
            return 0;
        }
    }
    if (fd < 0) {
        int r = -errno;
        buffer_printf(reason, "%s: %s; --state names a folder that hvsockd may write to", path, strerror(-r));
        return r;
    }
    if (!lock_wait(fd)) {
        if (errno != EWOULDBLOCK)
            return -errno;
        explain_holder(state_path, fd, reason);
        return -EBUSY;
    }
    /* On a full disk the text is missing, the lock is not. */
    int size = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, pid, (size_t)size, 0);
    *ret_fd = TAKE_FD(fd);
    return 0;
}
