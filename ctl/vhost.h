/* SPDX-License-Identifier: Apache-2.0 */
/* /dev/vhost-vsock: taking a CID that is free, and holding it until the VMM has it. drivers/vhost/vsock.c of Linux. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VHOST_DEVICE "/dev/vhost-vsock"
#define VHOST_CID_FIRST 3u /* 0, 1 and 2 are the hypervisor, the local and the host's */

/* Gives an open device a CID, as the ioctl does: -EADDRINUSE where another has it; -errno. */
typedef int (*VhostSetCid)(int fd, uint32_t cid);
int vhost_set_cid(int fd, uint32_t cid);

/* The first CID from `from` on that is none of those known and that the device takes. 0; VHOST_NONE; -errno. */
enum { VHOST_NONE = 1 };
int vhost_choose_cid(int fd, VhostSetCid set_cid, uint32_t from, const uint32_t *known, size_t known_count, uint32_t *ret);

/* An argument of the VMM, with {cid} and {vhostfd} replaced by their numbers; fd negative, cid NULL: there is none, and it
 * stays as it is. *ret: owned. -ENOMEM. */
int vhost_fill_argument(const char *argument, const uint32_t *cid, int fd, char **ret);
