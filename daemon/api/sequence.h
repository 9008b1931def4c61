/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are answered by several replies, made as the client takes them. The last one has no `continues`, so each
 * is kept back until it is known whether another follows. */
#pragma once

#include <stdint.h>

#include "daemon/api/call.h"

enum {
    SEQUENCE_DONE = 0,
    SEQUENCE_FULL,  /* the client has to read first */
    SEQUENCE_IDLE,  /* there is nothing to tell at present */
    SEQUENCE_YIELD, /* others have their turn first */
};
/* Sends replies of a call with `more` until then. -errno. */
int sequence_run(Call *call, uint64_t deadline_us);
/* Of a call without `more`: the one reply, or the one without the item, or ExpectedMore. As handlers answer. */
int sequence_single(Call *call, Buffer *reply, FdList *fds);
