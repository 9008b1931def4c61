/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes in the log's files, as a loss of power can leave them: what is read are whole entries, and what is written after
 * it is read once. The first byte says how much of it is in BOOK.1. */

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/journal/journal.h"
#include "tests/fuzz/fuzz.h"

static const char ours[] = "this one is ours";
static char folder[] = "/tmp/hvsock-fuzz-log.XXXXXX", changes[64], previous[64], handouts[64];

static void remove_folder(void)
{
    static const char *const names[] = {"activations", "refused", "ephemeral"};
    char path[64];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    unlink(changes);
    unlink(previous);
    unlink(handouts);
    rmdir(folder);
}

static void put(const char *path, const uint8_t *data, size_t size_bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    PROMISED(fd >= 0 && write(fd, data, size_bytes) == (ssize_t)size_bytes);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    const JournalFilter everything = {0};
    JournalReader *reader;
    Journal *journal;
    const char *line;
    size_t line_bytes, found = 0, steps = 0;
    JournalStep step;

    /* libFuzzer looks at what is compared, and says it, too. */
    if (memmem(data, size_bytes, ours, strlen(ours)))
        return 0;
    if (!changes[0]) {
        PROMISED(mkdtemp(folder) != NULL);
        snprintf(changes, sizeof(changes), "%s/changes", folder);
        snprintf(previous, sizeof(previous), "%s/changes.1", folder);
        snprintf(handouts, sizeof(handouts), "%s/handouts", folder);
        atexit(remove_folder);
    }
    size_t split = size_bytes > 0 ? 1 + (size_bytes - 1) * data[0] / 255 : 0;
    put(previous, data + (size_bytes > 0), split - (size_bytes > 0));
    put(changes, data + split, size_bytes - split);
    put(handouts, data, size_bytes);
    PROMISED(journal_new(&journal) == 0 && journal_open(journal, folder) == 0);
    journal_add(journal, JOURNAL_CHANGES, &(JournalEntry){.action = "fuzzed", .text = ours});
    PROMISED(journal_flush(journal) == 0);
    PROMISED(journal_reader_new(journal, false, &reader) == 0);
    while ((step = journal_reader_next(reader, &everything, &line, &line_bytes)) != JOURNAL_END) {
        PROMISED(step != JOURNAL_DROPPED && steps++ <= size_bytes * 3 + 10);
        if (step != JOURNAL_LINE)
            continue;
        json_t *entry = json_loadb(line, line_bytes, 0, NULL);
        PROMISED(json_is_object(entry) && json_is_integer(json_object_get(entry, "sequence")));
        PROMISED(!memchr(line, '\0', line_bytes));
        found += memmem(line, line_bytes, ours, strlen(ours)) != NULL; /* not what an escape spells */
        json_decref(entry);
    }
    PROMISED(found == 1);
    journal_reader_free(reader);
    journal_free(journal);
    return 0;
}
