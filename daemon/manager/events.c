/* SPDX-License-Identifier: Apache-2.0 */
/* What happened, in a ring that watchers read at their own speed: one that falls behind is told how much it missed. */

#include <string.h>

#include "daemon/manager/internal.h"

#define BLOCK_KEPT_BYTES 512 /* of what was long, no more is kept for the next in its place */

/* Room for so much, in what the event before it in the ring had, if that fits. */
static char *event_block(Event *event, size_t size_bytes)
{
    bool fits = event->block_size_bytes >= size_bytes &&
                (event->block_size_bytes <= BLOCK_KEPT_BYTES || size_bytes > BLOCK_KEPT_BYTES);

    if (!fits) {
        free(event->block);
        event->block = malloc(size_bytes);
        event->block_size_bytes = event->block ? size_bytes : 0;
    }
    return event->block;
}

static const char *block_put(char **block, const char *text, size_t size_bytes)
{
    char *at = *block;

    if (!text || !at)
        return NULL;
    memcpy(at, text, size_bytes);
    *block += size_bytes;
    return at;
}

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static void event_put(Manager *manager, const char *kind, const char *service, const char *machine, const char *text)
{
    size_t service_bytes = text_size(service), machine_bytes = text_size(machine), text_bytes = text_size(text);

    if (!manager->events)
        manager->events = calloc(EVENTS_MAX, sizeof(*manager->events));
    if (!manager->events)
        return; /* told to nobody: what happened has happened all the same */

    Event *event = &manager->events[manager->event_next % EVENTS_MAX];
    char *block = event_block(event, service_bytes + machine_bytes + text_bytes);
    event->sequence = manager->event_next;
    event->time_us = time_now_us();
    event->kind = kind;
    event->service = block_put(&block, service, service_bytes);
    event->machine = block_put(&block, machine, machine_bytes);
    event->text = block_put(&block, text, text_bytes);
    manager->event_next++;
    manager->events_told = false;
    metrics_global(manager->metrics)->events++;
}

void manager_event_listening(Manager *manager, const char *service, const char *machine, const char *uri)
{
    Buffer *text = &manager->event_text;

    buffer_clear(text);
    buffer_append_text(text, service);
    buffer_append_text(text, " listens on ");
    buffer_append(text, uri, strlen(uri) + 1);
    event_put(manager, "listening", service, machine, text->failed ? NULL : text->data);
}

void manager_event(Manager *manager, const char *kind, const char *service, const char *machine, const char *format, ...)
{
    Buffer *text = &manager->event_text;
    va_list arguments;

    buffer_clear(text);
    va_start(arguments, format);
    buffer_vprintf(text, format, arguments);
    va_end(arguments);
    event_put(manager, kind, service, machine, text->failed ? NULL : text->data);
}

void manager_events_flush(Manager *manager)
{
    manager_log_flush(manager);
    if (manager->events_told)
        return;
    manager->events_told = true;
    if (manager->observer.on_events)
        manager->observer.on_events(manager->observer.userdata);
}

void manager_events_release(Manager *manager)
{
    for (size_t i = 0; manager->events && i < EVENTS_MAX; i++)
        free(manager->events[i].block);
    free(manager->events);
    manager->events = NULL;
    buffer_release(&manager->event_text);
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
