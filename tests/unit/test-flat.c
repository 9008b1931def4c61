/* SPDX-License-Identifier: Apache-2.0 */
/* Flat JSON: by table, and whatever it reads is read alike by the JSON library. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/codec/value-flat.h"

/* flat_read's answer; where it is true, member by member what jansson says. */
static bool read_alike(const char *text, size_t size_bytes)
{
    FlatObject flat;
    const void *iterator = NULL, *node;
    const char *key;
    size_t count = 0;

    if (!flat_read(text, size_bytes, &flat))
        return false;
    json_t *json = json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_true(json_is_object(json));
    Value value = value_from_flat(&flat);
    assert_int_equal(value.ops->kind(value.node), VALUE_OBJECT);
    assert_int_equal(value.ops->count(value.node), json_object_size(json));
    while (value.ops->member(value.node, &iterator, &key, &node)) {
        const json_t *expected = json_object_get(json, key);
        assert_non_null(expected);
        switch (value.ops->kind(node)) {
        case VALUE_TEXT:
            assert_true(json_is_string(expected));
            assert_string_equal(value.ops->text(node), json_string_value(expected));
            break;
        case VALUE_INTEGER:
            assert_true(json_is_integer(expected));
            assert_int_equal(value.ops->integer(node), json_integer_value(expected));
            break;
        case VALUE_BOOLEAN:
            assert_true(json_is_boolean(expected));
            assert_int_equal(value.ops->boolean(node), json_is_true(expected));
            break;
        case VALUE_NULL:
        case VALUE_REAL:
        case VALUE_PLAIN:
        case VALUE_ARRAY:
        case VALUE_OBJECT:
            fail_msg("%s", text);
        }
        count++;
    }
    assert_int_equal(count, json_object_size(json));
    json_decref(json);
    return true;
}

static void test_table(void **state)
{
    static const struct {
        const char *text;
        bool flat;
    } cases[] = {
        {"{\"name\":\"a\",\"port\":5140}", true},
        {" {\n\"name\" : \"a\" , \"enabled\":false,\"autoPort\": true }\t", true},
        {"{\"port\":0}", true},
        {"{\"port\":999999999999999999}", true},
        {"{\"port\":9999999999999999999}", false},
        {"{\"port\":00}", false},
        {"{\"port\":-1}", false},
        {"{\"port\":1.5}", false},
        {"{\"port\":1e3}", false},
        {"{\"port\":truefalse}", false},
        {"{\"port\":tru}", false},
        {"{\"port\":null}", false},
        {"{}", false},
        {"{", false},
        {"", false},
        {"{\"a\"", false},
        {"{\"a\":", false},
        {"{\"a\":\"", false},
        {"{\"a\":1", false},
        {"{\"a\":1,", false},
        {"{\"a\":1,}", false},
        {"{\"a\":1}}", false},
        {"{\"a\":1} x", false},
        {"{\"a\":1,\"a\":2}", false},
        {"{\"a\":\"\\n\"}", false},
        {"{\"a\":\"\x01\"}", false},
        {"{\"a\":\"\xc3\xa1\"}", false},
        {"{\"a\":[]}", false},
        {"{\"a\":{}}", false},
        {"[1]", false},
        {"\"a\"", false},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        if (read_alike(cases[i].text, strlen(cases[i].text)) != cases[i].flat)
            fail_msg("%s", cases[i].text);
    assert_false(read_alike("{\"a\":1}\0", 8));
}

static void test_bounds(void **state)
{
    char text[FLAT_SIZE_MAX_BYTES + 32] = "{\"a\":\"";

    memset(text + 6, 'x', sizeof(text) - 6);
    memcpy(text + FLAT_SIZE_MAX_BYTES - 2, "\"}", 2);
    assert_true(read_alike(text, FLAT_SIZE_MAX_BYTES));
    memcpy(text + FLAT_SIZE_MAX_BYTES - 2, "xx\"}", 4);
    assert_false(read_alike(text, FLAT_SIZE_MAX_BYTES + 2));

    for (size_t members = FLAT_MEMBERS_MAX; members <= FLAT_MEMBERS_MAX + 1; members++) {
        size_t size = 0;
        for (size_t i = 0; i < members; i++)
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%s\"k%zu\":%zu", i ? "," : "{", i, i);
        size += (size_t)snprintf(text + size, sizeof(text) - size, "}");
        assert_int_equal(read_alike(text, size), members <= FLAT_MEMBERS_MAX);
    }
}

/* Random cuts and swaps of what is good: what is read is read alike, and nothing is read that the library refuses. */
static void test_mutations(void **state)
{
    static const char good[] = "{\"name\":\"svc-1\",\"port\":268435456,\"enabled\":true,\"autoPort\":false}";
    static const char bytes[] = "{}[]\":,\\ 019truefalsn\x80\x01-.e";
    uint32_t seed = 7;
    size_t read = 0;

    for (int i = 0; i < 50000; i++) {
        char text[sizeof(good)];
        memcpy(text, good, sizeof(good));
        for (int changes = i % 4; changes > 0; changes--) {
            seed = seed * 1664525u + 1013904223u;
            text[(seed >> 8) % (sizeof(good) - 1)] = bytes[(seed >> 20) % (sizeof(bytes) - 1)];
        }
        seed = seed * 1664525u + 1013904223u;
        read += read_alike(text, i % 3 ? sizeof(good) - 1 : (seed >> 8) % sizeof(good));
    }
    assert_true(read > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
