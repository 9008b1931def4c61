/* SPDX-License-Identifier: Apache-2.0 */
/* Records from JSON as people write it, for tests: single quotes stand for double ones. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/codec/record.h"
#include "schema/model/service.h"

static inline char *json_from(const char *quoted)
{
    char *json = strdup(quoted);

    assert_non_null(json);
    for (char *at = json; (at = strchr(at, '\''));)
        *at = '"';
    return json;
}

static inline int read_quoted(const RecordType *type, const char *quoted, Problems *problems, void **ret)
{
    char *json = json_from(quoted);
    int r = record_read_json(type, json, strlen(json), problems, ret);

    free(json);
    return r;
}

/* Must be good. */
static inline void *read_good(const RecordType *type, const char *quoted)
{
    Problems problems = {0};
    void *record = NULL;

    if (read_quoted(type, quoted, &problems, &record) != 0 || problems.count > 0) {
        Buffer text = {0};
        for (size_t i = 0; i < problems.count; i++) {
            problem_format(&problems.items[i], &text);
            buffer_append_char(&text, '\n');
        }
        fail_msg("%s: %.*s", quoted, (int)text.size_bytes, text.data);
    }
    problems_release(&problems);
    return record;
}

static inline char *write_text(const RecordType *type, const void *record, RecordWriteFlags flags)
{
    Buffer buffer = {0};
    char *text;

    record_write_json(type, record, flags, &buffer);
    assert_int_equal(buffer_take(&buffer, &text, NULL), 0);
    return text;
}

/* What it writes is this, quotes as above. */
static inline void expect_record(const RecordType *type, const void *record, const char *quoted)
{
    char *text = write_text(type, record, RECORD_WRITE_ALL), *json = json_from(quoted);

    assert_string_equal(text, json);
    free(text);
    free(json);
}

/* `FIELD: a part of the message` on lines; all of them and no others. */
static inline void expect_problems(const char *input, const Problems *problems, const char *expected)
{
    const char *line = expected;
    size_t count = 0;

    for (; *line; count++) {
        size_t size = strcspn(line, "\n");
        char wanted[512], got[4096];
        Buffer text = {0};
        snprintf(wanted, sizeof(wanted), "%.*s", (int)size, line);
        if (count >= problems->count)
            fail_msg("%s: missing: %s", input, wanted);
        problem_format(&problems->items[count], &text);
        snprintf(got, sizeof(got), "%.*s", (int)text.size_bytes, text.data);
        buffer_release(&text);
        char *part = strstr(wanted, ": ");
        if (part) {
            *part = '\0';
            part += 2;
        }
        const char *field = problems->items[count].field ? problems->items[count].field : "";
        if (strcmp(field, wanted) != 0 || (part && !strstr(got, part)))
            fail_msg("%s: wanted `%s: %s`, got `%s`", input, wanted, part ? part : "", got);
        if (!problems->items[count].hint)
            fail_msg("%s: no hint: %s", input, got);
        line += size;
        line += *line == '\n';
    }
    if (count < problems->count) {
        Buffer text = {0};
        problem_format(&problems->items[count], &text);
        fail_msg("%s: one too many: %.*s", input, (int)text.size_bytes, text.data);
    }
}
