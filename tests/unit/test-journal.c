/* SPDX-License-Identifier: Apache-2.0 */
/* The log: order, bounds, what a crash leaves, what a full or read-only disk does, readers that are slower than writers. */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "daemon/journal/journal.h"
#include "schema/base/buffer.h"
#include "schema/base/fd.h"

static const char *const names[JOURNAL_BOOKS] = {"changes", "handouts", "activations", "refused", "ephemeral"};

typedef struct Folder {
    char path[64];
    char file[128];
} Folder;

static const char *file_of(Folder *folder, JournalBook book, const char *suffix)
{
    snprintf(folder->file, sizeof(folder->file), "%s/log/%s%s", folder->path, names[book], suffix);
    return folder->file;
}

static const char *log_of(Folder *folder)
{
    snprintf(folder->file, sizeof(folder->file), "%s/log", folder->path);
    return folder->file;
}

static int setup(void **state)
{
    Folder *folder = calloc(1, sizeof(*folder));

    strcpy(folder->path, "/tmp/test-journal.XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    Folder *folder = *state;

    for (size_t i = 0; i < JOURNAL_BOOKS; i++) {
        unlink(file_of(folder, i, ""));
        unlink(file_of(folder, i, ".1"));
    }
    rmdir(log_of(folder));
    unlink(log_of(folder));
    rmdir(folder->path);
    free(folder);
    return 0;
}

static Journal *open_journal(Folder *folder)
{
    Journal *journal;

    assert_int_equal(journal_new(&journal), 0);
    assert_int_equal(journal_open(journal, log_of(folder)), 0);
    return journal;
}

static void add(Journal *journal, JournalBook book, const char *service, const char *text)
{
    journal_add(journal, book,
                &(JournalEntry){.time_us = 1700000000000000u, .uid = 7, .pid = 8, .program = "prog", .action = "registered",
                                .service = service, .text = text});
}

static void add_flush(Journal *journal, JournalBook book, const char *service, const char *text)
{
    add(journal, book, service, text);
    assert_int_equal(journal_flush(journal), 0);
}

/* The texts of what a reader gives, with blanks between; `|` where entries were dropped. The caller's. */
static char *read_on(JournalReader *reader, const JournalFilter *filter)
{
    static const JournalFilter everything;
    Buffer text = {0};
    const char *line;
    size_t size_bytes;
    JournalStep step;
    json_int_t last = 0;
    char *taken;

    while ((step = journal_reader_next(reader, filter ? filter : &everything, &line, &size_bytes)) != JOURNAL_END) {
        if (step == JOURNAL_DROPPED)
            buffer_append_char(&text, '|');
        if (step != JOURNAL_LINE)
            continue;
        json_t *entry = json_loadb(line, size_bytes, 0, NULL);
        assert_non_null(entry);
        assert_true(json_integer_value(json_object_get(entry, "sequence")) > last);
        last = json_integer_value(json_object_get(entry, "sequence"));
        const char *said = json_string_value(json_object_get(entry, "text"));
        buffer_printf(&text, "%s ", said ? said : "-");
        json_decref(entry);
    }
    assert_int_equal(buffer_take(&text, &taken, NULL), 0);
    return taken;
}

static void assert_entries(Journal *journal, const JournalFilter *filter, const char *wanted)
{
    _cleanup_(journal_reader_freep) JournalReader *reader = NULL;

    assert_int_equal(journal_reader_new(journal, false, &reader), 0);
    _cleanup_(freep) char *text = read_on(reader, filter);
    assert_string_equal(text, wanted);
}

/* Written with whatever is due, in its place; or when all is to be. */
static void adds_later(void **state)
{
    Journal *journal = open_journal(*state);
    const JournalEntry later = {.time_us = 1, .program = "prog", .action = "ended", .text = "later"};

    journal_add_later(journal, JOURNAL_ACTIVATIONS, &later);
    assert_int_equal(journal_flush(journal), 0);
    assert_entries(journal, NULL, "");
    add_flush(journal, JOURNAL_CHANGES, "a", "now");
    assert_entries(journal, NULL, "later now ");
    journal_add_later(journal, JOURNAL_ACTIVATIONS, &later);
    assert_int_equal(journal_flush(journal), 0);
    assert_entries(journal, NULL, "later now ");
    assert_int_equal(journal_flush_all(journal), 0);
    assert_entries(journal, NULL, "later now later ");
    journal_add_later(journal, JOURNAL_ACTIVATIONS, &later);
    journal_stage(journal, JOURNAL_CHANGES, &later);
    journal_commit(journal);
    assert_int_equal(journal_flush(journal), 0);
    assert_entries(journal, NULL, "later now later later later ");
    journal_free(journal);
}

static void keeps_order_over_books(void **state)
{
    Folder *folder = *state;
    Journal *journal = open_journal(folder);
    char *line;
    size_t size_bytes;

    assert_entries(journal, NULL, "");
    add(journal, JOURNAL_CHANGES, "a", "1");
    add(journal, JOURNAL_HANDOUTS, "a", "2");
    add(journal, JOURNAL_CHANGES, "b", "3");
    assert_entries(journal, NULL, "");
    assert_int_equal(journal_flush(journal), 0);
    add_flush(journal, JOURNAL_EPHEMERAL, NULL, "4");
    assert_entries(journal, NULL, "1 2 3 4 ");
    JournalCounts counts = journal_take_counts(journal);
    assert_int_equal(counts.written, 4);
    assert_int_equal(counts.lost, 0);
    journal_free(journal);

    assert_int_equal(file_read(AT_FDCWD, file_of(folder, JOURNAL_EPHEMERAL, ""), 4096, &line, &size_bytes), 0);
    assert_string_equal(line, "{\"sequence\":4,\"time\":\"2023-11-14T22:13:20.000Z\",\"userId\":7,\"processId\":8,"
                              "\"program\":\"prog\",\"action\":\"registered\",\"text\":\"4\"}\n");
    free(line);
    struct stat file;
    assert_int_equal(stat(file_of(folder, JOURNAL_EPHEMERAL, ""), &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);

    /* Another run goes on; the clock has been set back meanwhile. */
    journal = open_journal(folder);
    /* In the middle of a second whose beginning was told. */
    journal_add(journal, JOURNAL_CHANGES, &(JournalEntry){.time_us = 1600000000987654u, .action = "x", .text = "5"});
    assert_int_equal(journal_flush(journal), 0);
    journal_add(journal, JOURNAL_CHANGES, &(JournalEntry){.time_us = 1600000000000000u, .action = "x", .text = "5"});
    assert_int_equal(journal_flush(journal), 0);
    assert_entries(journal, NULL, "1 2 3 4 5 5 ");
    assert_entries(journal, &(JournalFilter){.since_us = 1700000000000000u}, "1 2 3 4 ");
    assert_entries(journal, &(JournalFilter){.since_us = 1700000000001000u}, "");
    assert_entries(journal, &(JournalFilter){.since_us = 1600000000000000u}, "1 2 3 4 5 5 ");
    assert_entries(journal, &(JournalFilter){.since_us = 1600000000987000u}, "1 2 3 4 5 ");
    journal_free(journal);
}

static void filters_names(void **state)
{
    Journal *journal = open_journal(*state);

    add_flush(journal, JOURNAL_CHANGES, "a", "1");
    add_flush(journal, JOURNAL_CHANGES, "ab", "2");
    add_flush(journal, JOURNAL_CHANGES, "b", ",\"service\":\"a\"");
    journal_add(journal, JOURNAL_CHANGES, &(JournalEntry){.action = "machine-added", .machine = "a", .text = "4"});
    assert_int_equal(journal_flush(journal), 0);
    assert_entries(journal, &(JournalFilter){.name = "a"}, "1 4 ");
    assert_entries(journal, &(JournalFilter){.name = "ab"}, "2 ");
    assert_entries(journal, &(JournalFilter){.name = "c"}, "");
    for (int i = 0; i < 1000; i++)
        add(journal, JOURNAL_CHANGES, "x", "x");
    add_flush(journal, JOURNAL_CHANGES, "a", "5");
    assert_entries(journal, &(JournalFilter){.name = "a"}, "1 4 5 ");
    journal_free(journal);
}

static void waits_for_commits(void **state)
{
    Journal *journal = open_journal(*state);
    const JournalEntry first = {.action = "x", .text = "first"}, second = {.action = "x", .text = "second"};

    journal_stage(journal, JOURNAL_CHANGES, &first);
    add_flush(journal, JOURNAL_CHANGES, NULL, "between");
    assert_entries(journal, NULL, "between ");
    journal_roll_back(journal);
    journal_stage(journal, JOURNAL_CHANGES, &second);
    journal_stage(journal, JOURNAL_EPHEMERAL, &first);
    journal_commit(journal);
    journal_commit(journal);
    assert_int_equal(journal_flush(journal), 0);
    assert_entries(journal, NULL, "between second first ");
    journal_free(journal);
}

static void books_are_bounded(void **state)
{
    Folder *folder = *state;
    Journal *journal = open_journal(folder);
    struct stat file;

    journal_set_limit(journal, 4096);
    add_flush(journal, JOURNAL_CHANGES, "a", "kept");
    for (int i = 0; i < 2000; i++)
        add_flush(journal, JOURNAL_EPHEMERAL, "e", "churn");
    assert_int_equal(stat(file_of(folder, JOURNAL_EPHEMERAL, ""), &file), 0);
    assert_in_range(file.st_size, 1, 4096);
    assert_int_equal(stat(file_of(folder, JOURNAL_EPHEMERAL, ".1"), &file), 0);
    assert_in_range(file.st_size, 3500, 4096);
    assert_entries(journal, &(JournalFilter){.name = "a"}, "kept ");
    /* Many at once. */
    for (int i = 0; i < 1000; i++)
        journal_stage(journal, JOURNAL_HANDOUTS, &(JournalEntry){.action = "x", .service = "h", .text = "many"});
    journal_commit(journal);
    assert_int_equal(journal_flush(journal), 0);
    assert_int_equal(stat(file_of(folder, JOURNAL_HANDOUTS, ""), &file), 0);
    assert_in_range(file.st_size, 1, 4096);
    assert_int_equal(stat(file_of(folder, JOURNAL_HANDOUTS, ".1"), &file), 0);
    assert_in_range(file.st_size, 4000, 4096);
    journal_free(journal);
    journal = open_journal(folder);
    journal_set_limit(journal, 4096);
    add_flush(journal, JOURNAL_CHANGES, "a", "later");
    assert_entries(journal, &(JournalFilter){.name = "a"}, "kept later ");
    journal_free(journal);
}

/* What is longer than the bound of a file, and longer than a line. */
static void long_texts_are_cut(void **state)
{
    Journal *journal = open_journal(*state);
    static char text[100000], name[5000];
    const char *line;
    size_t size_bytes;

    memset(text, '\1', sizeof(text) - 1);
    memset(name, '"', sizeof(name) - 1);
    for (int i = 0; i < 4; i++)
        journal_add(journal, JOURNAL_CHANGES,
                    &(JournalEntry){.program = name, .action = name, .service = name, .machine = name, .text = text});
    for (size_t i = 0; i + 3 < sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    add_flush(journal, JOURNAL_CHANGES, "a", text);
    _cleanup_(journal_reader_freep) JournalReader *reader = NULL;
    assert_int_equal(journal_reader_new(journal, false, &reader), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(journal_reader_next(reader, &(JournalFilter){0}, &line, &size_bytes), JOURNAL_LINE);
        assert_true(size_bytes <= JOURNAL_LINE_MAX_BYTES);
        assert_memory_equal(line + size_bytes - 5, "...\"}", 5);
    }
    assert_int_equal(journal_reader_next(reader, &(JournalFilter){0}, &line, &size_bytes), JOURNAL_END);
    journal_free(journal);
}

static void append_to(const char *path, const char *bytes, size_t size_bytes)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size_bytes), size_bytes);
    close(fd);
}

