/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets of hvsockctl's own. Each lives as long as somebody is waited for; its path goes with it. vsock(7), unix(7). */

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "ctl/stream/listener.h"
#include "schema/base/fd.h"
#include "schema/base/process.h"
#include "schema/base/stale.h"

#define BACKLOG 128
#define STALE_TRIES 3
#define LOCK_TRIES 100
#define LOCK_TRY_US 10000 /* a second in all */

void listener_close(Listener *listener)
{
    struct stat status;

    if (listener->path && lstat(listener->path, &status) == 0 && status.st_dev == listener->device && status.st_ino == listener->inode)
        unlink(listener->path);
    free(TAKE_PTR(listener->path));
    listener->fd = fd_close(listener->fd);
}

static const char *hint_of(int error, bool unix_socket)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return "make its folder first";
    case EADDRINUSE:
        return "hvsockctl who tells whose it is, where hvsockd holds it";
    case EADDRNOTAVAIL:
        return "leave the CID out: it has to be this host's own";
    case EACCES:
    case EPERM:
        return unix_socket ? "the modes of its folder say who may" : "ports below 1024 are for root, or need CAP_NET_BIND_SERVICE";
    case EAFNOSUPPORT:
        return "load vsock (modprobe vsock); container engines forbid AF_VSOCK by their seccomp profile";
    default:
        return NULL;
    }
}

static int listener_failed(const char *text, bool unix_socket, int error, Failure *failure)
{
    if (error == ENOMEM)
        return -ENOMEM;
    failure_set(failure, text, hint_of(error, unix_socket), "cannot listen: %s", strerror(error));
    failure->for_good = error == EACCES || error == EPERM || error == EAFNOSUPPORT || error == ENAMETOOLONG || error == ESOCKTNOSUPPORT;
    return LISTENER_FAILED;
}

/* ---- paths ---- */

/* Who listens there, to be named; 0: not known. */
static pid_t find_owner(const UnixName *name, int type)
{
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&name->address, sizeof(name->address)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return 0;
    return peer.pid;
}

static int is_taken(const UnixName *name, const char *path, const char *text, int type, Failure *failure)
{
    char program[PROCESS_NAME_SIZE_BYTES];
    pid_t owner = find_owner(name, type);

    if (owner > 0 && process_name(owner, program, sizeof(program)))
        failure_set(failure, text, hint_of(EADDRINUSE, true), "%s (process %d) listens on %s", program, (int)owner, path);
    else
        failure_set(failure, text, hint_of(EADDRINUSE, true), "another program listens on %s", path);
    return LISTENER_FAILED;
}

/* Of several of us that find one file stale, one after the other looks and removes: a socket that one has bound there meanwhile is not even
 * moved for a moment by the next. Without the lock (the folder cannot be read, or somebody keeps it) that is all that would happen. */
static int lock_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_(freep) char *folder = slash && slash > path ? strndup(path, (size_t)(slash - path)) : strdup(slash ? "/" : ".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && i < LOCK_TRIES; i++)
        usleep(LOCK_TRY_US);
    return fd;
}

/* The path is taken. 0: it was a left-over, and is gone; LISTENER_FAILED. */
static int make_room(const UnixName *name, const char *path, const char *text, int type, Failure *failure)
{
    _cleanup_(fd_closep) _unused_ int lock_fd = lock_folder(path);
    _cleanup_(fd_closep) int file_fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat status;

    if (file_fd < 0 && errno == ENOENT)
        return 0;
    if (file_fd < 0 || fd < 0 || fstat(file_fd, &status) < 0)
        return listener_failed(text, true, errno, failure);
    if (!S_ISSOCK(status.st_mode)) {
        failure_set(failure, text, "give another path, or remove it", "%s is there already, and is no socket", path);
        failure->for_good = true;
        return LISTENER_FAILED;
    }
    int r = stale_is_bound(file_fd, fd);
    if (r > 0)
        return is_taken(name, path, text, type, failure);
    if (r < 0) {
        failure_set(failure, text, "remove it if nobody does", "whether somebody listens on %s cannot be told: %s", path, strerror(-r));
        return LISTENER_FAILED;
    }
    r = stale_remove(AT_FDCWD, path, &status);
    return r < 0 ? listener_failed(text, true, -r, failure) : 0;
}

static int bind_path(int fd, const char *path, const char *text, int type, Failure *failure)
{
    UnixName name;

    int r = unix_name_prepare(path, &name);
    if (r < 0)
        return listener_failed(text, true, -r, failure);
    r = -EADDRINUSE;
    for (int i = 0; i < STALE_TRIES && r == -EADDRINUSE; i++) {
        r = bind(fd, (const struct sockaddr *)&name.address, sizeof(name.address)) < 0 ? -errno : 0;
        if (r == -EADDRINUSE) {
            int made = make_room(&name, path, text, type, failure);
            r = made == 0 ? r : made;
        }
    }
    unix_name_release(&name);
    return r < 0 ? listener_failed(text, true, -r, failure) : r;
}

static int bind_vsock(int fd, const Address *address, const char *text, Failure *failure)
{
    struct sockaddr_vm name = {.svm_family = AF_VSOCK, .svm_cid = address->cid, .svm_port = address->port};

    if (bind(fd, (const struct sockaddr *)&name, sizeof(name)) < 0)
        return listener_failed(text, false, errno, failure);
    return 0;
}

int listener_open(const Address *address, const char *text, int type, Failure *failure, Listener *ret)
{
    _cleanup_(listener_close) Listener listener = {.fd = socket_open(address, socket_type(type) | SOCK_NONBLOCK)};
    bool vsock = address->transport == &transport_vsock;
    struct stat status;
    int r;

    if (listener.fd < 0)
        return listener_failed(text, !vsock, -listener.fd, failure);
    if (vsock) {
        r = bind_vsock(listener.fd, address, text, failure);
    } else {
        _cleanup_(freep) char *path = NULL;
        r = address->transport->listen_path(address, &path);
        if (r < 0)
            return r == -EINVAL ? listener_failed(text, true, ENAMETOOLONG, failure) : r;
        r = bind_path(listener.fd, path, text, socket_type(type), failure);
        if (r == 0 && lstat(path, &status) == 0) {
            listener.path = TAKE_PTR(path);
            listener.device = status.st_dev;
            listener.inode = status.st_ino;
        }
    }
    if (r != 0)
        return r;
    if (type != SERVICE_DGRAM && listen(listener.fd, BACKLOG) < 0)
        return listener_failed(text, !vsock, errno, failure);
    *ret = listener;
    listener = (Listener){.fd = -1};
    return 0;
}
