/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors at the numbers where a program expects them. */
#pragma once

#include <stddef.h>

/* Moves fds[i] to first + i, where close-on-exec is cleared; fds says the new numbers afterwards. Each is at least 3
 * and there once. What else is at these numbers is overwritten. At no time is more than one number needed beside those
 * that are in use and those that are wanted. -errno: some have moved; fds says where all are. */
int descriptors_place(int *fds, size_t count, int first);
