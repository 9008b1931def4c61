/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting from this host to where an address says: the client's side of each transport. */
#pragma once

#include <stdint.h>

#include "ctl/stream/socket.h"

#define HYPERKIT_CID_DEFAULT 3u

typedef struct Target Target;

/* Whom to connect to. */
struct Target {
    Address address;
    int type;               /* SERVICE_STREAM and so on; 0: on unix://, whatever is there; else stream */
    uint32_t hyperkit_cid;
    char text[160];         /* for messages */
};

static inline void target_release(Target *target)
{
    address_release(&target->address);
}

enum { DIAL_FAILED = 1 };
/* Within the time, handshake included. The caller owns *ret_fd, of which not a byte that is the peer's own was read. 0; DIAL_FAILED
 * with *failure; -ENOMEM. */
int dial(const Target *target, uint64_t deadline_ms, Failure *failure, int *ret_fd);
