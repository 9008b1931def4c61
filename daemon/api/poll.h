/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's one loop: an epoll of the clients' sockets, in which sd_event's own descriptor is one among them. One wait
 * tells of all clients that have something, and each is served once: sd_event takes one source a wait, and asks all that are
 * ready again for each, which costs a hundred clients a hundred times as much. Everything else (timers, signals, processes)
 * stays sd_event's. epoll(7), sd_event_get_fd(3), sd_event_prepare(3). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "schema/base/cleanup.h"

typedef struct Poll Poll;
typedef struct PollSource PollSource;

/* What came of serving a source. */
typedef enum PollOutcome {
    POLL_QUIET = 0, /* nothing was changed that sd_event knows of, and nothing is left over for its deferred sources */
    POLL_STIRRED,   /* sd_event has to be asked whether there is anything to be done now: to be answered in doubt */
    POLL_GATHERING, /* the same, after all others that have something: what they ask is done in one go with this */
} PollOutcome;

/* Embedded in what it is the source of. */
struct PollSource {
    Poll *poll; /* NULL: not added */
    int fd;
    uint32_t events;
    PollOutcome (*on_events)(PollSource *source, uint32_t events);
};

/* A source of sd_event's, so that whoever runs that loop runs this one; poll_loop turns it round. */
int poll_new(sd_event *event, Poll **ret);
void poll_free(Poll *poll);
DEFINE_CLEANUP(Poll *, poll_free)

/* fd is borrowed, and must stay open until poll_remove. Level-triggered, as epoll_ctl(2) has it. -errno. */
int poll_add(Poll *poll, PollSource *source, int fd, uint32_t events, PollOutcome (*on_events)(PollSource *, uint32_t));
/* events 0: errors and hang-ups alone are told. */
int poll_set_events(PollSource *source, uint32_t events);
/* It is not called any more, also where it was told of already in this turn. Does nothing where it is not added. */
void poll_remove(PollSource *source);

/* Runs both loops until sd_event_exit: its code; -errno. */
int poll_loop(Poll *poll);
