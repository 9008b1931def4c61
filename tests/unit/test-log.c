/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: what they begin with, what is left out, and that no text makes a line of its own. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "daemon/log.h"

/* Writes one line into a pipe that is stderr meanwhile, and tells what came out. */
static void write_and_read(bool journal, LogLevel max_level, LogLevel level, const char *text, char *output, size_t size)
{
    int ends[2];
    int saved = dup(STDERR_FILENO);
    struct stat status;
    char stream[64];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fstat(ends[1], &status), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino + !journal);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    log_open(max_level);
    errno = EXDEV;
    log_write(level, "%s", text);
    int kept_errno = errno;
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    ssize_t n = read(ends[0], output, size - 1);
    close(ends[0]);
    assert_true(n >= 0);
    output[n] = '\0';
    assert_int_equal(kept_errno, EXDEV);
}

static void test_lines(void **state)
{
    static const struct {
        bool journal;
        LogLevel max_level, level;
        const char *text, *line;
    } table[] = {
        {false, LOG_LEVEL_INFO, LOG_LEVEL_ERROR, "a: b", "hvsockd: error: a: b\n"},
        {false, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, "a", "hvsockd: warning: a\n"},
        {false, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "a", "hvsockd: a\n"},
        {false, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, "a", ""},
        {false, LOG_LEVEL_DEBUG, LOG_LEVEL_DEBUG, "a", "hvsockd: debug: a\n"},
        {false, LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, "a", ""},
        {true, LOG_LEVEL_INFO, LOG_LEVEL_ERROR, "a", "<3>a\n"},
        {true, LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, "a", "<5>a\n"},
        {true, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "x\n<0>y\x7f", "<6>x\\x0a<0>y\\x7f\n"},
    };
    char output[256];

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        write_and_read(table[i].journal, table[i].max_level, table[i].level, table[i].text, output, sizeof(output));
        assert_string_equal(output, table[i].line);
    }
    log_open(LOG_LEVEL_INFO);
}

static void test_levels(void **state)
{
    LogLevel level = LOG_LEVEL_NOTICE;

    assert_true(log_level_parse("debug", &level));
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_true(log_level_parse("error", &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_false(log_level_parse("7", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
