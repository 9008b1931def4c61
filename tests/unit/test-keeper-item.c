/* SPDX-License-Identifier: Apache-2.0 */
/* daemon/keeper/item: what is put is found, in its order, until another replaces it or it is removed; each descriptor is
 * closed once. */

#include <errno.h>

#include "daemon/keeper/item.h"
#include "daemon/keeper/program.h"
#include "schema/wire/keeper.h"
#include "tests/unit/allocations.h"
#include "tests/unit/wire-peer.h"

static Item *put(Items *items, const char *key, const char *value, size_t fd_count)
{
    Item *item;
    FdList fds;

    make_fds(fd_count, &fds);
    assert_int_equal(items_put(items, key, strlen(key), value, strlen(value), fds.fds, fds.count, &item), 0);
    free(fds.fds); /* the descriptors are the item's */
    return item;
}

/* `key=value/descriptors ...` */
static void assert_items(const Items *items, const char *expected)
{
    Buffer text = {0};
    const Item *item;
    size_t count = 0, fd_count = 0;

    TAILQ_FOREACH(item, &items->order, link) {
        buffer_printf(&text, "%s%.*s=%.*s/%u", count++ ? " " : "", item->key_size_bytes, item_key(item),
                      (int)item->value_size_bytes, item_value(item), item->fd_count);
        fd_count += item->fd_count;
        assert_ptr_equal(items_find(items, item_key(item), item->key_size_bytes), item);
        for (size_t i = 0; i < item->fd_count; i++)
            assert_true(fcntl(item->fds[i], F_GETFD) >= 0);
    }
    assert_int_equal(items->count, count);
    assert_int_equal(items->fd_count, fd_count);
    assert_text(&text, expected);
}

static void test_put_and_remove(void **state)
{
    Items items;
    Program program = {0};

    items_init(&items);
    assert_null(items_find(&items, "a", 1));
    put(&items, "a", "1", 0);
    put(&items, "b", "two", 2);
    put(&items, "bb", "", 8);
    assert_items(&items, "a=1/0 b=two/2 bb=/8");
    assert_null(items_find(&items, "c", 1));
    assert_null(items_find(&items, "bbb", 3));
    assert_null(items_find(&items, NULL, 0));

    /* A replacement stands where the old one stood, and has its program. */
    items_find(&items, "b", 1)->program = &program;
    program.item = items_find(&items, "b", 1);
    Item *item = put(&items, "b", "new", 1);
    assert_ptr_equal(program.item, item);
    assert_ptr_equal(item->program, &program);
    assert_items(&items, "a=1/0 b=new/1 bb=/8");

    items_remove(&items, items_find(&items, "a", 1));
    assert_items(&items, "b=new/1 bb=/8");
    put(&items, "a", "again", 1);
    assert_items(&items, "b=new/1 bb=/8 a=again/1");
    /* Keys are bytes. */
    assert_int_equal(items_put(&items, "a\0", 2, "", 0, NULL, 0, NULL), 0);
    assert_int_equal(items_put(&items, "a\0x", 3, NULL, 0, NULL, 0, NULL), 0);
    assert_int_equal(items.count, 5);
    assert_non_null(items_find(&items, "a\0x", 3));
    items_release(&items);
    assert_items(&items, "");
    items_release(&items);
}

/* Many, in and out in another order, held against what must be. */
static void test_many(void **state)
{
    enum { COUNT = 5000 };
    static bool is_there[COUNT];
    Items items;
    char key[32];
    unsigned seed = 1;
    size_t count = 0;

    items_init(&items);
    for (int i = 0; i < COUNT * 8; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned n = (seed >> 8) % COUNT;
        int size = snprintf(key, sizeof(key), "service-%u", n);
        Item *item = items_find(&items, key, (size_t)size);
        assert_int_equal(item != NULL, is_there[n]);
        if (item && (seed >> 30) < 2) {
            items_remove(&items, item);
            is_there[n] = false;
            count--;
        } else {
            assert_int_equal(items_put(&items, key, (size_t)size, key, (size_t)size, NULL, 0, &item), 0);
            assert_memory_equal(item_value(item), key, (size_t)size);
            count += !is_there[n];
            is_there[n] = true;
        }
        assert_int_equal(items.count, count);
    }
    assert_true(items.bucket_count >= count / 2 && items.bucket_count <= COUNT * 2);
    items_release(&items);
}

#ifndef ALLOCATIONS_ARE_NOT_OURS
/* userdata: how many. */
static int use(void *userdata, const char **odd)
{
    Items items;
    int r = 0, fd = make_fd(NULL), count = *(int *)userdata;

    items_init(&items);
    for (int i = 0; i < count && r == 0; i++)
        r = items_put(&items, (const char *)&i, sizeof(i), "value", 5, &fd, i == count - 1, NULL);
    if (r < 0) {
        if (fcntl(fd, F_GETFD) < 0)
            *odd = "the descriptor was taken though it failed";
        close(fd);
    }
    items_release(&items);
    if (fcntl(fd, F_GETFD) >= 0)
        *odd = "the descriptor is left";
    return r;
}

static void test_memory(void **state)
{
    const char *odd = NULL;

    each_allocation_fails(use, &(int){20}, 20);
    /* Without memory for more buckets those that are there do: so not every failed allocation is an error. */
    for (long n = 0; n < 700; n++) {
        long before = pieces_alive;
        allocations_left = n;
        int r = use(&(int){600}, &odd);
        allocations_left = -1;
        assert_null(odd);
        assert_true(r == 0 || r == -ENOMEM);
        assert_int_equal(pieces_alive, before);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_and_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
#ifndef ALLOCATIONS_ARE_NOT_OURS
        cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
