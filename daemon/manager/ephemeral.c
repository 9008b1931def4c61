/* SPDX-License-Identifier: Apache-2.0 */
/* Records that end with a process: a pidfd in the event loop for each. pidfd_open(2), proc(5). */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "daemon/place/holders.h"
#include "daemon/log.h"
#include "daemon/manager/internal.h"

/* What ends when the process does; lives as long as its event source. */
typedef struct Tie {
    Manager *manager;
    Service *service;
    Machine *machine;
    pid_t pid;
    int pidfd;
} Tie;

static void tie_free(void *userdata)
{
    Tie *tie = userdata;

    fd_close(tie->pidfd);
    free(tie);
}

/* What is in the set ends. */
static int remove_ended(ChangeSet *set)
{
    int r = changeset_check(set);

    return r < 0 ? r : changeset_apply(set); /* what goes cannot be refused */
}

static int tie_on_exit(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Tie tie = *(Tie *)userdata;
    Manager *manager = tie.manager;
    ChangeSet set;
    Failure failure = {0};
    bool others = manager->staged;
    char why[48];

    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    changeset_init(&set, manager);
    snprintf(why, sizeof(why), "process %d has ended", (int)tie.pid);
    set.why = why;
    Change *change = tie.service ? changeset_remove_service(&set, tie.service) : changeset_remove_machine(&set, tie.machine);
    log_info("%s ends with process %d", change ? change->name : "?", (int)tie.pid);
    int r = change ? remove_ended(&set) : -ENOMEM;
    changeset_release(&set);
    if (r < 0) {
        log_error("cannot forget what ended with process %d: %s", (int)tie.pid, strerror(-r));
        manager_rebuild(manager);
        if (others && !manager->lost)
            manager->lost = strdup(strerror(-r));
    } else if (!others) {
        manager_settle(manager, &failure);
    }
    failure_release(&failure);
    return 0;
}

static int process_open(pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    return pidfd < 0 ? -errno : pidfd;
}

int manager_watch_process_consume(Manager *manager, pid_t pid, int pidfd, Service *service, Machine *machine)
{
    sd_event_source **source = service ? &service->ephemeral_source : &machine->ephemeral_source;
    _cleanup_(fd_closep) int fd = pidfd;
    Tie *tie = calloc(1, sizeof(*tie));

    if (!tie)
        return -ENOMEM;
    *tie = (Tie){.manager = manager, .service = service, .machine = machine, .pid = pid, .pidfd = TAKE_FD(fd)};
    int r = sd_event_add_io(manager->event, source, tie->pidfd, EPOLLIN, tie_on_exit, tie);
    if (r < 0) {
        tie_free(tie);
        return r;
    }
    sd_event_source_set_destroy_callback(*source, tie_free);
    return 0;
}

static int refuse_tie(Failure *failure, const char *why)
{
    return failure_invalid_field_text(failure, "ephemeralProcessId", why, "a running process of your own");
}

/* A process that cannot be opened, which is no reason to give up what others have staged. */
static int refuse_process(Failure *failure, int error)
{
    switch (error) {
    case -ESRCH:
        return refuse_tie(failure, "there is no such process");
    case -EINVAL:
    case -ENOENT: /* from Linux 6.15 on */
        return refuse_tie(failure, "is a thread, and no process");
    case -EMFILE:
    case -ENFILE:
        return failure_limit_reached(failure, "descriptors", 0);
    default:
        return error;
    }
}

int manager_tie_change(Manager *manager, const Caller *caller, pid_t pid, Change *change, Failure *failure)
{
    uint64_t ticks;

    if (pid == 0)
        return 0;
    if (pid < 0)
        return refuse_tie(failure, "is no process id");
    _cleanup_(fd_closep) int pidfd = process_open(pid);
    if (pidfd < 0)
        return refuse_process(failure, pidfd);
    /* Asked after the pidfd is open, and true of its process where that lives still. Who may name any is not asked whose it is. */
    bool may = access_is_administrator(manager->access, caller->credentials) || process_owner(pid) == caller->credentials->uid;
    if (!process_start_time(pid, &ticks) || process_has_ended(pidfd))
        return refuse_process(failure, -ESRCH);
    if (!may)
        return refuse_tie(failure, "the process is another user's");
    change->ephemeral_pid = pid;
    change->ephemeral_pidfd = TAKE_FD(pidfd);
    change->ephemeral_start_time_ticks = ticks;
    return 0;
}

/* -ESRCH: the process is gone, and another may have its pid. */
static int watch_again(Manager *manager, pid_t pid, uint64_t start_time_ticks, Service *service, Machine *machine)
{
    _cleanup_(fd_closep) int pidfd = process_open(pid);
    uint64_t ticks;

    if (pidfd < 0)
        return pidfd == -EINVAL || pidfd == -ENOENT ? -ESRCH : pidfd;
    if (!process_start_time(pid, &ticks) || (start_time_ticks > 0 && ticks != start_time_ticks))
        return -ESRCH;
    return manager_watch_process_consume(manager, pid, TAKE_FD(pidfd), service, machine);
}

static int tie_one_again(ChangeSet *set, const char *name, pid_t pid, uint64_t start_time_ticks, Service *service, Machine *machine)
{
    int r = watch_again(set->manager, pid, start_time_ticks, service, machine);

    if (r == 0)
        return 0;
    if (r != -ESRCH) {
        /* It may well live: better a record too many than one that a machine needs. */
        log_error("%s%s: process %d cannot be watched, so its end goes unnoticed: %s", machine ? "machine " : "", name, (int)pid,
                  strerror(-r));
        return 0;
    }
    log_info("%s%s ended with process %d", machine ? "machine " : "", name, (int)pid);
    return (service ? changeset_remove_service(set, service) : changeset_remove_machine(set, machine)) ? 0 : -ENOMEM;
}

int manager_tie_again(Manager *manager)
{
    ChangeSet set;
    int r = 0;

    if (!manager->loaded_ties)
        return 0;
    changeset_init(&set, manager);
    set.why = "its process has ended";
    for (Service *service = registry_next_service(&manager->registry, NULL); service && r == 0;
         service = registry_service_after(service))
        if (service->ephemeral_pid > 0)
            r = tie_one_again(&set, service->context->name, service->ephemeral_pid, service->ephemeral_start_time_ticks, service,
                              NULL);
    for (Machine *machine = registry_next_machine(&manager->registry, NULL); machine && r == 0;
         machine = registry_next_machine(&manager->registry, machine->context->name))
        if (machine->ephemeral_pid > 0)
            r = tie_one_again(&set, machine->context->name, machine->ephemeral_pid, machine->ephemeral_start_time_ticks, NULL,
                              machine);
    if (r == 0 && set.count > 0)
        r = remove_ended(&set);
    changeset_release(&set);
    return r;
}
