/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for places in frames: what is asked is what is done, what comes of it comes back, and what is malformed, newer, or
 * not one's own to change is refused. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "daemon/place/remote.h"
#include "tests/unit/bind-support.h"

static PlaceRequest request_for(const char *path)
{
    return (PlaceRequest){
        .path = path,
        .type = SOCK_STREAM,
        .backlog = 16,
        .uid = PLACE_NOT_ASKED,
        .gid = PLACE_NOT_ASKED,
        .mode = PLACE_NOT_ASKED,
        .as_uid = PLACE_NOT_ASKED,
        .as_gid = PLACE_NOT_ASKED,
    };
}

/* What is asked, as it comes out of a frame; and what comes back, likewise. */
static int serve(const Buffer *asked, const int *fds, size_t fd_count, Buffer *answered, FdList *back)
{
    Buffer frame = {0};
    Frame read;
    FdList sent = {0};

    frame_begin(&frame, KEEPER_VERSION, KEEPER_BIND, 1);
    buffer_append(&frame, asked->data, asked->size_bytes);
    assert_int_equal(frame_end(&frame), 0);
    assert_int_equal(frame_read(frame.data, frame.size_bytes, &read), 0);
    for (size_t i = 0; i < fd_count; i++)
        assert_int_equal(fd_list_add_dup(&sent, fds[i]), 0);
    frame_begin(answered, KEEPER_VERSION, KEEPER_BOUND, 1);
    int r = remote_serve(read.fields, &sent, answered, back);
    if (r == 0)
        assert_int_equal(frame_end(answered), 0);
    fd_list_clear(&sent);
    buffer_release(&frame);
    return r;
}

static void ask(PlaceAction action, const PlaceRequest *requests, PlaceResult *results, size_t count, const int *fds)
{
    Buffer asked = {0}, answered = {0};
    FdList back = {0};
    Frame frame;
    FrameField field;
    size_t next_fd = 0, done = 0, most = 0;

    for (size_t i = 0; i < count; i++) {
        remote_put(&asked, action, &requests[i], fds != NULL);
        most += remote_result_max_bytes(&requests[i]);
    }
    assert_int_equal(serve(&asked, fds, fds ? count : 0, &answered, &back), 0);
    assert_int_equal(frame_read(answered.data, answered.size_bytes, &frame), 0);
    assert_true(frame.fields.size_bytes <= most);
    while (frame_next(&frame.fields, &field)) {
        assert_int_equal(field.tag, KEEPER_TAG_RESULT);
        assert_int_equal(remote_read_result(&field, &requests[done], &back, &next_fd, &results[done]), 0);
        done++;
    }
    assert_int_equal(done, count);
    assert_int_equal(next_fd, back.count);
    fd_list_clear(&back);
    buffer_release(&asked);
    buffer_release(&answered);
}

