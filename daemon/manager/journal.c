/* SPDX-License-Identifier: Apache-2.0 */
/* What the log says: who, by the kernel's credentials, did what to which service or machine. Changes are told when they are
 * committed. */

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/journal/journal.h"
#include "daemon/log.h"
#include "daemon/manager/internal.h"

#define LOG_FOLDER "log"
/* Refusals: so many at once, and so many a second; the others are counted. */
#define REFUSED_BURST 20
#define REFUSED_A_SECOND 1
#define LATER_US 1000000

static JournalEntry entry_of(const Caller *caller, const char *action, const char *service, const char *machine, const char *text)
{
    Credentials *credentials = caller ? caller->credentials : NULL;

    return (JournalEntry){
        .time_us = time_now_us(),
        .uid = credentials ? credentials->uid : geteuid(),
        .pid = credentials ? credentials->pid : getpid(),
        .program = credentials ? credentials_program(credentials) : "hvsockd",
        .action = action,
        .service = service,
        .machine = machine,
        .text = text,
    };
}

void manager_log(Manager *manager, const Caller *caller, JournalBook book, const char *action, const char *service,
                 const char *machine, const char *format, ...)
{
    Buffer text = {0};
    va_list arguments;

    if (format) {
        va_start(arguments, format);
        buffer_vprintf(&text, format, arguments);
        va_end(arguments);
        buffer_append_char(&text, '\0');
    }
    const JournalEntry entry = entry_of(caller, action, service, machine, text.size_bytes > 0 ? text.data : NULL);
    journal_add(manager->journal, book, &entry);
    buffer_release(&text);
}

void manager_log_taken(Manager *manager, const Caller *caller, const Service *service, const char *action)
{
    const char *name = service->context->name;

    metrics_service(manager->metrics, name)->leases++;
    manager_log(manager, caller, service->ephemeral_pid > 0 ? JOURNAL_EPHEMERAL : JOURNAL_HANDOUTS, action, name, NULL, NULL);
}

/* A text that is a member of that object, where it needs no escapes. */
static int member_text(const char *object, size_t size_bytes, const char *member, const char **ret)
{
    const char *at = size_bytes == 0 ? NULL : memmem(object, size_bytes, member, strlen(member));

    *ret = at ? at + strlen(member) : NULL;
    return *ret ? (int)strcspn(*ret, "\"") : 0;
}

/* What cannot be written is told once, and when it can be again; status tells it meanwhile. No call fails for it. */
static void log_flushed(Manager *manager, int r)
{
    JournalCounts counts = journal_take_counts(manager->journal);
    GlobalMetrics *metrics = metrics_global(manager->metrics);

    metrics->log_entries += counts.written;
    metrics->log_entries_lost += counts.lost;
    manager->events_told &= counts.written == 0; /* who reads the log as it grows is told as watchers are */
    if (counts.lost > 0 && !manager->journal_trouble &&
        asprintf(&manager->journal_trouble, "%s/" LOG_FOLDER ": entries of the log are lost: %s", manager->state_path,
                 r < 0 ? strerror(-r) : "too many of one commit") >= 0) {
        log_error("%s", manager->journal_trouble);
    } else if (counts.written > 0 && counts.lost == 0 && manager->journal_trouble) {
        log_notice("%s/" LOG_FOLDER ": entries of the log are written again", manager->state_path);
        free(TAKE_PTR(manager->journal_trouble));
    }
}

static void _printf_(7, 0) log_program(Manager *manager, bool later, const char *service, const char *action, const char *connection,
                                       size_t size_bytes, const char *format, va_list arguments)
{
    const Service *known = registry_find_service(&manager->registry, service);
    JournalBook book = known && known->ephemeral_pid > 0 ? JOURNAL_EPHEMERAL : JOURNAL_ACTIVATIONS;
    _cleanup_(freep) char *machine = NULL;
    const char *peer, *name;
    Buffer text = {0};

    buffer_vprintf(&text, format, arguments);
    int peer_bytes = member_text(connection, size_bytes, ",\"peer\":\"", &peer);
    int name_bytes = member_text(connection, size_bytes, ",\"machine\":\"", &name);
    if (peer_bytes > 0)
        buffer_printf(&text, " for %.*s", peer_bytes, peer);
    if (name_bytes > 0)
        machine = strndup(name, (size_t)name_bytes);
    buffer_append_char(&text, '\0');
    const JournalEntry entry = entry_of(NULL, action, service, machine, text.data ? text.data : "");
    if (later)
        journal_add_later(manager->journal, book, &entry);
    else
        journal_add(manager->journal, book, &entry);
    buffer_release(&text);
}

void manager_log_program(Manager *manager, const char *service, const char *action, const char *connection, size_t size_bytes,
                         const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_program(manager, false, service, action, connection, size_bytes, format, arguments);
    va_end(arguments);
    manager_log_flush(manager);
}

static int on_log_timer(sd_event_source *source, uint64_t time_us, void *userdata)
{
    Manager *manager = userdata;

    manager->log_timer = sd_event_source_disable_unref(manager->log_timer);
    log_flushed(manager, journal_flush_all(manager->journal));
    manager_events_flush(manager);
    return 0;
}

