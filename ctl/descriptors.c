/* SPDX-License-Identifier: Apache-2.0 */
/* Moving descriptors; nothing here outlives its call. dup(2), fcntl(2). */

#include <errno.h>
#include <fcntl.h>

#include "ctl/descriptors.h"
#include "schema/base/cleanup.h"

/* Both keep what they are, and change their numbers. */
static int descriptors_swap(int a, int b, int end)
{
    int between = fcntl(b, F_DUPFD_CLOEXEC, end);

    if (between < 0)
        return -errno;
    int r = dup3(a, b, O_CLOEXEC) < 0 || dup3(between, a, O_CLOEXEC) < 0 ? -errno : 0;
    close(between);
    return r;
}

int descriptors_place(int *fds, size_t count, int first)
{
    int end = first + (int)count, r;
    /* Which of ours is at a number, plus one; 0: none. */
    _cleanup_(freep) size_t *at = calloc((size_t)end, sizeof(*at));

    if (!at)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (fds[i] < end)
            at[fds[i]] = i + 1;

    for (size_t i = 0; i < count; i++) {
        int target = first + (int)i, from = fds[i];
        size_t other = at[target];
        if (from != target && other > 0) {
            r = descriptors_swap(from, target, end);
            if (r < 0)
                return r;
            fds[other - 1] = from;
        } else if (from != target) {
            if (dup2(from, target) < 0)
                return -errno;
            close(from);
        }
        if (from < end)
            at[from] = other;
        fds[i] = target;
        if (fcntl(target, F_SETFD, 0) < 0)
            return -errno;
    }
    return 0;
}
