/* SPDX-License-Identifier: Apache-2.0 */
/* Simple JSON: by table, and whatever it reads is read alike by the JSON library. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/codec/value-quick.h"

static void compare(Value value, const json_t *expected)
{
    const void *iterator = NULL, *node;
    const char *key;
    size_t count = 0;

    switch (value.ops->kind(value.node)) {
    case VALUE_NULL:
        assert_true(json_is_null(expected));
        break;
    case VALUE_TEXT:
        assert_true(json_is_string(expected));
        assert_string_equal(value.ops->text(value.node), json_string_value(expected));
        break;
    case VALUE_INTEGER:
        assert_true(json_is_integer(expected));
        assert_int_equal(value.ops->integer(value.node), json_integer_value(expected));
        break;
    case VALUE_BOOLEAN:
        assert_true(json_is_boolean(expected));
        assert_int_equal(value.ops->boolean(value.node), json_is_true(expected));
        break;
    case VALUE_ARRAY:
        assert_true(json_is_array(expected));
        assert_int_equal(value.ops->count(value.node), json_array_size(expected));
        for (size_t i = 0; i < json_array_size(expected); i++)
            compare((Value){value.ops, value.ops->element(value.node, i)}, json_array_get(expected, i));
        break;
    case VALUE_OBJECT:
        assert_true(json_is_object(expected));
        assert_int_equal(value.ops->count(value.node), json_object_size(expected));
        while (value.ops->member(value.node, &iterator, &key, &node)) {
            assert_non_null(json_object_get(expected, key));
            compare((Value){value.ops, node}, json_object_get(expected, key));
            count++;
        }
        assert_int_equal(count, json_object_size(expected));
        break;
    case VALUE_REAL:
    case VALUE_PLAIN:
        fail_msg("a kind that is never read");
    }
}

/* quick_read's answer; where it is true, node by node what jansson says. */
static bool read_alike(const char *text, size_t size_bytes)
{
    static QuickTree tree;

    if (!quick_read(text, size_bytes, &tree))
        return false;
    json_t *json = json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    compare(value_from_quick(&tree), json);
    json_decref(json);
    return true;
}

static void test_table(void **state)
{
    static const struct {
        const char *text;
        bool quick;
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
        {"{\"port\":null}", true},
        {"{}", true},
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
        {"{\"a\":\"\xc3\xa1\"}", true},
        {"{\"a\":[]}", true},
        {"{\"a\":{}}", true},
        {"[1]", true},
        {"\"a\"", false},
        {"{\"a\":\"\xc3\"}", false},
        {"{\"a\":\"\xed\xa0\x80\"}", false},
        {"{\"a\":[1,\"b\",true,null,{\"c\":[{}]}] , \"d\":{\"e\":{\"f\":[]}}}", true},
        {"{\"a\":[1,]}", false},
        {"{\"a\":[,1]}", false},
        {"{\"a\":[1 2]}", false},
        {"{\"a\":{\"b\":1,\"b\":1}}", false},
        {"{\"a\":{\"b\":1},\"c\":{\"b\":1}}", true},
        {"[[[[[[[[1]]]]]]]]", true},
        {"[[[[[[[[[1]]]]]]]]]", false},
        {"{\"a\":nul}", false},
        {"{\"a\":nulls}", false},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        if (read_alike(cases[i].text, strlen(cases[i].text)) != cases[i].quick)
            fail_msg("%s", cases[i].text);
    assert_false(read_alike("{\"a\":1}\0", 8));
}

static void test_bounds(void **state)
{
    char text[QUICK_SIZE_MAX_BYTES + 32] = "{\"a\":\"";

    memset(text + 6, 'x', sizeof(text) - 6);
    memcpy(text + QUICK_SIZE_MAX_BYTES - 2, "\"}", 2);
    assert_true(read_alike(text, QUICK_SIZE_MAX_BYTES));
    memcpy(text + QUICK_SIZE_MAX_BYTES - 2, "xx\"}", 4);
    assert_false(read_alike(text, QUICK_SIZE_MAX_BYTES + 2));

    /* The object itself is a node, too. */
    for (size_t members = QUICK_NODES_MAX - 1; members <= QUICK_NODES_MAX; members++) {
        size_t size = 0;
        for (size_t i = 0; i < members; i++)
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%s\"k%zu\":%zu", i ? "," : "{", i, i);
        size += (size_t)snprintf(text + size, sizeof(text) - size, "}");
        assert_int_equal(read_alike(text, size), members < QUICK_NODES_MAX);
    }
}

/* Random cuts and swaps of what is good: what is read is read alike, and nothing is read that the library refuses. */
static void test_mutations(void **state)
{
    static const char good[] = "{\"name\":\"svc-1\",\"port\":268435456,\"peers\":{\"allow\":[\"a\",\"b\"]},\"autoPort\":false}";
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
