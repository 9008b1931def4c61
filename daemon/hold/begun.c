/* SPDX-License-Identifier: Apache-2.0 */
/* How far a keeper came that has ended: it counts the frames that it begins with in memory that both have, so that what it was
 * asked for and never saw can be asked of the next one. A page lives as long as its connection, and until it is told that this one
 * is lost. Where the keeper does not count (an older one; one that has executed itself anew) everything counts as begun.
 * memfd_create(2), fcntl(2) (F_ADD_SEALS). */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/hold/internal.h"

static void forget(HoldBegun *begun)
{
    if (begun->count)
        munmap(begun->count, sizeof(*begun->count));
    *begun = (HoldBegun){0};
}

int begun_new(Hold *hold)
{
    _cleanup_(fd_closep) int fd = memfd_create("hvsock-begun", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    forget(&hold->begun);
    if (fd < 0)
        return -errno;
    /* It is not to be made smaller under the keeper. */
    if (ftruncate(fd, sizeof(uint64_t)) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    uint64_t *count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (count == MAP_FAILED)
        return -errno;
    *count = KEEPER_BEGUN_UNKNOWN;
    hold->begun.count = count;
    return TAKE_FD(fd);
}

void begun_end(Hold *hold)
{
    if (!hold->begun.count)
        return;
    forget(&hold->begun_before);
    hold->begun_before = hold->begun;
    hold->begun = (HoldBegun){0};
}

void begun_forget_before(Hold *hold)
{
    forget(&hold->begun_before);
}

void begun_release(Hold *hold)
{
    forget(&hold->begun);
    forget(&hold->begun_before);
}

bool hold_has_begun(const Hold *hold, uint64_t frame)
{
    const HoldBegun *before = &hold->begun_before;
    uint64_t count = before->count ? __atomic_load_n(before->count, __ATOMIC_ACQUIRE) : KEEPER_BEGUN_UNKNOWN;

    /* Those of an earlier connection stand before its first. */
    return count == KEEPER_BEGUN_UNKNOWN || frame <= before->sent_before + count;
}