/* A line that was cut off, zeros, something else: skipped, and what comes after it is read. */
static void torn_lines_are_skipped(void **state)
{
    static const struct {
        const char *bytes;
        size_t size_bytes;
    } cases[] = {
        {"{\"sequence\":7,\"time\":\"20", 24},
        {"\n\n\n", 3},
        {"\0\0\0\0\0\0\n", 7},
        {"{\"sequence\":8,\"time\":\0}\n", 24},
        {"{\"sequence\":9,\"time\":\"\xff\"}\n", 25},
        {"{\"sequence\":99999999999999999999,\"x\":1}\n", 40},
        {"{\"sequence\":,\"x\":1}\n", 20},
        {"{\"sequence\":10,]}\n", 18},
        {"}", 1},
    };
    Folder *folder = *state;
    static char junk[20000];

    Journal *journal = open_journal(folder);
    add_flush(journal, JOURNAL_CHANGES, "a", "before");
    journal_free(journal);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        append_to(file_of(folder, JOURNAL_CHANGES, ""), cases[i].bytes, cases[i].size_bytes);
    memset(junk, 'x', sizeof(junk));
    append_to(file_of(folder, JOURNAL_CHANGES, ""), junk, sizeof(junk));
    journal = open_journal(folder);
    add_flush(journal, JOURNAL_CHANGES, "a", "after");
    add_flush(journal, JOURNAL_CHANGES, "a", "last");
    assert_entries(journal, NULL, "before after last ");
    journal_free(journal);
}

