/* SPDX-License-Identifier: Apache-2.0 */
/* Records that end with a process: a pidfd in the event loop for each. pidfd_open(2), proc(5). */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

int manager_watch_process(Manager *manager, pid_t pid, uint64_t *start_time_ticks, Service *service, Machine *machine)
{
    sd_event_source **source = service ? &service->ephemeral_source : &machine->ephemeral_source;
    Tie *tie = calloc(1, sizeof(*tie));
    uint64_t ticks = 0;

    if (!tie)
        return -ENOMEM;
    *tie = (Tie){.manager = manager, .service = service, .machine = machine, .pid = pid};
    tie->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (tie->pidfd < 0) {
        int r = -errno;
        free(tie);
        return r;
    }
    /* Read after the pidfd is open: the pid cannot be another's until it is closed and the process reaped. */
    if (!process_start_time(pid, &ticks) || (*start_time_ticks > 0 && *start_time_ticks != ticks)) {
        tie_free(tie);
        return -ESRCH;
    }
    int r = sd_event_add_io(manager->event, source, tie->pidfd, EPOLLIN, tie_on_exit, tie);
    if (r < 0) {
        tie_free(tie);
        return r;
    }
    sd_event_source_set_destroy_callback(*source, tie_free);
    *start_time_ticks = ticks;
    return 0;
}

static const char *why_not_tie(Manager *manager, const Caller *caller, pid_t pid)
{
    char path[32];
    struct stat status;

    if (pid <= 0)
        return "is no process id";
    /* Whose it is, is nothing to who may name any. */
    if (access_is_administrator(manager->access, caller->credentials))
        return kill(pid, 0) < 0 && errno == ESRCH ? "there is no such process" : NULL;
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    if (stat(path, &status) < 0)
        return "there is no such process";
    if (status.st_uid != caller->credentials->uid)
        return "the process is another user's";
    return NULL;
}

int manager_check_tie(Manager *manager, const Caller *caller, pid_t pid, Failure *failure)
{
    const char *why = pid != 0 ? why_not_tie(manager, caller, pid) : NULL;

    return why ? failure_invalid_field_text(failure, "ephemeralProcessId", why, "a running process of your own") : 0;
}

/* -ESRCH and the like: the process is gone. */
static int tie_one_again(ChangeSet *set, const char *name, pid_t pid, uint64_t *start_time_ticks, Service *service,
                         Machine *machine)
{
    if (manager_watch_process(set->manager, pid, start_time_ticks, service, machine) == 0)
        return 0;
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
            r = tie_one_again(&set, service->context->name, service->ephemeral_pid, &service->ephemeral_start_time_ticks, service,
                              NULL);
    for (Machine *machine = registry_next_machine(&manager->registry, NULL); machine && r == 0;
         machine = registry_next_machine(&manager->registry, machine->context->name))
        if (machine->ephemeral_pid > 0)
            r = tie_one_again(&set, machine->context->name, machine->ephemeral_pid, &machine->ephemeral_start_time_ticks, NULL,
                              machine);
    if (r == 0 && set.count > 0)
        r = remove_ended(&set);
    changeset_release(&set);
    return r;
}
