/* SPDX-License-Identifier: Apache-2.0 */
/* What hvsockd and hvsock-keeper say to each other, in frames (frame.h) on RUNTIME/keeper. The keeper is the server; it
 * has one client at a time: the last that said HELLO. Everything here is only added to: a side one version older or newer
 * skips fields that it does not know, refuses a frame with a critical one (KEEPER_REFUSED with EPROTO), and answers a type
 * that it does not know with KEEPER_REFUSED and EOPNOTSUPP (the keeper) or skips it (hvsockd).
 *
 * The keeper holds *items*: a key, a value that is only hvsockd's to read, and descriptors. Who asks for what it holds
 * gets it back as it was put. A program is an item too: what it is, is the keeper's; its value is hvsockd's. Keys are bytes; their
 * first character says what of: see KEEPER_KEY_*. */
#pragma once

#include "schema/wire/frame.h"

#define KEEPER_VERSION 1
#define KEEPER_SOCKET "keeper" /* in RUNTIME */
#define KEEPER_KEY_MAX_BYTES 5120 /* a service's name, a URI with a path */
#define KEEPER_VALUE_MAX_BYTES (16u * 1024)
#define KEEPER_ITEM_FDS_MAX 8
#define KEEPER_ITEMS_MAX 1000000
#define KEEPER_GIVEN_MAX 4096 /* descriptors of one START */
#define KEEPER_PROGRAMS_MAX 65536
#define KEEPER_FILES_RIGHT 1024 /* RLIMIT_NOFILE that it is told to have where it cannot start with what it has */
#define KEEPER_STATUS_FILES 3   /* its exit status then */

/* The first character of a key. */
#define KEEPER_KEY_LISTENER 'l'
#define KEEPER_KEY_LEASE 's'
#define KEEPER_KEY_CLIENT 'c'     /* of Serve */
#define KEEPER_KEY_WAITING 'w'    /* an accepted connection that waits for one */
#define KEEPER_KEY_ACCEPTED 'n'   /* one that was handed to one: who has it */
#define KEEPER_KEY_ACTIVATION 'a' /* what is remembered of a service's starts */
#define KEEPER_KEY_PROGRAM 'p'

typedef enum KeeperType {
    /* hvsockd asks */
    KEEPER_HELLO = 1, /* VERSION, BELL, BEGUN; answered by HELLO: VERSION, PID, UID, INSTANCE. The first frame on a socket, always */
    KEEPER_PUT = 2,   /* ITEM...: each replaces what has its key. No answer, unless request is not 0: then DONE; REFUSED (one an item) with KEY and ERROR where one cannot be kept, and no DONE */
    KEEPER_DELETE = 3, /* KEY...: closed and forgotten; a program that has ended, too (one that runs: EBUSY). DONE where request is not 0 */
    KEEPER_LIST = 4,  /* LISTED: ITEM...; again and again; then DONE */
    KEEPER_START = 5, /* KEY, VALUE, PROGRAM, its descriptors (and NUMBER of those that GIVE has brought before); STARTED */
    KEEPER_SIGNAL = 6, /* KEY, NUMBER (the signal): to all of the program's processes, as far as they are known. DONE, or REFUSED with ESRCH */
    KEEPER_STOP = 7,  /* KEY: SIGTERM, and SIGKILL after its STOP_TIMEOUT_US. DONE at once; EXITED later */
    KEEPER_END = 8,   /* stops all programs, lets go of everything, ends. DONE once everything is let go of; the socket is closed when all is over */
    KEEPER_BIND = 9,  /* REQUEST...; BOUND: RESULT... and descriptors (daemon/place) */
    KEEPER_HOLDERS = 10, /* NUMBER... (inodes of sockets); DONE: NUMBER... pids, without the keeper and its client */
    KEEPER_REEXEC = 11, /* the keeper executes its program anew and keeps everything, this socket too (but not that of a client that leaves answers unread). DONE before */
    KEEPER_HOLDERS_OF_EACH = 12, /* the same; DONE: as many NUMBERs, of each socket one process, or 0 */
    KEEPER_GIVE = 13, /* descriptors of the START that comes next, before its own, where these are more than a frame takes */
    /* the keeper answers, or tells */
    KEEPER_DONE = 64,
    KEEPER_REFUSED = 65, /* ERROR (an errno), TEXT, KEY where one is meant */
    KEEPER_LISTED = 66,
    KEEPER_STARTED = 67, /* KEY, PID, FDS and the program's pidfd; or ERROR and TEXT (what failed: `exec`, `chdir /x`, …) */
    KEEPER_EXITED = 68,  /* KEY, PID, NUMBER (wait status). Told once, and again by LIST until it is deleted */
    KEEPER_BOUND = 69,
} KeeperType;