void manager_log_ended(Manager *manager, const char *service, const char *connection, size_t size_bytes, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_program(manager, true, service, "ended", connection, size_bytes, format, arguments);
    va_end(arguments);
    if (!manager->log_timer && sd_event_add_time_relative(manager->event, &manager->log_timer, CLOCK_MONOTONIC, LATER_US, 0, on_log_timer,
                                                          manager) < 0)
        manager_log_flush(manager);
}

void manager_log_released(Manager *manager, const char *service, pid_t pid, uid_t uid, uint64_t since_us)
{
    const Service *known = registry_find_service(&manager->registry, service);
    uint64_t now_us = time_now_us(), lasted_ms = now_us > since_us ? (now_us - since_us) / 1000 : 0;
    bool ephemeral = known ? known->ephemeral_pid > 0 : manager->forgets_ephemeral;

    manager_log(manager, NULL, ephemeral ? JOURNAL_EPHEMERAL : JOURNAL_HANDOUTS, "released", service, NULL,
                "by process %d of user %u after %llu.%03llu s", (int)pid, (unsigned)uid, (unsigned long long)(lasted_ms / 1000),
                (unsigned long long)(lasted_ms % 1000));
}

static bool change_is_ephemeral(const Change *change)
{
    return change->ephemeral_pid > 0 || (change->old_service && change->old_service->ephemeral_pid > 0) ||
           (change->old_machine && change->old_machine->ephemeral_pid > 0);
}

void manager_log_change(ChangeSet *set, const Change *change, const char *action, const char *text)
{
    bool service = change->object == STORED_SERVICE;

    set->logged++;
    if (set->logged > LOGGED_OF_ONE_SET_MAX)
        return;
    const JournalEntry entry = entry_of(set->actor, action, service ? change->name : NULL, service ? NULL : change->name,
                                        text ? text : set->why);
    journal_stage(set->manager->journal, change_is_ephemeral(change) ? JOURNAL_EPHEMERAL : JOURNAL_CHANGES, &entry);
}

void manager_log_set(ChangeSet *set, const char *action, const char *name)
{
    size_t counts[CHANGE_REPLAN + 1] = {0};
    Buffer text = {0};

    for (size_t i = 0; i < set->count; i++)
        counts[set->items[i].kind]++;
    buffer_printf(&text, "%s%s%zu added, %zu changed, %zu removed", name ? name : "", name ? ": " : "", counts[CHANGE_ADD],
                  counts[CHANGE_REPLACE], counts[CHANGE_REMOVE]);
    if (set->logged > LOGGED_OF_ONE_SET_MAX)
        buffer_printf(&text, "; %d of them are told one by one", LOGGED_OF_ONE_SET_MAX);
    buffer_append_char(&text, '\0');
    const JournalEntry entry = entry_of(set->actor, action, NULL, NULL, text.data);
    journal_stage(set->manager->journal, JOURNAL_CHANGES, &entry);
    set->manager->staged = true;
    buffer_release(&text);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void manager_log_refused(Manager *manager, const Caller *caller, const char *method, const Failure *failure)
{
    const uint64_t interval_ns = 1000000000u / REFUSED_A_SECOND, burst_ns = (REFUSED_BURST - 1) * interval_ns;
    uint64_t *bucket_ns = &manager->refused_bucket_ns, now = now_ns();
    const char *dot = strrchr(method, '.');
    char more[64] = "";

    if (*bucket_ns > now + burst_ns) {
        manager->refused_unlogged++;
        return;
    }
    *bucket_ns = (*bucket_ns > now ? *bucket_ns : now) + interval_ns;
    if (manager->refused_unlogged > 0)
        snprintf(more, sizeof(more), "; %llu more before it were not told", (unsigned long long)manager->refused_unlogged);
    manager->refused_unlogged = 0;
    json_t *parameters = json_loadb(failure->parameters.data, failure->parameters.size_bytes, 0, NULL);
    const char *reason = json_string_value(json_object_get(parameters, "reason"));
    manager_log(manager, caller, JOURNAL_REFUSED, "refused", json_string_value(json_object_get(parameters, "name")), NULL,
                "%s: %s%s", dot ? dot + 1 : method, reason ? reason : "not allowed", more);
    json_decref(parameters);
    manager_events_flush(manager);
}

void manager_log_end(Manager *manager, bool lets_go)
{
    manager_log(manager, NULL, JOURNAL_CHANGES, "stopped", NULL, NULL, "%s",
                lets_go ? "what it held is let go of" : "what it holds stays open in hvsock-keeper");
    manager_log_flush(manager);
}

Journal *manager_journal(Manager *manager)
{
    return manager->journal;
}

void manager_log_flush(Manager *manager)
{
    log_flushed(manager, journal_flush(manager->journal));
}

int manager_open_log(Manager *manager)
{
    _cleanup_(freep) char *folder = NULL;

    if (asprintf(&folder, "%s/" LOG_FOLDER, manager->state_path) < 0)
        return -ENOMEM;
    return journal_open(manager->journal, folder);
}
