/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing a CID by taking it: the kernel lets one open device have it, and no other until that is closed. Nothing is kept.
 *
 * VHOST_SET_OWNER is left to the VMM: it ties the device to the address space that calls it, which execve(2) replaces; a
 * VMM that finds an owner gets EBUSY. The CID needs no owner. */

#include <errno.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>

#include "ctl/vhost.h"
#include "schema/base/buffer.h"
#include "schema/base/text.h"

#define TRIES_MAX (1u << 20)

int vhost_set_cid(int fd, uint32_t cid)
{
    uint64_t value = cid;

    return ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &value) < 0 ? -errno : 0;
}

int vhost_choose_cid(int fd, VhostSetCid set_cid, uint32_t from, const uint32_t *known, size_t known_count, uint32_t *ret)
{
    uint32_t first = from < VHOST_CID_FIRST ? VHOST_CID_FIRST : from;

    for (uint32_t cid = first; cid - first < TRIES_MAX && cid < UINT32_MAX; cid++) {
        size_t i = 0;
        while (i < known_count && known[i] != cid)
            i++;
        if (i < known_count)
            continue;
        int r = set_cid(fd, cid);
        if (r == -EADDRINUSE)
            continue;
        if (r == 0)
            *ret = cid;
        return r;
    }
    return VHOST_NONE;
}

int vhost_fill_argument(const char *argument, const uint32_t *cid, int fd, char **ret)
{
    Buffer filled = {0};

    while (*argument) {
        if (cid && text_starts_with(argument, "{cid}")) {
            buffer_append_number(&filled, *cid);
            argument += strlen("{cid}");
        } else if (fd >= 0 && text_starts_with(argument, "{vhostfd}")) {
            buffer_append_number(&filled, (unsigned long long)fd);
            argument += strlen("{vhostfd}");
        } else {
            buffer_append_char(&filled, *argument++);
        }
    }
    return buffer_take(&filled, ret, NULL);
}
