/* SPDX-License-Identifier: Apache-2.0 */
/* The comparison of what a set of services should hold with what it holds. A Plan lives from there until its steps are
 * taken; its steps point into both arrays. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/plan/plan.h"

/* NULL sorts before every text. */
static int compare_texts(const char *a, const char *b)
{
    if (!a || !b)
        return (a != NULL) - (b != NULL);
    return strcmp(a, b);
}

/* Identity: what must be equal for a listener to be kept. */
static int compare_listeners(const PlanListener *a, const PlanListener *b)
{
    int order = compare_texts(a->service, b->service);

    if (order == 0)
        order = compare_texts(a->machine, b->machine);
    if (order == 0)
        order = compare_texts(a->uri, b->uri);
    if (order == 0)
        order = (a->type > b->type) - (a->type < b->type);
    return order;
}

static int compare_pointers(const void *a, const void *b)
{
    return compare_listeners(*(const PlanListener *const *)a, *(const PlanListener *const *)b);
}

/* What can be changed without a new socket. */
static bool listeners_differ(const PlanListener *wanted, const PlanListener *held)
{
    return wanted->backlog != held->backlog || compare_texts(wanted->user, held->user) != 0 ||
           compare_texts(wanted->group, held->group) != 0 || compare_texts(wanted->mode, held->mode) != 0;
}

static void sort_pointers(const PlanListener *listeners, size_t count, const PlanListener **ret_sorted)
{
    for (size_t i = 0; i < count; i++)
        ret_sorted[i] = &listeners[i];
    if (count > 1)
        qsort(ret_sorted, count, sizeof(*ret_sorted), compare_pointers);
}

/* The first after `at` that is not the same listener; each is wanted once, however often it is given. */
static size_t skip_same(const PlanListener *const *sorted, size_t count, size_t at)
{
    size_t next = at + 1;

    while (next < count && compare_listeners(sorted[at], sorted[next]) == 0)
        next++;
    return next;
}

/* Steps in the order of the listeners, kinds mixed. */
static size_t walk(const PlanListener *const *wanted, size_t wanted_count, const PlanListener *const *held,
                   size_t held_count, PlanStep *steps)
{
    size_t w = 0, h = 0, count = 0;

    while (w < wanted_count || h < held_count) {
        int order = w == wanted_count ? 1 : h == held_count ? -1 : compare_listeners(wanted[w], held[h]);
        if (order > 0) {
            steps[count++] = (PlanStep){.kind = PLAN_CLOSE, .held = held[h++]};
            continue;
        }
        if (order < 0) {
            steps[count++] = (PlanStep){.kind = PLAN_BIND, .wanted = wanted[w]};
        } else {
            if (listeners_differ(wanted[w], held[h]))
                steps[count++] = (PlanStep){.kind = PLAN_CHANGE, .wanted = wanted[w], .held = held[h]};
            h++;
        }
        w = skip_same(wanted, wanted_count, w);
    }
    return count;
}

int plan_make(const PlanListener *wanted, size_t wanted_count, const PlanListener *held, size_t held_count, Plan *ret)
{
    size_t most = wanted_count + held_count;

    if (most == 0) {
        *ret = (Plan){0};
        return 0;
    }
    _cleanup_(freep) const PlanListener **sorted = calloc(most, sizeof(*sorted));
    _cleanup_(freep) PlanStep *mixed = calloc(most, sizeof(*mixed));
    _cleanup_(freep) PlanStep *steps = calloc(most, sizeof(*steps));
    if (!sorted || !mixed || !steps)
        return -ENOMEM;

    sort_pointers(wanted, wanted_count, sorted);
    sort_pointers(held, held_count, sorted + wanted_count);
    size_t count = walk(sorted, wanted_count, sorted + wanted_count, held_count, mixed);

    /* By kind: what is closed frees the addresses that are bound afterwards. */
    size_t placed = 0;
    for (PlanStepKind kind = PLAN_CLOSE; kind <= PLAN_BIND; kind++)
        for (size_t i = 0; i < count; i++)
            if (mixed[i].kind == kind)
                steps[placed++] = mixed[i];
    *ret = (Plan){.steps = TAKE_PTR(steps), .count = count};
    return 0;
}

void plan_release(Plan *plan)
{
    free(plan->steps);
    *plan = (Plan){0};
}
