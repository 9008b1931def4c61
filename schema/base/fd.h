/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors and lists of them. An FdList owns what is in it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/cleanup.h"

typedef struct FdList FdList;

struct FdList {
    int *fds;
    size_t count;
    size_t capacity;
};

/* Closes fd unless it is negative; errno is kept. Returns -1, for `fd = fd_close(fd)`. */
int fd_close(int fd);
static inline void fd_closep(int *fd)
{
    fd_close(*fd);
}

/* A copy with O_CLOEXEC; -errno. */
int fd_duplicate(int fd);

/* Sets or clears O_NONBLOCK, which all copies of a descriptor share; -errno. */
int fd_set_nonblocking(int fd, bool nonblocking);

/* Takes fd over, also where it fails (closed then). -ENOMEM. */
int fd_list_add_consume(FdList *list, int fd);
/* Puts in a copy; -errno. */
int fd_list_add_dup(FdList *list, int fd);
/* The descriptor at index, which the caller owns now; -EINVAL where there is none (any more). */
int fd_list_take(FdList *list, size_t index);
/* Closes everything; the list is empty and usable afterwards. */
void fd_list_clear(FdList *list);

/* Reads a whole file of at most size_max_bytes; text ends with a NUL that is not counted. -EFBIG, -errno. */
int file_read(int directory_fd, const char *path, size_t size_max_bytes, char **ret_text, size_t *ret_size_bytes);