typedef enum KeeperTag {
    KEEPER_TAG_VERSION = 1,
    KEEPER_TAG_PID = 2,
    KEEPER_TAG_UID = 3,
    KEEPER_TAG_INSTANCE = 4, /* 16 random bytes: another keeper, another instance; the same over KEEPER_REEXEC */
    KEEPER_TAG_ITEM = 5,     /* KEY, VALUE, FDS; of programs also PID and, when it has ended, STATUS */
    KEEPER_TAG_KEY = 6,
    KEEPER_TAG_VALUE = 7,
    KEEPER_TAG_FDS = 8,      /* how many of the frame's descriptors, in order, are this item's */
    KEEPER_TAG_NUMBER = 9,
    KEEPER_TAG_ERROR = 10,
    KEEPER_TAG_TEXT = 11,
    KEEPER_TAG_STATUS = 12,  /* wait(2)'s */
    KEEPER_TAG_REQUEST = 13,
    KEEPER_TAG_RESULT = 14,
    KEEPER_TAG_PROGRAM = 15 | FRAME_CRITICAL, /* the fields below */
    /* The frame's first descriptor is an eventfd(2) that hvsockd writes to when something that it has sent is to be read now:
     * after HELLO the socket itself is not looked at until then, or until its end. What was sent is held by the socket meanwhile. A
     * side that knows nothing of it looks at the socket, or does not send it: either is right. */
    KEEPER_TAG_BELL = 16,
    /* The frame's next descriptor is a memfd_create(2) of 8 bytes, sealed against being made smaller: the keeper writes there how
     * many frames it has begun with since HELLO, or KEEPER_BEGUN_UNKNOWN, which stands there before. So it can be told what one that
     * has ended never saw. */
    KEEPER_TAG_BEGUN = 17,
} KeeperTag;

#define KEEPER_BEGUN_UNKNOWN UINT64_MAX

/* A program. Every one of these changes what it may do or what it is: who does not know one must not start it. */
typedef enum KeeperProgramTag {
    KEEPER_PROGRAM_ARGUMENT = 1 | FRAME_CRITICAL,    /* text, again and again; the first is the file too: absolute */
    KEEPER_PROGRAM_ENVIRONMENT = 2 | FRAME_CRITICAL, /* NAME=value, again and again; nothing is inherited */
    KEEPER_PROGRAM_UID = 3 | FRAME_CRITICAL,
    KEEPER_PROGRAM_GID = 4 | FRAME_CRITICAL,
    KEEPER_PROGRAM_GROUP = 5 | FRAME_CRITICAL,       /* supplementary, again and again */
    KEEPER_PROGRAM_DIRECTORY = 6 | FRAME_CRITICAL,   /* text; / where it is not given */
    KEEPER_PROGRAM_UMASK = 7 | FRAME_CRITICAL,
    KEEPER_PROGRAM_LIMIT = 8 | FRAME_CRITICAL,       /* three numbers of 8 bytes: resource, soft, hard (setrlimit(2)) */
    KEEPER_PROGRAM_STDIN = 9 | FRAME_CRITICAL,       /* index into the frame's descriptors; /dev/null where it is not given */
    KEEPER_PROGRAM_STDOUT = 10 | FRAME_CRITICAL,
    KEEPER_PROGRAM_STDERR = 11 | FRAME_CRITICAL,
    KEEPER_PROGRAM_LISTEN = 12 | FRAME_CRITICAL,     /* index, again and again: descriptors from 3 on, LISTEN_FDS and LISTEN_PID are set */
    KEEPER_PROGRAM_LISTEN_NAMES = 13 | FRAME_CRITICAL, /* LISTEN_FDNAMES */
    KEEPER_PROGRAM_STOP_TIMEOUT_US = 14 | FRAME_CRITICAL,
    KEEPER_PROGRAM_CGROUP = 15, /* a name for its cgroup, where the keeper has been given a tree to divide */
} KeeperProgramTag;

/* What the keeper does with a place (daemon/place): numbers are PlaceAction's. A REQUEST has at most one descriptor. */
typedef enum KeeperPlaceTag {
    KEEPER_PLACE_ACTION = 1 | FRAME_CRITICAL,
    KEEPER_PLACE_PATH = 2 | FRAME_CRITICAL, /* text; absent: CID and PORT */
    KEEPER_PLACE_CID = 3 | FRAME_CRITICAL,
    KEEPER_PLACE_PORT = 4 | FRAME_CRITICAL,
    KEEPER_PLACE_TYPE = 5 | FRAME_CRITICAL, /* SOCK_STREAM, … */
    KEEPER_PLACE_BACKLOG = 6 | FRAME_CRITICAL,
    KEEPER_PLACE_UID = 7 | FRAME_CRITICAL, /* of the file; this and the next four: absent means not asked */
    KEEPER_PLACE_GID = 8 | FRAME_CRITICAL,
    KEEPER_PLACE_MODE = 9 | FRAME_CRITICAL,
    KEEPER_PLACE_AS_UID = 10 | FRAME_CRITICAL, /* in whose name */
    KEEPER_PLACE_AS_GID = 11 | FRAME_CRITICAL,
    KEEPER_PLACE_FDS = 12 | FRAME_CRITICAL, /* 1: the next of the frame's descriptors is this one's; of results, too */
    /* of both */
    KEEPER_PLACE_HOLDER = 13, /* a pid; again and again */
    KEEPER_PLACE_DEVICE = 14, /* of the socket file */
    KEEPER_PLACE_INODE = 15,
    /* of results */
    KEEPER_PLACE_STATE = 16, /* PlaceState's */
    KEEPER_PLACE_ERROR = 17,
    KEEPER_PLACE_REASON = 18,
    KEEPER_PLACE_WATCH_PATH = 19,
    KEEPER_PLACE_WATCH = 20, /* inotify(7)'s */
} KeeperPlaceTag;
