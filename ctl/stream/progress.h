/* SPDX-License-Identifier: Apache-2.0 */
/* How far a connection is: a line on stderr, at most one a second and one at the end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress Progress;

struct Progress {
    uint64_t began_ms, told_ms; /* clock_ms */
    uint64_t told_sent_bytes, told_received_bytes;
    bool terminal; /* stderr is one: a line takes the place of that before */
};

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t clock_ms(void);
/* Until then, for poll(2); 0 where that was. */
int clock_left_ms(uint64_t deadline_ms);

void progress_begin(Progress *progress);
/* How long until there is something to tell, for poll(2). */
int progress_wait_ms(const Progress *progress);
/* Tells, where it is time for it. last: in any case. */
void progress_tell(Progress *progress, uint64_t sent_bytes, uint64_t received_bytes, bool last);
