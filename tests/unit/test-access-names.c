/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by name, number and range, and that a name is looked up once in a while. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/access/names.h"
#include "schema/base/user.h"

static void test_user_find(void **state)
{
    static const struct {
        const char *name;
        int answer;
        uid_t uid;
        gid_t gid;
    } table[] = {
        {"root", 0, 0, 0},
        {"daemon", 0, 1, 1},
        {"0", 0, 0, 0},
        {"1", 0, 1, 1},
        {"3999999999", 0, 3999999999u, (gid_t)-1},
        {"4294967294", 0, 4294967294u, (gid_t)-1},
        {"4294967295", -ESRCH},
        {"4294967296", -ESRCH},
        {"-1", -ESRCH},
        {"no-such-user", -ESRCH},
        {"", -ESRCH},
        {"00", -ESRCH},
        {"0x0", -ESRCH},
        {"root:x", -ESRCH},
        {"1 ", -ESRCH},
    };

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        uid_t uid = 77;
        gid_t gid = 78;
        int r = user_find(table[i].name, &uid, &gid);
        if (r != table[i].answer || uid != (r < 0 ? 77 : table[i].uid) || gid != (r < 0 ? 78 : table[i].gid))
            fail_msg("%s: %d, %u, %u", table[i].name, r, (unsigned)uid, (unsigned)gid);
        assert_int_equal(user_find(table[i].name, NULL, NULL), table[i].answer);
        uid = 77;
        assert_int_equal(user_find(table[i].name, &uid, NULL), table[i].answer);
        assert_int_equal(uid, r < 0 ? 77 : table[i].uid);
    }
}

static void test_group_find(void **state)
{
    static const struct {
        const char *name;
        int answer;
        gid_t gid;
    } table[] = {
        {"root", 0, 0},
        {"adm", 0, 4},
        {"4", 0, 4},
        {"3999999999", 0, 3999999999u},
        {"4294967295", -ESRCH},
        {"no-such-group", -ESRCH},
        {"", -ESRCH},
        {"04", -ESRCH},
    };

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        gid_t gid = 78;
        assert_int_equal(group_find(table[i].name, &gid), table[i].answer);
        assert_int_equal(gid, table[i].answer < 0 ? 78 : table[i].gid);
        assert_int_equal(group_find(table[i].name, NULL), table[i].answer);
    }
}

static void test_names_find(void **state)
{
    static const struct {
        NameKind kind;
        const char *text;
        bool found;
        uint32_t first, last;
    } table[] = {
        {NAME_USER, "root", true, 0, 0},          {NAME_GROUP, "root", true, 0, 0},
        {NAME_GROUP, "adm", true, 4, 4},          {NAME_USER, "adm", false, 0, 0},
        {NAME_USER, "42", true, 42, 42},          {NAME_USER, "100000-165535", true, 100000, 165535},
        {NAME_GROUP, "7-7", true, 7, 7},          {NAME_USER, "9-8", false, 0, 0},
        {NAME_USER, "no-such-user", false, 0, 0}, {NAME_USER, "", false, 0, 0},
        {NAME_USER, "1-2-3", false, 0, 0},        {NAME_USER, "-5", false, 0, 0},
    };
    _cleanup_(names_freep) Names *names = NULL;
    char long_name[100];

    assert_int_equal(names_new(&names), 0);
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
            uint32_t first = 0, last = 0;
            bool found = names_find(names, table[i].kind, table[i].text, &first, &last);
            if (found != table[i].found || first != table[i].first || last != table[i].last)
                fail_msg("%s: %d %u-%u", table[i].text, found, first, last);
        }
    }
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    uint32_t first, last;
    assert_false(names_find(names, NAME_USER, long_name, &first, &last));

    /* More names than there are places: each is still told right. (Where a name service is slow, as many as a second
     * has.) */
    time_t end = time(NULL) + 1;
    for (int i = 0; i < 2000 && time(NULL) <= end; i++) {
        char name[32];
        snprintf(name, sizeof(name), "no-such-%d", i);
        assert_false(names_find(names, i % 2 ? NAME_USER : NAME_GROUP, name, &first, &last));
        if (i % 100 == 0)
            assert_true(names_find(names, NAME_GROUP, "adm", &first, &last) && first == 4);
    }
}

/* Remembered: ten thousand questions do not read the files ten thousand times. */
static void test_is_remembered(void **state)
{
    _cleanup_(names_freep) Names *names = NULL;
    struct timespec start, end;
    uint32_t first, last;

    assert_int_equal(names_new(&names), 0);
    assert_true(names_find(names, NAME_USER, "daemon", &first, &last));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (int i = 0; i < 10000; i++)
        assert_true(names_find(names, NAME_USER, "daemon", &first, &last));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double one_us = ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / 1e3 / 10000;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (int i = 0; i < 50; i++)
        assert_int_equal(user_find("daemon", NULL, NULL), 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double bare_us = ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / 1e3 / 50;
    print_message("a name: %.2f us remembered, %.2f us looked up\n", one_us, bare_us);
    assert_true(one_us < bare_us / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_find),
        cmocka_unit_test(test_group_find),
        cmocka_unit_test(test_names_find),
        cmocka_unit_test(test_is_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
