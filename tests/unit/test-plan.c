/* SPDX-License-Identifier: Apache-2.0 */
/* plan_make: the steps between what is held and what is wanted, by table and against a model. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/plan/plan.h"

#define LISTENERS_MAX 4
#define MODEL_MAX 64

typedef struct Case Case;

struct Case {
    const char *name;
    PlanListener wanted[LISTENERS_MAX];
    PlanListener held[LISTENERS_MAX];
    const char *steps; /* `-` close, `~` change, `+` bind, each with the service; in order */
};

#define LISTENER(service_, uri_, ...)                                                                                  \
    {                                                                                                                  \
        .service = service_, .uri = uri_, .key = uri_, ##__VA_ARGS__                                                   \
    }

static const Case cases[] = {
    {.name = "nothing of nothing", .steps = ""},
    {
        .name = "first",
        .wanted = {LISTENER("b", "vsock://:2"), LISTENER("a", "vsock://:1")},
        .steps = "+a +b ",
    },
    {
        .name = "the same",
        .wanted = {LISTENER("b", "vsock://:2"), LISTENER("a", "vsock://:1")},
        .held = {LISTENER("a", "vsock://:1"), LISTENER("b", "vsock://:2")},
        .steps = "",
    },
    {
        .name = "gone",
        .held = {LISTENER("a", "vsock://:1"), LISTENER("b", "vsock://:2")},
        .steps = "-a -b ",
    },
    {
        .name = "a number that moves to another service is closed before it is bound",
        .wanted = {LISTENER("a", "vsock://:1")},
        .held = {LISTENER("b", "vsock://:1")},
        .steps = "-b +a ",
    },
    {
        .name = "closes, then changes, then binds",
        .wanted = {LISTENER("a", "vsock://:9"), LISTENER("b", "vsock://:2", .backlog = 7)},
        .held = {LISTENER("b", "vsock://:2"), LISTENER("c", "vsock://:3")},
        .steps = "-c ~b +a ",
    },
    {
        .name = "owner, group and mode",
        .wanted = {LISTENER("a", "unix:///a", .user = "x"), LISTENER("b", "unix:///b", .group = "x"),
                   LISTENER("c", "unix:///c", .mode = "0600"), LISTENER("d", "unix:///d", .mode = "0600")},
        .held = {LISTENER("a", "unix:///a"), LISTENER("b", "unix:///b", .group = "y"), LISTENER("c", "unix:///c"),
                 LISTENER("d", "unix:///d", .mode = "0600")},
        .steps = "~a ~b ~c ",
    },
    {
        .name = "another type is another socket",
        .wanted = {LISTENER("a", "vsock://:1", .type = 2)},
        .held = {LISTENER("a", "vsock://:1")},
        .steps = "-a +a ",
    },
    {
        .name = "another machine is another socket",
        .wanted = {LISTENER("a", "hybrid:///x:1", .machine = "web1")},
        .held = {LISTENER("a", "hybrid:///x:1"), LISTENER("a", "hybrid:///x:1", .machine = "web2")},
        .steps = "-a -a +a ",
    },
    {
        .name = "wanted twice is bound once",
        .wanted = {LISTENER("a", "vsock://:1"), LISTENER("a", "vsock://:1"), LISTENER("b", "vsock://:2"),
                   LISTENER("b", "vsock://:2")},
        .held = {LISTENER("b", "vsock://:2")},
        .steps = "+a ",
    },
    {
        .name = "held twice is kept once",
        .wanted = {LISTENER("a", "vsock://:1")},
        .held = {LISTENER("a", "vsock://:1"), LISTENER("a", "vsock://:1")},
        .steps = "-a ",
    },
};

static size_t count_listeners(const PlanListener *listeners)
{
    size_t count = 0;

    while (count < LISTENERS_MAX && listeners[count].service)
        count++;
    return count;
}

static void test_table(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const Case *c = &cases[i];
        _cleanup_(plan_release) Plan plan = {0};
        char steps[128] = "";

        assert_int_equal(plan_make(c->wanted, count_listeners(c->wanted), c->held, count_listeners(c->held), &plan), 0);
        for (size_t s = 0; s < plan.count; s++) {
            const PlanStep *step = &plan.steps[s];
            assert_int_equal(step->wanted == NULL, step->kind == PLAN_CLOSE);
            assert_int_equal(step->held == NULL, step->kind == PLAN_BIND);
            size_t length = strlen(steps);
            snprintf(steps + length, sizeof(steps) - length, "%c%s ", "-~+"[step->kind],
                     step -> wanted ? step -> wanted -> service : step -> held -> service);
        }
        if (strcmp(steps, c->steps) != 0)
            fail_msg("%s: got \"%s\", wanted \"%s\"", c->name, steps, c->steps);
    }
}

