/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a conversation of the load. What is said is a long pattern, begun where the opening's seed says. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/vm/talk.h"

#define TALK_MAGIC 0x6b6c6174u
/* The answer's bytes are others than the asker's. */
#define TALK_ANSWER 0x9e3779b9u
/* One step takes no more than this from a talk that never waits. */
#define TALK_STEP_BYTES (256u * 1024u)

/* All that is ever said is a piece of this, over and over; a prime, so that bytes that are lost or come twice do not fit. */
#define TALK_PATTERN_BYTES 65521u

static const uint8_t *pattern(void)
{
    static uint8_t bytes[TALK_PATTERN_BYTES];
    static bool made;

    if (!made) {
        uint32_t x = TALK_MAGIC;
        for (size_t i = 0; i < sizeof(bytes); i++) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            bytes[i] = (uint8_t)(x >> 8);
        }
        made = true;
    }
    return bytes;
}

/* What comes after so many bytes of one side: a piece of the pattern, and how long it goes on. */
static const uint8_t *piece(const Talk *talk, bool of_asker, uint64_t done_bytes, size_t *ret_bytes)
{
    uint64_t begin = of_asker ? talk->opening.seed : talk->opening.seed ^ TALK_ANSWER;
    size_t at = (size_t)((begin + done_bytes) % TALK_PATTERN_BYTES);

    *ret_bytes = TALK_PATTERN_BYTES - at;
    return pattern() + at;
}

static uint64_t out_all(const Talk *talk)
{
    return talk->asks ? talk->opening.ask_bytes : talk->opening.answer_bytes;
}

static uint64_t in_all(const Talk *talk)
{
    return talk->asks ? talk->opening.answer_bytes : talk->opening.ask_bytes;
}

static bool opening_done(const Talk *talk)
{
    return talk->opening_bytes == sizeof(talk->opening);
}

void talk_begin(Talk *talk, int in_fd, int out_fd, const TalkOpening *opening)
{
    memset(talk, 0, sizeof(*talk));
    talk->in_fd = in_fd;
    talk->out_fd = out_fd;
    if (opening) {
        talk->asks = true;
        talk->opening = *opening;
        talk->opening.magic = TALK_MAGIC;
    }
}

/* Whose turn it is not waits for the other's half to be closed. */
static bool may_speak(const Talk *talk)
{
    if (talk->out_closed)
        return false;
    if (!opening_done(talk))
        return talk->asks;
    switch ((TalkManner)talk->opening.manner) {
    case TALK_ASKER_FIRST:
        return talk->asks || talk->in_closed;
    case TALK_ANSWER_FIRST:
        return !talk->asks || talk->in_closed;
    case TALK_TOGETHER:
    case TALK_LEAVE:
    case TALK_MANNER_MAX:
        return true;
    }
    return true;
}

short talk_events(const Talk *talk)
{
    return (short)((talk->in_closed ? 0 : POLLIN) | (may_speak(talk) ? POLLOUT : 0));
}

/* A reset is an end, too: of a half that was there, or of one that ends too soon. */
static bool gone(int error)
{
    return error == ECONNRESET || error == EPIPE || error == ENOTCONN;
}

/* -1: it cannot go on now; else the end, or TALK_GOES_ON. */
static int speak_opening(Talk *talk)
{
    const uint8_t *bytes = (const uint8_t *)&talk->opening;
    ssize_t n = write(talk->out_fd, bytes + talk->opening_bytes, sizeof(talk->opening) - talk->opening_bytes);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? -1 : gone(errno) ? TALK_CUT : TALK_WRONG;
    talk->opening_bytes += (size_t)n;
    return TALK_GOES_ON;
}

static int speak(Talk *talk)
{
    if (!opening_done(talk))
        return speak_opening(talk);
    /* In the middle of its own words the asker goes. */
    if (talk->asks && talk->opening.manner == TALK_LEAVE && talk->out_bytes >= talk->opening.ask_bytes / 2)
        return TALK_GOOD;
    uint64_t left = out_all(talk) - talk->out_bytes;
    if (left == 0) {
        /* With a socket as stdin and stdout this is the other's end of file. */
        if (shutdown(talk->out_fd, SHUT_WR) < 0 && !gone(errno))
            return TALK_WRONG;
        talk->out_closed = true;
        return TALK_GOES_ON;
    }
    size_t bytes;
    const uint8_t *words = piece(talk, talk->asks, talk->out_bytes, &bytes);
    ssize_t n = write(talk->out_fd, words, left < bytes ? (size_t)left : bytes);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? -1 : gone(errno) ? TALK_CUT : TALK_WRONG;
    talk->out_bytes += (uint64_t)n;
    return TALK_GOES_ON;
}

static int hear(Talk *talk)
{
    uint8_t bytes[16384];
    bool opens = !talk->asks && !opening_done(talk);
    ssize_t n = read(talk->in_fd, bytes, opens ? sizeof(talk->opening) - talk->opening_bytes : sizeof(bytes));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -1;
    if (n < 0 && !gone(errno))
        return TALK_WRONG;
    if (n <= 0) {
        talk->in_closed = true;
        return opens || talk->in_bytes < in_all(talk) ? TALK_CUT : TALK_GOES_ON;
    }
    if (opens) {
        memcpy((uint8_t *)&talk->opening + talk->opening_bytes, bytes, (size_t)n);
        talk->opening_bytes += (size_t)n;
        return !opening_done(talk) || (talk->opening.magic == TALK_MAGIC && talk->opening.manner < TALK_MANNER_MAX) ?
            TALK_GOES_ON :
            TALK_WRONG;
    }
    for (size_t done = 0, piece_bytes; done < (size_t)n; done += piece_bytes) {
        const uint8_t *words = piece(talk, !talk->asks, talk->in_bytes, &piece_bytes);
        if (piece_bytes > (size_t)n - done)
            piece_bytes = (size_t)n - done;
        if (memcmp(words, bytes + done, piece_bytes) != 0)
            return TALK_WRONG;
        talk->in_bytes += piece_bytes;
    }
    return talk->in_bytes > in_all(talk) ? TALK_WRONG : TALK_GOES_ON;
}

TalkEnd talk_step(Talk *talk)
{
    for (uint64_t before = talk->in_bytes + talk->out_bytes;;) {
        int spoke = may_speak(talk) ? speak(talk) : -1;
        if (spoke > TALK_GOES_ON)
            return (TalkEnd)spoke;
        int heard = talk->in_closed ? -1 : hear(talk);
        if (heard > TALK_GOES_ON)
            return (TalkEnd)heard;
        if (talk->in_closed && talk->out_closed)
            return TALK_GOOD;
        if ((spoke < 0 && heard < 0) || talk->in_bytes + talk->out_bytes - before > TALK_STEP_BYTES)
            return TALK_GOES_ON;
    }
}
