/* SPDX-License-Identifier: Apache-2.0 */
/* What programs are started as, how often, and as whom: pure functions against tables. */

#include <errno.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "daemon/activate/account.h"
#include "daemon/activate/program.h"
#include "daemon/activate/start-limit.h"
#include "schema/base/text.h"
#include "schema/codec/record.h"
#include "schema/model/record.h"
#include "schema/wire/keeper.h"

#define MS 1000000ull
#define SECOND (1000 * MS)

/* ---- how often ---- */

static void test_limit_counts(void **state)
{
    static const struct {
        uint64_t at_ms;
        StartVerdict verdict;
    } steps[] = {
        {5000, START_NOW}, {5001, START_NOW}, {5002, START_NOW}, {5003, START_NEVER}, {6999, START_NEVER},
        /* Two seconds after the first, whatever came after it. */
        {7000, START_NOW}, {7000, START_NOW}, {8999, START_NOW}, {8999, START_NEVER}, {9000, START_NOW},
    };
    StartLimit limit = {0};

    for (size_t i = 0; i < ELEMENTS_OF(steps); i++)
        assert_int_equal(start_limit_ask(&limit, "3/2s", steps[i].at_ms * MS), steps[i].verdict);
    assert_true(start_limit_is_counting(&limit, "3/2s", 10999 * MS));
    assert_false(start_limit_is_counting(&limit, "3/2s", 11000 * MS));
}

static void test_limit_default(void **state)
{
    StartLimit limit = {0};

    for (int i = 0; i < 5; i++)
        assert_int_equal(start_limit_ask(&limit, NULL, SECOND), START_NOW);
    assert_int_equal(start_limit_ask(&limit, NULL, 11 * SECOND - 1), START_NEVER);
    assert_int_equal(start_limit_ask(&limit, NULL, 11 * SECOND), START_NOW);
}

/* A thousand starts in a row are five. */
static void test_limit_thousand(void **state)
{
    StartLimit limit = {0};
    int started = 0;

    for (uint64_t i = 0; i < 1000; i++)
        started += start_limit_ask(&limit, NULL, SECOND + i * MS) == START_NOW;
    assert_int_equal(started, 5);
}

static void test_back_off(void **state)
{
    static const uint64_t waits_ms[] = {100, 200, 400, 800};
    StartLimit limit = {0};
    uint64_t now_ns = SECOND;

    for (size_t i = 0; i < ELEMENTS_OF(waits_ms); i++) {
        assert_true(start_limit_failed(&limit, false, now_ns));
        assert_int_equal(limit.next_ns - now_ns, waits_ms[i] * MS);
        assert_int_equal(start_limit_ask(&limit, "1000/1s", limit.next_ns - 1), START_LATER);
        now_ns = limit.next_ns;
        assert_int_equal(start_limit_ask(&limit, "1000/1s", now_ns), START_NOW);
    }
    assert_false(start_limit_failed(&limit, false, now_ns));
    assert_int_equal(start_limit_ask(&limit, "1000/1s", now_ns + 3600 * SECOND), START_NEVER);
    assert_int_equal(start_limit_ask_failures(&limit, now_ns + 3600 * SECOND), START_NEVER);
}

/* What comes back by itself is never given up, and waited for no longer than two seconds at a time. */
static void test_back_off_passing(void **state)
{
    StartLimit limit = {0};

    for (uint64_t i = 0; i < 100; i++) {
        assert_true(start_limit_failed(&limit, true, i * SECOND));
        assert_in_range(limit.next_ns - i * SECOND, START_BACK_OFF_FIRST_NS, START_BACK_OFF_MAX_NS);
    }
    assert_int_equal(limit.next_ns - 99 * SECOND, START_BACK_OFF_MAX_NS);
    start_limit_succeeded(&limit);
    assert_int_equal(start_limit_ask(&limit, NULL, 99 * SECOND), START_NOW);
    assert_true(start_limit_failed(&limit, true, 99 * SECOND));
    assert_int_equal(limit.next_ns - 99 * SECOND, START_BACK_OFF_FIRST_NS);
}

/* ---- as whom ---- */

