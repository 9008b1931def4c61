/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: what a set of services should hold, compared with what it holds -> the steps between. A pure function on values:
 * it opens nothing, logs nothing and knows no clock. Reload, Register, Apply, boot, restart and a machine that comes or goes
 * all go through it. What does not change gets no step. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/cleanup.h"
#include "schema/model/service.h"

typedef struct PlanListener PlanListener;
typedef struct PlanStep PlanStep;
typedef struct Plan Plan;

/* One listener, wanted or held. Two are the same thing where service, machine, uri and type are equal; then what else
 * differs is a change. All texts are borrowed. */
struct PlanListener {
    const char *service;
    const char *machine;  /* NULL: not a machine's */
    const char *uri;      /* canonical and complete */
    const char *key;      /* address_key: what it conflicts by */
    int type;
    uint32_t backlog;
    const char *user, *group, *mode; /* of paths; NULL: default */
    bool wildcard;        /* wanted: it comes from machine:*, so that another service's machine:NAME beats it */
    void *userdata;       /* the planner's caller's own */
};

typedef enum PlanStepKind {
    PLAN_CLOSE,  /* held, and no longer wanted: all of these come first */
    PLAN_CHANGE, /* backlog, owner, mode */
    PLAN_BIND,   /* wanted and not held */
} PlanStepKind;

struct PlanStep {
    PlanStepKind kind;
    const PlanListener *wanted; /* CHANGE, BIND */
    const PlanListener *held;   /* CLOSE, CHANGE */
};

struct Plan {
    PlanStep *steps;
    size_t count;
};

/* Neither array is changed; steps point into them. Costs n log n of what it is given, so it is given only the services that were touched.
 * -ENOMEM. */
int plan_make(const PlanListener *wanted, size_t wanted_count, const PlanListener *held, size_t held_count, Plan *ret);
void plan_release(Plan *plan);

/* What a service should hold, given the machines: its addresses, machine:NAME and machine:* turned into each machine's own
 * transport. Owner and mode come from socket, else from the machine. A wanted listener's texts are owned by the set. */
typedef struct PlanWanted PlanWanted;
struct PlanWanted {
    PlanListener *listeners; /* uri, key and machine are owned here, service, user, … borrowed from the contexts */
    size_t count;
};
/* find_machine(NAME) and next_machine(previous name or NULL) look into the caller's registry. shadowed(machine, key) says
 * that another service's machine:NAME has that number there, which beats machine:*. */
typedef struct PlanMachines PlanMachines;
struct PlanMachines {
    const MachineContext *(*find)(const char *name, void *userdata);
    const MachineContext *(*next)(const char *after, void *userdata);
    bool (*shadowed)(const char *service, const MachineContext *machine, const char *key, void *userdata);
    void *userdata;
};
int plan_want(const ServiceContext *service, const uint32_t *port, const PlanMachines *machines, PlanWanted *ret);
void plan_wanted_release(PlanWanted *wanted);
