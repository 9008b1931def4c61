/* SPDX-License-Identifier: Apache-2.0 */
/* schema/wire over socketpairs: framing, and which message descriptors belong to; bounds. Every test ends with as many descriptors as it began with. */

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "tests/unit/wire-peer.h"

/* A piece is one sendmsg: `.` stands for NUL, a number after `^` is how many descriptors go with it. */
static const struct {
    const char *pieces; /* parted by spaces; `!` = here is a wire_read */
    const char *messages;
    int answer;         /* after the peer has closed, where `closes`; else of the last read */
    bool closes;
} frames[] = {
    {"", "", WIRE_AGAIN, false},
    {"", "", WIRE_END, true},
    {"a.", "a", WIRE_AGAIN, false},
    {"a.", "a", WIRE_END, true},
    {"a", "", WIRE_CUT, true},
    {"a.b", "a", WIRE_CUT, true},
    {"a.b", "a", WIRE_AGAIN, false},
    {"ab.c.def.", "ab|c|def", WIRE_END, true},
    {"a ! b ! c ! .", "abc", WIRE_END, true},
    {"a. ! . ! b.", "a||b", WIRE_END, true},
    /* descriptors: with one message, with pieces of it, after and before others */
    {"a.^1", "a(1)", WIRE_END, true},
    {"a^1 b.", "ab(1)", WIRE_END, true},
    {"a^1 ! b.", "ab(1)", WIRE_END, true},
    {"a. b.^2", "a|b(2)", WIRE_END, true},
    {"a. b. c. d^3 ! e.f.", "a|b|c|de(3)|f", WIRE_END, true},
    {"a.^1 b.^2 c. d.^3", "a(1)|b(2)|c|d(3)", WIRE_END, true},
    {"a.^1 ! b.^2 ! c. ! d.^3", "a(1)|b(2)|c|d(3)", WIRE_END, true},
    {"a. ! b c. d.^4 e.", "a|bc|d(4)|e", WIRE_END, true},
    /* what stands in wire.h: the last message that begins there */
    {"a.b.^1 c.", "a|b(1)|c", WIRE_END, true},
    /* in the middle of one */
    {"a ! b.^1", "", -EBADMSG, true},
    {"a ! b^1 ! .", "", -EBADMSG, true},
    {"a^1 ! b.^1", "", -EBADMSG, true},
    {"x.a ! b.^1 c.", "x", -EBADMSG, true},
    {"a ! .^1", "", -EBADMSG, true},
    {"a ! .b^2 ! .", "a|b(2)", WIRE_END, true},
};

static void test_frames(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(frames); i++) {
        int peer, r = 0;
        Wire *wire = make_wire(1000, &peer);
        Buffer messages = {0};
        char text[200], *rest = text;

        snprintf(text, sizeof(text), "%s", frames[i].pieces);
        for (char *piece; (piece = strsep(&rest, " ")) && *piece;) {
            if (strcmp(piece, "!") == 0) {
                r = read_all(wire, &messages);
                if (r < 0)
                    break;
                continue;
            }
            char *caret = strchr(piece, '^');
            size_t count = caret ? strtoul(caret + 1, NULL, 10) : 0;
            if (caret)
                *caret = '\0';
            size_t size = strlen(piece);
            for (char *c = piece; *c; c++)
                if (*c == '.')
                    *c = '\0';
            send_raw(peer, piece, size, count);
        }
        if (frames[i].closes)
            shutdown(peer, SHUT_WR);
        r = read_all(wire, &messages);
        if (r != frames[i].answer)
            print_message("%s\n", frames[i].pieces);
        assert_int_equal(r, frames[i].answer);
        assert_text(&messages, frames[i].messages);
        wire_free(wire);
        close(peer);
    }
}

/* Deterministic, so that a failure can be seen again. */
static uint32_t seed;
static uint32_t any(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(seed >> 4) * below) >> 28);
}

static size_t any_size(void)
{
    return any(10) == 0 ? any(60000) : any(4) == 0 ? 0 : any(300);
}

