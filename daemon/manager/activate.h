/* SPDX-License-Identifier: Apache-2.0 */
/* Activation: programs that are started when a peer connects. What the files activate-*.c share, and what serve-*.c asks. A
 * program is an item of the keeper's (schema/wire/keeper.h), so that it outlives us; what we know of it is in the item's value. */
#pragma once

#include <bsd/sys/tree.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "daemon/activate/account.h"
#include "daemon/activate/start-limit.h"
#include "daemon/activate/unit.h"
#include "daemon/hold/hold.h"
#include "daemon/manager/internal.h"

#define ACTIVATE_WITHOUT_KEEPER_US 5000000 /* connections wait so long for another keeper; then they are closed */
#define ACTIVATE_UNIT_TAKES_US 30000000    /* so long a unit that has started may take to take its sockets */
#define ACTIVATE_PROGRAMS_SHOWN 256       /* of one service; ListConnections has them all */
#define ACTIVATE_LISTENERS_MAX 1000        /* programs may have 1024 descriptors, where nothing else is said */

typedef struct Accepted Accepted;
typedef struct Activate Activate;
typedef struct Activating Activating;
typedef struct KeptKey KeptKey;
typedef struct Program Program;
typedef struct Serving Serving;

/* Who takes what comes to a service. */
typedef enum Taking {
    TAKING_NOBODY,   /* somebody has the listeners, or nobody is there: nothing is watched */
    TAKING_CLIENTS,  /* of Serve */
    TAKING_PROGRAMS, /* one is started for each */
    TAKING_FIRST,    /* the first makes a program start, which takes the listeners */
    TAKING_LATE,     /* a program has the listeners, but for those that came after its start: who comes there is hung up */
    TAKING_TO_CLOSE, /* what should be started cannot be: rather than wait for ever, peers are hung up */
} Taking;

/* What went wrong last. */
typedef enum Trouble { TROUBLE_NONE, TROUBLE_START, TROUBLE_END } Trouble;

/* From when it is asked for until it has ended. */
struct Program {
    RB_ENTRY(Program) by_number;
    TAILQ_ENTRY(Program) of_serving;
    Serving *serving;
    Accepted *accepted; /* its connection; NULL: it has the listeners */
    uint64_t number;
    uint64_t record;    /* what it was started as, see activate_hash */
    uint64_t asked_ns;  /* CLOCK_MONOTONIC; 0: not known */
    uint64_t frame;     /* by which the keeper was asked: hold_has_begun */
    uint64_t since_us;
    pid_t pid;          /* 0: on its way */
    int fd;             /* of its connection, until it has started: -1 */
    bool stopping;
    bool starts_unit; /* it asks systemd for us */
    bool seen;        /* the keeper has it, as of the last look */
    bool ended;       /* ... and it has ended */
    int status;
};

RB_HEAD(Programs, Program);

/* A service's part, in its Serving. */
struct Activating {
    TAILQ_HEAD(, Program) programs;
    size_t program_count;
    Program *waiter;         /* of mode wait */
    bool unit_starts;        /* asked for; or it has started, and has not taken its sockets yet */
    StartLimit limit;
    bool limit_kept;         /* the keeper has an item of it */
    bool limited;            /* it was that that made it fail */
    Trouble trouble;
    char *trouble_text;      /* NULL: TROUBLE_NONE */
    char *failed;            /* why nothing is started any more, until somebody mends it; NULL: it is */
    uint64_t record;         /* activate_hash of the service's, as of the last look; 0: none yet */
    bool look_again;         /* when the change has settled */
    sd_event_source *later;  /* after a failed start, and while a unit has not taken its sockets */
    uint64_t log_ns;         /* as Serving.log_ns */
    int error_fd;            /* where its programs write errors; 0: not open */
};

/* The manager's part. */
struct Activate {
    struct Programs programs;
    size_t program_count;
    uint64_t next_number;
    Accounts *accounts;
    Units *units;            /* NULL until a unit is to be started */
    sd_event_source *grace;
    bool without_keeper;     /* for longer than one waits */
    bool full;               /* somebody waits for another's program to end */
    bool look_again;
};

/* ---- activate.c: what a service is at; for serve-*.c ---- */
Taking activate_taking(const Serving *serving, const Service *service, bool clients);
bool activate_has_room(Serving *serving);
/* Something of the service has changed: programs that it does not want any more are stopped when the change has settled. */
void activate_look_again(Serving *serving);
void activate_settle(Manager *manager);
void activating_release(Serving *serving);
/* Nothing runs, and nothing is to be remembered. */
bool activating_is_over(Serving *serving);
/* Why its peers are hung up; static, or the serving's. */
const char *activate_failure(const Serving *serving);
/* Nothing is started any more until somebody mends it. */
void activate_fail(Serving *serving, const char *format, ...) _printf_(2, 3);
/* A start has come to nothing, for good or (passing) for now. */
void activate_put_off(Serving *serving, bool passing, const char *why);
/* Looks again whether there is room, in so long. */
void activate_later(Serving *serving, uint64_t in_us);
bool activate_keeper_is_there(const Manager *manager);
/* Of the record and of who it is started as: two that are alike need no other program. */
int activate_hash(Manager *manager, const Service *service, uint64_t *ret);

/* ---- activate-start.c ---- */
/* Starts a program for a connection; both are taken over. false: no more now. */
bool activate_connection_consume(Serving *serving, Accepted *accepted, int fd);
/* Somebody waits: starts what is to take the listeners. */
void activate_listeners(Serving *serving, Service *service);
void activate_unit_started(Serving *serving);
void activate_unit_failed(Serving *serving);
void activate_on_unit(const char *service, const char *why, bool refused, void *userdata);

/* ---- activate-trouble.c: what is shown of a service that is not given up ---- */
void trouble_start_failed(Serving *serving, const char *why);
void trouble_started(Serving *serving);
/* how: an exit status or a signal, in words. */
void trouble_ended(const Program *program, int status, const char *how);
void trouble_forget(Serving *serving);

/* ---- activate-program.c: programs, and what the keeper has of them ---- */
Program *program_new(Serving *serving, Accepted *accepted);
/* It is over, or never was: its slot is free, and its connection closed. */
void program_end(Program *program);
void program_forget(Program *program); /* at the end of hvsockd: the keeper still has it */
/* It was not started, for want of something that comes back: its connection waits for another. */
void program_give_back(Program *program);
void program_stop(Program *program);
/* What we have not been told while we could not hear the keeper. */
void programs_look(Manager *manager);
void program_key(const Program *program, KeptKey *key);
int program_value(const Program *program, Buffer *value);
/* What is remembered of starts, for the keeper. */
void activating_keep(Serving *serving);
