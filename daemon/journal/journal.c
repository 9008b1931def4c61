/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the log. Lives as long as the manager; its files stay open, for its readers too. open(2), O_APPEND. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/journal/book.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"

#define LIMIT_BYTES (1u << 20)
#define PENDING_MAX_BYTES (1u << 18)  /* then it is written, whoever has more */
#define STAGED_MAX_BYTES (1u << 22)   /* of one commit */
#define TRY_AGAIN_US 1000000
#define NAME_MAX_BYTES 320
#define LINE_BEGIN "{\"sequence\":"
#define SEQUENCE_MAX ((uint64_t)1 << 53) /* what every reader of JSON can count to */

static const char *const names[JOURNAL_BOOKS] = {
    [JOURNAL_CHANGES] = "changes",
    [JOURNAL_HANDOUTS] = "handouts",
    [JOURNAL_ACTIVATIONS] = "activations",
    [JOURNAL_REFUSED] = "refused",
    [JOURNAL_EPHEMERAL] = "ephemeral",
};

static uint64_t monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool journal_line_sequence(const char *line, size_t size_bytes, uint64_t *ret_sequence)
{
    const size_t begin_bytes = strlen(LINE_BEGIN);
    uint64_t sequence = 0;
    size_t at = begin_bytes;

    if (size_bytes < begin_bytes + 2 || memcmp(line, LINE_BEGIN, begin_bytes) != 0 || line[size_bytes - 1] != '}')
        return false;
    for (; at < size_bytes && line[at] >= '0' && line[at] <= '9' && sequence < SEQUENCE_MAX; at++)
        sequence = sequence * 10 + (uint64_t)(line[at] - '0');
    if (at == begin_bytes || line[at] != ',' || sequence >= SEQUENCE_MAX)
        return false;
    *ret_sequence = sequence;
    return true;
}

/* ---- files ---- */

static int book_path(const Journal *journal, size_t book, const char *suffix, char **ret)
{
    return asprintf(ret, "%s/%s%s", journal->folder, names[book], suffix) < 0 ? -ENOMEM : 0;
}

/* The greatest number in a piece of a file. */
static bool look_at_piece(Journal *journal, const char *text, size_t size_bytes)
{
    const char *line = text, *end = text + size_bytes, *next;
    uint64_t sequence;
    bool found = false;

    for (; line < end && (next = memchr(line, '\n', (size_t)(end - line))); line = next + 1)
        if (journal_line_sequence(line, (size_t)(next - line), &sequence)) {
            found = true;
            /* Nobody gets so far: one that is greater is not ours, and would leave no numbers for those that come. */
            if (sequence > journal->sequence && sequence < SEQUENCE_MAX / 2)
                journal->sequence = sequence;
        }
    return found;
}

/* Numbers go on where they were; whether the last line has an end. From the end back to the first piece with an entry in it. */
static void look_at_end(Journal *journal, int fd, uint64_t size_bytes, bool *ret_torn)
{
    char text[2 * JOURNAL_LINE_MAX_BYTES];
    uint64_t to = size_bytes;

    *ret_torn = false;
    while (to > 0) {
        uint64_t from = to > sizeof(text) ? to - sizeof(text) : 0;
        ssize_t count = pread(fd, text, to - from, (off_t)from);
        if (count <= 0)
            return;
        if (to == size_bytes)
            *ret_torn = text[count - 1] != '\n';
        if (look_at_piece(journal, text, (size_t)count) || from == 0)
            return;
        to = from + JOURNAL_LINE_MAX_BYTES; /* a line that the piece began in */
    }
}

static int open_file(const char *path, int flags, uint64_t *ret_size_bytes)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    struct stat status;

    if (fd < 0)
        return -errno;
    int r = fstat(fd, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EINVAL;
    if (r < 0) {
        fd_close(fd);
        return r;
    }
    *ret_size_bytes = (uint64_t)status.st_size;
    return fd;
}

static int book_open(Journal *journal, size_t index)
{
    Book *book = &journal->books[index];
    _cleanup_(freep) char *path = NULL;
    _cleanup_(freep) char *previous = NULL;
    uint64_t size_bytes;
    bool torn;

    if (book->fd >= 0)
        return 0;
    int r = book_path(journal, index, "", &path);
    if (r == 0)
        r = book_path(journal, index, ".1", &previous);
    if (r < 0)
        return r;
    int fd = open_file(path, O_RDWR | O_APPEND | O_CREAT, &book->size_bytes);
    if (fd < 0)
        return fd;
    book->fd = fd;
    look_at_end(journal, fd, book->size_bytes, &book->torn);
    if (book->previous_fd < 0 && (fd = open_file(previous, O_RDONLY, &size_bytes)) >= 0) {
        book->previous_fd = fd;
        look_at_end(journal, fd, size_bytes, &torn);
    }
    return 0;
}

