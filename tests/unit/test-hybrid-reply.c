/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM answers to CONNECT, however it is cut: never a byte of the connection's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/stream/hybrid-reply.h"
#include "schema/base/cleanup.h"

#define TEXT(literal_) literal_, sizeof(literal_) - 1

static const struct {
    const char *bytes;
    size_t size;
    HybridAnswer answer;
    size_t used;
} cases[] = {
    {TEXT("OK 1073741824\n"), HYBRID_OK, 14},
    {TEXT("OK 0\nSSH-2.0-x\n"), HYBRID_OK, 5},
    {TEXT("OK 3ad2c7f0-5b12-4a6c-9a00-000000000001\n\n"), HYBRID_OK, 40},
    {TEXT("OK {3AD2C7F0-5B12-4A6C-9A00-000000000001}\n"), HYBRID_OK, 42},
    {TEXT(""), HYBRID_MORE, 0},
    {TEXT("O"), HYBRID_MORE, 1},
    {TEXT("OK 5"), HYBRID_MORE, 4},
    {TEXT("\nOK 5\n"), HYBRID_REFUSED, 1},
    {TEXT("OK\n"), HYBRID_REFUSED, 3},
    {TEXT("OK \n"), HYBRID_REFUSED, 4},
    {TEXT("ok 5\n"), HYBRID_REFUSED, 5},
    {TEXT("OK 5\r\n"), HYBRID_REFUSED, 6},
    {TEXT("OK 5 6\n"), HYBRID_REFUSED, 7},
    {TEXT("OK 5\0\n"), HYBRID_REFUSED, 6},
    {TEXT("\0OK 5\n"), HYBRID_REFUSED, 6},
    {TEXT("OK 12345678901234567890123456789012345678901234567890123456789012\n"), HYBRID_TOO_LONG, HYBRID_REPLY_MAX_BYTES},
    {TEXT("OK 1234567890123456789012345678901234567890123456789012345678901\n"), HYBRID_OK, HYBRID_REPLY_MAX_BYTES + 1},
    {TEXT("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), HYBRID_TOO_LONG,
     HYBRID_REPLY_MAX_BYTES},
};

static void test_whole(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        HybridReply reply = {0};
        size_t used = 999;
        assert_int_equal(hybrid_reply_feed(&reply, cases[i].bytes, cases[i].size, &used), cases[i].answer);
        assert_int_equal(used, cases[i].used);
    }
}

/* The same of any two parts. */
static void test_cut(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        for (size_t cut = 0; cut <= cases[i].size; cut++) {
            HybridReply reply = {0};
            size_t first, second = 0;
            HybridAnswer answer = hybrid_reply_feed(&reply, cases[i].bytes, cut, &first);
            assert_true(first <= cut);
            if (answer == HYBRID_MORE) {
                assert_int_equal(first, cut);
                answer = hybrid_reply_feed(&reply, cases[i].bytes + cut, cases[i].size - cut, &second);
            }
            assert_int_equal(answer, cases[i].answer);
            assert_int_equal(first + second, cases[i].used);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_cut)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
