/* SPDX-License-Identifier: Apache-2.0 */
/* What stands at a path already: a stale socket file is removed, as schema/base/stale has it, and of anything else it is told what it
 * is and who serves it. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/place/holders.h"
#include "daemon/place/occupant.h"
#include "daemon/place/result.h"
#include "schema/base/fd.h"
#include "schema/base/stale.h"

/* 0: connected. The file is named by its descriptor: whatever the path leads to by now, this file is meant. */
static int connect_to_file(int socket_fd, int file_fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    snprintf(name.sun_path, sizeof(name.sun_path), "/proc/self/fd/%d", file_fd);
    return connect(socket_fd, (const struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : 0;
}

static int is_bound(int file_fd)
{
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd < 0 ? -errno : stale_is_bound(file_fd, fd);
}

/* Whom the kernel noted when the socket began to listen. The server sees a connection that ends at once, so this comes
 * last. */
static pid_t listener_by_connecting(int file_fd)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    struct ucred peer;
    socklen_t size_bytes = sizeof(peer);

    for (size_t i = 0; i < ELEMENTS_OF(types); i++) {
        _cleanup_(fd_closep) int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            return 0;
        int r = connect_to_file(fd, file_fd);
        if (r == -EPROTOTYPE)
            continue;
        return r == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size_bytes) == 0 ? peer.pid : 0;
    }
    return 0;
}

static void served(const PlaceRequest *request, const Site *site, int file_fd, const struct stat *status,
                   PlaceResult *result)
{
    _cleanup_(buffer_release) Buffer names = {0};
    uint64_t inode = 0;

    if (request->known_holder_count == 0)
        inode = holders_unix_inode(status->st_dev, status->st_ino);
    result_find_holders(result, request, &inode, inode > 0);
    if (result->holder_count == 0) {
        pid_t pid = listener_by_connecting(file_fd);
        if (pid > 0 && pid != getpid() && (result->holders = calloc(1, sizeof(pid_t))))
            result->holders[result->holder_count++] = pid;
    }
    if (result_name_holders(result, &names) && !names.failed)
        result_set(result, PLACE_WAITING, EADDRINUSE, "%s is served by %s", site->path, names.data);
    else
        result_set(result, PLACE_WAITING, EADDRINUSE,
                   "%s is served by a process that hvsockd may not see, or by another service of its own", site->path);
    result_watch(result, site->folder);
}

static void no_socket(const Site *site, const struct stat *status, PlaceResult *result)
{
    const char *what = S_ISREG(status->st_mode)    ? "a regular file"
                       : S_ISDIR(status->st_mode)  ? "a folder"
                       : S_ISLNK(status->st_mode)  ? "a symbolic link"
                       : S_ISFIFO(status->st_mode) ? "a pipe"
                                                   : "a device";

    result_set(result, PLACE_WAITING, EADDRINUSE,
               "%s is %s, and only stale sockets are replaced; remove it, or take another path", site->path, what);
    result_watch(result, site->folder);
}

enum { REMOVE_CANNOT = 1 }; /* result says why */
/* By who the batch is there, for what one may not remove oneself is not removed for one. */
static int remove_as_insider(const PlaceRequest *request, Batch *batch, const struct stat *stale, PlaceResult *result)
{
    if (!batch_enter(batch, request, 0600, result))
        return REMOVE_CANNOT;
    int r = stale_remove(batch->site.fd, batch->site.name, stale);
    batch_leave(batch);
    return r;
}

bool occupant_clear(const PlaceRequest *request, Batch *batch, PlaceResult *result)
{
    const Site *site = &batch->site;
    _cleanup_(fd_closep) int file_fd = openat(site->fd, site->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;

    if (file_fd < 0 && errno == ENOENT)
        return true;
    if (file_fd < 0 || fstat(file_fd, &status) < 0) {
        site_failed(site, "looked at", errno, result);
        return false;
    }
    if (!S_ISSOCK(status.st_mode)) {
        no_socket(site, &status, result);
        return false;
    }
    int bound = is_bound(file_fd);
    if (bound > 0) {
        served(request, site, file_fd, &status, result);
        return false;
    }
    if (bound < 0) {
        if (!result_set_resources(result, -bound)) {
            result_set(
                result, PLACE_WAITING, EADDRINUSE,
                "%s is a socket of uid %u, and whether somebody serves it cannot be told: %s; remove it if nobody does",
                site->path, (unsigned)status.st_uid, strerror(-bound));
            result_watch(result, site->folder);
        }
        return false;
    }
    int r = remove_as_insider(request, batch, &status, result);
    if (r == 0)
        return true;
    if (r == REMOVE_CANNOT)
        return false;
    if (r == -EPERM || r == -EACCES) {
        result_set(
            result, PLACE_WAITING, -r,
            "%s is a stale socket of uid %u, which uid %u may not remove from %s; remove it, or give the folder to "
            "uid %u",
            site->path, (unsigned)status.st_uid, (unsigned)site->as_uid, site->folder, (unsigned)site->as_uid);
        result_watch(result, site->folder);
    } else {
        site_failed(site, "cleared of a stale socket", -r, result);
    }
    return false;
}
