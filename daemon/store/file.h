/* SPDX-License-Identifier: Apache-2.0 */
/* Files as the store needs them: made, copied and put in place so that a reader finds all of it or nothing. Inside of
 * daemon/store only. Everything here answers 0 or -errno. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* path + suffix, owned by the caller; NULL: out of memory. */
char *path_with(const char *path, const char *suffix);
/* -1 where there is none. */
int64_t file_size_bytes(const char *path);
/* An empty file that only its owner may read; replaces what is there. */
int file_make(const char *path);
/* Replaces; only its owner may read it. */
int file_copy(const char *from, const char *to);
int file_sync(const char *path);
/* Makes renames in the folder of path durable. */
int folder_sync(const char *path);
/* Syncs from, renames it over to, and syncs the folder. */
int file_put_in_place(const char *from, const char *to);
/* Never replaces: -EEXIST. A file that is not there is none to move: 0. */
int file_move_aside(const char *from, const char *to);
/* Removes path and SQLite's files beside it (-wal, -shm, -journal). */
void database_remove(const char *path);
