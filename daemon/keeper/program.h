/* SPDX-License-Identifier: Apache-2.0 */
/* Programs: items that run. One exists from START until its item is deleted, which is after it has ended. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/keeper/cgroup.h"
#include "schema/base/cleanup.h"

#define PROGRAM_BUCKETS 1024

struct Item;
struct Keeper;
typedef struct Program Program;
typedef struct Programs Programs;
typedef struct Remains Remains;

struct Program {
    Program *next; /* in its bucket, by pid; while it runs */
    TAILQ_ENTRY(Program) link; /* of running, or of untold */
    struct Item *item;
    pid_t pid; /* 0: it does not run yet */
    int status; /* wait(2)'s */
    bool has_ended, is_untold, is_stopping;
    uint64_t stop_timeout_us;
    uint64_t kill_at_us; /* NEVER_US: it is not being stopped, or was killed */
    char *cgroup; /* its name, or NULL */
};

/* A cgroup whose program has ended: killed, and removed as soon as it is empty. */
struct Remains {
    TAILQ_ENTRY(Remains) link;
    char *cgroup;
};

struct Programs {
    Program *by_pid[PROGRAM_BUCKETS];
    TAILQ_HEAD(, Program) running;
    TAILQ_HEAD(, Program) untold; /* they have ended, and the client does not know */
    TAILQ_HEAD(, Remains) remains;
    size_t count; /* with those that have ended */
    size_t stopping_count;
};

void programs_init(Programs *programs);
void programs_release(struct Keeper *keeper);

/* Of an item that has none; it does not run yet. -ENOMEM. */
int program_add(struct Keeper *keeper, struct Item *item, Program **ret);
/* It runs; takes cgroup (or NULL) over. */
void program_runs(struct Keeper *keeper, Program *program, pid_t pid, char *cgroup);
/* What was known of one that runs in the process that we have executed in the place of: wait(2)'s status where it has ended,
 * else -1; when it is to be killed, else 0. */
void program_resumed(struct Keeper *keeper, Program *program, int status, uint64_t kill_at_us);
/* Its item stays the caller's. */
void program_free(struct Keeper *keeper, Program *program);
/* It has ended. */
void program_ended(struct Keeper *keeper, Program *program, int status);
void program_told(struct Keeper *keeper, Program *program);
void program_signal(struct Keeper *keeper, const Program *program, int signal);
void program_stop(struct Keeper *keeper, Program *program);

/* Waits for all children that have ended, also for those of programs that have ended before. false: there are no children. */
bool programs_reap(struct Keeper *keeper);
/* Kills those whose time is over, removes what remains; the time when it is to be called again. */
uint64_t programs_tick(struct Keeper *keeper, uint64_t now_us);
/* Kills and removes cgroups that are no program's: of a keeper that was killed. */
void programs_sweep(struct Keeper *keeper);
/* Kills whatever is our child still: what programs have started that ended before it. */
void programs_kill_orphans(void);
