/* SPDX-License-Identifier: Apache-2.0 */
/* Leases, in trees by service, process and user, so that none of the questions walks over what others hold. One pidfd
 * and one source in the event loop a process, from its first lease to its last. Lives as long as the manager.
 * pidfd_open(2), sd_event_add_io(3). */

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <bsd/sys/tree.h>
#include <sys/epoll.h>

#include "daemon/handout/lease.h"
#include "schema/base/fd.h"
#include "schema/base/process.h"
#include "schema/base/text.h"

typedef struct Entry Entry;
typedef struct Holding Holding;
typedef struct Process Process;
typedef struct User User;

/* One lease; what its readers see comes first. */
struct Entry {
    Lease lease;
    RB_ENTRY(Entry) in_entries;
    Entry *previous_of_service, *previous_of_process;
    Holding *holding;
    Process *process;
    User *user;
};

/* A service that has leases. */
struct Holding {
    RB_ENTRY(Holding) in_holdings;
    Entry *first, *last;
    const char *name; /* text, or borrowed in a key */
    char text[];
};

struct Process {
    RB_ENTRY(Process) in_processes;
    Leases *leases;
    pid_t pid;
    int pidfd;
    uint64_t start_time_ticks;
    sd_event_source *source;
    Entry *first;
    bool ending; /* on_end is being called for its leases; whoever began that also frees it */
};

struct User {
    RB_ENTRY(User) in_users;
    uid_t uid;
    size_t count;
};

static int entry_compare(const Entry *a, const Entry *b)
{
    if (a->holding != b->holding)
        return (uintptr_t)a->holding < (uintptr_t)b->holding ? -1 : 1;
    return a->process == b->process ? 0 : (uintptr_t)a->process < (uintptr_t)b->process ? -1 : 1;
}

static int holding_compare(const Holding *a, const Holding *b)
{
    return strcmp(a->name, b->name);
}

static int process_compare(const Process *a, const Process *b)
{
    return a->pid == b->pid ? 0 : a->pid < b->pid ? -1 : 1;
}

static int user_compare(const User *a, const User *b)
{
    return a->uid == b->uid ? 0 : a->uid < b->uid ? -1 : 1;
}

typedef RB_HEAD(Entries, Entry) Entries;
typedef RB_HEAD(Holdings, Holding) Holdings;
typedef RB_HEAD(Processes, Process) Processes;
typedef RB_HEAD(Users, User) Users;

/* RB_GENERATE_STATIC, without the __unused that only BSD has. */
RB_GENERATE_INTERNAL(Entries, Entry, in_entries, entry_compare, _unused_ static)
RB_GENERATE_INTERNAL(Holdings, Holding, in_holdings, holding_compare, _unused_ static)
RB_GENERATE_INTERNAL(Processes, Process, in_processes, process_compare, _unused_ static)
RB_GENERATE_INTERNAL(Users, User, in_users, user_compare, _unused_ static)

struct Leases {
    sd_event *event;
    LeaseEnded on_end;
    void *userdata;
    Entries entries;
    Holdings holdings;
    Processes processes;
    Users users;
    size_t count;
};

int leases_new(sd_event *event, LeaseEnded on_end, void *userdata, Leases **ret)
{
    Leases *leases = calloc(1, sizeof(*leases));

    if (!leases)
        return -ENOMEM;
    leases->event = sd_event_ref(event);
    leases->on_end = on_end;
    leases->userdata = userdata;
    *ret = leases;
    return 0;
}

/* ---- the owners of lists: found or made, and freed with their last lease ---- */

static Holding *holding_find(const Leases *leases, const char *service)
{
    Holding *holding = RB_ROOT(&leases->holdings);

    while (holding) {
        int order = strcmp(service, holding->name);
        if (order == 0)
            break;
        holding = order < 0 ? RB_LEFT(holding, in_holdings) : RB_RIGHT(holding, in_holdings);
    }
    return holding;
}

static Holding *holding_get(Leases *leases, const char *service)
{
    Holding *holding = holding_find(leases, service);

    if (holding)
        return holding;
    size_t size_bytes = strlen(service) + 1;
    holding = calloc(1, sizeof(*holding) + size_bytes);
    if (!holding)
        return NULL;
    memcpy(holding->text, service, size_bytes);
    holding->name = holding->text;
    RB_INSERT(Holdings, &leases->holdings, holding);
    return holding;
}

static void holding_put(Leases *leases, Holding *holding)
{
    if (!holding || holding->first)
        return;
    RB_REMOVE(Holdings, &leases->holdings, holding);
    free(holding);
}

static User *user_get(Leases *leases, uid_t uid)
{
    User *user = RB_FIND(Users, &leases->users, &(User){.uid = uid});

    if (user)
        return user;
    user = calloc(1, sizeof(*user));
    if (!user)
        return NULL;
    user->uid = uid;
    RB_INSERT(Users, &leases->users, user);
    return user;
}

static void user_put(Leases *leases, User *user)
{
    if (!user || user->count > 0)
        return;
    RB_REMOVE(Users, &leases->users, user);
    free(user);
}

