/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper: one loop, one state, passed down. What it does is handlers by type of message (handlers.c); how a message comes
 * and an answer goes is peer.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "daemon/keeper/cgroup.h"
#include "daemon/keeper/item.h"
#include "daemon/keeper/program.h"
#include "daemon/keeper/spawn.h"
#include "schema/base/buffer.h"
#include "schema/base/fd.h"
#include "schema/wire/keeper.h"

#define INSTANCE_BYTES 16
#define NEVER_US UINT64_MAX

typedef struct Answer Answer;
typedef struct Keeper Keeper;
typedef struct Peer Peer;
typedef struct Request Request;
typedef int (*Handler)(const Request *request);

/* Somebody who has connected; the one who said HELLO last is the client. */
struct Peer {
    TAILQ_ENTRY(Peer) link;
    Keeper *keeper;
    int fd;       /* -1: it is closed, and freed at the end of the turn */
    int bell_fd;  /* is written to when it wants us to read; -1: whatever it sends is read at once */
    uint64_t *begun; /* counts its frames, where it sees it; or NULL */
    FdList given; /* for its next START */
    bool is_drained; /* there was nothing more to read, or it is to be read when the bell says so */
    bool is_deaf; /* it reads no more; what it has sent before counts still */
    uint32_t events; /* those of epoll that are asked for */
    TAILQ_HEAD(, Answer) answers; /* those that there was no room for yet */
    size_t answer_count;
    uint64_t lingers_until_us; /* what waits is not urgent until then; 0: it is */
    Item *list_next; /* of a LIST that goes on */
    bool is_listing;
    uint32_t list_request;
};

struct Keeper {
    const char *runtime_path;
    char **arguments;   /* ours, and ended by NULL */
    char *program_path; /* where our own program is, or was when we began */
    char *path; /* of the listening socket */
    struct stat path_status;
    bool removes_path;
    bool is_private;
    uid_t user; /* who may connect beside root and us; (uid_t)-1: nobody */
    int epoll_fd, signal_fd, listener_fd;
    int spare_fd; /* closed where a connection is accepted only to be closed */
    char instance[INSTANCE_BYTES];
    size_t fds_max; /* that items may hold */

    Items items;
    Programs programs;
    Spawner spawner;
    Cgroups cgroups;

    TAILQ_HEAD(, Peer) peers;
    size_t peer_count;
    Peer *client;
    bool reexec_wanted;
    uint64_t reexec_by_us;
    bool is_ending; /* everything is let go of; what runs is waited for */
    uint64_t end_by_us;
    uint64_t look_at_us; /* whether the path is still ours */
    uint64_t watchdog_us, alive_at_us; /* when systemd is to hear from us again */

    Buffer out; /* for the frame that is made now */
    char in[FRAME_MAX_BYTES], drained[FRAME_MAX_BYTES];
};

/* One message, as long as its handler runs. */
struct Request {
    Keeper *keeper;
    Peer *peer;
    const Frame *frame;
    FdList *fds; /* what is taken out is the handler's, the rest is closed */
    bool cut;    /* there were descriptors, but we cannot open as many */
};

uint64_t keeper_now_us(void); /* CLOCK_MONOTONIC */
/* One line on stderr. */
void keeper_note(const char *format, ...) _printf_(1, 2);
/* Lets go of everything and stops all programs; the loop ends when they have. */
void keeper_end(Keeper *keeper);

/* ---- handlers.c ---- */
/* NULL: nobody knows this type. A handler answers by request_…; -EBADMSG: the message is malformed, and its peer closed. */
Handler handler_find(uint16_t type);
/* bind.c */
int bind_on_bind(const Request *request);
int bind_on_holders(const Request *request);
int bind_on_holders_of_each(const Request *request);

/* ---- peer.c ---- */
void peers_accept(Keeper *keeper);
void peer_add_consume(Keeper *keeper, int fd, bool is_client); /* one who was let in */
void peer_on_event(Peer *peer, uint32_t events);
void peer_close(Peer *peer);
/* From now on it is read when this says so, or at its end. */
void peer_set_bell_consume(Peer *peer, int fd);
/* Its frames are counted there from now on. */
void peer_set_begun_consume(Peer *peer, int fd);
/* Another program of ours goes on with it, and does not count. */
void peer_end_begun(Peer *peer);
/* Reads what it has sent, then closes it: another is the client now. */
void peer_replace(Peer *peer);
void peers_free_closed(Keeper *keeper);
/* Sends what there is room for, and asks epoll for what is to come. */
void peer_pump(Peer *peer);
bool peer_is_idle(const Peer *peer); /* it waits for nothing from us */
/* Takes the descriptors over. The frame is keeper->out, which has ended; where it has not, the peer is closed. */
void peer_send(Peer *peer, FdList *fds);
/* The same, a moment later: what it tells can wait for what it tells of. */
void peer_send_lingering(Peer *peer, FdList *fds);

/* ---- answers; those with a frame of their own begin keeper->out with request_begin ---- */
Buffer *request_begin(const Request *request, KeeperType type);
void request_send(const Request *request, FdList *fds); /* ends it; fds (or NULL) are taken over */
void request_send_lingering(const Request *request, FdList *fds);
void request_done(const Request *request); /* nothing where nobody waits for it */
/* key: NULL, or the one that is meant. */
void request_refuse(const Request *request, int error, const char *text, const FrameField *key);
