/* SPDX-License-Identifier: Apache-2.0 */
/* What a service's activation is at: whether something may be started, what was given up and why, and what is no longer wanted.
 * A service's part lives in its Serving, the manager's as long as the manager. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "daemon/log.h"
#include "daemon/manager/serve.h"

#define LOG_A_SECOND 1
#define LOG_BURST 10

static const char without_keeper[] = "hvsock-keeper does not run, which starts programs; hvsockd tries again by itself";

bool activate_keeper_is_there(const Manager *manager)
{
    return hold_is_there(manager->hold);
}

/* ---- what may be ---- */

Taking activate_taking(const Serving *serving, const Service *service, bool clients)
{
    const Manager *manager = serving->manager;
    const Activating *activating = &serving->activating;
    const Activation *activate = service->context->activate;

    if (activating->waiter && !activating->waiter->starts_unit)
        return service_type(service->context) == SERVICE_DGRAM ? TAKING_NOBODY : TAKING_LATE;
    if (clients)
        return TAKING_CLIENTS;
    if (activating->waiter || activating->unit_starts)
        return TAKING_NOBODY;
    if (!activate || !service_effectively_enabled(service))
        return TAKING_NOBODY;
    if (activating->failed || (manager->activate->without_keeper && !activate->unit))
        return service_type(service->context) == SERVICE_DGRAM ? TAKING_NOBODY : TAKING_TO_CLOSE;
    return activate->mode == ACTIVATION_ACCEPT ? TAKING_PROGRAMS : TAKING_FIRST;
}

bool activate_has_room(Serving *serving)
{
    Manager *manager = serving->manager;
    Activate *activate = manager->activate;
    const Service *service = registry_find_service(&manager->registry, serving->name);
    const Limits *limits = manager->settings->limits;

    if (!service || !service->context->activate || serving->activating.later)
        return false;
    if (service->context->activate->unit)
        return true;
    if (!activate_keeper_is_there(manager) || serving->activating.program_count >= limits->programs_per_service.value)
        return false;
    if (activate->program_count < limits->programs.value)
        return true;
    activate->full = true;
    return false;
}

const char *activate_failure(const Serving *serving)
{
    if (serving->activating.failed)
        return serving->activating.failed;
    return serving->manager->activate->without_keeper ? without_keeper : NULL;
}

static int on_later(sd_event_source *source, uint64_t time_us, void *userdata)
{
    Serving *serving = userdata;

    serving->activating.later = sd_event_source_disable_unref(serving->activating.later);
    /* A unit that has had its time, or whose program has let go again. */
    serving->activating.unit_starts = false;
    serving_update(serving);
    serving_flush(serving);
    serving_switch(serving);
    hold_flush(serving->manager->hold);
    manager_events_flush(serving->manager);
    return 0;
}

void activate_later(Serving *serving, uint64_t in_us)
{
    Activating *activating = &serving->activating;

    activating->later = sd_event_source_disable_unref(activating->later);
    int r = sd_event_add_time_relative(serving->manager->event, &activating->later, CLOCK_MONOTONIC, in_us, 0, on_later, serving);
    if (r < 0)
        log_error("%s: cannot wait: %s", serving->name, strerror(-r));
    serving_switch(serving);
}

static void touch(Serving *serving)
{
    Service *service = registry_find_service(&serving->manager->registry, serving->name);

    if (service)
        registry_touch(&serving->manager->registry, service);
}

void activate_fail(Serving *serving, const char *format, ...)
{
    Buffer text = {0};
    va_list arguments;
    char *why;

    va_start(arguments, format);
    buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    if (buffer_take(&text, &why, NULL) < 0)
        why = strdup("its program cannot be started");
    free(serving->activating.failed);
    serving->activating.failed = why;
    serving->activating.later = sd_event_source_disable_unref(serving->activating.later);
    log_error("%s: %s; connections are closed until `hvsockctl enable %s`", serving->name, why ? why : "?", serving->name);
    manager_log_program(serving->manager, serving->name, "failed", NULL, 0, "%s", why ? why : "?");
    manager_event(serving->manager, "failed", serving->name, NULL, "%s has failed: %s", serving->name, why ? why : "?");
    activating_keep(serving);
    touch(serving);
    serving_update(serving);
    serving_flush(serving);
}

void activate_put_off(Serving *serving, bool passing, const char *why)
{
    Activating *activating = &serving->activating;
    uint64_t now_ns = serve_now_ns();

    metrics_service(serving->manager->metrics, serving->name)->start_failed++;
    if (activating->failed)
        return; /* it was on its way already */
    if (!start_limit_failed(&activating->limit, passing, now_ns)) {
        activate_fail(serving, "%s (%d times in a row)", why, START_FAILURES_MAX);
        return;
    }
    trouble_start_failed(serving, why);
    if (bucket_take(&activating->log_ns, 1000000000u / LOG_A_SECOND, (uint64_t)(LOG_BURST - 1) * 1000000000u / LOG_A_SECOND, now_ns)) {
        log_warning("%s: %s; tried again in %llu ms", serving->name, why,
                    (unsigned long long)((activating->limit.next_ns - now_ns) / 1000000u));
        manager_log_program(serving->manager, serving->name, "start-failed", NULL, 0, "%s", why);
    }
    activating_keep(serving);
    activate_later(serving, (activating->limit.next_ns - now_ns) / 1000u + 1);
}

