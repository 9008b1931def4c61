/* SPDX-License-Identifier: Apache-2.0 */
/* Programs from their start to their end. waitid(2), prctl(2) (PR_SET_CHILD_SUBREAPER).
 *
 * The keeper is a subreaper: what a program leaves behind becomes the keeper's child and not init's. So it is waited for
 * also where init does not do that (a container's first program), and who ends the keeper in a private folder, where there
 * are no cgroups, ends that too. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon/keeper/keeper.h"

#define REMAINS_EVERY_US 50000
#define CHILDREN_MAX_BYTES (1u << 20)

void programs_init(Programs *programs)
{
    *programs = (Programs){0};
    TAILQ_INIT(&programs->running);
    TAILQ_INIT(&programs->untold);
    TAILQ_INIT(&programs->remains);
}

static Program **place_of(Programs *programs, pid_t pid)
{
    Program **place = &programs->by_pid[(unsigned)pid % PROGRAM_BUCKETS];

    while (*place && (*place)->pid != pid)
        place = &(*place)->next;
    return place;
}

int program_add(Keeper *keeper, Item *item, Program **ret)
{
    Program *program = calloc(1, sizeof(*program));

    if (!program)
        return -ENOMEM;
    *program = (Program){.item = item, .kill_at_us = NEVER_US};
    item->program = program;
    keeper->programs.count++;
    *ret = program;
    return 0;
}

void program_runs(Keeper *keeper, Program *program, pid_t pid, char *cgroup)
{
    program->pid = pid;
    program->cgroup = cgroup;
    Program **place = place_of(&keeper->programs, pid);
    program->next = *place;
    *place = program;
    TAILQ_INSERT_TAIL(&keeper->programs.running, program, link);
}

/* From now on nothing is known of its pid, which may be somebody else's. */
static void forget_pid(Programs *programs, Program *program)
{
    Program **place = place_of(programs, program->pid);

    *place = program->next;
    TAILQ_REMOVE(&programs->running, program, link);
    if (program->is_stopping)
        programs->stopping_count--;
    program->is_stopping = false;
    program->kill_at_us = NEVER_US;
}

/* What is left in it is killed; it goes as soon as it is empty. */
static void leave_cgroup_consume(Keeper *keeper, char *cgroup)
{
    if (!cgroup)
        return;
    cgroups_kill(&keeper->cgroups, cgroup, SIGKILL, 0);
    Remains *remains = cgroups_remove(&keeper->cgroups, cgroup) ? NULL : malloc(sizeof(*remains));
    if (!remains) {
        free(cgroup);
        return;
    }
    remains->cgroup = cgroup;
    TAILQ_INSERT_TAIL(&keeper->programs.remains, remains, link);
}

void program_ended(Keeper *keeper, Program *program, int status)
{
    forget_pid(&keeper->programs, program);
    leave_cgroup_consume(keeper, TAKE_PTR(program->cgroup));
    program->has_ended = true;
    program->status = status;
    if (keeper->client) {
        program->is_untold = true;
        TAILQ_INSERT_TAIL(&keeper->programs.untold, program, link);
    }
}

void program_resumed(Keeper *keeper, Program *program, int status, uint64_t kill_at_us)
{
    if (kill_at_us > 0) {
        program->is_stopping = true;
        program->kill_at_us = kill_at_us;
        keeper->programs.stopping_count++;
    }
    if (status >= 0) /* and whoever was connected knows of it: there is no client yet */
        program_ended(keeper, program, status);
}

void program_told(Keeper *keeper, Program *program)
{
    if (program->is_untold)
        TAILQ_REMOVE(&keeper->programs.untold, program, link);
    program->is_untold = false;
}

void program_free(Keeper *keeper, Program *program)
{
    if (program->pid > 0 && !program->has_ended)
        forget_pid(&keeper->programs, program);
    program_told(keeper, program);
    keeper->programs.count--;
    free(program->cgroup);
    free(program);
}

void programs_release(Keeper *keeper)
{
    Item *item;
    Remains *remains;

    TAILQ_FOREACH(item, &keeper->items.order, link)
        if (item->program) {
            program_free(keeper, item->program);
            item->program = NULL;
        }
    while ((remains = TAILQ_FIRST(&keeper->programs.remains))) {
        TAILQ_REMOVE(&keeper->programs.remains, remains, link);
        free(remains->cgroup);
        free(remains);
    }
}

/* ---- signals ---- */

void program_signal(Keeper *keeper, const Program *program, int signal)
{
    kill(-program->pid, signal); /* the group that it leads, which a session's leader cannot leave */
    if (program->cgroup)
        cgroups_kill(&keeper->cgroups, program->cgroup, signal, program->pid);
}

void program_stop(Keeper *keeper, Program *program)
{
    if (program->is_stopping)
        return;
    program->is_stopping = true;
    keeper->programs.stopping_count++;
    uint64_t now = keeper_now_us();
    program->kill_at_us = program->stop_timeout_us < NEVER_US - now ? now + program->stop_timeout_us : NEVER_US - 1;
    program_signal(keeper, program, SIGTERM);
    program_signal(keeper, program, SIGCONT); /* or one that is stopped would not hear of it */
}

/* ---- the end ---- */

bool programs_reap(Keeper *keeper)
{
    for (;;) {
        siginfo_t information = {0};
        int status;
        if (waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT) < 0)
            return errno != ECHILD;
        if (information.si_pid == 0)
            return true;
        Program *program = *place_of(&keeper->programs, information.si_pid);
        /* While it is not waited for its number is nobody else's. */
        if (program && program->is_stopping && !program->cgroup)
            kill(-program->pid, SIGKILL);
        if (waitpid(information.si_pid, &status, WNOHANG) == information.si_pid && program)
            program_ended(keeper, program, status);
    }
}

uint64_t programs_tick(Keeper *keeper, uint64_t now_us)
{
    Programs *programs = &keeper->programs;
    uint64_t next_us = NEVER_US;
    Program *program;

    if (programs->stopping_count > 0)
        TAILQ_FOREACH(program, &programs->running, link) {
            if (program->kill_at_us <= now_us) {
                program->kill_at_us = NEVER_US;
                program_signal(keeper, program, SIGKILL);
            }
            if (program->kill_at_us < next_us)
                next_us = program->kill_at_us;
        }
    for (Remains *remains = TAILQ_FIRST(&programs->remains), *next; remains; remains = next) {
        next = TAILQ_NEXT(remains, link);
        if (cgroups_remove(&keeper->cgroups, remains->cgroup)) {
            TAILQ_REMOVE(&programs->remains, remains, link);
            free(remains->cgroup);
            free(remains);
        } else if (now_us + REMAINS_EVERY_US < next_us) {
            next_us = now_us + REMAINS_EVERY_US;
        }
    }
    return next_us;
}

static void on_cgroup(const char *name, void *userdata)
{
    Keeper *keeper = userdata;
    const Program *program;

    TAILQ_FOREACH(program, &keeper->programs.running, link)
        if (program->cgroup && strcmp(program->cgroup, name) == 0)
            return;
    leave_cgroup_consume(keeper, strdup(name));
}

void programs_sweep(Keeper *keeper)
{
    cgroups_each(&keeper->cgroups, on_cgroup, keeper);
}

void programs_kill_orphans(void)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;

    if (file_read(AT_FDCWD, "/proc/thread-self/children", CHILDREN_MAX_BYTES, &text, &size) < 0)
        return;
    char *next = text;
    for (long pid; (pid = strtol(next, &next, 10)) > 0;)
        kill((pid_t)pid, SIGKILL);
}
