/* SPDX-License-Identifier: Apache-2.0 */
/* One client of the API: what it says, in order, and what it is told. It ends when the client closes, breaks the
 * protocol or cannot be written to; a client that does not read is waited for, and nothing is made for it meanwhile. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "daemon/access/access.h"
#include "daemon/api/call.h"
#include "daemon/api/poll.h"
#include "daemon/api/users.h"
#include "daemon/manager/manager.h"
#include "schema/wire/wire.h"

typedef struct Connection Connection;
typedef struct Server Server;

/* Of one turn of one client, after which the others come. */
#define CONNECTION_CALLS_A_TURN 64
#define CONNECTION_TIME_A_TURN_US 1000
#define CONNECTION_TIME_A_TURN_LEAST_US 100 /* where many have work */
/* With more than this unsent, nothing is read or made for it. */
#define CONNECTION_UNSENT_MAX_BYTES (64u * 1024)
/* The same of one that is told of things as they happen, here and in the kernel: what it has not read is in the manager's ring,
 * once for all. */
#define WATCHER_UNSENT_MAX_BYTES (3u * 1024)
#define WATCHER_KERNEL_BYTES (16 * 1024)

struct Connection {
    LIST_ENTRY(Connection) connections;
    LIST_ENTRY(Connection) watchers;
    TAILQ_ENTRY(Connection) ready;
    TAILQ_ENTRY(Connection) readers;
    Server *server;
    User *user;
    Wire *wire;
    PollSource io;      /* not added: its socket is not listened to */
    Credentials credentials;
    Caller caller;
    char *only_service; /* of an entry to one service */
    Call *sequence;     /* is being answered; what comes after it waits */
    Call *postponed;    /* the next one to be answered, after the turn of writes that is open */
    size_t staged;      /* writes that wait for their commit */
    bool fds_unsent;    /* among what waits to be sent */
    bool is_ready;
    bool is_watcher;
    bool is_waiting;    /* for the end of a turn of writes */
    bool has_waited;    /* and does not wait for another */
    bool ended;         /* nothing more comes in */
    bool closing;       /* what came is not looked at any more; it is closed once its replies are out */
    bool deaf;          /* nobody reads: replies are dropped, what was asked is still done */
    bool broken;        /* to be closed at once */
};

/* A client of an entry to everything (only_service NULL) or to one service. fd is taken over, also where it fails.
 * at_once: what it has sent already is looked at. 0, also where the client was turned away; -errno. */
int connection_new_consume(Server *server, int fd, const char *only_service, bool at_once);
void connection_free(Connection *connection);

/* Goes on with whatever can be done; may free it. */
void connection_run(Connection *connection);
/* Its client has to read before anything more is made for it; what could be sent was. */
bool connection_is_full(Connection *connection);
/* ... and its socket tells when: until then there is nothing to be done for it. */
bool connection_waits_for_reader(const Connection *connection);
/* A reply, to be sent with the next flush; descriptors are taken over. */
void connection_reply(Connection *connection, const Buffer *text, FdList *fds);
void connection_reply_failure(Connection *connection, const Failure *failure);
/* Sends what can be sent; errors are kept for connection_run. */
void connection_flush(Connection *connection);
