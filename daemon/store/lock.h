/* SPDX-License-Identifier: Apache-2.0 */
/* One hvsockd a state folder: flock(2) on STATE/lock, which ends with the process whatever ends it. SQLite's own
 * locking_mode=EXCLUSIVE would do it too, but then no administrator could read registry.db while hvsockd runs.
 * Inside of daemon/store only. */
#pragma once

#include <sys/types.h>

#include "schema/base/buffer.h"

/* The caller closes *ret_fd, which ends the lock; -1: the folder cannot be written, so that there is nothing to lock.
 * -EBUSY: another process has it, named in reason. -errno, with the reason. */
int lock_take(const char *state_path, int *ret_fd, Buffer *reason);
