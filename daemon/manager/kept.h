/* SPDX-License-Identifier: Apache-2.0 */
/* What hvsock-keeper has of ours, so that it outlives us: listeners, leases, the sockets of Serve and what was accepted there,
 * programs. Put as soon as it is, before a caller is answered; taken back at the start. Each value is fields, to which more
 * may be added: an older hvsockd skips them. */
#pragma once

#include "daemon/hold/hold.h"
#include "daemon/manager/internal.h"

typedef struct Accepted Accepted;
typedef struct KeptKey KeptKey;
typedef struct Serving Serving;

/* Fields of values; only added to. */
typedef enum KeptTag {
    KEPT_CLAIM = 1, /* Listener.key */
    KEPT_TYPE = 2,
    KEPT_BACKLOG = 3,
    KEPT_FLAGS = 4, /* of leases: their kinds */
    KEPT_USER = 5,
    KEPT_GROUP = 6,
    KEPT_MODE = 7,
    KEPT_PATH = 8,
    KEPT_DEVICE = 9,
    KEPT_INODE = 10,
    KEPT_UID = 11,
    KEPT_START_TIME_TICKS = 12,
    KEPT_SINCE_US = 13,
    KEPT_PID = 14,
    KEPT_TEXT = 15, /* a Connection object, as far as it goes */
    KEPT_FAMILY = 16,
    KEPT_PEER_KIND = 17,
    KEPT_PEER_NUMBER = 18,
    KEPT_PEER_MACHINE = 19,
    KEPT_CLIENT = 20, /* ServeClient.number */
    KEPT_CID = 21,
    KEPT_PORT = 22,
    KEPT_RECORD = 23, /* activate_hash of what a program was started as */
    KEPT_LIMIT_BEGIN_NS = 24,
    KEPT_LIMIT_COUNT = 25,
    KEPT_LIMIT_FAILURES = 26,
    KEPT_LIMITED = 27,
    KEPT_FAILED = 28,
    KEPT_ASKED_NS = 29, /* CLOCK_MONOTONIC */
    KEPT_TROUBLE = 30,
    KEPT_TROUBLE_TEXT = 31,
    KEPT_TAGS,
} KeptTag;

enum { KEPT_WILDCARD = 1, KEPT_HANDED_OUT = 2, KEPT_ADOPTED = 4 };

/* A first character, a service's name, and up to two texts, with NUL between them. */
struct KeptKey {
    char text[KEEPER_KEY_MAX_BYTES];
    size_t size_bytes; /* 0: it is too long to be kept */
};

/* What was read of a value: by tag. */
typedef struct KeptValue {
    char *texts[KEPT_TAGS]; /* owned; NULL: not there */
    uint64_t numbers[KEPT_TAGS];
} KeptValue;

/* -EBADMSG. Fields that are not known are skipped. */
int kept_value_read(FrameFields fields, KeptValue *value);
void kept_value_release(KeptValue *value);

void kept_key(KeptKey *key, char kind, const char *service, const char *second, const char *third);
/* A part of a key (0: the service): a text within it; NULL: it has no such part, or no NUL ends it. */
const char *kept_key_part(const KeptKey *key, unsigned part);

/* kept.c */
int manager_kept_new(Manager *manager);
void manager_kept_free(Manager *manager);
/* Finds or starts the keeper. */
void manager_kept_open(Manager *manager);
/* Into memory, when the registry has been read: what another hvsockd left there. */
int manager_take_back(Manager *manager);
/* What came at the start is put there; from now on, what is held is as it comes. */
void manager_kept_started(Manager *manager);
/* The listener is to be put with the next flush, as it is then. */
void manager_keep_listener(Manager *manager, Listener *listener);
void manager_forget_listener(Manager *manager, const Listener *listener);
void manager_keep_lease(Manager *manager, const char *service, pid_t pid);
void manager_forget_lease(Manager *manager, const Lease *lease);
/* serve-kept.c */
int manager_take_back_serve(Manager *manager, const KeptKey *key, const KeptValue *value, FdList *fds);
int serving_restore_accepted(Serving *serving, const KeptValue *value, uint64_t inode, Accepted **ret);
void manager_keep_servings(Manager *manager);

/* What was put and deleted reaches the keeper. */
void manager_keep_flush(Manager *manager);
/* The same, and waits until an address that was let go of is free there too. */
void manager_keep_flush_wait(Manager *manager);
/* Everything was let go of, as was asked for. */
void manager_forget_held(Manager *manager);
