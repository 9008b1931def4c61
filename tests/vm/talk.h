/* SPDX-License-Identifier: Apache-2.0 */
/* One conversation of the load: both ends know every byte that the other has to say from what the asker says first, so each
 * checks all it gets. Who is the first to say that it has said all, and who goes on after that, is the manner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum TalkManner {
    TALK_TOGETHER,     /* both at once; each half is closed when it is done */
    TALK_ASKER_FIRST,  /* the answer begins after the asker's half is closed */
    TALK_ANSWER_FIRST, /* the answer's half is closed before the asker goes on */
    TALK_LEAVE,        /* the asker closes in the middle, without a word */
    TALK_MANNER_MAX
} TalkManner;

/* What the asker says first. */
typedef struct TalkOpening {
    uint32_t magic, seed, ask_bytes, answer_bytes, manner;
} TalkOpening;

typedef enum TalkEnd {
    TALK_GOES_ON,
    TALK_GOOD,
    TALK_CUT,  /* the other end was gone before it had said all: what a program that is killed leaves */
    TALK_WRONG /* other bytes, or more than there should be */
} TalkEnd;

typedef struct Talk {
    int in_fd, out_fd;
    bool asks;
    bool in_closed, out_closed;
    TalkOpening opening;
    size_t opening_bytes; /* said, or heard */
    uint64_t out_bytes, in_bytes;
} Talk;

/* Of a connected, non-blocking descriptor (or two, for a program's stdin and stdout), which stays the caller's. An asker is given its opening. */
void talk_begin(Talk *talk, int in_fd, int out_fd, const TalkOpening *opening);
/* What it waits for: poll(2)'s POLLIN and POLLOUT. */
short talk_events(const Talk *talk);
/* Goes on as far as it can without waiting. */
TalkEnd talk_step(Talk *talk);
