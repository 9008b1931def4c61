/* SPDX-License-Identifier: Apache-2.0 */
/* An insertion that is cheap in order is still a sound red-black tree's, in any order. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/base/tree.h"

#define COUNT 1000

typedef struct Leaf Leaf;
struct Leaf {
    RB_ENTRY(Leaf) leaves;
    int number;
};

RB_HEAD(Leaves, Leaf);

static unsigned compared;

static int leaf_compare(const Leaf *a, const Leaf *b)
{
    compared++;
    return (a->number > b->number) - (a->number < b->number);
}

RB_GENERATE_INTERNAL(Leaves, Leaf, leaves, leaf_compare, _unused_ static)
TREE_APPEND_GENERATE(Leaves, Leaf, leaves, leaf_compare)

/* How many black ones are on each way down; every way has as many, and no red one has a red child. */
static int black_height(const Leaf *leaf)
{
    if (!leaf)
        return 1;
    const Leaf *left = RB_LEFT(leaf, leaves), *right = RB_RIGHT(leaf, leaves);
    bool red = RB_COLOR(leaf, leaves) == RB_RED;
    assert_false(red && ((left && RB_COLOR(left, leaves) == RB_RED) || (right && RB_COLOR(right, leaves) == RB_RED)));
    assert_true(!left || RB_PARENT(left, leaves) == leaf);
    assert_true(!right || RB_PARENT(right, leaves) == leaf);
    int height = black_height(left);
    assert_int_equal(height, black_height(right));
    return height + !red;
}

/* The i-th of COUNT, where step and COUNT have no common divisor: all of them once. */
static void fill(struct Leaves *tree, Leaf leaves[static COUNT], unsigned step)
{
    RB_INIT(tree);
    for (unsigned i = 0; i < COUNT; i++) {
        leaves[i] = (Leaf){.number = (int)(i * step % COUNT)};
        assert_null(Leaves_append(tree, &leaves[i]));
    }
}

static void test_orders(void **state)
{
    static const unsigned steps[] = {1, COUNT - 1, 7, 333, 501}; /* up, down, and all over the place */
    static Leaf leaves[COUNT];
    struct Leaves tree;

    for (size_t n = 0; n < ELEMENTS_OF(steps); n++) {
        fill(&tree, leaves, steps[n]);
        black_height(RB_ROOT(&tree));
        assert_int_equal(RB_COLOR(RB_ROOT(&tree), leaves), RB_BLACK);
        int expected = 0;
        Leaf *leaf;
        RB_FOREACH(leaf, Leaves, &tree)
            assert_int_equal(leaf->number, expected++);
        assert_int_equal(expected, COUNT);
        for (unsigned i = 0; i < COUNT; i += 2)
            RB_REMOVE(Leaves, &tree, &leaves[i]);
        black_height(RB_ROOT(&tree));
    }
}

static void test_in_order_costs_one_comparison(void **state)
{
    static Leaf leaves[COUNT];
    struct Leaves tree;

    compared = 0;
    fill(&tree, leaves, 1);
    assert_int_equal(compared, COUNT - 1);
}

static void test_equal(void **state)
{
    Leaf first = {.number = 1}, last = {.number = 2}, again = {.number = 2}, again_first = {.number = 1};
    struct Leaves tree;

    RB_INIT(&tree);
    assert_null(Leaves_append(&tree, &first));
    assert_null(Leaves_append(&tree, &last));
    assert_ptr_equal(Leaves_append(&tree, &again), &last);
    assert_ptr_equal(Leaves_append(&tree, &again_first), &first);
    assert_ptr_equal(RB_MAX(Leaves, &tree), &last);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_in_order_costs_one_comparison),
        cmocka_unit_test(test_equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
