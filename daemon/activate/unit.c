/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to the system's bus, made when it is first needed and made anew when it has broken. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "daemon/activate/unit.h"
#include "schema/base/text.h"

#define SYSTEMD "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
#define JOB_TIMEOUT_US (300u * 1000000u) /* longer than units take by default, TimeoutStartSec= */

typedef struct Job Job;

struct Job {
    TAILQ_ENTRY(Job) jobs;
    Units *units;
    sd_bus_slot *call;
    sd_event_source *timer;
    char *service;
    char *unit;
    char *path; /* NULL: not answered yet */
};

struct Units {
    sd_event *event;
    sd_bus *bus;
    UnitStarted on_started;
    void *userdata;
    TAILQ_HEAD(, Job) jobs;
};

static void job_free(Job *job)
{
    TAILQ_REMOVE(&job->units->jobs, job, jobs);
    sd_bus_slot_unref(job->call);
    sd_event_source_disable_unref(job->timer);
    free(job->service);
    free(job->unit);
    free(job->path);
    free(job);
}

static void job_end(Job *job, const char *why, bool refused)
{
    Units *units = job->units;
    _cleanup_(freep) char *service = TAKE_PTR(job->service);

    job_free(job);
    units->on_started(service, why, refused, units->userdata);
}

static void job_end_with(Job *job, const char *what, const char *why, bool refused)
{
    _cleanup_(freep) char *text = NULL;

    if (asprintf(&text, "%s: %s%s%s", job->unit, what, why ? ": " : "", why ? why : "") < 0)
        text = NULL;
    job_end(job, text ? text : "out of memory", refused);
}

/* It is we who may not, or the bus that has no systemd behind it. */
static bool is_refusal(const sd_bus_error *error)
{
    static const char *const names[] = {SD_BUS_ERROR_ACCESS_DENIED, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                        SD_BUS_ERROR_AUTH_FAILED, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_SERVICE_UNKNOWN,
                                        SD_BUS_ERROR_NAME_HAS_NO_OWNER, SD_BUS_ERROR_DISCONNECTED};

    for (size_t i = 0; i < ELEMENTS_OF(names); i++)
        if (sd_bus_error_has_name(error, names[i]))
            return true;
    return false;
}

static int on_answer(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    Job *job = userdata;
    const sd_bus_error *refused = sd_bus_message_get_error(message);
    const char *path;

    if (refused) {
        job_end_with(job, "systemd does not start it", refused->message ? refused->message : refused->name, is_refusal(refused));
        return 0;
    }
    int r = sd_bus_message_read(message, "o", &path);
    if (r < 0 || !(job->path = strdup(path)))
        job_end_with(job, "systemd does not start it", strerror(r < 0 ? -r : ENOMEM), false);
    return 0;
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    Units *units = userdata;
    const char *path, *unit, *result;
    uint32_t id;
    Job *job;

    if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) < 0)
        return 0;
    TAILQ_FOREACH(job, &units->jobs, jobs)
        if (text_equal(job->path, path))
            break;
    if (!job)
        return 0;
    if (strcmp(result, "done") == 0 || strcmp(result, "skipped") == 0)
        job_end(job, NULL, false);
    else
        job_end_with(job, "it has not started, systemctl status tells more", result, false);
    return 0;
}

static void units_close(Units *units)
{
    sd_bus *bus = TAKE_PTR(units->bus);

    if (bus)
        sd_bus_detach_event(bus);
    sd_bus_close_unref(bus);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    Units *units = userdata;

    units_close(units);
    while (!TAILQ_EMPTY(&units->jobs))
        job_end_with(TAILQ_FIRST(&units->jobs), "the system's bus has gone", NULL, true);
    return 0;
}

static int on_time(sd_event_source *source, uint64_t time_us, void *userdata)
{
    job_end_with(userdata, "systemd has not started it in five minutes", NULL, false);
    return 0;
}

/* As systemctl(1) does: root needs no bus in between. */
static int open_private(sd_bus **ret)
{
    sd_bus *bus = NULL;
    int r = geteuid() == 0 && !getenv("DBUS_SYSTEM_BUS_ADDRESS") ? sd_bus_new(&bus) : -EPERM;

    if (r >= 0)
        r = sd_bus_set_address(bus, "unix:path=/run/systemd/private");
    if (r >= 0)
        r = sd_bus_start(bus);
    if (r >= 0)
        *ret = bus;
    else
        sd_bus_close_unref(bus);
    return r;
}

static int units_open(Units *units)
{
    sd_bus *bus = NULL;

    if (units->bus)
        return 0;
    int r = open_private(&bus);
    if (r < 0)
        r = sd_bus_open_system(&bus);
    if (r >= 0)
        r = sd_bus_attach_event(bus, units->event, SD_EVENT_PRIORITY_NORMAL);
    if (r >= 0)
        r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local", NULL, "org.freedesktop.DBus.Local", "Disconnected",
                                      on_disconnected, NULL, units);
    if (r >= 0)
        r = sd_bus_match_signal_async(bus, NULL, SYSTEMD, "JobRemoved", on_job_removed, NULL, units);
    /* systemd tells of jobs only who has subscribed; should it refuse, the time says it. */
    if (r >= 0)
        r = sd_bus_call_method_async(bus, NULL, SYSTEMD, "Subscribe", NULL, NULL, "");
    if (r < 0) {
        sd_bus_close_unref(bus);
        return r;
    }
    units->bus = bus;
    return 0;
}

int units_start(Units *units, const char *unit, const char *service, char **ret_why)
{
    Job *job = calloc(1, sizeof(*job));

    *ret_why = NULL;
    if (!job)
        return -ENOMEM;
    job->units = units;
    TAILQ_INSERT_TAIL(&units->jobs, job, jobs);
    job->service = strdup(service);
    job->unit = strdup(unit);
    int r = job->service && job->unit ? units_open(units) : -ENOMEM;
    if (r >= 0)
        r = sd_bus_call_method_async(units->bus, &job->call, SYSTEMD, "StartUnit", on_answer, job, "ss", unit, "replace");
    if (r >= 0)
        r = sd_event_add_time_relative(units->event, &job->timer, CLOCK_MONOTONIC, JOB_TIMEOUT_US, 0, on_time, job);
    if (r >= 0)
        return 0;
    job_free(job);
    if (r != -ENOMEM && asprintf(ret_why, "%s: systemd cannot be asked over the system's bus: %s", unit, strerror(-r)) < 0)
        *ret_why = NULL;
    return r;
}

void units_forget(Units *units, const char *service)
{
    Job *job, *next;

    for (job = TAILQ_FIRST(&units->jobs); job; job = next) {
        next = TAILQ_NEXT(job, jobs);
        if (text_equal(job->service, service))
            job_free(job);
    }
}

int units_new(sd_event *event, UnitStarted on_started, void *userdata, Units **ret)
{
    Units *units = calloc(1, sizeof(*units));

    if (!units)
        return -ENOMEM;
    units->event = sd_event_ref(event);
    units->on_started = on_started;
    units->userdata = userdata;
    TAILQ_INIT(&units->jobs);
    *ret = units;
    return 0;
}

void units_free(Units *units)
{
    if (!units)
        return;
    while (!TAILQ_EMPTY(&units->jobs))
        job_free(TAILQ_FIRST(&units->jobs));
    units_close(units);
    sd_event_unref(units->event);
    free(units);
}