static void process_put(Process *process)
{
    if (!process || process->first || process->ending)
        return;
    RB_REMOVE(Processes, &process->leases->processes, process);
    sd_event_source_disable_unref(process->source);
    fd_close(process->pidfd);
    free(process);
}

/* ---- ending ---- */

static void entry_free(Entry *entry)
{
    if (!entry)
        return;
    free(entry->lease.service);
    free(entry);
}

/* Out of all lists and trees; on_end may do with the leases what it likes, also to those of the same process. */
static void entry_end(Leases *leases, Entry *entry, bool tell)
{
    Holding *holding = entry->holding;
    Process *process = entry->process;
    Entry *next_of_service = (Entry *)entry->lease.next_of_service;
    Entry *next_of_process = (Entry *)entry->lease.next_of_process;

    if (entry->previous_of_service)
        entry->previous_of_service->lease.next_of_service = entry->lease.next_of_service;
    else
        holding->first = next_of_service;
    if (next_of_service)
        next_of_service->previous_of_service = entry->previous_of_service;
    else
        holding->last = entry->previous_of_service;

    if (entry->previous_of_process)
        entry->previous_of_process->lease.next_of_process = entry->lease.next_of_process;
    else
        process->first = next_of_process;
    if (next_of_process)
        next_of_process->previous_of_process = entry->previous_of_process;

    RB_REMOVE(Entries, &leases->entries, entry);
    leases->count--;
    entry->user->count--;
    user_put(leases, entry->user);
    holding_put(leases, holding);
    process_put(process);

    entry->lease.next_of_service = entry->lease.next_of_process = NULL;
    if (tell && leases->on_end)
        leases->on_end(&entry->lease, leases->userdata);
    entry_free(entry);
}

static void process_end(Process *process)
{
    if (process->ending)
        return;
    process->ending = true;
    while (process->first)
        entry_end(process->leases, process->first, true);
    process->ending = false;
    process_put(process);
}

static int process_on_exit(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Process *process = userdata;

    process_end(process);
    return 0;
}

void leases_free(Leases *leases)
{
    if (!leases)
        return;
    Holding *holding;
    while ((holding = RB_ROOT(&leases->holdings)))
        entry_end(leases, holding->first, false);
    sd_event_unref(leases->event);
    free(leases);
}

static Entry *entry_find(Leases *leases, const char *service, pid_t pid)
{
    Process *process = RB_FIND(Processes, &leases->processes, &(Process){.pid = pid});
    Entry key = {.holding = process ? holding_find(leases, service) : NULL, .process = process};

    return key.holding ? RB_FIND(Entries, &leases->entries, &key) : NULL;
}

static void drop_kinds(Leases *leases, const char *service, unsigned kinds, pid_t pid, bool tell)
{
    Entry *entry = entry_find(leases, service, pid);

    if (!entry)
        return;
    entry->lease.kinds &= ~kinds;
    if (entry->lease.kinds == 0)
        entry_end(leases, entry, tell);
}

void leases_forget(Leases *leases, const char *service, pid_t pid)
{
    drop_kinds(leases, service, LEASE_LISTENERS | LEASE_CONNECTIONS, pid, false);
}

void leases_forget_kind(Leases *leases, const char *service, LeaseKind kind, pid_t pid)
{
    drop_kinds(leases, service, kind, pid, false);
}

void leases_drop_kind(Leases *leases, const char *service, LeaseKind kind, pid_t pid)
{
    drop_kinds(leases, service, kind, pid, true);
}

void leases_drop_service(Leases *leases, const char *service)
{
    size_t count = 0;

    for (const Lease *lease = leases_of_service(leases, service); lease; lease = lease->next_of_service)
        count++;
    /* By name each time: on_end can have ended others. What it adds comes last, and stays. */
    for (Holding *holding; count > 0 && (holding = holding_find(leases, service)); count--)
        entry_end(leases, holding->first, true);
}

/* ---- making ---- */

static int process_new_consume(Leases *leases, int *pidfd, pid_t pid, Process **ret)
{
    Process *process = calloc(1, sizeof(*process));

    if (!process)
        return -ENOMEM;
    int r = sd_event_add_io(leases->event, &process->source, *pidfd, EPOLLIN, process_on_exit, process);
    if (r < 0) {
        free(process);
        return r;
    }
    process->leases = leases;
    process->pid = pid;
    process->pidfd = TAKE_FD(*pidfd);
    process_start_time(pid, &process->start_time_ticks);
    RB_INSERT(Processes, &leases->processes, process);
    *ret = process;
    return 0;
}

static void entry_insert(Leases *leases, Entry *entry)
{
    Holding *holding = entry->holding;
    Process *process = entry->process;

    entry->previous_of_service = holding->last;
    if (holding->last)
        holding->last->lease.next_of_service = &entry->lease;
    else
        holding->first = entry;
    holding->last = entry;

    entry->lease.next_of_process = process->first ? &process->first->lease : NULL;
    if (process->first)
        process->first->previous_of_process = entry;
    process->first = entry;

    RB_INSERT(Entries, &leases->entries, entry);
    entry->user->count++;
    leases->count++;
}