static void test_account(void **state)
{
    _cleanup_(accounts_freep) Accounts *accounts = NULL;
    const Account *account;
    char *why = NULL;
    char *const groups[] = {(char[]){"0"}, (char[]){"4242"}, NULL};

    assert_int_equal(accounts_new(&accounts), 0);
    assert_int_equal(accounts_find(accounts, "root", NULL, &account, &why), 0);
    assert_int_equal(account->uid, 0);
    assert_int_equal(account->gid, 0);
    assert_string_equal(account->name, "root");
    assert_string_equal(account->home, getpwuid(0)->pw_dir);
    assert_true(account->group_count >= 1);
    /* Its number is the same user. */
    assert_int_equal(accounts_find(accounts, "0", NULL, &account, &why), 0);
    assert_string_equal(account->name, "root");
    assert_int_equal(accounts_find(accounts, "root", groups, &account, &why), 0);
    assert_int_equal(account->gid, 0);
    assert_int_equal(account->group_count, 2);
    assert_int_equal(account->groups[1], 4242);
    /* Nobody has this number. */
    assert_int_equal(accounts_find(accounts, "3999999999", NULL, &account, &why), 0);
    assert_int_equal(account->uid, 3999999999u);
    assert_int_equal(account->gid, 3999999999u);
    assert_int_equal(account->group_count, 0);
    assert_null(account->name);
    assert_null(why);
}

static void test_account_unknown(void **state)
{
    _cleanup_(accounts_freep) Accounts *accounts = NULL;
    _cleanup_(freep) char *user = NULL, *group = NULL;
    char *const groups[] = {(char[]){"no-such-group"}, NULL};
    const Account *account;

    assert_int_equal(accounts_new(&accounts), 0);
    assert_int_equal(accounts_find(accounts, "no-such-user", NULL, &account, &user), -ESRCH);
    assert_string_equal(user, "this host has no user no-such-user");
    assert_int_equal(accounts_find(accounts, "root", groups, &account, &group), -ESRCH);
    assert_string_equal(group, "this host has no group no-such-group");
}

/* ---- as what ---- */

/* The fields, as text: a line each. */
static void describe(const ProgramWish *wish, Buffer *text)
{
    static const char *const names[] = {
        [KEEPER_PROGRAM_ARGUMENT & 0xff] = "argument",   [KEEPER_PROGRAM_ENVIRONMENT & 0xff] = "environment",
        [KEEPER_PROGRAM_UID & 0xff] = "uid",             [KEEPER_PROGRAM_GID & 0xff] = "gid",
        [KEEPER_PROGRAM_GROUP & 0xff] = "group",         [KEEPER_PROGRAM_DIRECTORY & 0xff] = "directory",
        [KEEPER_PROGRAM_UMASK & 0xff] = "umask",         [KEEPER_PROGRAM_LIMIT & 0xff] = "limit",
        [KEEPER_PROGRAM_STDIN & 0xff] = "stdin",         [KEEPER_PROGRAM_STDOUT & 0xff] = "stdout",
        [KEEPER_PROGRAM_STDERR & 0xff] = "stderr",       [KEEPER_PROGRAM_LISTEN & 0xff] = "listen",
        [KEEPER_PROGRAM_LISTEN_NAMES & 0xff] = "names",  [KEEPER_PROGRAM_STOP_TIMEOUT_US & 0xff] = "stop",
        [KEEPER_PROGRAM_CGROUP & 0xff] = "cgroup",
    };
    Buffer program = {0};
    FrameField field;

    buffer_append_text(&program, "something that was there before");
    assert_int_equal(program_describe(wish, &program), 0);
    FrameFields fields = {.data = program.data, .size_bytes = program.size_bytes};
    while (frame_next(&fields, &field)) {
        unsigned tag = field.tag & 0xff;
        uint64_t numbers[3];
        assert_true(tag < ELEMENTS_OF(names) && names[tag]);
        /* Whatever changes what a program may do is critical. */
        assert_int_equal(field.tag & FRAME_CRITICAL ? 1 : 0, tag == KEEPER_PROGRAM_CGROUP ? 0 : 1);
        if (tag == (KEEPER_PROGRAM_LIMIT & 0xff)) {
            assert_int_equal(field.size_bytes, sizeof(numbers));
            memcpy(numbers, field.data, sizeof(numbers));
            buffer_printf(text, "limit=%d:%lld:%lld\n", (int)numbers[0], (long long)numbers[1], (long long)numbers[2]);
        } else if (strchr("aendc", names[tag][0])) {
            buffer_printf(text, "%s=%.*s\n", names[tag], (int)field.size_bytes, field.data);
        } else {
            assert_int_equal(frame_field_number(&field, &numbers[0]), 0);
            buffer_printf(text, "%s=%llu\n", names[tag], (unsigned long long)numbers[0]);
        }
    }
    assert_int_equal(fields.size_bytes, 0);
    buffer_append_char(text, '\0');
    buffer_release(&program);
}

