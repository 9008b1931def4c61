/* SPDX-License-Identifier: Apache-2.0 */
/* schema/wire/frame: what is put in comes out; every malformed shape is refused; descriptors arrive whole or not at all. Every
 * test ends with as many descriptors as it began with. */

#include <errno.h>
#include <sys/resource.h>

#include "schema/wire/frame.h"
#include "tests/unit/wire-peer.h"

static void assert_bytes(const FrameField *field, const char *text)
{
    assert_int_equal(field->size_bytes, strlen(text));
    assert_memory_equal(field->data, text, strlen(text));
}

static void test_round_trip(void **state)
{
    _cleanup_(buffer_release) Buffer buffer = {0};
    Frame frame;
    FrameField field;
    FrameFields inner;
    uint64_t number;
    char *text;

    /* Twice into the same buffer: it is cleared first. */
    for (int i = 0; i < 2; i++) {
        frame_begin(&buffer, 7, 300, 0xfffffffe);
        frame_put_number(&buffer, 1, UINT64_MAX - 1);
        frame_put_text(&buffer, 2, NULL);
        frame_put_text(&buffer, 2, "");
        frame_put(&buffer, 3, "a\0b", 3);
        size_t outer = frame_open(&buffer, 4 | FRAME_CRITICAL);
        frame_put_text(&buffer, 5, "abcd");
        size_t nested = frame_open(&buffer, 6);
        frame_close(&buffer, nested);
        frame_close(&buffer, outer);
        frame_put_text(&buffer, 7, "abcde");
        assert_int_equal(frame_end(&buffer), 0);
    }
    assert_int_equal(buffer.size_bytes % 4, 0);
    assert_int_equal(frame_read(buffer.data, buffer.size_bytes, &frame), 0);
    assert_int_equal(frame.version, 7);
    assert_int_equal(frame.type, 300);
    assert_int_equal(frame.request, 0xfffffffe);

    assert_true(frame_next(&frame.fields, &field));
    assert_int_equal(field.tag, 1);
    assert_int_equal(frame_field_number(&field, &number), 0);
    assert_int_equal(number, UINT64_MAX - 1);
    assert_true(frame_next(&frame.fields, &field));
    assert_int_equal(field.tag, 2);
    assert_int_equal(frame_field_text(&field, &text), 0);
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(frame_field_number(&field, &number), -EBADMSG);
    assert_true(frame_next(&frame.fields, &field));
    assert_int_equal(field.tag, 3);
    assert_int_equal(field.size_bytes, 3);
    assert_memory_equal(field.data, "a\0b", 3);
    assert_int_equal(frame_field_text(&field, &text), -EBADMSG);
    assert_int_equal(frame_field_number(&field, &number), -EBADMSG);
    assert_true(frame_next(&frame.fields, &field));
    assert_int_equal(field.tag, 4 | FRAME_CRITICAL);
    assert_int_equal(frame_field_fields(&field, &inner), 0);
    assert_true(frame_next(&inner, &field));
    assert_int_equal(field.tag, 5);
    assert_bytes(&field, "abcd");
    assert_int_equal(frame_field_text(&field, &text), 0);
    assert_string_equal(text, "abcd");
    free(text);
    assert_int_equal(frame_field_fields(&field, &inner), -EBADMSG);
    assert_true(frame_next(&inner, &field));
    assert_int_equal(field.tag, 6);
    assert_int_equal(field.size_bytes, 0);
    assert_false(frame_next(&inner, &field));
    assert_true(frame_next(&frame.fields, &field));
    assert_bytes(&field, "abcde");
    assert_false(frame_next(&frame.fields, &field));
    assert_false(frame_next(&frame.fields, &field));
}

