/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: which process holds listeners of a service, since when. A lease ends with its process (a pidfd in the event
 * loop, which survives exec). A process has one lease a service, however often it acquires. pidfd_open(2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "schema/base/cleanup.h"

typedef struct Lease Lease;
typedef struct Leases Leases;

/* What a lease is of. A process can have both of one service; the lease ends with the last. */
typedef enum LeaseKind {
    LEASE_LISTENERS = 1 << 0,   /* it has the listeners, until it ends: nobody else accepts on them */
    LEASE_CONNECTIONS = 1 << 1, /* it gets connections that we accept */
} LeaseKind;

struct Lease {
    Lease *next_of_service; /* in the order they were taken */
    Lease *next_of_process;
    char *service;
    pid_t pid;
    uint64_t start_time_ticks; /* 0: not known */
    uid_t uid;
    uint64_t since_us;
    unsigned kinds; /* LeaseKind */
};

/* Called for every lease that has ended (not by leases_free), after it is out of the lists and before it is freed. It
 * may drop and add leases itself. */
typedef void (*LeaseEnded)(const Lease *lease, void *userdata);

int leases_new(sd_event *event, LeaseEnded on_end, void *userdata, Leases **ret);
void leases_free(Leases *leases);
DEFINE_CLEANUP(Leases *, leases_free)

enum { LEASE_LIMIT = 1 };
/* Of listeners. 0: made or there already; LEASE_LIMIT: the uid has max_of_uid. pidfd is taken over, also where it fails; pid is its
 * process, in our pid namespace. -errno. */
int leases_add_consume(Leases *leases, const char *service, int pidfd, pid_t pid, uid_t uid, uint32_t max_of_uid);
int leases_add_kind_consume(Leases *leases, const char *service, LeaseKind kind, int pidfd, pid_t pid, uid_t uid,
                            uint32_t max_of_uid);
/* One that was there before us, with all that lease says; kinds, start_time_ticks and since_us included. -ESRCH: its process has
 * ended, or the pid is another's now. */
int leases_restore_consume(Leases *leases, const Lease *lease, int pidfd);
/* Of a process that has a lease; borrowed. -1: it has none. */
int leases_pidfd(Leases *leases, pid_t pid);
/* Calls for each lease of all. Must not change them. */
void leases_visit(const Leases *leases, void (*visit)(const Lease *lease, void *userdata), void *userdata);
/* One of what a process has of a service is no more; where that was all, its lease ends, and on_end is called. */
void leases_drop_kind(Leases *leases, const char *service, LeaseKind kind, pid_t pid);
/* The same, and nobody is told: what was never handed out. */
void leases_forget_kind(Leases *leases, const char *service, LeaseKind kind, pid_t pid);
/* Some process has a lease of this kind. */
bool leases_have_kind(const Leases *leases, const char *service, LeaseKind kind);
/* This process, which has not ended, has a lease of this kind. */
bool leases_has_kind(Leases *leases, const char *service, LeaseKind kind, pid_t pid);
/* This process, which has not ended, has a lease of that service. */
bool leases_has(Leases *leases, const char *service, pid_t pid);
/* The first lease of a service, the rest by next_of_service; NULL: none. */
const Lease *leases_of_service(const Leases *leases, const char *service);
size_t leases_count(const Leases *leases);
/* This process has none of that service any more, and nobody is told: what was never handed out. */
void leases_forget(Leases *leases, const char *service, pid_t pid);
/* The service is gone: its leases end, and on_end is called. */
void leases_drop_service(Leases *leases, const char *service);