/* The message of that number and size. */
static void fill(char *message, uint32_t number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        message[i] = (char)(1 + (number * 31 + i * 7) % 255);
}

static void test_random_splits(void **state)
{
    enum { COUNT = 400 };
    static size_t sizes[COUNT];
    static char expected[60001];

    for (uint32_t round = 0; round < 10; round++) {
        int peer;
        Wire *wire = make_wire(60000, &peer);
        Buffer stream = {0};
        seed = round;
        for (uint32_t i = 0; i < COUNT; i++) {
            sizes[i] = any_size();
            fill(expected, i, sizes[i]);
            expected[sizes[i]] = '\0';
            buffer_append(&stream, expected, sizes[i] + 1);
        }
        assert_int_equal(fd_set_nonblocking(peer, true), 0);

        uint32_t got = 0;
        for (size_t sent = 0; got < COUNT;) {
            size_t left = stream.size_bytes - sent, size = any(3) == 0 ? 1 + any(70000) : 1 + any(50);
            ssize_t n = left > 0 ? send(peer, stream.data + sent, size < left ? size : left, 0) : 0;
            if (n > 0)
                sent += (size_t)n;
            if (any(2) && left > 0)
                continue;
            int r = wire_read(wire);
            assert_true(r == 0 || r == WIRE_AGAIN);
            char *message;
            /* Not always all of them, so that there is something left over when more is read. */
            while (any(8) && wire_next(wire, &message, &size, NULL)) {
                assert_int_equal(size, sizes[got]);
                fill(expected, got, size);
                assert_memory_equal(message, expected, size);
                assert_int_equal(message[size], 0);
                got++;
            }
        }
        assert_int_equal(wire_pending_in_bytes(wire), 0);
        buffer_release(&stream);
        wire_free(wire);
        close(peer);
    }
}

