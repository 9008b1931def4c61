/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_read at its bounds: files of 64 MiB that are good, and such as want to cost more than they hold. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "config/yaml.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif
#ifdef SANITIZED /* four times as slow */
#define LARGE_BYTES (YAML_FILE_MAX_BYTES / 8)
#define MEMORY_MAX_MIB 4096
#else
#define LARGE_BYTES YAML_FILE_MAX_BYTES
#define MEMORY_MAX_MIB 400 /* of the largest file, its text included */
#endif
#define SECONDS_MAX 60     /* quadratic is minutes */

typedef struct Case Case;
typedef void (*Appender)(Buffer *text, size_t number);

struct Case {
    const char *name;
    const char *before;
    Appender append;     /* again and again, until the file is full */
    const char *after;
    size_t size_bytes;
    const char *problem; /* how the first one begins; NULL: it is good */
};

static void append_service(Buffer *text, size_t number)
{
    buffer_append_text(text, "  - name: service-");
    buffer_append_number(text, number);
    buffer_append_text(text, "\n    port: 5140\n    listen: [\"vsock://:5140\"]\n    labels: {team: infra}\n");
}

static void append_digits(Buffer *text, size_t number)
{
    buffer_append_number(text, 1000000000 + number);
}

#ifndef SANITIZED
static void append_value(Buffer *text, size_t number)
{
    buffer_append_text(text, "1,");
}
#endif

static void append_key(Buffer *text, size_t number)
{
    buffer_append_text(text, "k");
    buffer_append_number(text, number);
    buffer_append_text(text, ": 1,\n");
}

static void append_same_key(Buffer *text, size_t number)
{
    buffer_append_text(text, "key: ");
    append_digits(text, number);
    buffer_append_text(text, ",\n");
}

static void append_anchor(Buffer *text, size_t number)
{
    buffer_append_text(text, "&a");
    buffer_append_number(text, number);
    buffer_append_text(text, " x, *a");
    buffer_append_number(text, number / 2);
    buffer_append_text(text, ", ");
}

static void append_document(Buffer *text, size_t number)
{
    buffer_append_text(text, "--- document\n");
}

static const Case cases[] = {
    {"services", "services:\n", append_service, "", LARGE_BYTES, NULL},
    {"one text", "a: \"", append_digits, "\"\n", YAML_FILE_MAX_BYTES, NULL},
    {"a comment", "# ", append_digits, "\n", YAML_FILE_MAX_BYTES, NULL},
#ifndef SANITIZED
    {"too many values", "[", append_value, "]", YAML_FILE_MAX_BYTES, "the file holds more than 16000000 values"},
#endif
    {"keys, each another", "{", append_key, "}", YAML_FILE_MAX_BYTES / 8, NULL},
    {"keys, all the same", "{", append_same_key, "}", YAML_FILE_MAX_BYTES / 8, "the key is given twice, first in line 1"},
    {"anchors and aliases", "[", append_anchor, "]", YAML_FILE_MAX_BYTES / 8, NULL},
    {"documents", "", append_document, "", YAML_FILE_MAX_BYTES / 8, NULL},
    {"a byte too many", "# ", append_digits, "", YAML_FILE_MAX_BYTES + 1, "the file is larger than 64 MiB"},
};

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* the machine has others to serve */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_cases(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const Case *test = &cases[i];
        Buffer text = {0};
        buffer_append_text(&text, test->before);
        for (size_t number = 0; text.size_bytes + 256 < test->size_bytes; number++)
            test->append(&text, number);
        buffer_append_text(&text, test->after);
        while (text.size_bytes < test->size_bytes)
            buffer_append_char(&text, '\n');
        assert_false(text.failed);

        Problems problems = {0};
        YamlTree *tree = NULL;
        double start = seconds_now();
        int r = yaml_read("f", text.data, text.size_bytes, &problems, &tree);
        double end = seconds_now();
        if (r != (test->problem ? YAML_INVALID : 0) ||
            (test->problem && strncmp(problems.items[0].reason, test->problem, strlen(test->problem)) != 0))
            fail_msg("%s: %d, %s", test->name, r, problems.count > 0 ? problems.items[0].reason : "no problem");
        yaml_tree_free(tree);
        problems_release(&problems);
        buffer_release(&text);

        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        printf("%-20s %6.2f s, %ld MiB at most\n", test->name, end - start, usage.ru_maxrss / 1024);
        assert_true(end - start < SECONDS_MAX);
        assert_true(usage.ru_maxrss / 1024 < MEMORY_MAX_MIB);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
