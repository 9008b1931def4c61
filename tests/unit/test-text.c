/* SPDX-License-Identifier: Apache-2.0 */
/* schema/base/text: strict numbers and ranges, UTF-8, lists, times. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/base/text.h"

static const struct {
    const char *text;
    uint64_t max;
    bool good;
    uint64_t number;
} numbers[] = {
    {"0", 0, true, 0},
    {"1", 0, false, 0},
    {"4294967294", 0xfffffffe, true, 0xfffffffe},
    {"4294967295", 0xfffffffe, false, 0},
    {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
    {"18446744073709551616", UINT64_MAX, false, 0},
    {"99999999999999999999999999", UINT64_MAX, false, 0},
    {"", 10, false, 0},
    {"00", 10, false, 0},
    {"01", 10, false, 0},
    {"+1", 10, false, 0},
    {"-1", 10, false, 0},
    {"-0", 10, false, 0},
    {" 1", 10, false, 0},
    {"1 ", 10, false, 0},
    {"1\n", 10, false, 0},
    {"0x1", 10, false, 0},
    {"1e1", 10, false, 0},
    {"1.0", 10, false, 0},
    {"1_0", 10, false, 0},
    {"\xd9\xa1", 10, false, 0}, /* an Arabic digit */
};

static void test_numbers(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(numbers); i++) {
        uint64_t number = 77;
        if (text_to_number(numbers[i].text, numbers[i].max, &number) != numbers[i].good)
            fail_msg("\"%s\"", numbers[i].text);
        assert_true(number == (numbers[i].good ? numbers[i].number : 77));
    }
    uint64_t number;
    assert_true(text_to_number_sized("12345", 2, 100, &number));
    assert_int_equal(number, 12);
    assert_false(text_to_number_sized("12345", 0, 100, &number));
}

static const struct {
    const char *text;
    bool good;
    uint32_t first, last;
} ranges[] = {
    {"5", true, 5, 5},
    {"5-9", true, 5, 9},
    {"5-5", true, 5, 5},
    {"0-4294967295", true, 0, UINT32_MAX},
    {"0x10000000-0x1000ffff", true, 0x10000000, 0x1000ffff},
    {"0xA-0xb", true, 10, 11},
    {"9-5", false, 0, 0},
    {"0-4294967296", false, 0, 0},
    {"0x-5", false, 0, 0},
    {"0x123456789", false, 0, 0},
    {"0xg", false, 0, 0},
    {"-", false, 0, 0},
    {"5-", false, 0, 0},
    {"-5", false, 0, 0},
    {"5-6-7", false, 0, 0},
    {"5--7", false, 0, 0},
    {"05-7", false, 0, 0},
    {"", false, 0, 0},
    {"5 - 7", false, 0, 0},
    {"web1-2", false, 0, 0},
};

static void test_ranges(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(ranges); i++) {
        uint32_t first = 77, last = 77;
        if (text_to_range(ranges[i].text, &first, &last) != ranges[i].good)
            fail_msg("\"%s\"", ranges[i].text);
        assert_int_equal(first, ranges[i].good ? ranges[i].first : 77);
        assert_int_equal(last, ranges[i].good ? ranges[i].last : 77);
    }
}

static const struct {
    const char *text;
    bool good;
    size_t offset;
} utf8[] = {
    {"", true, 0},
    {"plain", true, 0},
    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", true, 0},
    {"\xef\xbf\xbf\xf4\x8f\xbf\xbf", true, 0},
    {"a\xff", false, 1},
    {"ab\x80", false, 2},
    {"\xc3", false, 0},
    {"a\xe2\x82", false, 1},
    {"\xc0\xaf", false, 0},         /* overlong */
    {"\xe0\x80\xaf", false, 0},     /* overlong */
    {"\xf0\x80\x80\xaf", false, 0}, /* overlong */
    {"\xed\xa0\x80", false, 0},     /* a surrogate */
    {"\xf4\x90\x80\x80", false, 0}, /* above U+10FFFF */
    {"\xf8\x88\x80\x80\x80", false, 0},
    {"\xc3(", false, 0},
};

static void test_utf8(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(utf8); i++) {
        size_t offset = 77;
        if (text_is_utf8(utf8[i].text, strlen(utf8[i].text), &offset) != utf8[i].good)
            fail_msg("row %zu", i);
        assert_int_equal(offset, utf8[i].good ? 77 : utf8[i].offset);
    }
    assert_false(text_is_utf8("a\0b", 3, NULL));
}

