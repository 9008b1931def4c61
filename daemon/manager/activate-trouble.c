/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong last with a service's program, for who looks at the service before it is given up: a start that came to nothing,
 * until one comes to something; a program that ended badly at once, until one does not. The keeper has it too. */

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "daemon/manager/serve.h"

#define AT_ONCE_NS 1000000000u

static void set(Serving *serving, Trouble kind, char *text_consume)
{
    Activating *activating = &serving->activating;
    Service *service = registry_find_service(&serving->manager->registry, serving->name);

    if (!text_consume && !activating->trouble_text)
        return;
    free(activating->trouble_text);
    activating->trouble_text = text_consume;
    activating->trouble = text_consume ? kind : TROUBLE_NONE;
    activating_keep(serving);
    if (service)
        registry_touch(&serving->manager->registry, service);
}

void trouble_start_failed(Serving *serving, const char *why)
{
    uint32_t count = serving->activating.limit.failures;
    char time[TIME_TEXT_SIZE_BYTES], times[64] = "";
    char *text;

    if (count > 0)
        snprintf(times, sizeof(times), ", %u of %d times in a row", count, START_FAILURES_MAX);
    if (asprintf(&text, "%s (at %s%s)", why, time_format(time_now_us(), time), times) < 0)
        return;
    set(serving, TROUBLE_START, text);
}

void trouble_started(Serving *serving)
{
    if (serving->activating.trouble == TROUBLE_START)
        set(serving, TROUBLE_NONE, NULL);
}

/* A peer that leaves early is no trouble, nor is a stop that was asked for. */
static bool is_bad(const Program *program, int status)
{
    bool failed = WIFSIGNALED(status) ? !(program->accepted && WTERMSIG(status) == SIGPIPE) : WEXITSTATUS(status) != 0;

    return failed && !program->stopping && program->asked_ns > 0 && serve_now_ns() - program->asked_ns < AT_ONCE_NS;
}

void trouble_ended(const Program *program, int status, const char *how)
{
    Serving *serving = program->serving;
    char time[TIME_TEXT_SIZE_BYTES];
    char *text;

    if (!is_bad(program, status)) {
        if (serving->activating.trouble == TROUBLE_END)
            set(serving, TROUBLE_NONE, NULL);
        return;
    }
    if (asprintf(&text, "its program ended at once: %s (process %d, at %s)", how, (int)program->pid,
                 time_format(time_now_us(), time)) >= 0)
        set(serving, TROUBLE_END, text);
}

void trouble_forget(Serving *serving)
{
    free(TAKE_PTR(serving->activating.trouble_text));
    serving->activating.trouble = TROUBLE_NONE;
}