static void test_limits(void **state)
{
    static char bytes[FRAME_MAX_BYTES];
    Frame frame;

    for (int over = 0; over < 3; over++) {
        _cleanup_(buffer_release) Buffer buffer = {0};
        frame_begin(&buffer, 1, 1, 1);
        frame_put(&buffer, 1, bytes, FRAME_MAX_BYTES - 24 - 4 + (size_t)over * 4);
        assert_int_equal(frame_end(&buffer), over < 2 ? 0 : -E2BIG);
        assert_int_equal(frame_read(buffer.data, buffer.size_bytes, &frame), over < 2 ? 0 : -EBADMSG);
    }
    _cleanup_(buffer_release) Buffer buffer = {0};
    frame_begin(&buffer, 1, 1, 1);
    frame_put(&buffer, 1, bytes, SIZE_MAX - 2);
    size_t opened = frame_open(&buffer, 2);
    frame_close(&buffer, opened);
    assert_int_equal(frame_end(&buffer), -ENOMEM);
    assert_int_equal(frame_send(-1, &buffer, NULL, 0), -ENOMEM);
    frame_begin(&buffer, 1, 1, 1);
    assert_int_equal(frame_end(&buffer), 0);
}

#define HEADER "hsvk\1\0\2\0\3\0\0\0"

/* All bytes but the header's size; -1: the size is right, else what it says. A newer side's frames are among the good ones. */
static void test_malformed(void **state)
{
    static const struct {
        const char *what, *bytes;
        size_t size_bytes;
        long says;
        int answer;
    } table[] = {
#define CASE(what_, bytes_, says_, answer_) {what_, bytes_, sizeof(bytes_) - 1, says_, answer_}
        CASE("no field", "", -1, 0),
        CASE("an empty field", "\1\0\0\0\0\0\0\0", -1, 0),
        CASE("four bytes", "\1\0\0\0\4\0\0\0abcd", -1, 0),
        CASE("padded", "\1\0\0\0\5\0\0\0abcde\0\0\0", -1, 0),
        CASE("two fields", "\1\0\0\0\1\0\0\0a\0\0\0\2\0\0\0\0\0\0\0", -1, 0),
        CASE("a tag of a newer side", "\xff\x7f\0\0\4\0\0\0\0\0\0\0", -1, 0),
        CASE("a critical one", "\xff\xff\0\0\0\0\0\0", -1, 0),
        CASE("a field's header is cut", "\1\0\0\0\0\0\0", -1, -EBADMSG),
        CASE("one byte", "\1", -1, -EBADMSG),
        CASE("a field is longer than the frame", "\1\0\0\0\5\0\0\0abcd", -1, -EBADMSG),
        CASE("its padding is missing", "\1\0\0\0\5\0\0\0abcde", -1, -EBADMSG),
        CASE("its padding is cut", "\1\0\0\0\5\0\0\0abcde\0\0", -1, -EBADMSG),
        CASE("its padding is not NUL", "\1\0\0\0\5\0\0\0abcde\0\1\0", -1, -EBADMSG),
        CASE("a field of 4 GiB", "\1\0\0\0\xff\xff\xff\xff", -1, -EBADMSG),
        CASE("of 4 GiB less the padding", "\1\0\0\0\xfc\xff\xff\xff", -1, -EBADMSG),
        CASE("of less than 0", "\1\0\0\0\0\0\0\x80""abcd", -1, -EBADMSG),
        CASE("what must be 0 is not", "\1\0\1\0\0\0\0\0", -1, -EBADMSG),
        CASE("the second is cut", "\1\0\0\0\0\0\0\0\1\0\0\0", -1, -EBADMSG),
        CASE("bytes behind", "\1\0\0\0\0\0\0\0abcd", -1, -EBADMSG),
        CASE("says more", "\1\0\0\0\0\0\0\0", 25, -EBADMSG),
        CASE("says less", "\1\0\0\0\0\0\0\0", 16, -EBADMSG),
        CASE("says nothing", "\1\0\0\0\0\0\0\0", 0, -EBADMSG),
    };

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        size_t size = 16 + table[i].size_bytes;
        char *bytes = malloc(size); /* exactly as large, so that a sanitizer sees who reads on */
        Frame frame = {.type = 999};

        assert_non_null(bytes);
        memcpy(bytes, HEADER, 12);
        memcpy(bytes, &(uint32_t){FRAME_MAGIC}, 4);
        memcpy(bytes + 12, &(uint32_t){(uint32_t)(table[i].says < 0 ? (long)size : table[i].says)}, 4);
        memcpy(bytes + 16, table[i].bytes, table[i].size_bytes);
        int r = frame_read(bytes, size, &frame);
        if (r != table[i].answer)
            fail_msg("%s: the answer is %d", table[i].what, r);
        assert_int_equal(frame.type, r == 0 ? 2 : 999);

        FrameFields fields;
        FrameField field, outer = {.data = bytes + 16, .size_bytes = table[i].size_bytes};
        if (table[i].says < 0)
            assert_int_equal(frame_field_fields(&outer, &fields), table[i].answer);
        for (size_t total = 0; r == 0 && frame_next(&frame.fields, &field);) {
            total += field.size_bytes;
            assert_true(total <= table[i].size_bytes);
        }
        free(bytes);
    }

    /* One after the other. */
    _cleanup_(buffer_release) Buffer two = {0};
    frame_begin(&two, 1, 1, 1);
    frame_put_text(&two, 1, "abc");
    assert_int_equal(frame_end(&two), 0);
    buffer_append(&two, "next", 4);
    assert_int_equal(frame_size(two.data, two.size_bytes), 28);
    assert_int_equal(frame_size(two.data, 27), 0);

    /* The header: cut at each byte, and each byte of its magic and size wrong. */
    _cleanup_(buffer_release) Buffer buffer = {0};
    Frame frame;
    frame_begin(&buffer, 1, 1, 1);
    assert_int_equal(frame_end(&buffer), 0);
    for (size_t size = 0; size < 16; size++) {
        assert_int_equal(frame_read(buffer.data, size, &frame), -EBADMSG);
        assert_int_equal(frame_size(buffer.data, size), 0);
    }
    for (size_t at = 0; at < 16; at++) {
        buffer.data[at] ^= 0x40;
        bool matters = at < 4 || at >= 12;
        assert_int_equal(frame_read(buffer.data, 16, &frame), matters ? -EBADMSG : 0);
        assert_int_equal(frame_size(buffer.data, 16), matters ? 0 : 16);
        buffer.data[at] ^= 0x40;
    }
}

