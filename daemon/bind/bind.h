/* SPDX-License-Identifier: Apache-2.0 */
/* Making a bound, listening socket at an address, and letting go of it. A request is a flat value that owns nothing and
 * needs nothing of the daemon, so that a process with other rights (hvsock-keeper) can be asked the same. One file a
 * transport (bind-NAME.c); the table is made from the file names by the Makefile. socket(2), vsock(7), unix(7),
 * openat2(2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/user.h"
#include "schema/model/address.h"

typedef struct BindBatch BindBatch;
typedef struct BindRequest BindRequest;
typedef struct BindResult BindResult;
typedef struct Binder Binder;

typedef enum BindState {
    BIND_LISTENING = 0,
    BIND_WAITING, /* transport or folder is not there, EADDRINUSE, EMFILE, a file system that is full or read-only: tried again when it can have changed */
    BIND_FAILED,  /* EACCES and the like */
} BindState;

struct BindRequest {
    const Address *address; /* complete, never machine: or hyperv */
    int type;               /* SERVICE_STREAM, … */
    uint32_t backlog;
    const char *user; /* of unix paths; NULL: the folder's owner; a name or a uid */
    const char *group;
    const char *mode; /* octal text; NULL: 0660 */
    /* Who was in the way at the try before: named again while they live, without another walk over /proc. */
    const pid_t *known_holders;
    size_t known_holder_count;
    uint64_t device, inode; /* bind_change only: of the path, as bind_listener told them; 0: not known */
    BindBatch *batch;       /* or NULL */
};

struct BindResult {
    BindState state;
    int error;        /* the errno behind it, 0 where there is none */
    char *reason;     /* for people: "the folder /run/vms/web1 is not there", "port 5140 is held by pid 812 (socat)" */
    char *watch_path; /* waiting on the file system: the nearest folder that exists, to be watched by inotify; or NULL.
                         A program that ends without removing its socket changes no folder: look again by time, too */
    pid_t *holders;   /* processes that hold what is in the way, where that can be known; holder_count of them */
    size_t holder_count;
    int fd;                 /* listening: blocking, close-on-exec; else -1 */
    char *path;             /* listening on a path: the socket file that is ours; or NULL */
    uint64_t device, inode; /* of that file, so that nobody else's is unlinked */
};

struct Binder {
    const char *transport; /* Transport.name */
    void (*bind)(const BindRequest *request, BindResult *result);
};

extern const Binder *const binders[]; /* NULL-terminated, generated */

/* Always fills in *result. Never blocks, follows no symbolic link in a machine's folder, replaces a stale path and
 * never one that somebody serves. -ENOMEM alone is answered as an error. */
int bind_listener(const BindRequest *request, BindResult *result);
void bind_result_release(BindResult *result);

/* What binds that come at once, one after the other, share: the folder, where the one before was in the same, and what
 * names of users and groups stood for. It is good for a moment only, and no more than that is what it saves: each would
 * find the same by itself. NULL: no memory; do without. */
BindBatch *bind_batch_new(void);
void bind_batch_free(BindBatch *batch);

/* A change that needs no new socket: backlog by listen(2) again, owner and mode of the path. Fills state, error and
 * reason. Nothing is changed that is not ours (device, inode): where these are not given, only in folders that root or
 * we own. */
int bind_change(const BindRequest *request, int fd, const char *path, BindResult *result);

/* Closes our copy. Paths: the file is removed where it is still ours (device, inode), and the socket shut down, so that
 * no copy of it accepts any more. AF_VSOCK: who else holds the inode keeps the port; see process_find_holders. */
void bind_release(int fd_consume, const char *path, uint64_t device, uint64_t inode);
