/* SPDX-License-Identifier: Apache-2.0 */
/* schema/base/buffer: what it appends, what it escapes, and that one failure is remembered. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "schema/base/buffer.h"

static void expect(Buffer *buffer, const char *text)
{
    char *taken;
    size_t size;

    assert_int_equal(buffer_take(buffer, &taken, &size), 0);
    assert_string_equal(taken, text);
    assert_int_equal(size, strlen(text));
    free(taken);
}

static void test_append(void **state)
{
    Buffer buffer = {0};

    expect(&buffer, "");
    buffer_append(&buffer, "abc", 2);
    buffer_append(&buffer, NULL, 0);
    buffer_append_text(&buffer, "-");
    buffer_append_char(&buffer, '!');
    buffer_append_number(&buffer, 0);
    buffer_append_number(&buffer, 18446744073709551615ull);
    buffer_printf(&buffer, " %s %d", "x", -1);
    expect(&buffer, "ab-!018446744073709551615 x -1");
    /* Empty and usable afterwards. */
    buffer_append_text(&buffer, "again");
    buffer_clear(&buffer);
    buffer_append_text(&buffer, "more");
    expect(&buffer, "more");
}

/* Across every size at which memory grows, by each way of appending. */
static void test_growth(void **state)
{
    for (size_t size = 0; size < 1100; size++) {
        Buffer buffer = {0};
        char *text;
        for (size_t i = 0; i < size; i++)
            buffer_append_char(&buffer, (char)('a' + i % 26));
        buffer_printf(&buffer, "%05zu", size);
        buffer_append_json(&buffer, "j");
        assert_int_equal(buffer_take(&buffer, &text, NULL), 0);
        assert_int_equal(strlen(text), size + 8);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(text[i], 'a' + i % 26);
        assert_int_equal(strtoul(text + size, NULL, 10), size);
        assert_string_equal(text + size + 5, "\"j\"");
        free(text);
    }
}

static void test_json(void **state)
{
    Buffer buffer = {0};

    buffer_append_json(&buffer, NULL);
    buffer_append_json(&buffer, "");
    buffer_append_json(&buffer, "a\"b\\c\n\t\r\x01\x1f\x7f\xc3\xa4/");
    buffer_append_json_sized(&buffer, "abc", 1);
    expect(&buffer, "null\"\"\"a\\\"b\\\\c\\n\\t\\u000d\\u0001\\u001f\\u007f\xc3\xa4/\"\"a\"");
    /* Every byte of ASCII comes back. */
    for (int c = 1; c < 128; c++) {
        char text[] = {'x', (char)c, (char)c, 'y', '\0'}, *json;
        size_t size;
        buffer_append_json(&buffer, text);
        assert_int_equal(buffer_take(&buffer, &json, &size), 0);
        json_t *value = json_loadb(json, size, JSON_DECODE_ANY, NULL);
        assert_string_equal(json_string_value(value), text);
        json_decref(value);
        free(json);
    }
}

static void test_quoted(void **state)
{
    Buffer buffer = {0};
    char text[200] = {0};

    buffer_append_quoted(&buffer, "a\033b");
    expect(&buffer, "\"a\\u001bb\"");
    memset(text, 'x', 64);
    buffer_append_quoted(&buffer, text);
    assert_int_equal(buffer.size_bytes, 66);
    buffer_clear(&buffer);
    /* Cut before the character that it would fall into. */
    strcpy(text + 63, "\xe2\x82\xac and more");
    buffer_append_quoted(&buffer, text);
    buffer_append_char(&buffer, '\0');
    assert_string_equal(buffer.data + 64, "\"… (75 bytes)");
    buffer_release(&buffer);
}

static void test_failure(void **state)
{
    Buffer buffer = {0};
    char *text = NULL;

    buffer_append_text(&buffer, "kept");
    buffer_append_json_sized(&buffer, "x", SIZE_MAX);
    assert_true(buffer.failed);
    buffer_append_text(&buffer, "not");
    buffer_append_char(&buffer, 'n');
    buffer_printf(&buffer, "not");
    assert_int_equal(buffer.size_bytes, 4);
    assert_int_equal(buffer_take(&buffer, &text, NULL), -ENOMEM);
    assert_null(text);
    assert_null(buffer.data);
    assert_false(buffer.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append), cmocka_unit_test(test_growth), cmocka_unit_test(test_json),
        cmocka_unit_test(test_quoted), cmocka_unit_test(test_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
