/* SPDX-License-Identifier: Apache-2.0 */
/* The folder that hvsockd runs in. */
#pragma once

#include <sys/types.h>

/* Makes a folder (mkdir -p; what is there stays as it is), and makes it ours alone: the lock on it ends with the process,
 * however that ends. -EWOULDBLOCK: another hvsockd has it; -errno. What is wrong was logged. */
int folder_take(const char *path, mode_t mode);
