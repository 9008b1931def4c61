/* SPDX-License-Identifier: Apache-2.0 */
/* Socket files that nobody is bound to any more: telling them from those that somebody is, and removing no other. unix(7). */
#pragma once

#include <sys/stat.h>

/* Whether some socket is bound to a file, which file_fd (O_PATH) holds: 1; 0: none, and there never will be; -errno: cannot be told.
 * datagram_fd is a new unix socket of that type, not blocking, and of no use afterwards. Who serves the file never sees the question. */
int stale_is_bound(int file_fd, int datagram_fd);
/* Removes the file at path (openat(2)'s folder_fd and path) if it is the one that was found stale, whose descriptor is open still.
 * 0: removed, or gone, or another's by now: look again. -errno. */
int stale_remove(int folder_fd, const char *path, const struct stat *stale);
