/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets at a path: bound, owned, listening, in this order. Keeps nothing.
 *
 * A socket file is born with the mode of the socket's own inode (0777) less the umask (unix_bind(); *measured*), and
 * belongs to whom the file system takes us for (setfsuid(2)). So it is born right wherever we are root, or need not be
 * anybody else. Nobody gets a connection before listen(2), which comes last, when its owner is right too; a datagram socket
 * has no such step: where its owner is to be another it is born 0600, gets its owner, then its mode. bind(2) knows no folder
 * descriptor: we are in the folder for a moment, and its name alone stands for it, which also takes any length of folder;
 * that is done where site.h says that a plain path does not do, as then `ss -xl` shows the name alone. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/sockios.h>
#include <linux/un.h> /* not sys/un.h beside it: both define sockaddr_un */

#include "daemon/place/batch.h"
#include "daemon/place/occupant.h"
#include "daemon/place/path.h"
#include "daemon/place/result.h"
#include "daemon/place/site.h"
#include "schema/base/fd.h"

#define TRIES_MAX 4 /* against others who bind and clear the same path */

typedef struct Owner {
    uid_t uid;
    gid_t gid;
    bool user_asked, group_asked; /* else it is the folder's, as far as we may */
    mode_t mode;
} Owner;

static Owner owner_wanted(const PlaceRequest *request, const Site *site)
{
    return (Owner){
        .uid = request->uid == PLACE_NOT_ASKED ? site->uid : request->uid,
        .gid = request->gid == PLACE_NOT_ASKED ? site->gid : request->gid,
        .user_asked = request->uid != PLACE_NOT_ASKED,
        .group_asked = request->gid != PLACE_NOT_ASKED,
        .mode = request->mode == PLACE_NOT_ASKED ? PLACE_MODE_DEFAULT : request->mode,
    };
}