static Activation *activation(const char *json)
{
    Problems problems = {0};
    void *record = NULL;

    assert_int_equal(record_read_json(&record_type_Activation, json, strlen(json), &problems, &record), 0);
    problems_release(&problems);
    return record;
}

#define PATH_TEXT "environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"

static void test_program(void **state)
{
    gid_t groups[] = {12, 13};
    const Account account = {.uid = 7, .gid = 12, .groups = groups, .group_count = 2, .name = (char[]){"lp"},
                             .home = (char[]){"/var/spool/lpd"}, .shell = (char[]){"/usr/sbin/nologin"}};
    static const char user[] = "environment=HOME=/var/spool/lpd\nenvironment=LOGNAME=lp\nenvironment=USER=lp\n"
                               "environment=SHELL=/usr/sbin/nologin\n";
    const struct {
        const char *json;
        ProgramWish wish;
        const char *expected[8]; /* joined */
    } cases[] = {
        /* The least: nobody else, no peer that is known. */
        {"{\"mode\":\"accept\",\"exec\":[\"/bin/cat\"]}",
         {.service = "log", .connection = true, .listen_count = 1, .listen_names = "connection", .error_index = -1},
         {"argument=/bin/cat\n", PATH_TEXT, "environment=HVSOCK_SERVICE=log\n", "umask=18\nstdin=0\nstdout=0\nlisten=0\n",
          "names=connection\nstop=10000000\n"}},
        /* A peer on vsock; and its account. What the record says of it does not count, what it says of PATH does. */
        {"{\"mode\":\"accept\",\"exec\":[\"/bin/sh\",\"-c\",\"\"],\"environment\":{\"PATH\":\"/opt\",\"REMOTE_ADDR\":\"vsock:2\","
         "\"HVSOCK_MACHINE\":\"other\",\"A\":\"b=c\"}}",
         {.service = "log", .machine = "web1", .account = &account, .has_cid = true, .cid = 42, .port = 4294967294u,
          .connection = true, .listen_count = 1, .listen_names = "connection", .error_index = 1, .cgroup = "log-1"},
         {"argument=/bin/sh\nargument=-c\nargument=\nenvironment=PATH=/opt\n", user,
          "environment=A=b=c\nenvironment=HVSOCK_MACHINE=web1\nenvironment=REMOTE_ADDR=vsock:42\nenvironment=HVSOCK_SERVICE=log\n",
          "environment=REMOTE_PORT=4294967294\nuid=7\ngid=12\ngroup=12\ngroup=13\numask=18\n",
          "stdin=0\nstdout=0\nstderr=1\nlisten=0\nnames=connection\nstop=10000000\ncgroup=log-1\n"}},
        /* Listeners; everything that can be said. */
        {"{\"mode\":\"wait\",\"exec\":[\"/bin/cat\"],\"workingDirectory\":\"/srv\",\"umask\":\"0077\",\"stopTimeoutSeconds\":0,"
         "\"limits\":{\"NOFILE\":\"1024:4096\",\"CORE\":\"infinity\",\"CPU\":\"1min\"}}",
         {.service = "log", .self = &account, .listen_count = 2, .listen_names = "log:log@web1", .error_index = 2},
         {"argument=/bin/cat\n", PATH_TEXT, user, "environment=HVSOCK_SERVICE=log\ndirectory=/srv\numask=63\n",
          "limit=4:-1:-1\nlimit=0:60:60\nlimit=7:1024:4096\n", "stdout=2\nstderr=2\nlisten=0\nlisten=1\n",
          "names=log:log@web1\nstop=0\n"}},
    };

    assert_int_equal(RLIMIT_NOFILE, 7);
    assert_int_equal(RLIMIT_CORE, 4);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Activation *record = activation(cases[i].json);
        ProgramWish wish = cases[i].wish;
        Buffer text = {0}, expected = {0};
        wish.activate = record;
        describe(&wish, &text);
        for (size_t k = 0; k < ELEMENTS_OF(cases[i].expected) && cases[i].expected[k]; k++)
            buffer_append_text(&expected, cases[i].expected[k]);
        buffer_append_char(&expected, '\0');
        assert_string_equal(text.data, expected.data);
        buffer_release(&expected);
        buffer_release(&text);
        record_free(&record_type_Activation, record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_counts),   cmocka_unit_test(test_limit_default), cmocka_unit_test(test_limit_thousand),
        cmocka_unit_test(test_back_off),       cmocka_unit_test(test_back_off_passing), cmocka_unit_test(test_account),
        cmocka_unit_test(test_account_unknown), cmocka_unit_test(test_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