bool leases_has(Leases *leases, const char *service, pid_t pid)
{
    Process *process = RB_FIND(Processes, &leases->processes, &(Process){.pid = pid});
    Holding *holding = process ? holding_find(leases, service) : NULL;
    Entry key = {.holding = holding, .process = process};

    return holding && RB_FIND(Entries, &leases->entries, &key) && !process_has_ended(process->pidfd);
}

int leases_add_consume(Leases *leases, const char *service, int pidfd, pid_t pid, uid_t uid, uint32_t max_of_uid)
{
    return leases_add_kind_consume(leases, service, LEASE_LISTENERS, pidfd, pid, uid, max_of_uid);
}

int leases_add_kind_consume(Leases *leases, const char *service, LeaseKind kind, int pidfd, pid_t pid, uid_t uid,
                            uint32_t max_of_uid)
{
    _cleanup_(fd_closep) int fd = pidfd;
    int r;

    if (fd < 0 || pid <= 0)
        return -EINVAL;
    Process *process = RB_FIND(Processes, &leases->processes, &(Process){.pid = pid});
    if (process && process_has_ended(process->pidfd)) {
        /* The pid has come round before the loop told us of the end of its first process. */
        process_end(process);
        process = RB_FIND(Processes, &leases->processes, &(Process){.pid = pid});
        if (process)
            return -ESRCH; /* called by on_end */
    }
    Holding *holding = holding_find(leases, service);
    Entry key = {.holding = holding, .process = process};
    Entry *there = process && holding ? RB_FIND(Entries, &leases->entries, &key) : NULL;
    if (there) {
        there->lease.kinds |= kind;
        return 0;
    }

    User *user = user_get(leases, uid);
    if (!user)
        return -ENOMEM;
    if (user->count >= max_of_uid) {
        user_put(leases, user);
        return LEASE_LIMIT;
    }

    Entry *entry = calloc(1, sizeof(*entry));
    r = entry && (entry->lease.service = strdup(service)) && (holding = holding_get(leases, service)) ? 0 : -ENOMEM;
    if (r == 0 && !process)
        r = process_new_consume(leases, &fd, pid, &process);
    if (r < 0) {
        entry_free(entry);
        holding_put(leases, holding);
        user_put(leases, user);
        return r;
    }
    entry->holding = holding;
    entry->process = process;
    entry->user = user;
    entry->lease.pid = pid;
    entry->lease.uid = uid;
    entry->lease.start_time_ticks = process->start_time_ticks;
    entry->lease.since_us = time_now_us();
    entry->lease.kinds = kind;
    entry_insert(leases, entry);
    return 0;
}

int leases_restore_consume(Leases *leases, const Lease *lease, int pidfd)
{
    _cleanup_(fd_closep) int fd = pidfd;
    uint64_t ticks = 0;

    /* The pidfd is its process for good; where it came without one, the pid may be another's. */
    if (fd < 0 || process_has_ended(fd) || !process_start_time(lease->pid, &ticks) ||
        (lease->start_time_ticks > 0 && lease->start_time_ticks != ticks))
        return -ESRCH;
    int r = leases_add_kind_consume(leases, lease->service, LEASE_LISTENERS, TAKE_FD(fd), lease->pid, lease->uid, UINT32_MAX);
    if (r != 0)
        return r;
    Entry *entry = entry_find(leases, lease->service, lease->pid);
    entry->lease.kinds = lease->kinds;
    entry->lease.since_us = lease->since_us;
    return 0;
}

int leases_pidfd(Leases *leases, pid_t pid)
{
    const Process *process = RB_FIND(Processes, &leases->processes, &(Process){.pid = pid});

    return process ? process->pidfd : -1;
}

/* ---- looking ---- */

void leases_visit(const Leases *leases, void (*visit)(const Lease *lease, void *userdata), void *userdata)
{
    Leases *all = (Leases *)(uintptr_t)leases;
    Holding *holding;

    RB_FOREACH(holding, Holdings, &all->holdings)
        for (const Lease *lease = &holding->first->lease; lease; lease = lease->next_of_service)
            visit(lease, userdata);
}

bool leases_has_kind(Leases *leases, const char *service, LeaseKind kind, pid_t pid)
{
    const Entry *entry = entry_find(leases, service, pid);

    return entry && entry->lease.kinds & kind && !process_has_ended(entry->process->pidfd);
}

bool leases_have_kind(const Leases *leases, const char *service, LeaseKind kind)
{
    for (const Lease *lease = leases_of_service(leases, service); lease; lease = lease->next_of_service)
        if (lease->kinds & kind)
            return true;
    return false;
}

const Lease *leases_of_service(const Leases *leases, const char *service)
{
    const Holding *holding = holding_find(leases, service);

    return holding ? &holding->first->lease : NULL;
}

size_t leases_count(const Leases *leases)
{
    return leases->count;
}