static void readers_follow(void **state)
{
    Journal *journal = open_journal(*state);
    JournalReader *reader;
    char *text;

    journal_set_limit(journal, 4096);
    add_flush(journal, JOURNAL_CHANGES, "a", "1");
    assert_int_equal(journal_reader_new(journal, true, &reader), 0);
    text = read_on(reader, NULL);
    assert_string_equal(text, "1 ");
    free(text);
    text = read_on(reader, NULL);
    assert_string_equal(text, "");
    free(text);
    /* Over the end of a file. */
    for (int i = 0; i < 20; i++) {
        add_flush(journal, JOURNAL_CHANGES, "a", "2");
        add_flush(journal, JOURNAL_HANDOUTS, "a", "3");
    }
    text = read_on(reader, NULL);
    assert_int_equal(strlen(text), 80);
    free(text);
    for (int i = 0; i < 30; i++)
        add_flush(journal, JOURNAL_CHANGES, "a", "4");
    text = read_on(reader, NULL);
    assert_int_equal(strlen(text), 60);
    free(text);
    /* Too slow: told, and it goes on with what there is. */
    for (int i = 0; i < 200; i++)
        add_flush(journal, JOURNAL_CHANGES, "a", "5");
    add_flush(journal, JOURNAL_CHANGES, "a", "6");
    text = read_on(reader, NULL);
    assert_non_null(strchr(text, '|'));
    assert_null(strchr(strchr(text, '|') + 1, '|'));
    assert_true(strlen(text) > 4 && strcmp(text + strlen(text) - 4, "5 6 ") == 0);
    free(text);
    journal_reader_free(reader);

    /* Who does not follow ends where it ended when it began. */
    assert_int_equal(journal_reader_new(journal, false, &reader), 0);
    for (int i = 0; i < 10; i++)
        add_flush(journal, JOURNAL_CHANGES, "a", "7");
    text = read_on(reader, NULL);
    assert_true(strcmp(text + strlen(text) - 4, "5 6 ") == 0);
    free(text);
    journal_reader_free(reader);
    journal_free(journal);
}