static void make_pair(int pair[static 2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

/* None of what came with it is missing. */
static int receive(int fd, char *data, size_t *ret_size_bytes, FdList *ret_fds)
{
    bool cut = true;
    int r = frame_receive_cut(fd, data, ret_size_bytes, ret_fds, &cut);

    if (r == 0)
        assert_false(cut);
    return r;
}

static void test_socket(void **state)
{
    static char data[FRAME_MAX_BYTES];
    static const size_t counts[] = {0, 1, 2, 3, 252, FRAME_FDS_MAX};
    _cleanup_(buffer_release) Buffer buffer = {0};
    FdList sent, fds = {0};
    size_t size;
    int pair[2];

    make_pair(pair);
    assert_int_equal(receive(pair[1], data, &size, &fds), FRAME_AGAIN);
    frame_begin(&buffer, 1, 2, 3);
    frame_put_text(&buffer, 4, "five");
    assert_int_equal(frame_end(&buffer), 0);
    for (size_t i = 0; i < ELEMENTS_OF(counts); i++) {
        make_fds(counts[i], &sent);
        assert_int_equal(frame_send(pair[0], &buffer, sent.fds, sent.count), 0);
        assert_int_equal(receive(pair[1], data, &size, &fds), 0);
        assert_int_equal(size, buffer.size_bytes);
        assert_memory_equal(data, buffer.data, size);
        assert_int_equal(fds.count, counts[i]);
        for (size_t j = 0; j < fds.count; j++) {
            struct stat a, b;
            assert_true(fcntl(fds.fds[j], F_GETFD) & FD_CLOEXEC);
            assert_int_equal(fstat(fds.fds[j], &a) | fstat(sent.fds[j], &b), 0);
            assert_int_equal(a.st_ino, b.st_ino);
        }
        fd_list_clear(&fds);
        fd_list_clear(&sent);
    }
    make_fds(FRAME_FDS_MAX + 1, &sent);
    assert_int_equal(frame_send(pair[0], &buffer, sent.fds, sent.count), -EINVAL);
    fd_list_clear(&sent);

    /* It is full: none of it is sent in part. */
    int r;
    size_t count = 0, got = 0;
    while ((r = frame_send(pair[0], &buffer, NULL, 0)) == 0)
        count++;
    assert_int_equal(r, -EAGAIN);
    while ((r = receive(pair[1], data, &size, &fds)) == 0)
        got += size == buffer.size_bytes;
    assert_int_equal(r, FRAME_AGAIN);
    assert_int_equal(got, count);

    close(pair[0]);
    assert_int_equal(receive(pair[1], data, &size, &fds), FRAME_END);
    assert_int_equal(frame_send(pair[1], &buffer, NULL, 0), -EPIPE);
    close(pair[1]);
    assert_int_equal(receive(-1, data, &size, &fds), -EBADF);
}

/* What a peer sent is received, though it closed without reading what was sent to it. */
static void test_closed_unread(void **state)
{
    static char data[FRAME_MAX_BYTES];
    FdList fds = {0};
    size_t size;
    int pair[2];

    make_pair(pair);
    send_raw(pair[1], "unread", 6, 1);
    send_raw(pair[0], "one", 3, 1);
    send_raw(pair[0], "three", 5, 0);
    close(pair[0]);
    assert_int_equal(receive(pair[1], data, &size, &fds), 0);
    assert_int_equal(size, 3);
    assert_int_equal(fds.count, 1);
    fd_list_clear(&fds);
    assert_int_equal(receive(pair[1], data, &size, &fds), 0);
    assert_int_equal(size, 5);
    assert_int_equal(receive(pair[1], data, &size, &fds), FRAME_END);
    close(pair[1]);
}

static void test_socket_malformed(void **state)
{
    static char data[FRAME_MAX_BYTES], large[FRAME_MAX_BYTES + 1];
    FdList fds = {0};
    size_t size = 0;
    int pair[2];

    make_pair(pair);
    /* The largest goes through, one byte more does not, nor do the descriptors beside it; what follows does. */
    send_raw(pair[0], large, sizeof(large), 3);
    send_raw(pair[0], large, FRAME_MAX_BYTES, 1);
    send_raw(pair[0], "", 0, 2);
    send_raw(pair[0], "x", 1, 0);
    assert_int_equal(receive(pair[1], data, &size, &fds), -EBADMSG);
    assert_int_equal(fds.count + size, 0);
    assert_int_equal(receive(pair[1], data, &size, &fds), 0);
    assert_int_equal(size, FRAME_MAX_BYTES);
    assert_int_equal(fds.count, 1);
    fd_list_clear(&fds);
    assert_int_equal(receive(pair[1], data, &size, &fds), -EBADMSG);
    assert_int_equal(receive(pair[1], data, &size, &fds), 0);
    assert_int_equal(size, 1);

    /* An empty message is the end. */
    send_raw(pair[0], "", 0, 0);
    assert_int_equal(receive(pair[1], data, &size, &fds), FRAME_END);
    close(pair[0]);
    close(pair[1]);
}

/* The process may open no more: the kernel gives what it can, and cuts the rest. */
static void test_no_room_for_fds(void **state)
{
    static char data[FRAME_MAX_BYTES];
    struct rlimit limit, low;
    FdList fds = {0};
    size_t size, open_now;
    bool cut = false;
    int pair[2], r;

    make_pair(pair);
    for (int i = 0; i < 2; i++)
        send_raw(pair[0], "frame", 5, 10);
    send_raw(pair[0], "frame", 5, 0);
    open_now = count_fds() - 3; /* without . and .. and the folder's own */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = open_now + 4;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    r = frame_receive_cut(pair[1], data, &size, &fds, &cut);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(r, 0);
    assert_true(cut);
    assert_int_equal(size, 5);
    assert_int_equal(fds.count, 0);

    assert_int_equal(frame_receive_cut(pair[1], data, &size, &fds, &cut), 0);
    assert_false(cut);
    assert_int_equal(fds.count, 10);
    fd_list_clear(&fds);
    cut = true;
    assert_int_equal(frame_receive_cut(pair[1], data, &size, &fds, &cut), 0);
    assert_false(cut);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_unread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_for_fds, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
