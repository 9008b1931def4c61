/* SPDX-License-Identifier: Apache-2.0 */
/* One direction of a connection: what comes from one descriptor and goes to another. Bytes go by splice(2) where the kernel can,
 * through a pipe of the flow's own where neither end is one; else they are copied. Messages keep their bounds. socket(2). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Flow Flow;

typedef enum FlowWay {
    FLOW_COPIES,
    FLOW_SPLICES,         /* one of the ends is a pipe */
    FLOW_SPLICES_BY_PIPE,
} FlowWay;

struct Flow {
    int from, to; /* not the flow's own */
    FlowWay way;
    bool messages;       /* with bounds; */
    bool datagrams;      /* ... of which an empty one is no end */
    bool from_is_socket, to_is_socket;
    bool from_blocks;    /* once read, it is to be ready again */
    bool waits_for_room; /* for `to`; else for `from` */
    bool failed_to;      /* of the last negative answer: it was `to`, not `from` */
    unsigned fruitless;  /* in a row: ready, as poll(2) had it, and yet nothing could be moved */
    uint64_t bytes_before; /* this flow_move */
    size_t write_max_bytes;
    int pipe[2];
    char *buffer;
    size_t at, pending; /* in the buffer, or in the pipe */
    uint64_t bytes;     /* that have arrived */
};

/* Positive answers of flow_move. */
enum {
    FLOW_ENDED = 1, /* `from` has ended, and all of it has arrived */
    FLOW_GONE,      /* nobody reads `to` any more */
    FLOW_LOST,      /* `from` was cut off */
    FLOW_MOVED,     /* internal */
};

/* Where one of them is a socket of ours it does not block (O_NONBLOCK); others are taken as they are, and not changed: their
 * flags are other processes', too. ours: which socket that is, or -1. type: its type (SOCK_STREAM and so on). */
void flow_open(Flow *flow, int from, int to, int ours, int type);
void flow_release(Flow *flow);
/* Moves what can be moved now, up to a bound, and returns 0; then waits_for_room says what to wait for. -errno, with failed_to. */
int flow_move(Flow *flow);