/* In a child: a limit on file sizes stands for a full disk. */
static void full_disk(void **state)
{
    Folder *folder = *state;
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        signal(SIGXFSZ, SIG_IGN);
        Journal *journal = open_journal(folder);
        add_flush(journal, JOURNAL_CHANGES, "a", "before");
        const struct rlimit full = {.rlim_cur = 150, .rlim_max = RLIM_INFINITY}, free_again = {RLIM_INFINITY, RLIM_INFINITY};
        setrlimit(RLIMIT_FSIZE, &full);
        add(journal, JOURNAL_CHANGES, "a", "cut");
        int first = journal_flush(journal);
        add(journal, JOURNAL_CHANGES, "a", "lost");
        int second = journal_flush(journal);
        JournalCounts counts = journal_take_counts(journal);
        setrlimit(RLIMIT_FSIZE, &free_again);
        add(journal, JOURNAL_CHANGES, "a", "after");
        int third = journal_flush(journal);
        assert_entries(journal, NULL, "before after ");
        journal_free(journal);
        _exit(first == -ENOSPC && second == -EFBIG && third == 0 && counts.lost == 2 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A file in the folder's place: nothing fails but the log; and it goes on when that is mended. */
static void no_folder(void **state)
{
    Folder *folder = *state;

    append_to(log_of(folder), "", 0);
    Journal *journal = open_journal(folder);
    add(journal, JOURNAL_CHANGES, "a", "lost");
    assert_true(journal_flush(journal) < 0);
    assert_int_equal(journal_take_counts(journal).lost, 1);
    assert_entries(journal, NULL, "");
    unlink(log_of(folder));
    usleep(1100000); /* it is not tried all the time */
    add_flush(journal, JOURNAL_CHANGES, "a", "there");
    assert_entries(journal, NULL, "there ");
    journal_free(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(adds_later, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_order_over_books, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_names, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_for_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(books_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(long_texts_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(torn_lines_are_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(no_folder, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