static void test_bind(void **state)
{
    PlaceRequest requests[4];
    PlaceResult results[4];
    char paths[4][128];
    const pid_t known[] = {getpid(), 1};
    struct stat status;

    snprintf(paths[0], sizeof(paths[0]), "%s", in_folder("a"));
    snprintf(paths[1], sizeof(paths[1]), "%s", in_folder("file"));
    snprintf(paths[2], sizeof(paths[2]), "%s", in_folder("gone/c"));
    snprintf(paths[3], sizeof(paths[3]), "%s", in_folder("d"));
    assert_int_equal(close(open(paths[1], O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    for (size_t i = 0; i < 4; i++)
        requests[i] = request_for(paths[i]);
    requests[0].mode = 0600;
    requests[0].known_holders = known;
    requests[0].known_holder_count = ELEMENTS_OF(known);
    requests[3].type = SOCK_SEQPACKET;
    if (geteuid() == 0)
        requests[3].uid = requests[3].gid = OTHER_UID;
    ask(PLACE_BIND, requests, results, 4, NULL);
    assert_int_equal(results[0].state, PLACE_LISTENING);
    assert_string_equal(results[0].path, paths[0]);
    assert_int_equal(lstat(paths[0], &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_ino, results[0].inode);
    assert_int_equal(status.st_dev, results[0].device);
    assert_int_equal(connect_to(paths[0], SOCK_STREAM), 0);
    assert_said(&results[1], PLACE_WAITING, EADDRINUSE, "is a regular file");
    assert_int_equal(results[1].fd, -1);
    assert_said(&results[2], PLACE_WAITING, ENOENT, "is not there");
    assert_string_equal(results[2].watch_path, folder);
    assert_int_equal(results[3].state, PLACE_LISTENING);
    assert_int_equal(connect_to(paths[3], SOCK_SEQPACKET), 0);
    if (geteuid() == 0) {
        assert_int_equal(lstat(paths[3], &status), 0);
        assert_int_equal(status.st_uid, OTHER_UID);
    }

    /* It is there; its owner and mode change, and it goes, by who shows the socket. */
    PlaceRequest look = request_for(paths[0]);
    PlaceResult seen;
    look.device = results[0].device;
    look.inode = results[0].inode;
    ask(PLACE_LOOK, &look, &seen, 1, NULL);
    assert_int_equal(seen.state, PLACE_LISTENING);
    place_result_release(&seen);
    if (geteuid() == 0) { /* SIOCUNIXFILE needs CAP_NET_ADMIN */
        PlaceRequest change = request_for(paths[0]);
        change.mode = 0666;
        ask(PLACE_CHANGE, &change, &seen, 1, &results[0].fd);
        assert_int_equal(seen.state, PLACE_LISTENING);
        place_result_release(&seen);
        assert_int_equal(lstat(paths[0], &status), 0);
        assert_int_equal(status.st_mode & 07777, 0666);
        ask(PLACE_REMOVE, &change, &seen, 1, &results[0].fd);
        assert_int_equal(seen.state, PLACE_LISTENING);
        place_result_release(&seen);
        assert_false(is_there(paths[0]));
        ask(PLACE_LOOK, &look, &seen, 1, NULL);
        assert_said(&seen, PLACE_FAILED, ENOENT, "not there");
        place_result_release(&seen);
    }
    for (size_t i = 0; i < 4; i++)
        release(&results[i]);
}

/* Whoever names a path that is not that of the socket he shows, or shows none that has one, changes nothing. */
static void test_not_his(void **state)
{
    char theirs[128], ours[128];
    struct stat status;
    PlaceResult result;

    if (geteuid() != 0)
        skip();
    snprintf(theirs, sizeof(theirs), "%s", in_folder("theirs"));
    snprintf(ours, sizeof(ours), "%s", in_folder("ours"));
    _cleanup_(fd_closep) int their_fd = foreign_socket(theirs, SOCK_STREAM, true);
    _cleanup_(fd_closep) int our_fd = foreign_socket(ours, SOCK_STREAM, true);
    _cleanup_(fd_closep) int bare_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_(fd_closep) int file_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(chmod(theirs, 0600), 0);
    assert_int_equal(lstat(theirs, &status), 0);
    const int fds[] = {our_fd, bare_fd, file_fd};
    for (size_t i = 0; i < ELEMENTS_OF(fds); i++)
        for (int action = PLACE_CHANGE; action <= PLACE_REMOVE; action++) {
            PlaceRequest request = request_for(theirs);
            request.mode = 0666;
            request.uid = OTHER_UID;
            request.device = status.st_dev; /* which he can see, and is no proof */
            request.inode = status.st_ino;
            ask((PlaceAction)action, &request, &result, 1, &fds[i]);
            place_result_release(&result);
            struct stat after;
            assert_int_equal(lstat(theirs, &after), 0);
            assert_int_equal(after.st_ino, status.st_ino);
            assert_int_equal(after.st_mode, status.st_mode);
            assert_int_equal(after.st_uid, 0);
        }
    unlink(theirs);
    unlink(ours);
    assert_true(their_fd >= 0);
}

static void test_watch(void **state)
{
    PlaceRequest request = request_for(folder), gone = request_for("/nowhere/at/all");
    PlaceResult result;
    char event[4096];
    _cleanup_(fd_closep) int inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    _cleanup_(fd_closep) int file_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ask(PLACE_WATCH, &request, &result, 1, &inotify_fd);
    assert_int_equal(result.state, PLACE_LISTENING);
    assert_true(result.watch > 0);
    place_result_release(&result);
    assert_int_equal(read(inotify_fd, event, sizeof(event)), -1);
    fd_close(foreign_socket(in_folder("x"), SOCK_STREAM, false));
    assert_true(read(inotify_fd, event, sizeof(event)) > 0);
    unlink(in_folder("x"));
    ask(PLACE_WATCH, &gone, &result, 1, &inotify_fd);
    assert_int_equal(result.state, PLACE_FAILED);
    assert_int_equal(result.error, ENOENT);
    place_result_release(&result);
    ask(PLACE_WATCH, &request, &result, 1, &file_fd);
    assert_int_equal(result.state, PLACE_FAILED);
    assert_int_equal(result.error, EINVAL);
    place_result_release(&result);
}

static void test_malformed(void **state)
{
    enum { TEXT = 1, NUMBER, NO_NUMBER };
    static const struct {
        const char *name;
        uint16_t tag;
        int kind;
        uint64_t number;
        int wanted;
    } table[] = {
        {"nothing more", KEEPER_PLACE_BACKLOG, NUMBER, 1, 0},
        {"no number", KEEPER_PLACE_BACKLOG, NO_NUMBER, 0, -EBADMSG},
        {"a backlog that is none", KEEPER_PLACE_BACKLOG, NUMBER, UINT32_MAX, -EBADMSG},
        {"a number that is too large", KEEPER_PLACE_UID, NUMBER, (uint64_t)UINT32_MAX + 1, -EBADMSG},
        {"set-user-id", KEEPER_PLACE_MODE, NUMBER, 04755, -EBADMSG},
        {"a raw socket", KEEPER_PLACE_TYPE, NUMBER, SOCK_RAW, -EBADMSG},
        {"a type with flags", KEEPER_PLACE_TYPE, NUMBER, SOCK_STREAM | SOCK_NONBLOCK, -EBADMSG},
        {"an action of tomorrow", KEEPER_PLACE_ACTION, NUMBER, 99, -EPROTO},
        {"no action", KEEPER_PLACE_ACTION, NUMBER, 0, -EPROTO},
        {"a change without its socket", KEEPER_PLACE_ACTION, NUMBER, PLACE_CHANGE, -EBADMSG},
        {"a descriptor that did not come", KEEPER_PLACE_FDS, NUMBER, 1, -EBADMSG},
        {"two descriptors", KEEPER_PLACE_FDS, NUMBER, 2, -EBADMSG},
        {"a holder that is none", KEEPER_PLACE_HOLDER, NUMBER, 0, -EBADMSG},
        {"something critical of tomorrow", 900 | FRAME_CRITICAL, NUMBER, 1, -EPROTO},
        {"something else of tomorrow", 900, NUMBER, 1, 0},
        {"not absolute", KEEPER_PLACE_PATH, TEXT, 0, 0}, /* done, and failed */
    };

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        Buffer asked = {0}, answered = {0};
        FdList back = {0};
        size_t opened = frame_open(&asked, KEEPER_TAG_REQUEST);
        frame_put_number(&asked, KEEPER_PLACE_ACTION, PLACE_BIND);
        frame_put_text(&asked, KEEPER_PLACE_PATH, in_folder("x"));
        if (table[i].kind == TEXT)
            frame_put_text(&asked, table[i].tag, "x");
        else if (table[i].kind == NUMBER)
            frame_put_number(&asked, table[i].tag, table[i].number);
        else
            frame_put(&asked, table[i].tag, "abc", 3);
        frame_close(&asked, opened);
        int r = serve(&asked, NULL, 0, &answered, &back);
        if (r != table[i].wanted)
            fail_msg("%s: %d, wanted %d", table[i].name, r, table[i].wanted);
        assert_int_equal(is_there(in_folder("x")), r == 0 && table[i].kind != TEXT);
        unlink(in_folder("x"));
        fd_list_clear(&back);
        buffer_release(&asked);
        buffer_release(&answered);
    }
    /* One descriptor too many; and more requests than descriptors could come back. */
    for (size_t count = 1; count <= FRAME_FDS_MAX + 1; count += FRAME_FDS_MAX) {
        Buffer asked = {0}, answered = {0};
        FdList back = {0};
        PlaceRequest request = request_for("/");
        int null = 0;
        for (size_t i = 0; i < count; i++)
            remote_put(&asked, PLACE_BIND, &request, false);
        assert_int_equal(serve(&asked, &null, count == 1 ? 1 : 0, &answered, &back), -EBADMSG);
        assert_int_equal(back.count, 0);
        buffer_release(&asked);
        buffer_release(&answered);
    }
}

int main(void)
{
#define TEST(function_) cmocka_unit_test_setup_teardown(function_, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bind),
        TEST(test_not_his),
        TEST(test_watch),
        TEST(test_malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