/* -ENAMETOOLONG: even the last part alone is. */
static int bind_name(Site *site, struct sockaddr_un *ret)
{
    if (site->fd < 0 && strlen(site->path) >= sizeof(ret->sun_path)) {
        int r = site_hold(site);
        if (r < 0)
            return r;
    }
    size_t size_bytes = strlen(site->name) + 1;
    if (size_bytes > sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    ret->sun_family = AF_UNIX;
    memcpy(ret->sun_path, site->name, size_bytes);
    return 0;
}

/* The file that our socket is bound to, O_PATH. The kernel gives it to who has CAP_NET_ADMIN; else it is what stands at
 * the place, if that can be ours: in somebody else's folder it could have been swapped, but not for a socket of ours
 * with one name. */
static int open_own_file(int fd, const Site *site)
{
    int file_fd = ioctl(fd, SIOCUNIXFILE);
    struct stat status;

    if (file_fd >= 0)
        return file_fd;
    file_fd = openat(site->fd, site->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (file_fd < 0)
        return -errno;
    if (fstat(file_fd, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_nlink == 1 && status.st_uid == geteuid())
        return file_fd;
    fd_close(file_fd);
    return -ESTALE;
}

static int chown_if_may(int file_fd, uid_t uid, gid_t gid, bool asked)
{
    /* EINVAL: an id that our user namespace does not have. */
    if (fchownat(file_fd, "", uid, gid, AT_EMPTY_PATH) == 0 || (!asked && (errno == EPERM || errno == EINVAL)))
        return 0;
    return -errno;
}

/* The user last: without CAP_FOWNER the mode cannot be set once the file is another's. */
static bool own(int file_fd, const struct stat *status, const Owner *owner, const char *path, PlaceResult *result)
{
    char link[32];
    bool mode_is_right = (status->st_mode & 07777) == owner->mode;
    int r = 0;

    /* Both at once, where we may. */
    if (mode_is_right && status->st_gid != owner->gid && status->st_uid != owner->uid &&
        fchownat(file_fd, "", owner->uid, owner->gid, AT_EMPTY_PATH) == 0)
        return true;
    if (status->st_gid != owner->gid)
        r = chown_if_may(file_fd, (uid_t)-1, owner->gid, owner->group_asked);
    if (r == 0 && !mode_is_right) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", file_fd); /* fchmod(2) does not take O_PATH */
        r = chmod(link, owner->mode) < 0 ? -errno : 0;
    }
    if (r == 0 && status->st_uid != owner->uid)
        r = chown_if_may(file_fd, owner->uid, (gid_t)-1, owner->user_asked);
    if (r < 0)
        result_set(
            result, PLACE_FAILED, -r,
            "%s cannot be given to uid %u, gid %u with mode %04o: %s; uid %u needs CAP_CHOWN for that, or socket.user "
            "and socket.group that are its own",
            path, (unsigned)owner->uid, (unsigned)owner->gid, (unsigned)owner->mode, strerror(-r), (unsigned)geteuid());
    return r == 0;
}

/* Looks at the file that bind(2) made, and sets what is not right about it yet. Where it was born right there is nothing to
 * be set; in somebody else's folder what is seen then can be another socket that its owner has put there, which is as good
 * as any other thing that he can do to it. */
static bool own_bound(int fd, Batch *batch, const Owner *owner, struct stat *ret_status, PlaceResult *result)
{
    const Site *site = &batch->site;
    _cleanup_(fd_closep) int file_fd = -1;
    int r = fstatat(site->fd, site->name, ret_status, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;

    if (r == 0 && ret_status->st_uid == owner->uid && ret_status->st_gid == owner->gid && ret_status->st_nlink == 1 &&
        ret_status->st_mode == (S_IFSOCK | owner->mode))
        return true;
    batch_leave(batch);
    if (r == 0 || !site->is_ours) {
        file_fd = open_own_file(fd, site);
        r = file_fd < 0 ? file_fd : fstat(file_fd, ret_status) < 0 ? -errno : 0;
    }
    if (r < 0) {
        ret_status->st_ino = 0;
        result_set(result, PLACE_WAITING, -r, "%s was removed or replaced while it was made", site->path);
        result_watch(result, site->folder);
        return false;
    }
    return own(file_fd, ret_status, owner, site->path, result);
}

static void remove_if_same(const Site *site, uint64_t device, uint64_t inode)
{
    struct stat status;

    if (fstatat(site->fd, site->name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_dev == device &&
        status.st_ino == inode && S_ISSOCK(status.st_mode))
        unlinkat(site->fd, site->name, 0);
}

/* Into the folder, and with the umask that makes the file as it shall be, or, where it is to be another's, that lets nobody
 * else in before it is. */
static bool enter_to_bind(const PlaceRequest *request, Batch *batch, const Owner *owner, PlaceResult *result)
{
    if (!batch_enter(batch, request, owner->mode, result))
        return false;
    bool born_right = request->type != SOCK_DGRAM ||
                      (owner->uid == batch->acting_uid && owner->gid == batch->acting_gid);
    return born_right || batch_enter(batch, request, owner->mode & 0600, result);
}

/* 0; BIND_CANNOT: result says why; -errno of bind(2). */
enum { BIND_CANNOT = 1 };
static int bind_tries(const PlaceRequest *request, Batch *batch, int fd, const Owner *owner, PlaceResult *result)
{
    struct sockaddr_un name;
    int r = bind_name(&batch->site, &name);

    for (unsigned tries = 0; r == 0; tries++) {
        if (!enter_to_bind(request, batch, owner, result))
            return BIND_CANNOT;
        if (bind(fd, (const struct sockaddr *)&name, sizeof(name)) == 0)
            return 0;
        if (errno != EADDRINUSE || tries >= TRIES_MAX)
            return -errno;
        batch_leave(batch);
        if (!occupant_clear(request, batch, result))
            return BIND_CANNOT;
    }
    if (r == -ENAMETOOLONG) {
        result_set(result, PLACE_FAILED, ENAMETOOLONG,
                   "the last part of %s is too long for a socket: %zu bytes fit; choose a shorter name", batch->site.path,
                   sizeof(name.sun_path) - 1);
        return BIND_CANNOT;
    }
    return r;
}

/* The socket is bound, and the batch inside, when this answers true. */
static bool bind_at_site(const PlaceRequest *request, Batch *batch, int fd, const Owner *owner, PlaceResult *result)
{
    const Site *site = &batch->site;
    int r = bind_tries(request, batch, fd, owner, result);

    if (r == 0)
        return true;
    batch_leave(batch);
    if (r == -EADDRINUSE) {
        result_set(result, PLACE_WAITING, EADDRINUSE, "%s is bound and removed by others again and again", site->path);
        result_watch(result, site->folder);
    } else if (r != BIND_CANNOT) {
        site_failed(site, "bound", -r, result);
    }
    return false;
}

void path_bind(const PlaceRequest *request, Batch *batch, PlaceResult *result)
{
    Site *site = batch_open_site(batch, request->path, result);
    struct stat status;

    if (!site)
        return;
    Owner owner = owner_wanted(request, site);
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, request->type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        if (!result_set_resources(result, errno))
            result_set(result, PLACE_FAILED, errno, "no unix socket can be made: %s", strerror(errno));
        return;
    }
    if (!bind_at_site(request, batch, fd, &owner, result))
        return;
    if (own_bound(fd, batch, &owner, &status, result)) {
        if (request->type != SOCK_DGRAM && listen(fd, (int)request->backlog) < 0)
            result_set(result, PLACE_FAILED, errno, "%s is bound, but listen(2) fails: %s", request->path,
                       strerror(errno));
        else if (!(result->path = strdup(request->path)))
            result->state = PLACE_WAITING; /* without a reason */
        else
            result_listening(result, TAKE_FD(fd));
    }
    result->device = status.st_dev;
    result->inode = status.st_ino;
    if (result->fd < 0 && status.st_ino)
        remove_if_same(site, status.st_dev, status.st_ino);
}

/* What stands at the path, if it is ours: by the kernel's word, else by device and inode, else by standing in a folder that
 * nobody else can write to. */
static int open_ours(const PlaceRequest *request, int fd, const Site *site, struct stat *ret_status)
{
    _cleanup_(fd_closep) int file_fd = openat(site->fd, site->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat own_status;

    if (file_fd < 0 || fstat(file_fd, ret_status) < 0)
        return -errno;
    uint64_t device = request->device, inode = request->inode;
    _cleanup_(fd_closep) int own_fd = ioctl(fd, SIOCUNIXFILE);
    if (own_fd >= 0 && fstat(own_fd, &own_status) == 0) {
        device = own_status.st_dev;
        inode = own_status.st_ino;
    }
    bool is_ours = inode ? ret_status->st_dev == device && ret_status->st_ino == inode : site->is_ours;
    return is_ours && S_ISSOCK(ret_status->st_mode) ? TAKE_FD(file_fd) : -ESTALE;
}

void path_change(const PlaceRequest *request, int fd, PlaceResult *result)
{
    struct stat status;
    Site site;

    if (!site_open(request->path, &site, result))
        return;
    Owner owner = owner_wanted(request, &site);
    _cleanup_(fd_closep) int file_fd = open_ours(request, fd, &site, &status);
    if (file_fd == -EMFILE || file_fd == -ENFILE)
        result_set_resources(result, -file_fd);
    else if (file_fd < 0)
        result_set(result, PLACE_FAILED, -file_fd,
                   "%s is not there any more, or is another's by now; disable and enable the service to bind it anew",
                   request->path);
    else
        own(file_fd, &status, &owner, request->path, result);
    site_close(&site);
}

void path_remove(Batch *batch, const char *path, uint64_t device, uint64_t inode)
{
    static const PlaceRequest anybodys = {.uid = PLACE_NOT_ASKED, .gid = PLACE_NOT_ASKED, .as_uid = PLACE_NOT_ASKED};
    PlaceResult ignored = {.fd = -1};

    if (batch_open_site(batch, path, &ignored) && batch_enter(batch, &anybodys, 0600, &ignored))
        remove_if_same(&batch->site, device, inode);
    place_result_release(&ignored);
}