/* Those that are not open. */
static int open_books(Journal *journal)
{
    int r = 0;

    if (!journal->folder)
        return -ENOENT;
    if (mkdir(journal->folder, 0700) < 0 && errno != EEXIST)
        r = -errno;
    for (size_t i = 0; i < JOURNAL_BOOKS; i++) {
        int opened = book_open(journal, i);
        r = r < 0 ? r : opened;
    }
    return r;
}

static int book_rotate(Journal *journal, size_t index)
{
    Book *book = &journal->books[index];
    _cleanup_(freep) char *path = NULL;
    _cleanup_(freep) char *previous = NULL;
    int r = book_path(journal, index, "", &path);

    if (r == 0)
        r = book_path(journal, index, ".1", &previous);
    if (r < 0)
        return r;
    if (rename(path, previous) < 0 && errno != ENOENT)
        return -errno;
    fd_close(book->previous_fd);
    book->previous_fd = TAKE_FD(book->fd);
    book->generation++;
    book->size_bytes = 0;
    book->torn = false;
    int fd = open_file(path, O_RDWR | O_APPEND | O_CREAT, &book->size_bytes);
    if (fd < 0)
        return fd;
    book->fd = fd;
    return 0;
}

/* ---- entries ---- */

/* A text that would take too much room is cut, never inside of a character. */
static void append_member(Buffer *text, const char *name, const char *value, size_t max_bytes)
{
    size_t begin_bytes = text->size_bytes, kept = max_bytes / 6; /* what escaping makes of a byte at most */

    if (!value)
        return;
    buffer_append_text(text, name);
    buffer_append_json(text, value);
    if (text->failed || text->size_bytes - begin_bytes <= strlen(name) + max_bytes)
        return;
    text->size_bytes = begin_bytes;
    while (kept > 0 && ((unsigned char)value[kept] & 0xc0) == 0x80)
        kept--;
    buffer_append_text(text, name);
    buffer_append_json_sized(text, value, kept);
    if (!text->failed)
        text->size_bytes--; /* the quote at its end */
    buffer_append_text(text, "...\"");
}

/* Thousands of entries can be of one second: its date is worked out once. */
static const char *entry_time(Journal *journal, uint64_t time_us)
{
    uint64_t second = time_us / 1000000;

    if (!journal->time[0] || second != journal->second) {
        journal->second = second;
        return time_format(time_us, journal->time);
    }
    char *millisecond = journal->time + strlen("2026-11-20T23:59:00.");
    unsigned number = (unsigned)(time_us / 1000 % 1000);
    millisecond[0] = (char)('0' + number / 100);
    millisecond[1] = (char)('0' + number / 10 % 10);
    millisecond[2] = (char)('0' + number % 10);
    return journal->time;
}

/* What follows the number. */
static void append_rest(Journal *journal, Buffer *text, const JournalEntry *entry)
{
    buffer_append_text(text, ",\"time\":\"");
    buffer_append_text(text, entry_time(journal, entry->time_us));
    buffer_append_text(text, "\",\"userId\":");
    buffer_append_number(text, entry->uid);
    buffer_append_text(text, ",\"processId\":");
    buffer_append_number(text, (unsigned long long)entry->pid);
    append_member(text, ",\"program\":", entry->program, NAME_MAX_BYTES);
    append_member(text, ",\"action\":", entry->action, NAME_MAX_BYTES);
    append_member(text, ",\"service\":", entry->service, NAME_MAX_BYTES);
    append_member(text, ",\"machine\":", entry->machine, NAME_MAX_BYTES);
    append_member(text, ",\"text\":", entry->text, JOURNAL_TEXT_MAX_BYTES);
    buffer_append_text(text, "}\n");
}

static void append_begin(Journal *journal, Book *book)
{
    buffer_append_text(&book->pending, LINE_BEGIN);
    buffer_append_number(&book->pending, ++journal->sequence);
    book->pending_count++;
}

void journal_add_later(Journal *journal, JournalBook book, const JournalEntry *entry)
{
    Book *to = &journal->books[book];

    append_begin(journal, to);
    append_rest(journal, &to->pending, entry);
    if (to->pending.size_bytes > PENDING_MAX_BYTES)
        (void)journal_flush_all(journal); /* what is lost is counted, and the next flush tells why */
}

void journal_add(Journal *journal, JournalBook book, const JournalEntry *entry)
{
    journal->is_due = true;
    journal_add_later(journal, book, entry);
}

void journal_stage(Journal *journal, JournalBook book, const JournalEntry *entry)
{
    Book *to = &journal->books[book];

    if (to->staged.size_bytes > STAGED_MAX_BYTES)
        journal->counts.lost++;
    else
        append_rest(journal, &to->staged, entry);
}

void journal_commit(Journal *journal)
{
    for (Book *book = journal->books; book < journal->books + JOURNAL_BOOKS; book++) {
        if (book->staged.size_bytes == 0 && !book->staged.failed)
            continue;
        const char *line = book->staged.data, *end = line ? line + book->staged.size_bytes : NULL, *next;
        for (; !book->staged.failed && line < end && (next = memchr(line, '\n', (size_t)(end - line))); line = next + 1) {
            append_begin(journal, book);
            journal->is_due = true;
            buffer_append(&book->pending, line, (size_t)(next + 1 - line));
        }
        journal->counts.lost += book->staged.failed;
        buffer_release(&book->staged);
    }
}

