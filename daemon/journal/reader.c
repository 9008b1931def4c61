/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the log: the books side by side, the entry with the lowest number first, a little of each in memory. It reads by the
 * journal's own descriptors, so that a thousand readers have none. One a call of ReadLog. */

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "daemon/journal/book.h"
#include "schema/base/text.h"

#define SKIPPED_A_STEP 256

/* Where it is in one book. */
typedef struct Source {
    const Book *book;
    uint64_t generation, offset;         /* of what is read next */
    uint64_t end_generation, end_offset; /* it ends there, where it does not follow */
    size_t from, size_bytes;             /* of data: read, and not used yet */
    bool has_line;                       /* at from; */
    size_t line_bytes;                   /* without its end */
    uint64_t sequence;
    char data[JOURNAL_LINE_MAX_BYTES];
} Source;

struct JournalReader {
    Journal *journal;
    bool follows;
    Source sources[JOURNAL_BOOKS];
    Source *told; /* whose line was given out */
    uint64_t sequence;
};

int journal_reader_new(Journal *journal, bool follows, JournalReader **ret)
{
    JournalReader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return -ENOMEM;
    reader->journal = journal;
    reader->follows = follows;
    for (size_t i = 0; i < JOURNAL_BOOKS; i++) {
        const Book *book = &journal->books[i];
        reader->sources[i].book = book;
        reader->sources[i].generation = book->generation - (book->previous_fd >= 0 ? 1 : 0);
        reader->sources[i].end_generation = book->generation;
        reader->sources[i].end_offset = book->size_bytes;
    }
    *ret = reader;
    return 0;
}

void journal_reader_free(JournalReader *reader)
{
    free(reader);
}

uint64_t journal_reader_sequence(const JournalReader *reader)
{
    return reader->sequence;
}

/* More of the file behind what is there already. false: there is no more, or none yet. */
static bool source_fill(const JournalReader *reader, Source *source, bool *ret_dropped)
{
    const Book *book = source->book;

    memmove(source->data, source->data + source->from, source->size_bytes);
    source->from = 0;
    for (;;) {
        size_t room_bytes = sizeof(source->data) - source->size_bytes;
        bool last = !reader->follows && source->generation == source->end_generation;
        if (!reader->follows && source->generation > source->end_generation)
            return false;
        if (book->generation - source->generation + 1 > 2) {
            *ret_dropped = true;
            source->generation = book->generation - 1;
            source->offset = 0;
            source->size_bytes = 0;
            continue;
        }
        if (last && source->end_offset - source->offset < room_bytes)
            room_bytes = source->end_offset - source->offset;
        /* Whoever follows asks often: what is known needs no system call. */
        if (source->generation == book->generation && source->offset >= book->size_bytes)
            return false;
        int fd = source->generation == book->generation ? book->fd : book->previous_fd;
        ssize_t count = room_bytes > 0 ? pread(fd, source->data + source->size_bytes, room_bytes, (off_t)source->offset) : 0;
        if (count > 0) {
            source->offset += (uint64_t)count;
            source->size_bytes += (size_t)count;
            return true;
        }
        if (last || source->generation == book->generation)
            return false;
        source->generation++;
        source->offset = 0;
        source->size_bytes = 0; /* an end that has no end is nothing */
    }
}

/* To the next whole line that is one. */
static void source_advance(const JournalReader *reader, Source *source, bool *ret_dropped)
{
    while (!source->has_line) {
        const char *line = source->data + source->from;
        const char *end = memchr(line, '\n', source->size_bytes);
        if (!end) {
            if (source->size_bytes == sizeof(source->data))
                source->size_bytes = 0; /* longer than any of ours: what is left of it is no entry either */
            if (!source_fill(reader, source, ret_dropped))
                return;
            continue;
        }
        source->line_bytes = (size_t)(end - line);
        source->has_line = journal_line_sequence(line, source->line_bytes, &source->sequence);
        if (!source->has_line) {
            source->from += source->line_bytes + 1;
            source->size_bytes -= source->line_bytes + 1;
        }
    }
}

static void source_drop_line(Source *source)
{
    source->from += source->line_bytes + 1;
    source->size_bytes -= source->line_bytes + 1;
    source->has_line = false;
}

/* `,"MEMBER":"NAME"`: a quote inside of a text has a backslash before it, so this stands nowhere else. */
static bool line_has(const char *line, size_t size_bytes, const char *member, const char *name)
{
    size_t member_bytes = strlen(member), name_bytes = strlen(name);
    const char *at = memmem(line, size_bytes, member, member_bytes);
    const char *end = line + size_bytes;

    return at && (size_t)(end - at) > member_bytes + name_bytes && memcmp(at + member_bytes, name, name_bytes) == 0 &&
           at[member_bytes + name_bytes] == '"';
}

static bool line_fits(const char *line, size_t size_bytes, const JournalFilter *filter)
{
    static const char before[] = ",\"time\":\"";
    char since[TIME_TEXT_SIZE_BYTES];

    if (filter->name && !line_has(line, size_bytes, ",\"service\":\"", filter->name) &&
        !line_has(line, size_bytes, ",\"machine\":\"", filter->name))
        return false;
    if (filter->since_us == 0)
        return true;
    const char *time = memmem(line, size_bytes, before, sizeof(before) - 1);
    /* Of one form and one zone: they are in the order of their letters. */
    size_t time_bytes = strlen(time_format(filter->since_us, since));
    return time && (size_t)(line + size_bytes - time) > sizeof(before) + time_bytes &&
           memcmp(time + sizeof(before) - 1, since, time_bytes) >= 0;
}

/* After the host has lost power there can be anything in a file. */
static bool line_is_sound(const char *line, size_t size_bytes)
{
    json_t *entry = json_loadb(line, size_bytes, 0, NULL);
    bool sound = json_is_object(entry);

    json_decref(entry);
    return sound;
}

JournalStep journal_reader_next(JournalReader *reader, const JournalFilter *filter, const char **ret_line, size_t *ret_size_bytes)
{
    if (reader->told)
        source_drop_line(TAKE_PTR(reader->told));
    for (size_t skipped = 0; skipped < SKIPPED_A_STEP; skipped++) {
        Source *first = NULL;
        bool dropped = false;
        for (Source *source = reader->sources; source < reader->sources + JOURNAL_BOOKS; source++) {
            source_advance(reader, source, &dropped);
            if (source->has_line && (!first || source->sequence < first->sequence))
                first = source;
        }
        if (dropped)
            return JOURNAL_DROPPED;
        if (!first)
            return JOURNAL_END;
        const char *line = first->data + first->from;
        if (line_fits(line, first->line_bytes, filter) && line_is_sound(line, first->line_bytes)) {
            *ret_line = line;
            *ret_size_bytes = first->line_bytes;
            reader->told = first;
            reader->sequence = first->sequence;
            return JOURNAL_LINE;
        }
        source_drop_line(first);
    }
    return JOURNAL_SKIPPED;
}