/* Both ends are wires; every third message has descriptors, which are told by their inodes. */
static void test_pipelined(void **state)
{
    enum { COUNT = 10000, AHEAD = 40 };
    static ino_t inodes[COUNT][2];
    static char text[60001];
    Wire *a, *b;

    make_wires(60000, &a, &b);
    int small = 4096;
    assert_int_equal(setsockopt(wire_fd(a), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    seed = 7;
    uint32_t written = 0, got = 0;
    while (got < COUNT) {
        while (written < COUNT && written < got + AHEAD) {
            FdList fds = {0};
            if (written % 3 == 0)
                for (uint32_t i = 0; i < 1 + written % 2; i++)
                    assert_int_equal(fd_list_add_consume(&fds, make_fd(&inodes[written][i])), 0);
            size_t size = written % 50 == 0 ? 30000 : written % 100;
            fill(text, written, size);
            assert_int_equal(wire_write_fds_consume(a, text, size, &fds), 0);
            assert_int_equal(fds.count, 0);
            written++;
        }
        int r = wire_flush(a);
        assert_true(r == 0 || r == WIRE_AGAIN);
        assert_true((r == 0) == (wire_pending_out_bytes(a) == 0));
        r = wire_read(b);
        assert_true(r == 0 || r == WIRE_AGAIN);
        char *message;
        size_t size;
        FdList fds;
        while (wire_next(b, &message, &size, &fds)) {
            assert_int_equal(size, got % 50 == 0 ? 30000 : got % 100);
            fill(text, got, size);
            assert_memory_equal(message, text, size);
            assert_int_equal(fds.count, got % 3 == 0 ? 1 + got % 2 : 0);
            for (size_t i = 0; i < fds.count; i++) {
                struct stat status;
                assert_int_equal(fstat(fds.fds[i], &status), 0);
                assert_int_equal(status.st_ino, inodes[got][i]);
            }
            fd_list_clear(&fds);
            got++;
        }
    }
    wire_free(a);
    assert_int_equal(wire_read(b), WIRE_END);
    wire_free(b);
}

static void test_sizes(void **state)
{
    enum { LARGE = 5000 };
    static const struct {
        size_t max, size;
        bool ends; /* with a NUL */
        int answer;
    } table[] = {
        {LARGE, LARGE - 1, true, WIRE_AGAIN}, {LARGE, LARGE, true, WIRE_AGAIN}, {LARGE, LARGE + 1, true, -EMSGSIZE},
        {LARGE, LARGE, false, WIRE_AGAIN},    {LARGE, LARGE + 1, false, -EMSGSIZE}, {LARGE, 4 * LARGE, false, -EMSGSIZE},
        {10, 10, true, WIRE_AGAIN},           {10, 11, true, -EMSGSIZE},        {10, 11, false, -EMSGSIZE},
        {0, 0, true, WIRE_AGAIN},             {0, 1, true, -EMSGSIZE},
        {65536, 65536, true, WIRE_AGAIN},     {65536, 65537, true, -EMSGSIZE},
    };
    static char bytes[70000];

    for (size_t before = 0; before < 2; before++)
        for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
            int peer;
            Wire *wire = make_wire(table[i].max, &peer);
            Buffer got = {0};
            memset(bytes, 'x', table[i].size);
            bytes[table[i].size] = '\0';
            /* A good message before it is answered all the same. */
            if (before)
                send_raw(peer, "", 1, 0);
            send_raw(peer, bytes, table[i].size + table[i].ends, 0);
            int r = read_all(wire, &got);
            assert_int_equal(r, table[i].answer);
            if (r == WIRE_AGAIN && table[i].ends && !before)
                assert_int_equal(got.size_bytes, table[i].size);
            if (r < 0)
                assert_int_equal(wire_read(wire), r);
            buffer_release(&got);
            wire_free(wire);
            close(peer);
        }

    int peer;
    Wire *wire = make_wire(10, &peer);
    Buffer got = {0};
    wire_set_message_max(wire, 100);
    send_raw(peer, "0123456789abcdef\0", 17, 0);
    assert_int_equal(read_all(wire, &got), WIRE_AGAIN);
    assert_text(&got, "0123456789abcdef");
    wire_free(wire);
    close(peer);
}

/* A reader that takes nothing gets no more than a bounded number of bytes. */
static void test_full(void **state)
{
    int peer;
    Wire *wire = make_wire(8192, &peer);
    char *message;
    size_t size, count = 0;

    assert_int_equal(fd_set_nonblocking(peer, true), 0);
    for (int i = 0; i < 100; i++) {
        while (send(peer, "12345\0", 6, 0) == 6)
            count++;
        assert_int_equal(wire_read(wire), 0);
    }
    assert_true(wire_pending_in_bytes(wire) <= 8193);
    shutdown(peer, SHUT_WR);
    for (int r; (r = wire_read(wire)) != WIRE_END;) {
        assert_int_equal(r, 0);
        while (wire_next(wire, &message, &size, NULL)) {
            assert_string_equal(message, "12345");
            count--;
        }
    }
    assert_int_equal(count, 0);
    wire_free(wire);
    close(peer);
}

/* A large message in small pieces: searched once, and its memory is given back. */
static void test_large(void **state)
{
    enum { SIZE = 16 * 1024 * 1024, PIECE = 4096 };
    int peer;
    Wire *wire = make_wire(SIZE, &peer);
    char piece[PIECE], *message;
    size_t size, memory = mallinfo2().hblkhd + mallinfo2().uordblks;
    clock_t start = clock();

    memset(piece, 'x', sizeof(piece));
    for (size_t sent = 0; sent < SIZE; sent += PIECE) {
        send_raw(peer, piece, PIECE, 0);
        assert_false(wire_has_next(wire));
        assert_int_equal(wire_read(wire), 0);
    }
    send_raw(peer, "\0b\0", 3, 0);
    while (!wire_has_next(wire))
        assert_int_equal(wire_read(wire), 0);
    assert_true(wire_next(wire, &message, &size, NULL));
    assert_int_equal(size, SIZE);
    Buffer rest = {0};
    assert_int_equal(read_all(wire, &rest), WIRE_AGAIN);
    assert_text(&rest, "b");
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    print_message("%.3f s\n", seconds);
    assert_true(seconds < 1); /* searched anew for each piece it is 32 GiB to look through */
    /* mallinfo2 is zeros where a sanitizer is the allocator. */
    assert_true(mallinfo2().hblkhd + mallinfo2().uordblks <= memory + 64 * 1024);

    /* The same of what goes out. */
    char *large = malloc(SIZE);
    assert_non_null(large);
    memset(large, 'y', SIZE);
    memory = mallinfo2().hblkhd + mallinfo2().uordblks;
    assert_int_equal(wire_write(wire, large, SIZE), 0);
    size_t got = 0;
    while (wire_flush(wire) == WIRE_AGAIN || got < SIZE + 1) {
        ssize_t n = recv(peer, large, SIZE, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(got, SIZE + 1);
    assert_true(mallinfo2().hblkhd + mallinfo2().uordblks <= memory + 64 * 1024);
    free(large);
    wire_free(wire);
    close(peer);
}

static void test_peer_gone(void **state)
{
    int peer;
    FdList fds;
    Wire *wire = make_wire(1000, &peer);

    /* What was sent before it went is still read. */
    send_raw(peer, "last\0", 5, 0);
    close(peer);
    make_fds(2, &fds);
    assert_int_equal(wire_write_fds_consume(wire, "{}", 2, &fds), 0);
    assert_int_equal(wire_flush(wire), -EPIPE);
    assert_int_equal(wire_read(wire), 0);
    assert_true(wire_has_next(wire));
    assert_int_equal(wire_read(wire), 0); /* there is still something to take */
    char *message;
    assert_true(wire_next(wire, &message, NULL, NULL));
    assert_string_equal(message, "last");
    assert_int_equal(wire_read(wire), WIRE_END);
    wire_free(wire);

    /* It went with something unread. */
    wire = make_wire(1000, &peer);
    assert_int_equal(wire_write(wire, "{}", 2), 0);
    assert_int_equal(wire_flush(wire), 0);
    close(peer);
    assert_int_equal(wire_read(wire), -ECONNRESET);
    wire_free(wire);
}

static void on_alarm(int signal_number)
{
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Signals neither end a wait nor make it longer. */
static void test_wait_interrupted(void **state)
{
    int peer;
    Wire *wire = make_wire(1000, &peer);
    const struct sigaction action = {.sa_handler = on_alarm}, ignore = {.sa_handler = SIG_DFL};
    const struct itimerval often = {{0, 5000}, {0, 5000}}, never = {0};

    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    int64_t began = now_ms();
    int r = wire_wait(wire, false, 60);
    int64_t took_ms = now_ms() - began;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &ignore, NULL);
    assert_int_equal(r, -ETIMEDOUT);
    assert_true(took_ms >= 58 && took_ms < 60000);
    wire_free(wire);
    close(peer);
}

static void test_wait(void **state)
{
    int peer;
    Wire *wire = make_wire(1000, &peer);

    assert_int_equal(wire_wait(wire, true, 0), 0);
    assert_int_equal(wire_wait(wire, false, 0), -ETIMEDOUT);
    assert_int_equal(wire_wait(wire, false, 20), -ETIMEDOUT);
    send_raw(peer, "a\0", 2, 0);
    assert_int_equal(wire_wait(wire, false, -1), 0);
    assert_int_equal(wire_read(wire), 0);
    close(peer);
    assert_int_equal(wire_wait(wire, false, -1), 0);
    wire_free(wire);
}

static void test_new(void **state)
{
    Wire *wire = NULL;

    assert_int_equal(wire_new_consume(-1, 1000, &wire), -EBADF);
    assert_null(wire);
    wire_free(NULL);

    /* It may be no socket at all. */
    assert_int_equal(wire_new_consume(make_fd(NULL), 1000, &wire), 0);
    assert_int_equal(wire_read(wire), -ENOTSOCK);
    wire_free(wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new, setup, teardown),
        cmocka_unit_test_setup_teardown(test_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_splits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipelined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wait_interrupted, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
