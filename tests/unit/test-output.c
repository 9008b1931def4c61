/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as text, columns, and text that would steer a terminal. What whole verbs print is in tests/golden. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/changes.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "schema/base/text.h"

static void test_member(void **state)
{
    static const struct {
        const char *json, *key, *expected; /* NULL: not there */
    } cases[] = {
        {"{}", "a", NULL},
        {"", "a", NULL},
        {"[]", "a", NULL},
        {"{\"a\":1}", "a", "1"},
        {"{\"a\":1,\"b\":2}", "b", "2"},
        {"{\"a\": {\"b\": 1} , \"b\": [1, 2]}", "b", "[1, 2]"},
        {"{\"a\":{\"b\":1},\"c\":2}", "a", "{\"b\":1}"},
        {"{\"a\":{\"b\":1}}", "b", NULL},
        {"{\"a\":\"b\",\"b\":\"}\"}", "b", "\"}\""},
        {"{\"a\":\"\\\"b\\\":1\",\"b\":3}", "b", "3"},
        {"{\"ab\":1,\"b\":2}", "b", "2"},
        {"{\"b\":null}", "b", "null"},
        {"{\"b\"", "b", NULL},
        {"{\"b\":1", "b", "1"},
        {"{b", "b", NULL},
        {"{\"a\":\"", "b", NULL},
        {"{,", "b", NULL},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const char *value;
        size_t size;
        bool found = json_member(cases[i].json, strlen(cases[i].json), cases[i].key, &value, &size);
        assert_int_equal(found, cases[i].expected != NULL);
        if (found) {
            assert_int_equal(size, strlen(cases[i].expected));
            assert_memory_equal(value, cases[i].expected, size);
        }
    }
    /* It stops where it is told to, also inside of a text. */
    const char *value;
    size_t size;
    assert_false(json_member("{\"a\":1,\"b\":2}", 6, "b", &value, &size));
}

static void test_indent(void **state)
{
    static const struct {
        const char *json, *expected;
    } cases[] = {
        {"{}", "{}"},
        {"[ ]", "[]"},
        {"{\"a\":1}", "{\n  \"a\": 1\n}"},
        {"{\"a\":[1,2],\"b\":{}}", "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}"},
        {"\"a\\\"{b\"", "\"a\\\"{b\""},
        {"{\n  \"a\": 1\n}\n", "{\n  \"a\": 1\n}"},
        {"[[[", "[\n  [\n    [\n      "},
        {"]", "\n]"},
        {"\"a", "\"a"},
        {"\"\\", "\"\\"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(freep) char *found = NULL;
        Buffer text = {0};
        json_indent(cases[i].json, strlen(cases[i].json), &text);
        assert_int_equal(buffer_take(&text, &found, NULL), 0);
        assert_string_equal(found, cases[i].expected);
    }
}

static void test_defuse(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"plain", "plain"},
        {"\x1b[31mred", "?[31mred"},
        {"two\nlines\ttab\r", "two?lines?tab?"},
        {"\x7f", "?"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xc2\x9b"
         "31m",
         "??31m"}, /* U+009B: CSI in eight bits */
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xc2", "\xc2"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(freep) char *text = strdup(cases[i].text);
        output_defuse(text);
        assert_string_equal(text, cases[i].expected);
    }
}

static void no_cell(const json_t *object, Buffer *text, const char **ret_colour)
{
}

static void test_columns(void **state)
{
    static const Column name = {.name = "NAME", .cell = no_cell}, port = {.name = "PORT", .cell = no_cell},
                        guid = {.name = "GUID", .hidden = true, .cell = no_cell};
    static const Column *const columns[] = {&name, &port, &guid, NULL};
    static const struct {
        const char *wanted;
        int answer;
        const char *expected; /* or what is unknown */
    } cases[] = {
        {NULL, 0, "NAME PORT "},
        {"GUID", 0, "GUID "},
        {"guid,Name", 0, "GUID NAME "},
        {"+GUID", 0, "NAME PORT GUID "},
        {"NAME,NAME", 0, "NAME NAME "},
        {"NAM", OUTPUT_NO_COLUMN, "NAM"},
        {"NAMES", OUTPUT_NO_COLUMN, "NAMES"},
        {"NAME,", OUTPUT_NO_COLUMN, ""},
        {"", OUTPUT_NO_COLUMN, ""},
        {"+nope", OUTPUT_NO_COLUMN, "nope"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const Column **shown = NULL;
        _cleanup_(freep) char *found = NULL;
        Buffer text = {0};
        assert_int_equal(output_columns(columns, cases[i].wanted, &shown, &found), cases[i].answer);
        if (cases[i].answer == 0) {
            for (size_t k = 0; shown[k]; k++)
                buffer_printf(&text, "%s ", shown[k]->name);
            assert_int_equal(buffer_take(&text, &found, NULL), 0);
        }
        assert_string_equal(found, cases[i].expected);
        free(shown);
    }
}

static void test_compare(void **state)
{
    static const struct {
        const char *before, *after, *expected, *paths;
    } cases[] = {
        {"{}", "{}", "", "[]"},
        {"{\"a\":1}", "{\"a\":1}", "", "[]"},
        {"{\"port\":1}", "{\"port\":2}", "port 1 -> 2", "[\"port\"]"},
        {"{\"a\":\"x\",\"b\":1}", "{\"a\":\"y\"}", "a x -> y, b 1 -> nothing", "[\"a\",\"b\"]"},
        {"{}", "{\"l\":[\"a\",\"b\"]}", "l nothing -> [a, b]", "[\"l\"]"},
        {"{\"h\":{\"u\":[],\"m\":\"x\"}}", "{\"h\":{\"u\":[\"0\"],\"m\":\"x\"}}", "h.u [] -> [0]", "[\"h.u\"]"},
        {"{\"h\":{\"u\":true}}", "{}", "h {\"u\":true} -> nothing", "[\"h\"]"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        json_t *before = json_loads(cases[i].before, 0, NULL), *after = json_loads(cases[i].after, 0, NULL);
        json_t *paths = json_array();
        _cleanup_(freep) char *found = NULL, *found_paths = NULL;
        Buffer text = {0};
        changes_compare(before, after, "", paths, &text);
        assert_int_equal(buffer_take(&text, &found, NULL), 0);
        assert_string_equal(found, cases[i].expected);
        found_paths = json_dumps(paths, JSON_COMPACT);
        assert_string_equal(found_paths, cases[i].paths);
        json_decref(before);
        json_decref(after);
        json_decref(paths);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_member),  cmocka_unit_test(test_indent),  cmocka_unit_test(test_defuse),
        cmocka_unit_test(test_columns), cmocka_unit_test(test_compare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
