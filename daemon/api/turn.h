/* SPDX-License-Identifier: Apache-2.0 */
/* Writes share a commit: they are staged as they come, from whichever client, and answered together. The turn ends when
 * nobody has anything more to write, or when it has grown old or large. Who wants to read waits for that, once: then
 * what is staged meanwhile is committed at once for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "daemon/api/call.h"

typedef struct Server Server;
typedef struct Turn Turn;

#define TURN_CALLS_MAX 512
#define TURN_AGE_MAX_US 5000
/* Behind every client's socket, so that all who have something to say in this turn of the loop have said it. */
#define TURN_END_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

struct Turn {
    TAILQ_HEAD(, Call) waiting; /* writes, in the order in which they came */
    TAILQ_HEAD(, Connection) readers; /* whose next call is something else, and waits for the end */
    size_t count;
    uint64_t began_us;
    uint64_t event_sequence; /* of the first event that a write of this turn can have made */
    sd_event_source *end;
    bool settling;
};

/* CLOCK_MONOTONIC. */
uint64_t turn_now_us(void);

int turn_init(Server *server);
void turn_release(Server *server);
/* A write was staged: its reply waits for the end of the turn. The call is moved. -ENOMEM. */
int turn_add(Server *server, Call *call);
/* A call is about what an earlier one of this turn is about, and would spoil that one's reply. */
bool turn_has_subject(const Server *server, const char *subject);
/* Before a write is staged; the first of a turn begins it. */
void turn_begin(Server *server);
bool turn_is_due(const Server *server);
/* The connection has its next turn when this one has ended. */
void turn_wait(Server *server, Connection *connection);
/* The client has gone: its writes stay, its replies go. */
void turn_forget(Server *server, Connection *connection);
