/* SPDX-License-Identifier: Apache-2.0 */
/* From services that are wanted and keys that there are -> what has to be written and removed. Changes nothing itself. */
#pragma once

#include "ctl/windows/host.h"
#include "schema/base/problem.h"

typedef struct Plan Plan;
typedef struct PlanChange PlanChange;
typedef struct PlanStep PlanStep;

struct PlanChange {
    const char *kind; /* add, change, remove */
    char *name;
    char *text;       /* `port 1 -> 2`; or NULL */
    TextList fields;
};

struct PlanStep {
    StorePlace place;
    const HostKey *removed;        /* this key goes; or NULL: */
    const ServiceContext *service; /* … this one is written, in place */
    Guid guid;
    bool pruned;                   /* and it is to be known when it comes back */
};

struct Plan {
    PlanChange *changes;
    size_t change_count, change_capacity;
    PlanStep *steps; /* what is written comes before what is removed */
    size_t step_count, step_capacity;
    /* Why not: somebody else's. */
    const char *conflict_field;
    char *conflict_value, *conflict_holder;
};

/* 0; PLAN_INVALID: problems say why, with fields like `services[2].port`; PLAN_CONFLICT; -ENOMEM. services: ended by NULL. What
 * has no GUID is left out. */
enum { PLAN_INVALID = 1, PLAN_CONFLICT };
int plan_make(const Host *host, ServiceContext *const *services, bool prune, Problems *problems, Plan *ret);
void plan_release(Plan *plan);
/* The GUID of a service; of autoPort: that which a key of its name has, else a free port's. taken: those that are given already.
 * 0; WINDOWS_REFUSED: told; WINDOWS_NOTHING; -ENOMEM. */
int plan_service_guid(const Host *host, const ServiceContext *service, const Guid *taken, size_t taken_count, Problems *problems,
                      Guid *ret);
/* The key that stands for a service. -ENOMEM. */
int plan_key_of(const ServiceContext *service, const Guid *guid, StoredKey *ret);