/* Every code point of two bytes, and what stands beside them. */
static void test_printable(void **state)
{
    for (unsigned code = 1; code < 0x800; code++) {
        char text[3] = {(char)code};
        if (code >= 0x80) {
            text[0] = (char)(0xc0 | code >> 6);
            text[1] = (char)(0x80 | (code & 0x3f));
        }
        bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
        if (text_is_printable(text) == control)
            fail_msg("U+%04X", code);
    }
    assert_false(text_is_printable("a\xe2\x80\xa8"));
    assert_false(text_is_printable("\xe2\x80\xa9"));
    assert_true(text_is_printable("\xe2\x80\xa7\xe2\x80\xaa"));
    assert_true(text_is_printable(""));
}

static void test_affixes(void **state)
{
    assert_true(text_starts_with("vsock://", "vsock:"));
    assert_true(text_starts_with("x", ""));
    assert_false(text_starts_with("vsoc", "vsock"));
    assert_true(text_ends_with("a.service", ".service"));
    assert_false(text_ends_with("service", ".service"));
    assert_true(text_equal(NULL, NULL));
    assert_false(text_equal(NULL, ""));
    assert_true(text_equal("a", "a"));
}

static void test_lists(void **state)
{
    _cleanup_(text_list_freep) char **list = NULL, **copy = NULL, **empty = NULL;

    assert_int_equal(text_list_count(NULL), 0);
    for (int i = 0; i < 20; i++) {
        char text[16];
        snprintf(text, sizeof(text), "t%d", i);
        assert_int_equal(text_list_append(&list, text), 0);
        assert_int_equal(text_list_count(list), (size_t)i + 1);
    }
    assert_true(text_list_contains(list, "t0") && text_list_contains(list, "t19"));
    assert_false(text_list_contains(list, "t20"));
    assert_false(text_list_contains(NULL, "t20"));
    assert_int_equal(text_list_copy(list, &copy), 0);
    assert_true(text_list_equal(list, copy));
    copy[19][0] = 'u';
    assert_false(text_list_equal(list, copy));
    free(copy[19]);
    copy[19] = NULL;
    assert_false(text_list_equal(list, copy));
    assert_false(text_list_equal(copy, list));
    /* An empty list is not the same as none. */
    empty = calloc(1, sizeof(*empty));
    assert_false(text_list_equal(empty, NULL));
    assert_true(text_list_equal(NULL, NULL));
    char **none = list;
    assert_int_equal(text_list_copy(NULL, &none), 0);
    assert_null(none);
}

static const struct {
    const char *text;
    bool good;
    uint64_t time_us;
} times[] = {
    {"1970-01-01T00:00:00Z", true, 0},
    {"2026-11-20T23:59:00.123Z", true, 1795219140123000},
    {"2026-11-20t23:59:00.123456789z", true, 1795219140123456},
    {"2026-11-21T01:59:00+02:00", true, 1795219140000000},
    {"2026-11-20T19:29:00-04:30", true, 1795219140000000},
    {"2024-02-29T00:00:00Z", true, 1709164800000000},
    {"2016-12-31T23:59:60Z", true, 1483228800000000},
    {"2026-02-29T00:00:00Z", false, 0},
    {"2026-02-31T00:00:00Z", false, 0},
    {"2026-13-01T00:00:00Z", false, 0},
    {"2026-00-01T00:00:00Z", false, 0},
    {"2026-01-01T24:00:00Z", false, 0},
    {"2026-01-01T00:60:00Z", false, 0},
    {"2026-1-1T00:00:00Z", false, 0},
    {" 2026-01-01T00:00:00Z", false, 0},
    {"2026-01-01T00:00:00", false, 0},
    {"2026-01-01T00:00:00.Z", false, 0},
    {"2026-01-01T00:00:00Zx", false, 0},
    {"2026-01-01T00:00:00+2:00", false, 0},
    {"2026-01-01T00:00:00+24:00", false, 0},
    {"2026-01-01", false, 0},
    {"1969-12-31T23:59:59Z", false, 0},
    {"1970-01-01T00:00:00+01:00", false, 0},
    {"now", false, 0},
    {"", false, 0},
};

static void test_times(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(times); i++) {
        uint64_t time_us = 77;
        if (time_parse(times[i].text, &time_us) != times[i].good)
            fail_msg("\"%s\"", times[i].text);
        if (time_us != (times[i].good ? times[i].time_us : 77))
            fail_msg("\"%s\" is %ju", times[i].text, (uintmax_t)time_us);
    }
    char text[TIME_TEXT_SIZE_BYTES];
    uint64_t back, now = time_now_us() / 1000 * 1000;
    assert_string_equal(time_format(1795219140123999, text), "2026-11-20T23:59:00.123Z");
    assert_string_equal(time_format(0, text), "1970-01-01T00:00:00.000Z");
    assert_true(time_parse(time_format(now, text), &back));
    assert_true(back == now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_ranges),  cmocka_unit_test(test_utf8), cmocka_unit_test(test_printable),
        cmocka_unit_test(test_affixes), cmocka_unit_test(test_lists), cmocka_unit_test(test_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