/* ---- against a model: what is held after the steps is what was wanted, and nothing equal was touched ---- */

static const char *const services[] = {"a", "b", "c"};
static const char *const machines[] = {NULL, "web1", "web2"};
static const char *const uris[] = {"vsock://:1", "vsock://:2", "unix:///x"};
static const char *const owners[] = {NULL, "root"};

static unsigned next_random(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % below;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_listener(const PlanListener *a, const PlanListener *b)
{
    return same_text(a->service, b->service) && same_text(a->machine, b->machine) && same_text(a->uri, b->uri) &&
           a->type == b->type;
}

static bool equal_listener(const PlanListener *a, const PlanListener *b)
{
    return same_listener(a, b) && a->backlog == b->backlog && same_text(a->user, b->user) &&
           same_text(a->group, b->group) && same_text(a->mode, b->mode);
}

static const PlanListener *find_same(const PlanListener *listeners, size_t count, const PlanListener *listener)
{
    for (size_t i = 0; i < count; i++)
        if (same_listener(&listeners[i], listener))
            return &listeners[i];
    return NULL;
}

/* Each identity once, in no order. */
static size_t make_set(unsigned *seed, PlanListener *listeners)
{
    size_t count = 0, tries = next_random(seed, MODEL_MAX);

    for (size_t i = 0; i < tries; i++) {
        PlanListener listener = {
            .service = services[next_random(seed, ELEMENTS_OF(services))],
            .machine = machines[next_random(seed, ELEMENTS_OF(machines))],
            .uri = uris[next_random(seed, ELEMENTS_OF(uris))],
            .type = 1 + (int)next_random(seed, 2),
            .backlog = 1 + next_random(seed, 2),
            .user = owners[next_random(seed, ELEMENTS_OF(owners))],
            .group = owners[next_random(seed, ELEMENTS_OF(owners))],
            .mode = owners[next_random(seed, ELEMENTS_OF(owners))],
        };
        if (!find_same(listeners, count, &listener))
            listeners[count++] = listener;
    }
    return count;
}

/* Takes the steps as the manager would, on an array. */
static size_t take_steps(const Plan *plan, PlanListener *running, size_t count)
{
    PlanStepKind last = PLAN_CLOSE;

    for (size_t i = 0; i < plan->count; i++) {
        const PlanStep *step = &plan->steps[i];
        assert_true(step->kind >= last);
        last = step->kind;
        const PlanListener *found = find_same(running, count, step->wanted ? step->wanted : step->held);
        size_t place = found ? (size_t)(found - running) : count;
        switch (step->kind) {
        case PLAN_CLOSE:
            assert_non_null(found);
            running[place] = running[--count];
            break;
        case PLAN_CHANGE:
            assert_non_null(found);
            assert_false(equal_listener(step->wanted, found));
            running[place] = *step->wanted;
            break;
        case PLAN_BIND:
            assert_null(found);
            assert_true(count < MODEL_MAX);
            running[count++] = *step->wanted;
            break;
        }
    }
    return count;
}

static void test_model(void **state)
{
    unsigned seed = 20;

    for (int round = 0; round < 20000; round++) {
        PlanListener wanted[MODEL_MAX], held[MODEL_MAX], running[MODEL_MAX];
        size_t wanted_count = make_set(&seed, wanted), held_count = make_set(&seed, held);
        _cleanup_(plan_release) Plan plan = {0};

        memcpy(running, held, held_count * sizeof(*held));
        assert_int_equal(plan_make(wanted, wanted_count, held, held_count, &plan), 0);
        size_t count = take_steps(&plan, running, held_count);
        assert_int_equal(count, wanted_count);
        for (size_t i = 0; i < count; i++) {
            const PlanListener *now = find_same(running, count, &wanted[i]);
            assert_non_null(now);
            assert_true(equal_listener(now, &wanted[i]));
        }
        for (size_t i = 0; i < plan.count; i++) {
            const PlanStep *step = &plan.steps[i];
            const PlanListener *before = step->wanted ? find_same(held, held_count, step->wanted) : NULL;
            assert_false(before && equal_listener(before, step->wanted));
            /* Steps point into the arrays that were given, so that the caller finds his own things by them. */
            assert_true(!step->wanted || (step->wanted >= wanted && step->wanted < wanted + wanted_count));
            assert_true(!step->held || (step->held >= held && step->held < held + held_count));
        }
        _cleanup_(plan_release) Plan again = {0};
        assert_int_equal(plan_make(wanted, wanted_count, running, count, &again), 0);
        assert_int_equal(again.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
