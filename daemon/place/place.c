/* SPDX-License-Identifier: Apache-2.0 */
/* Every bind, change and release goes through here. Keeps nothing. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/place/batch.h"
#include "daemon/place/path.h"
#include "daemon/place/place.h"
#include "daemon/place/result.h"
#include "daemon/place/vsock.h"
#include "schema/base/fd.h"

void place_bind_many(const PlaceRequest *requests, PlaceResult *results, size_t count)
{
    Batch batch;

    batch_begin(&batch);
    for (size_t i = 0; i < count; i++) {
        results[i] = (PlaceResult){.fd = -1};
        if (requests[i].path)
            path_bind(&requests[i], &batch, &results[i]);
        else
            vsock_bind(&requests[i], &results[i]);
    }
    batch_end(&batch);
}

void place_bind(const PlaceRequest *request, PlaceResult *result)
{
    place_bind_many(request, result, 1);
}

void place_result_release(PlaceResult *result)
{
    free(result->reason);
    free(result->watch_path);
    free(result->holders);
    free(result->path);
    fd_close(result->fd);
    *result = (PlaceResult){.fd = -1};
}

void place_change(const PlaceRequest *request, int fd, PlaceResult *result)
{
    *result = (PlaceResult){.fd = -1};
    /* On a socket that listens already, listen(2) sets the backlog and nothing else. */
    if (request->type != SOCK_DGRAM && listen(fd, (int)request->backlog) < 0)
        result_set(result, PLACE_FAILED, errno, "the backlog cannot be set: %s", strerror(errno));
    else if (request->path)
        path_change(request, fd, result);
}

bool place_is_gone(const char *path, uint64_t device, uint64_t inode)
{
    struct stat status;

    if (lstat(path, &status) == 0)
        return status.st_dev != device || status.st_ino != inode;
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
}

void place_remove(const PlaceRequest *request)
{
    Batch batch;

    batch_begin(&batch);
    path_remove(&batch, request->path, request->device, request->inode);
    batch_end(&batch);
}

int place_watch(int inotify_fd, const char *folder)
{
    int watch = inotify_add_watch(inotify_fd, folder,
                                  IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                      IN_ONLYDIR);

    return watch < 0 ? -errno : watch;
}

void place_release_many(const PlaceHeld *held_consume, size_t count)
{
    Batch batch;

    batch_begin(&batch);
    for (size_t i = 0; i < count; i++) {
        const PlaceHeld *held = &held_consume[i];
        if (held->path) {
            /* The file first, while our socket keeps its inode from being given to another: so that the comparison holds,
             * and nobody finds a path that refuses. Then every copy of the socket is deaf (measured; unix(7) does not say
             * it). */
            path_remove(&batch, held->path, held->device, held->inode);
            shutdown(held->fd, SHUT_RDWR);
        }
        fd_close(held->fd);
    }
    batch_end(&batch);
}

void place_release(int fd_consume, const char *path, uint64_t device, uint64_t inode)
{
    place_release_many(&(PlaceHeld){fd_consume, path, device, inode}, 1);
}
