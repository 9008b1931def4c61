/* SPDX-License-Identifier: Apache-2.0 */
/* The counters' life, and what there is to tell beside them: how many of everything there are at this moment. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/hold/hold.h"
#include "daemon/log.h"
#include "daemon/manager/internal.h"
#include "daemon/metrics/exposition.h"

int manager_open_metrics(Manager *manager)
{
    _cleanup_(freep) char *path = NULL;

    if (asprintf(&path, "%s/" METRICS_FILE, manager->runtime_path) < 0)
        return -ENOMEM;
    int r = metrics_open(manager->metrics, path, &manager->metrics_trouble);
    if (r < 0)
        return r;
    if (manager->metrics_trouble)
        log_warning("%s", manager->metrics_trouble);
    metrics_global(manager->metrics)->starts++;
    metrics_global(manager->metrics)->keeper_starts += hold_is_there(manager->hold) && manager->keeper_is_fresh;
    return 0;
}

static bool service_is_there(const char *name, void *userdata)
{
    Manager *manager = userdata;

    return registry_find_service(&manager->registry, name) != NULL;
}

void manager_sweep_metrics(Manager *manager)
{
    metrics_keep(manager->metrics, service_is_there, manager);
}

/* ---- how many there are ---- */

/* Of everything with a state, by its name. */
typedef struct Tally {
    const char *const *states; /* ended by NULL */
    uint64_t counts[8];
} Tally;

static void tally_add(Tally *tally, const char *state)
{
    for (size_t i = 0; tally->states[i]; i++)
        if (strcmp(tally->states[i], state) == 0)
            tally->counts[i]++;
}

static void tally_render(const Tally *tally, const char *name, const char *help, Buffer *text)
{
    exposition_family(text, name, "gauge", help);
    for (size_t i = 0; tally->states[i]; i++)
        exposition_sample(text, name, (ExpositionLabel){"state", tally->states[i]}, (ExpositionLabel){0}, tally->counts[i]);
}

/* A walk over all of them, when somebody asks, rather than a count that every change would have to keep. */
static void render_states(Manager *manager, Buffer *text)
{
    static const char *const of_services[] = {"disabled", "failed", "active", "listening", "waiting", "registered", NULL};
    static const char *const of_listeners[] = {"listening", "waiting", "failed", "draining", NULL};
    Tally services = {.states = of_services}, listeners = {.states = of_listeners};
    const Listener *listener;

    for (Service *service = registry_next_service(&manager->registry, NULL); service;
         service = registry_service_after(service)) {
        tally_add(&services, manager_service_state(manager, service));
        for (listener = service->listeners; listener; listener = listener->next)
            tally_add(&listeners, listener_state_name(listener));
    }
    TAILQ_FOREACH(listener, &manager->draining, queue)
        tally_add(&listeners, listener_state_name(listener));
    tally_render(&services, "hvsock_services", "Services, by their state.", text);
    tally_render(&listeners, "hvsock_listeners", "Listening sockets, by their state.", text);
}

/* Those of this process; 0: not to be seen. */
static uint64_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (!folder)
        return 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count > 3 ? count - 3 : 0; /* . and .. and the folder itself */
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;

    if (!file)
        return 0;
    if (fscanf(file, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* None is called process_…: node_exporter has those of its own, and a file that it collects must not name them again. */
static void render_process(const Manager *manager, Buffer *text)
{
    struct rlimit files = {0};

    exposition_family(text, "hvsock_build_info", "gauge", "Always 1; which hvsockd this is.");
    exposition_sample(text, "hvsock_build_info", (ExpositionLabel){"version", HVSOCK_VERSION}, (ExpositionLabel){0}, 1);
    exposition_family(text, "hvsock_start_time_seconds", "gauge", "When hvsockd was started, in seconds since 1970.");
    exposition_seconds(text, "hvsock_start_time_seconds", manager->started_at_us * 1000);
    exposition_single(text, "hvsock_resident_bytes", "gauge", resident_bytes(), "Memory that hvsockd has.");
    exposition_single(text, "hvsock_descriptors", "gauge", count_descriptors(), "File descriptors that hvsockd has open.");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        exposition_single(text, "hvsock_descriptors_limit", "gauge", files.rlim_cur,
                          "File descriptors that hvsockd may have open.");
}

void manager_render_metrics(Manager *manager, Buffer *text)
{
    render_process(manager, text);
    render_states(manager, text);
    exposition_single(text, "hvsock_machines", "gauge", manager->registry.machine_count, "Virtual machines.");
    exposition_single(text, "hvsock_leases", "gauge", leases_count(manager->leases),
                      "Processes that have a service's listeners, or serve it; one lease a service and process.");
    exposition_single(text, "hvsock_programs", "gauge", manager_activate_count(manager),
                      "Programs of activation that run, or are on their way.");
    exposition_single(text, "hvsock_configuration_errors", "gauge", manager->errors.errors,
                      "What is wrong with the files, as status lists it; the last good ones are in force.");
    metrics_render(manager->metrics, text);
}
