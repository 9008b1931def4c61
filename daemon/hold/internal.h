/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of daemon/hold share; nobody else includes this. */
#pragma once

#include <sys/queue.h>

#include "daemon/hold/hold.h"

typedef struct HoldBegun HoldBegun;
typedef struct HoldFrame HoldFrame;

/* How many frames of a connection the keeper has begun with, after HELLO. */
struct HoldBegun {
    uint64_t *count; /* shared with it; NULL: not known */
    uint64_t sent_before; /* frames, on other connections and as HELLO */
};

/* A frame that came while an answer was waited for. */
struct HoldFrame {
    STAILQ_ENTRY(HoldFrame) queue;
    FdList fds;
    size_t size_bytes;
    char data[];
};

struct Hold {
    sd_event *event;
    char *runtime_path;
    char *program; /* or NULL */
    uint64_t files_soft; /* 0: as ours */
    HoldObserver observer;

    int fd; /* -1: there is none */
    int bell_fd; /* KEEPER_TAG_BELL */
    sd_event_source *ringing; /* what was sent without, is read when we have nothing else to do */
    sd_event_source *source;
    sd_event_source *deferred; /* tells what came meanwhile */
    STAILQ_HEAD(, HoldFrame) told_later;
    pid_t pid; /* as its HELLO said; 0: it has not yet */
    uid_t uid;
    char instance[16];
    bool has_instance;
    HoldBegun begun, begun_before; /* of this connection, and of one that was lost */
    uint64_t sent; /* frames, on all connections */
    bool is_other; /* than the one before, said the last HELLO */

    sd_event_source *timer; /* looks for another */
    uint64_t retry_us;
    char *trouble; /* why none of those that we start lives to say HELLO; or NULL */
    bool lost; /* on_lost was called, and on_back not yet */
    bool expected; /* a new one was started, and has not said HELLO */

    int child_pidfd; /* of one that we started; -1 */
    pid_t child_pid; /* likewise; 0 */
    int passed_fd;   /* the socket that one is to be started with, when it cannot wait any longer; -1 */
    sd_event_source *child_source;

    Buffer gathered; /* a frame that is being written, or empty */
    uint16_t gathered_type;
    int gathered_fds[FRAME_FDS_MAX];
    size_t gathered_fd_count;
    Buffer frame; /* for calls */
    uint32_t request;
    char *data; /* FRAME_MAX_BYTES, for what is received */
};

/* hold.c: its socket is good for nothing any more; looked for again in the next turn of the loop. */
void hold_drop(Hold *hold);
/* Sends a frame, for which the keeper is woken, and waits for room (of what, the keeper never leaves long). */
int hold_send(Hold *hold, const Buffer *frame, const int *fds, size_t fd_count);
/* The same, but the keeper is not woken. */
int hold_send_quietly(Hold *hold, const Buffer *frame, const int *fds, size_t fd_count);
/* Waits for the next frame, into hold->data. -ETIMEDOUT; -ENOTCONN; -EMFILE: one has come, but not what came with it. */
int hold_receive(Hold *hold, uint64_t until_us, Frame *ret, FdList *ret_fds);
/* Not the answer that is waited for: told by the loop. */
void hold_tell_later(Hold *hold, size_t size_bytes, FdList *fds);
uint64_t hold_now_us(void);
/* What comes by itself is told by the loop from now on. */
int hold_watch(Hold *hold);

/* begun.c */
/* For a connection that begins: the memory that its HELLO passes, which is the caller's to close; -errno. */
int begun_new(Hold *hold);
/* The connection has ended, but perhaps not the keeper. */
void begun_end(Hold *hold);
/* That keeper may live; or everybody knows. */
void begun_forget_before(Hold *hold);
void begun_release(Hold *hold);

/* open.c */
/* Starts what was put off, if anything was. -errno: it cannot be. */
int hold_spawn(Hold *hold);
/* The keeper that we have started, before it has said who it is: the child of its guard. 0: we have started none. */
pid_t hold_find_started(const Hold *hold);
void hold_read_hello(Hold *hold, const Frame *frame);
/* Where nobody listens there, and we had made it. */
void hold_remove_path(Hold *hold);
/* Everything is to be put again. */
void hold_is_back(Hold *hold);
int hold_start_looking(Hold *hold, uint64_t in_us);
void hold_release_child(Hold *hold);
