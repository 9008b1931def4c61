/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors: closing, copying, keeping lists of them, reading whole files. */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

#include "schema/base/fd.h"

int fd_close(int fd)
{
    if (fd >= 0) {
        int saved_errno = errno;
        close(fd);
        errno = saved_errno;
    }
    return -1;
}

int fd_duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    return copy < 0 ? -errno : copy;
}

int fd_set_nonblocking(int fd, bool nonblocking)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    int wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0)
        return -errno;
    return 0;
}

int fd_list_add_consume(FdList *list, int fd)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 4;
        int *fds = reallocarray(list->fds, capacity, sizeof(*fds));
        if (!fds) {
            fd_close(fd);
            return -ENOMEM;
        }
        list->fds = fds;
        list->capacity = capacity;
    }
    list->fds[list->count++] = fd;
    return 0;
}

int fd_list_add_dup(FdList *list, int fd)
{
    int copy = fd_duplicate(fd);

    if (copy < 0)
        return copy;
    return fd_list_add_consume(list, copy);
}

int fd_list_take(FdList *list, size_t index)
{
    if (index >= list->count || list->fds[index] < 0)
        return -EINVAL;
    return TAKE_FD(list->fds[index]);
}

void fd_list_clear(FdList *list)
{
    for (size_t i = 0; i < list->count; i++)
        fd_close(list->fds[i]);
    free(list->fds);
    *list = (FdList){0};
}

int file_read(int directory_fd, const char *path, size_t size_max_bytes, char **ret_text, size_t *ret_size_bytes)
{
    _cleanup_(fd_closep) int fd = openat(directory_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (S_ISREG(status.st_mode) && (uint64_t)status.st_size > size_max_bytes)
        return -EFBIG;

    size_t capacity = S_ISREG(status.st_mode) && status.st_size > 0 ? (size_t)status.st_size + 1 : 4096;
    size_t size = 0;
    _cleanup_(freep) char *text = malloc(capacity + 1);
    if (!text)
        return -ENOMEM;
    for (;;) {
        if (size == capacity) {
            char *larger = realloc(text, capacity * 2 + 1);
            if (!larger)
                return -ENOMEM;
            text = larger;
            capacity *= 2;
        }
        ssize_t n = read(fd, text + size, capacity - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        size += (size_t)n;
        if (size > size_max_bytes)
            return -EFBIG;
    }
    text[size] = '\0';
    *ret_text = TAKE_PTR(text);
    *ret_size_bytes = size;
    return 0;
}