void manager_activate_clear(Manager *manager, const char *name)
{
    Serving *serving = serving_find(manager, name);
    Activating *activating = serving ? &serving->activating : NULL;

    if (!activating)
        return;
    bool was_failed = activating->failed != NULL;
    free(TAKE_PTR(activating->failed));
    trouble_forget(serving);
    activating->limit = (StartLimit){0};
    activating->limited = false;
    /* What later is for the sake of a unit stays. */
    if (!activating->unit_starts)
        activating->later = sd_event_source_disable_unref(activating->later);
    activating_keep(serving);
    if (was_failed)
        log_info("%s: starts are counted anew", name);
    touch(serving);
    serving_update(serving);
}

/* ---- what is wanted still ---- */

int activate_hash(Manager *manager, const Service *service, uint64_t *ret)
{
    const Activation *activate = service->context->activate;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    Buffer text = {0};

    if (!activate || !service_effectively_enabled(service)) {
        *ret = 0;
        return 0;
    }
    record_write_json(&record_type_Activation, activate, RECORD_WRITE_ALL, &text);
    /* Who has registered it is who it runs as. */
    if (!activate->user)
        buffer_printf(&text, " %d %u", service->origin->kind == STORED_FILE, (unsigned)service->origin->uid);
    if (text.failed) {
        buffer_release(&text);
        return -ENOMEM;
    }
    for (size_t i = 0; i < text.size_bytes; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * 1099511628211u;
    buffer_release(&text);
    *ret = hash > 0 ? hash : 1;
    return 0;
}

void activate_look_again(Serving *serving)
{
    serving->activating.look_again = true;
    serving->manager->activate->look_again = true;
}

static void settle(Serving *serving)
{
    Activating *activating = &serving->activating;
    Manager *manager = serving->manager;
    const Service *service = registry_find_service(&manager->registry, serving->name);
    uint64_t record = 0;
    Program *program;

    if (service && activate_hash(manager, service, &record) < 0)
        return;
    TAILQ_FOREACH(program, &activating->programs, of_serving)
        if (program->record != record && !program->stopping)
            program_stop(program);
    if (activating->record != 0 && activating->record != record) {
        activating->unit_starts = false;
        if (manager->activate->units)
            units_forget(manager->activate->units, serving->name);
        manager_activate_clear(manager, serving->name);
    }
    activating->record = record;
}

void activate_settle(Manager *manager)
{
    Serving *serving;

    if (!manager->activate || !manager->activate->look_again)
        return;
    manager->activate->look_again = false;
    for (serving = serving_next(manager, NULL); serving; serving = serving_next(manager, serving))
        if (serving->activating.look_again) {
            serving->activating.look_again = false;
            settle(serving);
        }
    hold_flush(manager->hold);
}

void manager_activate_settled(Manager *manager)
{
    activate_settle(manager);
}

/* ---- what is shown ---- */

bool manager_activate_is_active(const Manager *manager, const Service *service, const char **ret_failed, const char **ret_trouble)
{
    const Serving *serving = serving_find((Manager *)(uintptr_t)manager, service->context->name);
    const Activation *activate = service->context->activate;

    *ret_failed = NULL;
    *ret_trouble = activate && serving ? serving->activating.trouble_text : NULL;
    if (activate && serving && serving->activating.failed)
        *ret_failed = serving->activating.failed;
    else if (activate && !activate->unit && manager->activate->without_keeper)
        *ret_failed = without_keeper;
    return serving && (serving->activating.program_count > 0 || serving->activating.unit_starts);
}

size_t manager_activate_count(const Manager *manager)
{
    return manager->activate->program_count;
}

void manager_activate_render(const Manager *manager, const Service *service, Buffer *text)
{
    const Serving *serving = serving_find((Manager *)(uintptr_t)manager, service->context->name);
    const Program *program;
    const char *before = ",\"programs\":[";
    size_t count = 0;

    if (!serving)
        return;
    TAILQ_FOREACH(program, &serving->activating.programs, of_serving) {
        const Accepted *accepted = program->accepted;
        char since[TIME_TEXT_SIZE_BYTES];
        if (program->pid == 0)
            continue;
        if (++count > ACTIVATE_PROGRAMS_SHOWN)
            break;
        buffer_printf(text, "%s{\"processId\":%d", before, (int)program->pid);
        before = ",";
        if (accepted && accepted->family == AF_VSOCK)
            buffer_printf(text, ",\"peer\":\"vsock:%u:%u\"", accepted->cid, accepted->port);
        else if (accepted)
            buffer_printf(text, ",\"peer\":\"uid:%u\"", accepted->uid);
        if (accepted && accepted->peer->key.kind == PEER_KEY_MACHINE) {
            buffer_append_text(text, ",\"machine\":");
            buffer_append_json(text, accepted->peer->key.machine);
        }
        buffer_printf(text, ",\"since\":\"%s\"}", time_format(program->since_us, since));
    }
    if (before[1] == '\0')
        buffer_append_char(text, ']');
}

/* ---- coming and going ---- */

void activating_release(Serving *serving)
{
    Activating *activating = &serving->activating;

    while (!TAILQ_EMPTY(&activating->programs))
        program_forget(TAILQ_FIRST(&activating->programs));
    if (serving->manager->activate && serving->manager->activate->units)
        units_forget(serving->manager->activate->units, serving->name);
    activating->later = sd_event_source_disable_unref(activating->later);
    if (activating->error_fd > 0)
        fd_close(activating->error_fd);
    free(TAKE_PTR(activating->failed));
    trouble_forget(serving);
}

bool activating_is_over(Serving *serving)
{
    Manager *manager = serving->manager;
    Activating *activating = &serving->activating;
    const Service *service = registry_find_service(&manager->registry, serving->name);

    if (activating->program_count > 0 || activating->unit_starts)
        return false;
    /* It is gone, and so is what was remembered of it. */
    if (service && service->context->activate) {
        if (activating->failed || activating->later || activating->limit.failures > 0 || activating->trouble != TROUBLE_NONE)
            return false;
        if (start_limit_is_counting(&activating->limit, service->context->activate->start_limit, serve_now_ns()))
            return false;
    }
    free(TAKE_PTR(activating->failed));
    trouble_forget(serving);
    activating->limit = (StartLimit){0};
    activating_keep(serving);
    return true;
}

static int on_grace(sd_event_source *source, uint64_t time_us, void *userdata)
{
    Manager *manager = userdata;
    Serving *serving;

    manager->activate->grace = sd_event_source_disable_unref(manager->activate->grace);
    if (activate_keeper_is_there(manager))
        return 0;
    manager->activate->without_keeper = true;
    for (serving = serving_next(manager, NULL); serving; serving = serving_next(manager, serving))
        touch(serving);
    servings_update(manager);
    servings_switch(manager);
    return 0;
}

void manager_activate_lost(Manager *manager)
{
    Activate *activate = manager->activate;
    size_t count = 0;
    Program *program;

    /* Of those that we have not heard of yet, one may have begun with its connection, and is not followed by another. What the
     * keeper had not even seen waits for the next. */
    while ((program = RB_ROOT(&activate->programs))) {
        if (program->pid == 0 && !hold_has_begun(manager->hold, program->frame)) {
            program_give_back(program);
        } else {
            /* One that has begun, and that we do not know: its peer is not to wait for what it leaves behind. */
            if (program->pid == 0 && program->fd >= 0)
                shutdown(program->fd, SHUT_RDWR);
            count++;
            program_end(program);
        }
    }
    if (count > 0)
        log_error("hvsock-keeper has ended, and with it %zu program%s", count, count == 1 ? "" : "s");
    if (!activate->grace)
        sd_event_add_time_relative(manager->event, &activate->grace, CLOCK_MONOTONIC, ACTIVATE_WITHOUT_KEEPER_US, 0, on_grace, manager);
    servings_update(manager);
    manager_events_flush(manager);
}

void manager_activate_back(Manager *manager)
{
    Activate *activate = manager->activate;
    Serving *serving;

    activate->grace = sd_event_source_disable_unref(activate->grace);
    activate->without_keeper = false;
    programs_look(manager);
    for (serving = serving_next(manager, NULL); serving; serving = serving_next(manager, serving)) {
        activating_keep(serving);
        touch(serving);
    }
    servings_update(manager);
    servings_switch(manager);
    manager_events_flush(manager);
}

int manager_activate_new(Manager *manager)
{
    Activate *activate = manager->activate = calloc(1, sizeof(*activate));
    struct timespec now = {0};

    if (!activate)
        return -ENOMEM;
    RB_INIT(&activate->programs);
    /* Above all numbers that an earlier hvsockd has given in this boot. */
    clock_gettime(CLOCK_BOOTTIME, &now);
    activate->next_number = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    int r = accounts_new(&activate->accounts);
    if (r >= 0)
        r = sd_event_add_time_relative(manager->event, &activate->grace, CLOCK_MONOTONIC, ACTIVATE_WITHOUT_KEEPER_US, 0, on_grace,
                                       manager);
    return r < 0 ? r : 0;
}

void manager_activate_free(Manager *manager)
{
    Activate *activate = TAKE_PTR(manager->activate);

    if (!activate)
        return;
    sd_event_source_disable_unref(activate->grace);
    units_free(activate->units);
    accounts_free(activate->accounts);
    free(activate);
}
