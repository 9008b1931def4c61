/* SPDX-License-Identifier: Apache-2.0 */
/* The folders that hvsockd lives in. */
#pragma once

#include <sys/types.h>

/* mkdir -p; what is there stays as it is. -errno. */
int folder_make(const char *path, mode_t mode);
/* Makes a folder in the same way, and makes it ours alone: the lock on it ends with the process,
 * however that ends. -EWOULDBLOCK: another hvsockd has it; -errno. What is wrong was logged. */
int folder_take(const char *path, mode_t mode);
