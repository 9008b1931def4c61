/* SPDX-License-Identifier: Apache-2.0 */
/* schema/wire: descriptors, as many as may be, more than may be, unwanted, and over partial writes. Every test ends with as
 * many descriptors as it began with. */

#include <errno.h>
#include <sys/resource.h>

#include "tests/unit/wire-peer.h"

static void test_many_fds(void **state)
{
    static const struct {
        size_t count;
        int answer;
    } table[] = {{1, 0}, {128, 0}, {253, 0}, {254, -EINVAL}, {1000, -EINVAL}};

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        Wire *a, *b;
        FdList fds;
        char *message;

        make_wires(1000, &a, &b);
        make_fds(table[i].count, &fds);
        assert_int_equal(wire_write_fds_consume(a, "{}", 2, &fds), table[i].answer);
        assert_int_equal(fds.count, 0);
        assert_int_equal(wire_pending_out_bytes(a), table[i].answer == 0 ? 3 : 0);
        assert_int_equal(wire_flush(a), 0);
        assert_int_equal(wire_read(b), table[i].answer == 0 ? 0 : WIRE_AGAIN);
        assert_int_equal(wire_next(b, &message, NULL, &fds), table[i].answer == 0);
        if (table[i].answer == 0) {
            assert_int_equal(fds.count, table[i].count);
            fd_list_clear(&fds);
        }
        wire_free(a);
        wire_free(b);
    }
}

/* Descriptors that nobody asks for, or that wait when the wire is freed, at either end, are closed. */
static void test_unwanted_fds(void **state)
{
    int peer;
    char *message;
    FdList fds;
    Wire *wire = make_wire(1000, &peer);

    send_raw(peer, "a\0", 2, 3);
    send_raw(peer, "b\0", 2, 3);
    send_raw(peer, "c", 1, 3);
    assert_int_equal(wire_read(wire), 0);
    assert_true(wire_next(wire, &message, NULL, NULL));
    assert_int_equal(wire_read(wire), 0);
    assert_int_equal(wire_read(wire), 0);
    make_fds(5, &fds);
    assert_int_equal(wire_write_fds_consume(wire, "x", 1, &fds), 0);
    wire_free(wire);
    close(peer);

    /* fds_max bounds a message, and 0 leaves them to the kernel. */
    for (size_t max = 0; max < 3; max++) {
        wire = make_wire(1000, &peer);
        wire_set_fds_max(wire, max);
        send_raw(peer, "a\0", 2, 0);
        send_raw(peer, "b\0", 2, 2);
        assert_int_equal(wire_read(wire), max < 2 ? -EBADMSG : 0);
        assert_int_equal(wire_has_next(wire), max == 2);
        wire_free(wire);
        close(peer);
    }

    /* More than may wait: never taken, though there is room for the bytes. */
    wire = make_wire(100000, &peer);
    int r = 0;
    size_t sent = 0;
    for (; sent < 20 && r == 0; sent++) {
        send_raw(peer, "a\0", 2, 200);
        r = wire_read(wire);
    }
    assert_int_equal(r, -EBADMSG);
    assert_int_equal(sent, WIRE_FDS_WAITING_MAX / 200 + 1);
    assert_int_equal(wire_read(wire), -EBADMSG);
    wire_free(wire);
    close(peer);
}

/* The process may open no more: the kernel gives what it can, and cuts the rest. */
static void test_no_room_for_fds(void **state)
{
    int peer;
    Wire *wire = make_wire(1000, &peer);
    struct rlimit limit, low;
    size_t open_now = count_fds() - 3; /* without . and .. and the folder's own */

    send_raw(peer, "a\0", 2, 10);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = open_now + 4;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int r = wire_read(wire);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(r, -EBADMSG);
    assert_false(wire_has_next(wire));
    wire_free(wire);
    close(peer);
}

/* Descriptors of a message that leaves in many parts go with its first byte, once; what waits behind it keeps its own. */
static void test_partial_write(void **state)
{
    enum { SIZE = 1000000 };
    static char text[SIZE];
    Wire *a, *b;
    ino_t inodes[3];
    FdList fds = {0};

    make_wires(SIZE, &a, &b);
    memset(text, 'x', SIZE);
    assert_int_equal(wire_write(a, "first", 5), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fd_list_add_consume(&fds, make_fd(&inodes[i])), 0);
        assert_int_equal(wire_write_fds_consume(a, text, SIZE, &fds), 0);
        assert_int_equal(wire_write(a, "between", 7), 0);
    }
    int got = 0, flushes = 0;
    for (bool out = false; got < 7;) {
        if (!out)
            out = wire_flush(a) == 0;
        flushes++;
        int r = wire_read(b);
        assert_true(r == 0 || r == WIRE_AGAIN);
        char *message;
        size_t size;
        while (wire_next(b, &message, &size, &fds)) {
            assert_int_equal(size, got == 0 ? 5 : got % 2 ? SIZE : 7);
            assert_int_equal(fds.count, got % 2);
            if (fds.count > 0) {
                struct stat status;
                assert_int_equal(fstat(fds.fds[0], &status), 0);
                assert_int_equal(status.st_ino, inodes[got / 2]);
            }
            fd_list_clear(&fds);
            got++;
        }
    }
    assert_true(flushes > 5);
    wire_free(a);
    wire_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_fds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unwanted_fds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_for_fds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_partial_write, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
