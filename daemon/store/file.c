/* SPDX-License-Identifier: Apache-2.0 */
/* Files as the store needs them. Nothing here lives longer than a call. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/store/file.h"
#include "schema/base/cleanup.h"
#include "schema/base/fd.h"

#define PAGE_BYTES 4096
#define CHUNK_BYTES (64 * PAGE_BYTES)

char *path_with(const char *path, const char *suffix)
{
    size_t path_bytes = strlen(path), suffix_bytes = strlen(suffix);
    char *joined = malloc(path_bytes + suffix_bytes + 1);

    if (!joined)
        return NULL;
    memcpy(joined, path, path_bytes);
    memcpy(joined + path_bytes, suffix, suffix_bytes + 1);
    return joined;
}

int64_t file_size_bytes(const char *path)
{
    struct stat status;

    return stat(path, &status) < 0 ? -1 : (int64_t)status.st_size;
}

int file_make(const char *path)
{
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    fd_close(fd);
    return 0;
}

static int write_all(int fd, const char *bytes, size_t size_bytes)
{
    while (size_bytes > 0) {
        ssize_t n = write(fd, bytes, size_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        size_bytes -= (size_t)n;
    }
    return 0;
}

/* What the disk cannot give any more is zeros in the copy, page by page. */
static ssize_t read_leniently(int fd, char *chunk, size_t chunk_bytes, off_t offset)
{
    ssize_t n = pread(fd, chunk, chunk_bytes, offset);

    if (n >= 0 || errno != EIO)
        return n;
    n = pread(fd, chunk, PAGE_BYTES, offset);
    if (n >= 0 || errno != EIO)
        return n;
    memset(chunk, 0, PAGE_BYTES);
    return PAGE_BYTES;
}

int file_copy(const char *from, const char *to)
{
    _cleanup_(fd_closep) int in = open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat status;

    if (in < 0 || fstat(in, &status) < 0)
        return -errno;
    int r = file_make(to);
    if (r < 0)
        return r;
    _cleanup_(fd_closep) int out = open(to, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (out < 0)
        return -errno;
    _cleanup_(freep) char *chunk = malloc(CHUNK_BYTES);
    if (!chunk)
        return -ENOMEM;
    for (off_t offset = 0; offset < status.st_size;) {
        ssize_t n = read_leniently(in, chunk, CHUNK_BYTES, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        r = write_all(out, chunk, (size_t)n);
        if (r < 0)
            return r;
        offset += n;
    }
    return 0;
}

static int sync_path(const char *path, int flags)
{
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

int file_sync(const char *path)
{
    return sync_path(path, 0);
}

int folder_sync(const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_(freep) char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");

    if (!folder)
        return -ENOMEM;
    return sync_path(folder, O_DIRECTORY);
}

int file_put_in_place(const char *from, const char *to)
{
    int r = file_sync(from);

    if (r < 0)
        return r;
    if (rename(from, to) < 0)
        return -errno;
    return folder_sync(to);
}

int file_move_aside(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL && access(to, F_OK) < 0 && errno == ENOENT) /* a file system without that flag */
        return rename(from, to) == 0 || errno == ENOENT ? 0 : -errno;
    return errno == ENOENT ? 0 : -errno;
}

void database_remove(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < ELEMENTS_OF(suffixes); i++) {
        _cleanup_(freep) char *file = path_with(path, suffixes[i]);
        if (file)
            unlink(file);
    }
}
