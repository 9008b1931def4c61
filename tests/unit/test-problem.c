/* SPDX-License-Identifier: Apache-2.0 */
/* schema/base/problem: wording, order, prefixes, moving, bounds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/base/problem.h"

static void expect(const Problem *problem, const char *text)
{
    Buffer buffer = {0};
    char *taken;

    problem_format(problem, &buffer);
    assert_int_equal(buffer_take(&buffer, &taken, NULL), 0);
    assert_string_equal(taken, text);
    free(taken);
}

static void test_wording(void **state)
{
    Problems problems = {0};

    problem_locate(problems_add(&problems, "peers.allow[1]", "web1 would be right", "%d is no name", 7), "a.yaml", 3, 12);
    expect(&problems.items[0], "a.yaml:3:12: peers.allow[1]: 7 is no name; web1 would be right");
    problem_locate(problems_add(&problems, NULL, NULL, "is empty"), "a.yaml", 0, 0);
    expect(&problems.items[1], "a.yaml: is empty");
    problems_warn(&problems, "listen", NULL, "odd");
    expect(&problems.items[2], "warning: listen: odd");
    problems_add_absence(&problems, "port", "one", "none");
    expect(&problems.items[3], "port: none; one");
    assert_int_equal(problems.count, 4);
    assert_int_equal(problems.errors, 3); /* the warning is none */
    problem_locate(NULL, "x", 1, 1);
    problem_locate(&problems.items[0], NULL, 4, 1);
    expect(&problems.items[0], "a.yaml:4:1: peers.allow[1]: 7 is no name; web1 would be right");
    problems_release(&problems);
}

static void test_saying(void **state)
{
    static const char *const cases[][3] = {
        {"x", "is no rate", "\"x\" is no rate"},
        {"x", "the path is empty", "\"x\": the path is empty"},
        {"a\033[0m", "has no end", "\"a\\u001b[0m\" has no end"},
        {"", "is empty", "\"\" is empty"},
        {"x", "issues are open", "\"x\": issues are open"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Buffer buffer = {0};
        char *text;
        problem_say(&buffer, cases[i][0], cases[i][1]);
        assert_int_equal(buffer_take(&buffer, &text, NULL), 0);
        assert_string_equal(text, cases[i][2]);
        free(text);
    }
}

static void test_prefix(void **state)
{
    static const char *const fields[][2] = {
        {"port", "services[2].port"}, {NULL, "services[2]"}, {"[1]", "services[2][1]"}, {"[\"a.b\"]", "services[2][\"a.b\"]"},
    };
    Problems problems = {0};

    problems_add(&problems, "untouched", NULL, "x");
    for (size_t i = 0; i < ELEMENTS_OF(fields); i++)
        problems_add(&problems, fields[i][0], NULL, "x");
    problems_prefix(&problems, 1, "services[2]");
    assert_string_equal(problems.items[0].field, "untouched");
    for (size_t i = 0; i < ELEMENTS_OF(fields); i++)
        assert_string_equal(problems.items[i + 1].field, fields[i][1]);
    problems_prefix(&problems, 0, "");
    assert_string_equal(problems.items[0].field, "untouched");
    problems_release(&problems);
}

static void test_order(void **state)
{
    static const struct {
        const char *file;
        unsigned line, column;
    } places[] = {{"b", 1, 1}, {"a", 2, 1}, {"a", 1, 9}, {"a", 1, 2}, {NULL, 5, 5}, {"a", 1, 2}};
    static const size_t order[] = {4, 3, 5, 2, 1, 0};
    Problems problems = {0};

    for (size_t i = 0; i < ELEMENTS_OF(places); i++)
        problem_locate(problems_add(&problems, NULL, NULL, "%zu", i), places[i].file, places[i].line, places[i].column);
    problems_sort(&problems);
    for (size_t i = 0; i < ELEMENTS_OF(order); i++)
        assert_int_equal(strtoul(problems.items[i].reason, NULL, 10), order[i]);
    problems_release(&problems);
}

static void test_bounds_and_moving(void **state)
{
    Problems problems = {0}, more = {0};

    for (size_t i = 0; i < PROBLEMS_MAX - 1; i++)
        problems_add(&problems, "a", NULL, "%zu", i);
    for (size_t i = 0; i < 10; i++)
        problem_locate(i % 2 ? problems_add(&more, "b", "h", "m%zu", i) : problems_warn(&more, "b", "h", "m%zu", i), "f", 1, 2);
    more.items[0].at_key = true;
    problems_move(&problems, &more);
    assert_int_equal(problems.count, PROBLEMS_MAX);
    assert_int_equal(problems.dropped, 9);
    assert_int_equal(problems.errors, PROBLEMS_MAX - 1 + 5);
    expect(&problems.items[PROBLEMS_MAX - 1], "f:1:2: warning: b: m0; h");
    assert_true(problems.items[PROBLEMS_MAX - 1].at_key);
    assert_int_equal(more.count, 0);
    assert_null(problems_add(&problems, NULL, NULL, "one too many"));
    problems_release(&problems);
    assert_int_equal(problems.errors, 0);
}

static const struct {
    const char *told, *field;
    bool absence;
    bool kept;
} following[] = {
    {"port", "port", false, false},
    {"port", "ports", false, true},
    {"ports", "port", false, true},
    {"peers", "peers.allow[1]", false, false},
    {"peers.allow[1]", "peers", false, false},
    {"listen[1]", "listen[1]", false, false},
    {"listen[1]", "listen[10]", false, true},
    {"listen[1]", "listen", false, false},
    {"port", "guid", true, false},
    {"listen[0]", "port", true, false},
    {"peers.rate", "port", true, true},
    {"port", "activate.exec", true, true},
    {"activate.exce", "activate.exec", true, false},
    {"services[1].x", "services[1].port", true, false},
    {"services[2].x", "services[1].port", true, true},
    {NULL, "port", true, true},
    {"port", NULL, false, true},
    {NULL, "port", false, true},
};

static void test_following(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(following); i++) {
        Problems told = {0}, found = {0};
        problems_add(&told, "earlier", NULL, "x");
        problems_add(&told, following[i].told, NULL, "x");
        problems_add(&found, "earlier", NULL, "is not looked at");
        problems_add(&found, following[i].field, NULL, "x");
        problems_add(&found, "other", NULL, "x");
        found.items[1].absence = following[i].absence;
        problems_drop_following(&told, 1, &found);
        if (found.count != (following[i].kept ? 3 : 2))
            fail_msg("row %zu", i);
        assert_int_equal(found.errors, found.count);
        assert_string_equal(found.items[0].field, "earlier");
        assert_string_equal(found.items[found.count - 1].field, "other");
        /* There is still room for more. */
        for (size_t k = 0; k < 5; k++)
            problems_add(&found, "more", NULL, "x");
        problems_release(&told);
        problems_release(&found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wording), cmocka_unit_test(test_saying),          cmocka_unit_test(test_prefix),    cmocka_unit_test(test_order),
        cmocka_unit_test(test_bounds_and_moving), cmocka_unit_test(test_following),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
