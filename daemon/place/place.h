/* SPDX-License-Identifier: Apache-2.0 */
/* Making bound, listening sockets at places (a path in some folder, a port of AF_VSOCK), and letting go of them. A request
 * is a flat value: numbers and a path, which it borrows. It knows nothing of services, machines or addresses, so that it is
 * the same for hvsockd, which binds what it may, and for hvsock-keeper, which binds what hvsockd may not. socket(2),
 * vsock(7), unix(7), openat2(2). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct PlaceHeld PlaceHeld;
typedef struct PlaceRequest PlaceRequest;
typedef struct PlaceResult PlaceResult;

#define PLACE_NOT_ASKED UINT32_MAX /* of a uid, a gid, a mode */
#define PLACE_MODE_DEFAULT 0660u

typedef enum PlaceState {
    PLACE_LISTENING = 0,
    PLACE_WAITING, /* transport or folder is not there, EADDRINUSE, EMFILE, a file system that is full or read-only: tried again when it can have changed */
    PLACE_FAILED,  /* EACCES and the like */
} PlaceState;

struct PlaceRequest {
    const char *path; /* absolute, ends with the socket's name; NULL: cid and port of AF_VSOCK */
    uint32_t cid;
    uint32_t port;
    int type; /* SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM */
    uint32_t backlog;
    uid_t uid;   /* of the file; PLACE_NOT_ASKED: the folder's, as far as we may */
    gid_t gid;   /* likewise */
    mode_t mode; /* PLACE_NOT_ASKED: PLACE_MODE_DEFAULT */
    /* Where we are root, and the folder is not: who makes the file there; PLACE_NOT_ASKED: the folder's owner. Others than
     * the folder's owner need their group. */
    uid_t as_uid;
    gid_t as_gid;
    /* Who was in the way at the try before: named again while they live, without another walk over /proc. */
    const pid_t *known_holders;
    size_t known_holder_count;
    uint64_t device, inode; /* place_change only: of the path, as place_bind told them; 0: not known */
};

struct PlaceResult {
    PlaceState state;
    int error;        /* the errno behind it, 0 where there is none */
    char *reason;     /* for people: "the folder /run/vms/web1 is not there", "port 5140 is held by process 812 (socat)".
                         Waiting without a reason: there was no memory to write it down */
    char *watch_path; /* waiting on the file system: the nearest folder that exists, to be watched by inotify; or NULL.
                         A program that ends without removing its socket changes no folder: look again by time, too */
    pid_t *holders;   /* processes that hold what is in the way, where that can be known; holder_count of them */
    size_t holder_count;
    int fd;                 /* listening: blocking, close-on-exec; else -1 */
    char *path;             /* listening on a path: the socket file that is ours; or NULL */
    uint64_t device, inode; /* of that file, so that nobody else's is unlinked */
    int watch;              /* place_watch's, where that was asked of another */
};

/* What place_bind made. */
struct PlaceHeld {
    int fd;
    const char *path; /* borrowed; NULL: none */
    uint64_t device, inode;
};

/* Always fills in *result, which need not be initialized. Never blocks, follows no symbolic link in a machine's folder,
 * replaces a stale path and never one that somebody serves. */
void place_bind(const PlaceRequest *request, PlaceResult *result);
/* One after the other, in their order. What is costly and the same for neighbours, as a folder that they share, is looked
 * at once. */
void place_bind_many(const PlaceRequest *requests, PlaceResult *results, size_t count);
void place_result_release(PlaceResult *result);

/* A change that needs no new socket: backlog by listen(2) again, owner and mode of the path. Fills state, error and
 * reason. Nothing is changed that is not ours (device, inode): where these are not given, only in folders that root or
 * we own. */
void place_change(const PlaceRequest *request, int fd, PlaceResult *result);

/* Whether some socket of this host, whoever's, has that AF_VSOCK port now: asked of the kernel, by a bind that is undone at
 * once. false also where it does not say. */
bool place_port_is_taken(uint32_t port);

/* The path is not that file any more. Where it cannot be told, because we may not look there, it is said not to be gone. */
bool place_is_gone(const char *path, uint64_t device, uint64_t inode);
/* Has that inotify(7) instance told what comes and goes in a folder: the watch, or -errno. */
int place_watch(int inotify_fd, const char *folder);
/* The file alone, where it is still that of device and inode; what place_release does first. */
void place_remove(const PlaceRequest *request);

/* Closes our copy. Paths: the file is removed where it is still ours (device, inode), and the socket shut down, so that
 * no copy of it accepts any more. AF_VSOCK: who else holds the inode keeps the port; see holders.h. */
void place_release(int fd_consume, const char *path, uint64_t device, uint64_t inode);
/* The same of many, one after the other; see place_bind_many. The descriptors are closed. */
void place_release_many(const PlaceHeld *held_consume, size_t count);
