/* SPDX-License-Identifier: Apache-2.0 */
/* What happened, in a ring that watchers read at their own speed: one that falls behind is told how much it missed. */

#include <string.h>

#include "daemon/manager/internal.h"

static void event_release(Event *event)
{
    free(event->service);
    free(event->machine);
    free(event->text);
    *event = (Event){0};
}

void manager_event(Manager *manager, const char *kind, const char *service, const char *machine, const char *format, ...)
{
    va_list arguments;
    Buffer text = {0};

    if (!manager->events)
        manager->events = calloc(EVENTS_MAX, sizeof(*manager->events));
    if (!manager->events)
        return; /* told to nobody: what happened has happened all the same */

    Event *event = &manager->events[manager->event_next % EVENTS_MAX];
    event_release(event);
    va_start(arguments, format);
    buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    *event = (Event){
        .sequence = manager->event_next,
        .time_us = time_now_us(),
        .kind = kind,
        .service = service ? strdup(service) : NULL,
        .machine = machine ? strdup(machine) : NULL,
    };
    buffer_take(&text, &event->text, NULL);
    manager->event_next++;
    manager->events_told = false;
    metrics_global(manager->metrics)->events++;
}

void manager_events_flush(Manager *manager)
{
    if (manager->events_told)
        return;
    manager->events_told = true;
    if (manager->observer.on_events)
        manager->observer.on_events(manager->observer.userdata);
}

void manager_events_release(Manager *manager)
{
    for (size_t i = 0; manager->events && i < EVENTS_MAX; i++)
        event_release(&manager->events[i]);
    free(manager->events);
    manager->events = NULL;
}

const Event *manager_next_event(Manager *manager, uint64_t sequence, uint64_t *ret_missed)
{
    uint64_t oldest = manager->event_next > EVENTS_MAX ? manager->event_next - EVENTS_MAX : 0;

    *ret_missed = sequence < oldest ? oldest - sequence : 0;
    metrics_global(manager->metrics)->events_missed += *ret_missed;
    if (sequence < oldest)
        sequence = oldest;
    return manager->events && sequence < manager->event_next ? &manager->events[sequence % EVENTS_MAX] : NULL;
}

uint64_t manager_event_sequence(const Manager *manager)
{
    return manager->event_next;
}