void journal_roll_back(Journal *journal)
{
    for (size_t i = 0; i < JOURNAL_BOOKS; i++)
        buffer_release(&journal->books[i].staged);
}

/* ---- writing ---- */

/* As many whole lines as there is room for in the file; at least one, where it is empty. */
static size_t lines_that_fit(const Journal *journal, const Book *book, const char *lines, size_t size_bytes)
{
    uint64_t room_bytes = journal->limit_bytes > book->size_bytes ? journal->limit_bytes - book->size_bytes : 0;

    if (size_bytes <= room_bytes)
        return size_bytes;
    const char *end = memrchr(lines, '\n', (size_t)room_bytes);
    if (!end && book->size_bytes == 0)
        end = memchr(lines, '\n', size_bytes);
    return end ? (size_t)(end + 1 - lines) : 0;
}

static int book_append(Book *book, const char *lines, size_t size_bytes)
{
    /* What was cut off before stays a line by itself, which readers skip. */
    if (book->torn && write(book->fd, "\n", 1) != 1)
        return -errno;
    book->size_bytes += book->torn;
    book->torn = false;
    ssize_t count = write(book->fd, lines, size_bytes);
    if (count < 0)
        return -errno;
    book->size_bytes += (uint64_t)count;
    book->torn = (size_t)count < size_bytes;
    return book->torn ? -ENOSPC : 0;
}

static int book_write(Journal *journal, size_t index)
{
    Book *book = &journal->books[index];
    const char *lines = book->pending.data;
    size_t left_bytes = book->pending.size_bytes;
    int r = book->pending.failed ? -ENOMEM : book->fd < 0 ? -ENOENT : 0;

    while (r == 0 && left_bytes > 0) {
        size_t size_bytes = lines_that_fit(journal, book, lines, left_bytes);
        r = size_bytes == 0 ? book_rotate(journal, index) : book_append(book, lines, size_bytes);
        lines += size_bytes;
        left_bytes -= size_bytes;
    }
    return r;
}

static int flush_all(Journal *journal)
{
    bool closed = false;
    int result = 0;

    for (size_t i = 0; i < JOURNAL_BOOKS; i++)
        closed |= journal->books[i].fd < 0;
    if (closed && monotonic_us() >= journal->next_try_us) {
        result = open_books(journal);
        journal->next_try_us = monotonic_us() + TRY_AGAIN_US;
    }
    for (size_t i = 0; i < JOURNAL_BOOKS; i++) {
        Book *book = &journal->books[i];
        if (book->pending_count == 0)
            continue;
        int r = book_write(journal, i);
        *(r == 0 ? &journal->counts.written : &journal->counts.lost) += book->pending_count;
        /* Why it could not be opened says more. */
        result = result < 0 || r == 0 ? result : r;
        book->pending_count = 0;
        if (book->pending.failed || book->pending.capacity_bytes > PENDING_MAX_BYTES)
            buffer_release(&book->pending);
        else
            buffer_clear(&book->pending);
    }
    return result;
}

int journal_flush(Journal *journal)
{
    return journal->is_due ? journal_flush_all(journal) : 0;
}

int journal_flush_all(Journal *journal)
{
    journal->is_due = false;
    for (size_t i = 0; i < JOURNAL_BOOKS; i++)
        if (journal->books[i].pending_count > 0)
            return flush_all(journal);
    return 0;
}

JournalCounts journal_take_counts(Journal *journal)
{
    JournalCounts counts = journal->counts;

    journal->counts = (JournalCounts){0};
    return counts;
}

/* ---- its life ---- */

int journal_new(Journal **ret)
{
    Journal *journal = calloc(1, sizeof(*journal));

    if (!journal)
        return -ENOMEM;
    journal->limit_bytes = LIMIT_BYTES;
    for (size_t i = 0; i < JOURNAL_BOOKS; i++)
        journal->books[i] = (Book){.fd = -1, .previous_fd = -1, .generation = 1};
    *ret = journal;
    return 0;
}

int journal_open(Journal *journal, const char *folder)
{
    journal->folder = strdup(folder);
    if (!journal->folder)
        return -ENOMEM;
    (void)open_books(journal); /* tried again when there is something to write */
    return 0;
}

void journal_set_limit(Journal *journal, uint32_t file_bytes)
{
    journal->limit_bytes = file_bytes;
}

void journal_free(Journal *journal)
{
    if (!journal)
        return;
    for (Book *book = journal->books; book < journal->books + JOURNAL_BOOKS; book++) {
        fd_close(book->fd);
        fd_close(book->previous_fd);
        buffer_release(&book->pending);
        buffer_release(&book->staged);
    }
    free(journal->folder);
    free(journal);
}
