/* SPDX-License-Identifier: Apache-2.0 */
/* The log: who did what, when. Entries are lines of JSON (LogEntry of the interface) in files of a folder, a file a book, each
 * book bounded by itself: what is much of one kind does not push out another. A full file becomes BOOK.1, in the place of an
 * older one. Nothing is synced: what is written outlives the daemon, not the power.
 *
 * Entries have numbers that only rise, also when the clock is set back, and over restarts: they are in that order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"

typedef struct Journal Journal;
typedef struct JournalCounts JournalCounts;
typedef struct JournalEntry JournalEntry;
typedef struct JournalFilter JournalFilter;
typedef struct JournalReader JournalReader;

#define JOURNAL_TEXT_MAX_BYTES 1536 /* of an entry's text, as JSON; a longer one is cut */
#define JOURNAL_LINE_MAX_BYTES 3072

typedef enum JournalBook {
    JOURNAL_CHANGES,     /* services, machines, files, sets */
    JOURNAL_HANDOUTS,    /* who took what */
    JOURNAL_ACTIVATIONS, /* programs */
    JOURNAL_REFUSED,     /* who was not allowed */
    JOURNAL_EPHEMERAL,   /* all of that, of what ends with a process */
    JOURNAL_BOOKS,
} JournalBook;

struct JournalEntry {
    uint64_t time_us;
    uid_t uid;
    pid_t pid;
    const char *program; /* the others may be NULL, all but action */
    const char *action;
    const char *service;
    const char *machine;
    const char *text;
};

/* Since it was last asked. */
struct JournalCounts {
    uint64_t written;
    uint64_t lost; /* could not be written */
};

/* It has no folder yet, and loses what it is told. -ENOMEM. */
int journal_new(Journal **ret);
void journal_free(Journal *journal);
DEFINE_CLEANUP(Journal *, journal_free)
/* The folder is made where it is not there. What is wrong shows when something is written, in journal_flush's answer. -ENOMEM. */
int journal_open(Journal *journal, const char *folder);
/* Of each book: the bound of the file that is written to, and so half of what there is. */
void journal_set_limit(Journal *journal, uint32_t file_bytes);

/* To be written with the next flush. */
void journal_add(Journal *journal, JournalBook book, const JournalEntry *entry);
/* The same, but a flush for its sake alone is not worth it: it is written with the next that is, or by journal_flush_all. */
void journal_add_later(Journal *journal, JournalBook book, const JournalEntry *entry);
/* Of a change that is not committed yet: it waits for journal_commit, or is forgotten by journal_roll_back. */
void journal_stage(Journal *journal, JournalBook book, const JournalEntry *entry);
void journal_commit(Journal *journal);
void journal_roll_back(Journal *journal);
/* One write(2) a book at most. 0; -errno: what could not be written is lost, and counted. It costs nothing where there is
 * nothing to write, or nothing but what was added later. */
int journal_flush(Journal *journal);
int journal_flush_all(Journal *journal);
JournalCounts journal_take_counts(Journal *journal);

/* ---- reader.c ---- */

struct JournalFilter {
    const char *name;  /* of a service or machine; NULL: all */
    uint64_t since_us; /* 0: all */
};

/* From the oldest entry on; to the newest that there is now, or with `follows` for ever. The journal outlives it. -ENOMEM. */
int journal_reader_new(Journal *journal, bool follows, JournalReader **ret);
void journal_reader_free(JournalReader *reader);
DEFINE_CLEANUP(JournalReader *, journal_reader_free)
/* Of the last line that it gave. */
uint64_t journal_reader_sequence(const JournalReader *reader);
typedef enum JournalStep {
    JOURNAL_END = 0, /* there are no more, or none yet */
    JOURNAL_LINE,    /* *ret_line is the next entry, a JSON object, good until the next call */
    JOURNAL_SKIPPED, /* many that were not asked for; there may be more */
    JOURNAL_DROPPED, /* entries were dropped for new ones faster than they were read; there may be more */
} JournalStep;
JournalStep journal_reader_next(JournalReader *reader, const JournalFilter *filter, const char **ret_line, size_t *ret_size_bytes);
