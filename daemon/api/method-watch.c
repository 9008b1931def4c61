/* SPDX-License-Identifier: Apache-2.0 */
/* Events as they come. A client that is too slow for the manager's ring is told how many it missed. */

#include <errno.h>
#include <stdio.h>

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/server.h"
#include "schema/base/text.h"

static void event_render(const Event *event, Buffer *reply)
{
    char time[TIME_TEXT_SIZE_BYTES];

    buffer_printf(reply, "{\"event\":{\"sequence\":%llu,\"time\":\"%s\",\"kind\":\"%s\"",
                  (unsigned long long)event->sequence, time_format(event->time_us, time), event->kind);
    if (event->service) {
        buffer_append_text(reply, ",\"service\":");
        buffer_append_json(reply, event->service);
    }
    if (event->machine) {
        buffer_append_text(reply, ",\"machine\":");
        buffer_append_json(reply, event->machine);
    }
    buffer_append_text(reply, ",\"text\":");
    buffer_append_json(reply, event->text ? event->text : "");
    buffer_append_text(reply, "}}");
}

/* call->state is the sequence of the next event to tell. */
static int watch_next(Call *call, Buffer *reply, FdList *fds)
{
    uint64_t *sequence = call->state, missed = 0;
    const Event *event = manager_next_event(call->connection->server->manager, *sequence, &missed);

    if (!event)
        return SEQUENCE_LATER;
    if (missed > 0) {
        char text[64];
        snprintf(text, sizeof(text), "%llu events were missed", (unsigned long long)missed);
        const Event told = {
            .sequence = event->sequence - 1, .time_us = event->time_us, .kind = "missed", .text = text};
        event_render(&told, reply);
        *sequence = event->sequence;
    } else {
        event_render(event, reply);
        *sequence = event->sequence + 1;
    }
    return SEQUENCE_ITEM;
}

int method_check_watchers(Call *call)
{
    const Server *server = call->connection->server;
    uint32_t max = manager_settings(server->manager)->limits->watchers.value;

    return server->watcher_count >= max ? failure_limit_reached(&call->failure, "watchers", max) : 0;
}

int method_watch(Call *call, Buffer *reply)
{
    uint64_t now = manager_event_sequence(call->connection->server->manager);

    int r = call->more ? method_check_watchers(call) : 0;
    if (r != 0)
        return r;
    uint64_t *sequence = malloc(sizeof(*sequence));
    if (!sequence)
        return -ENOMEM;
    /* Which of two clients is read first in a turn of the loop is chance: what is told begins with the turn, so that
     * nobody misses the change that he began to watch for. One reply alone is the last event that there was. */
    *sequence = call->more ? call->event_sequence : now == 0 ? 0 : now - 1;
    call->state = sequence;
    call->state_free = free;
    call->next = watch_next;
    call->endless = true;
    return 0;
}
