/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockd's side of hvsock-keeper (schema/wire/keeper.h): connects to it, starts it where nobody else does, puts into it what
 * must outlive us, takes it back, and asks it to start programs. Should it end, another is started or waited for, and on_back
 * says that everything is to be put again. Knows nothing of what is held. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/place/place.h"
#include "schema/base/fd.h"
#include "schema/wire/keeper.h"

typedef struct Hold Hold;
typedef struct HoldItem HoldItem;
typedef struct HoldObserver HoldObserver;
typedef struct HoldOptions HoldOptions;

struct HoldOptions {
    const char *runtime_path;
    const char *program; /* what is started where none is there; NULL: somebody else starts it (systemd) */
    uint64_t files_soft; /* RLIMIT_NOFILE's soft limit that it is started with, and its programs get; 0: as ours */
};

/* Borrowed for the time of the call; descriptors may be taken out of fds (fd_list_take), what is left is closed. */
struct HoldItem {
    const char *key;
    size_t key_size_bytes;
    FrameFields value;
    FdList *fds;
    pid_t pid;     /* of a program, else 0 */
    bool exited;
    int status;    /* wait(2)'s, where it has */
};

struct HoldObserver {
    /* What hold_start asked for: error 0, and pidfd (to be duplicated by who wants it); or an errno and what failed. */
    void (*on_started)(const char *key, size_t key_size_bytes, pid_t pid, int pidfd, int error, const char *what, void *userdata);
    void (*on_exited)(const char *key, size_t key_size_bytes, pid_t pid, int status, void *userdata);
    /* The keeper has ended, and every program with it. */
    void (*on_lost)(void *userdata);
    /* There is one again, which holds nothing: everything is to be put again. */
    void (*on_back)(void *userdata);
    void *userdata;
};

/* Makes it; talks to nobody yet. */
int hold_new(sd_event *event, const HoldOptions *options, const HoldObserver *observer, Hold **ret);
void hold_free(Hold *hold); /* the keeper goes on */
DEFINE_CLEANUP(Hold *, hold_free)

/* The one that hold_open was to start runs from now on, at the latest; what was sent to it before has waited in its socket. */
void hold_started(Hold *hold);
/* Connects, or starts one: then when it is asked something, or by hold_started. 0: *ret_fresh says that it was just started and holds nothing; -errno: there is none now, and it is
 * tried again by time (on_back). */
int hold_open(Hold *hold, bool *ret_fresh);
/* Everything that it holds, item by item. */
int hold_list(Hold *hold, int (*on_item)(const HoldItem *item, void *userdata), void *userdata);

bool hold_is_there(const Hold *hold);
pid_t hold_pid(const Hold *hold); /* of the keeper; 0: none */
/* Why none can be started, with what would be right; NULL: there is one, or it is not known. */
const char *hold_trouble(const Hold *hold);
/* It is root, and we are not: it binds for us. */
bool hold_is_privileged(const Hold *hold);

/* Puts and deletes are gathered, and sent by hold_flush or when a frame is full. What was sent is held, whatever becomes of us.
 * value: fields (frame_put…) in a Buffer of their own. Descriptors stay the caller's, and must stay open until hold_flush.
 * Nothing is answered where there is no keeper: on_back asks for it again. */
void hold_put(Hold *hold, const char *key, size_t key_size_bytes, const Buffer *value, const int *fds, size_t fd_count);
void hold_delete(Hold *hold, const char *key, size_t key_size_bytes);
void hold_flush(Hold *hold);
/* The same, and waits until it is so: an address that only the keeper still has is free then. */
void hold_flush_wait(Hold *hold);

/* program: the fields of KEEPER_TAG_PROGRAM; value: as above. on_started answers, later. -ENOTCONN: there is no keeper;
 * -E2BIG: more than a frame takes. *ret_frame: for hold_has_begun. */
int hold_start(Hold *hold, const char *key, size_t key_size_bytes, const Buffer *value, const Buffer *program, const int *fds,
               size_t fd_count, uint64_t *ret_frame);
/* In on_lost: false where the keeper had not come to that frame when it ended. */
bool hold_has_begun(const Hold *hold, uint64_t frame);
int hold_stop(Hold *hold, const char *key, size_t key_size_bytes);
int hold_signal(Hold *hold, const char *key, size_t key_size_bytes, int signal);

/* Asks, and waits for the answer (of at most timeout_ms; what else comes meanwhile is told afterwards). fields: after the
 * header. *ret_frame is good until the next call. -ENOTCONN, -ETIMEDOUT, -EREMOTEIO: REFUSED. */
int hold_call(Hold *hold, KeeperType type, const Buffer *fields, const int *fds, size_t fd_count, int timeout_ms, Frame *ret_frame,
              FdList *ret_fds);

/* ---- places.c: what it does in our stead where it is privileged (hold_is_privileged) ---- */

/* As place_bind_many, place_change and place_release_many. Where it does not answer, results are WAITING, and say so. */
void hold_bind_many(Hold *hold, const PlaceRequest *requests, PlaceResult *results, size_t count);
void hold_change(Hold *hold, const PlaceRequest *request, int fd, PlaceResult *result);
void hold_release_many(Hold *hold, const PlaceHeld *held_consume, size_t count);
/* As place_is_gone. */
bool hold_is_gone(Hold *hold, const char *path, uint64_t device, uint64_t inode);
/* As place_watch. */
int hold_watch_folder(Hold *hold, int inotify_fd, const char *folder);
/* As holders_find and holders_of_each, without the keeper and ourselves. */
int hold_find_holders(Hold *hold, const uint64_t *inodes, size_t inode_count, size_t max, pid_t **ret_pids, size_t *ret_count);
int hold_find_holders_of_each(Hold *hold, const uint64_t *inodes, size_t count, pid_t *ret_pids);

/* Ends the keeper and all that it holds: waits until everything is let go of, and at most timeout_ms until it is over. */
int hold_end(Hold *hold, int timeout_ms);
