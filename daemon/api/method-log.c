/* SPDX-License-Identifier: Apache-2.0 */
/* ReadLog: entries as they are in the files, in their order; with follow also those that come. */

#include <errno.h>

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"
#include "daemon/api/server.h"
#include "daemon/journal/journal.h"

/* A call of ReadLog, from the first reply to the last. */
typedef struct Reading {
    JournalReader *reader;
    JournalFilter filter; /* its name is the call's */
} Reading;

static void reading_free(void *state)
{
    Reading *reading = state;

    journal_reader_free(reading->reader);
    free(reading);
}

/* In the place of those that are gone. */
static void render_missed(const Reading *reading, Buffer *reply)
{
    char time[TIME_TEXT_SIZE_BYTES];

    buffer_printf(reply,
                  "{\"entry\":{\"sequence\":%llu,\"time\":\"%s\",\"userId\":%u,\"processId\":%d,\"program\":\"hvsockd\","
                  "\"action\":\"missed\",\"text\":\"entries were dropped for new ones before they were read\"}}",
                  (unsigned long long)journal_reader_sequence(reading->reader) + 1, time_format(time_now_us(), time),
                  (unsigned)geteuid(), (int)getpid());
}

static int read_log_next(Call *call, Buffer *reply, FdList *fds)
{
    Reading *reading = call->state;
    const char *line = NULL;
    size_t size_bytes = 0;

    switch (journal_reader_next(reading->reader, &reading->filter, &line, &size_bytes)) {
    case JOURNAL_END:
        return call->endless ? SEQUENCE_LATER : SEQUENCE_END;
    case JOURNAL_SKIPPED:
        return SEQUENCE_AGAIN;
    case JOURNAL_DROPPED:
        render_missed(reading, reply);
        return SEQUENCE_ITEM;
    case JOURNAL_LINE:
        break;
    }
    buffer_append_text(reply, "{\"entry\":");
    buffer_append(reply, line, size_bytes);
    buffer_append_char(reply, '}');
    return SEQUENCE_ITEM;
}

int method_read_log(Call *call, Buffer *reply)
{
    const ReadLogParameters *arguments = call->arguments;
    uint64_t since_us = 0;

    if (arguments->since && !time_parse(arguments->since, &since_us))
        return failure_invalid_parameter(&call->failure, "since");
    if (arguments->follow == YES) {
        int r = call->more ? method_check_watchers(call) : failure_plain(&call->failure, FAILURE_EXPECTED_MORE);
        if (r != 0)
            return r;
        call->endless = true;
    }
    Reading *reading = calloc(1, sizeof(*reading));
    if (!reading)
        return -ENOMEM;
    reading->filter = (JournalFilter){.name = arguments->name, .since_us = since_us};
    call->state = reading;
    call->state_free = reading_free;
    call->next = read_log_next;
    Journal *journal = manager_journal(call->connection->server->manager);
    (void)journal_flush_all(journal); /* what is lost is counted */
    return journal_reader_new(journal, call->endless, &reading->reader);
}
