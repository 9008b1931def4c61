/* SPDX-License-Identifier: Apache-2.0 */
/* How often something may be started: so many in a time, and, where a start itself fails, later each time, until it is given
 * up. A value and pure functions on it: the clock is the caller's, and must be one that nobody sets (CLOCK_MONOTONIC). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define START_LIMIT_DEFAULT "5/10s" /* as the table of fields has it */
#define START_FAILURES_MAX 5        /* in a row, before it is given up */
#define START_BACK_OFF_FIRST_NS (100u * 1000000u)
#define START_BACK_OFF_MAX_NS (2000u * 1000000u)

typedef struct StartLimit {
    uint64_t begin_ns; /* of the time that is counted in; 0 with count 0: none yet */
    uint32_t count;
    uint32_t failures; /* starts in a row that came to nothing, as far as they count */
    uint32_t back_offs; /* of any kind, in a row */
    uint64_t next_ns;  /* not before; 0: at any time */
} StartLimit;

typedef enum StartVerdict {
    START_NOW,    /* it was counted */
    START_LATER,  /* not before next_ns */
    START_NEVER,  /* there were too many */
} StartVerdict;

/* text: `5/10s`; NULL: START_LIMIT_DEFAULT. */
StartVerdict start_limit_ask(StartLimit *limit, const char *text, uint64_t now_ns);
/* Without a count of starts: only whether the last failures are long enough ago. */
StartVerdict start_limit_ask_failures(const StartLimit *limit, uint64_t now_ns);
/* It could not be started. passing: for want of something that comes back by itself (processes, memory): it is put off, and never
 * given up for that. false: that was once too often. */
bool start_limit_failed(StartLimit *limit, bool passing, uint64_t now_ns);
/* Starts of a time that is not over are remembered. */
bool start_limit_is_counting(const StartLimit *limit, const char *text, uint64_t now_ns);
void start_limit_succeeded(StartLimit *limit);
