/* SPDX-License-Identifier: Apache-2.0 */
/* One book of the journal. Inside of daemon/journal only. */
#pragma once

#include "daemon/journal/journal.h"
#include "schema/base/buffer.h"
#include "schema/base/text.h"

typedef struct Book Book;

struct Book {
    int fd;              /* -1: cannot be opened */
    int previous_fd;     /* BOOK.1; -1: there is none */
    uint64_t generation; /* of fd; the one before it is previous_fd */
    uint64_t size_bytes;
    bool torn;           /* the last line has no end */
    Buffer pending;      /* whole lines */
    Buffer staged;       /* lines without their number */
    size_t pending_count;
};

struct Journal {
    char *folder; /* NULL: none */
    Book books[JOURNAL_BOOKS];
    bool is_due;       /* something that is pending is to be written with the next flush */
    uint64_t sequence; /* of the last entry */
    uint64_t limit_bytes;
    uint64_t next_try_us; /* CLOCK_MONOTONIC: of opening what could not be opened */
    JournalCounts counts;
    uint64_t second; /* since 1970: whose text is time */
    char time[TIME_TEXT_SIZE_BYTES];
};

/* `{"sequence":N,"time":"…",…}` as we write it: its number. false: it is no such line, or not whole. */
bool journal_line_sequence(const char *line, size_t size_bytes, uint64_t *ret_sequence);
