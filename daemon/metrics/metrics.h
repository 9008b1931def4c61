/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, in a file that is mapped into memory: counting is an addition and no more, and what was counted outlives
 * hvsockd, however that ends (the file is in RUNTIME, so it goes with the host's boot). Where there can be no such file,
 * they are memory. Only what has happened to it gives a service a slot; what happens beyond the slots there are is counted
 * all the same, under METRICS_OTHERS. mmap(2), posix_fallocate(3). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

typedef struct GlobalMetrics GlobalMetrics;
typedef struct Metrics Metrics;
typedef struct ServiceMetrics ServiceMetrics;

#define METRICS_FILE "counters"
#define METRICS_SLOTS_MAX 16384
#define METRICS_REFUSALS_MAX 16
#define METRICS_SPAWN_BOUNDS 16
/* No service can have this name. What was counted for services that are gone, or that got no slot. */
#define METRICS_OTHERS "(others)"

/* Why a connection that had come was not served. Its order is the file's: new ones go before REFUSALS, and get their label in
 * metrics.c. */
typedef enum Refusal {
    REFUSAL_NONE,
    REFUSAL_DENIED,
    REFUSAL_NOT_ALLOWED,
    REFUSAL_WRONG_USER,
    REFUSAL_RATE,
    REFUSAL_MAX_CONNECTIONS,
    REFUSAL_MAX_CONNECTIONS_PER_PEER,
    REFUSAL_UNKNOWN,     /* who it is cannot be told */
    REFUSAL_NOT_SERVED,  /* nobody is there to take it, and too many wait already */
    REFUSAL_START_LIMIT, /* its program was started too often, and is not started now */
    REFUSAL_FAILED,      /* its program cannot be started */
    REFUSALS,
} Refusal;

/* A new counter takes the place of one of `spare`: then old files are good still. */
struct ServiceMetrics {
    uint64_t accepted;                      /* connections that passed the rules, to be handed over or to start a program */
    uint64_t refused[METRICS_REFUSALS_MAX]; /* by Refusal */
    uint64_t started;                       /* programs */
    uint64_t start_failed;
    uint64_t leases;                        /* that were made */
    uint64_t spare[4];
};

struct GlobalMetrics {
    uint64_t starts; /* of hvsockd, since this file is there */
    uint64_t commits;
    uint64_t commits_failed;
    uint64_t events;
    uint64_t events_missed;
    uint64_t log_entries;
    uint64_t log_entries_lost;
    uint64_t keeper_starts;
    uint64_t spawn_count;
    uint64_t spawn_sum_ns;
    uint64_t spawn[METRICS_SPAWN_BOUNDS]; /* each by itself, not cumulative; what took longer than the last bound is in
                                             spawn_count alone */
    uint64_t held_listeners; /* what hvsock-keeper had when we last told it something: not counted, but known */
    uint64_t held_leases;
    uint64_t held_programs;
    uint64_t spare[19];
};

/* Memory, until metrics_open. -ENOMEM. */
int metrics_new(Metrics **ret);
void metrics_free(Metrics *metrics);
DEFINE_CLEANUP(Metrics *, metrics_free)
/* Goes on counting in that file, which is made where it is not there; nothing was counted before. Nobody else may have it
 * open. 0: *ret_trouble is NULL, or says why they begin at nothing or are not kept (owned by the caller). -ENOMEM. */
int metrics_open(Metrics *metrics, const char *path, char **ret_trouble);

/* Never NULL. Good until metrics_forget and metrics_keep; a look-up in a tree, so it need not be remembered. */
ServiceMetrics *metrics_service(Metrics *metrics, const char *name);
GlobalMetrics *metrics_global(Metrics *metrics);
/* From the decision to start a program to its execve(2). */
void metrics_add_spawn(Metrics *metrics, uint64_t duration_ns);

/* The service is gone: what was counted is the others' now. */
void metrics_forget(Metrics *metrics, const char *name);
/* ... and so with all that are not there any more. */
void metrics_keep(Metrics *metrics, bool (*is_there)(const char *name, void *userdata), void *userdata);

/* In the text format of Prometheus; what else there is to tell goes before or after it. */
void metrics_render(Metrics *metrics, Buffer *text);
