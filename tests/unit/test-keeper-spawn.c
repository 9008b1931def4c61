/* SPDX-License-Identifier: Apache-2.0 */
/* daemon/keeper/spec and spawn: a program is read from its fields, and started from our own memory, which is as it was
 * afterwards. What programs find themselves in is held against real ones in tests/integration/test_keeper_programs. */

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "daemon/keeper/spawn.h"
#include "schema/wire/keeper.h"
#include "tests/unit/wire-peer.h"

/* The fields of a frame without anything else. */
static FrameFields fields_of(const Buffer *frame)
{
    return (FrameFields){frame->data + 16, frame->size_bytes - 16};
}

static void test_spec(void **state)
{
    _cleanup_(buffer_release) Buffer frame = {0};
    _cleanup_(spec_release) Spec spec = {0};
    const uint64_t limit[] = {RLIMIT_CORE, 1, UINT64_MAX};

    frame_begin(&frame, 1, 1, 0);
    frame_put_text(&frame, KEEPER_PROGRAM_ARGUMENT, "/bin/x");
    frame_put_text(&frame, KEEPER_PROGRAM_ENVIRONMENT, "A=b");
    frame_put_text(&frame, KEEPER_PROGRAM_ARGUMENT, "");
    FrameFields fields = fields_of(&frame);
    assert_int_equal(spec_read(&fields, 0, &spec), 0);
    assert_string_equal(spec.arguments[0], "/bin/x");
    assert_string_equal(spec.arguments[1], "");
    assert_null(spec.arguments[2]);
    assert_string_equal(spec.environment[0], "A=b");
    assert_null(spec.environment[1]);
    assert_string_equal(spec.directory, "/");
    assert_null(spec.cgroup);
    assert_null(spec.listen_pid);
    assert_false(spec.has_uid || spec.has_gid);
    assert_int_equal(spec.umask, 0022);
    assert_int_equal(spec.stop_timeout_us, 10000000);
    assert_int_equal(spec.stdio[0] & spec.stdio[1] & spec.stdio[2], -1);
    spec_release(&spec);

    frame_put_number(&frame, KEEPER_PROGRAM_UID, 1);
    frame_put_number(&frame, KEEPER_PROGRAM_GID, 0);
    frame_put_number(&frame, KEEPER_PROGRAM_GROUP, 7);
    frame_put_number(&frame, KEEPER_PROGRAM_GROUP, UINT32_MAX - 1);
    frame_put_text(&frame, KEEPER_PROGRAM_DIRECTORY, "/tmp");
    frame_put_number(&frame, KEEPER_PROGRAM_UMASK, 0777);
    frame_put(&frame, KEEPER_PROGRAM_LIMIT, limit, sizeof(limit));
    frame_put_number(&frame, KEEPER_PROGRAM_STDERR, 2);
    frame_put_number(&frame, KEEPER_PROGRAM_LISTEN, 1);
    frame_put_number(&frame, KEEPER_PROGRAM_LISTEN, 0);
    frame_put_text(&frame, KEEPER_PROGRAM_LISTEN_NAMES, "one:two");
    frame_put_text(&frame, KEEPER_PROGRAM_ENVIRONMENT, "LISTEN_PID=1");
    frame_put_text(&frame, KEEPER_PROGRAM_ENVIRONMENT, "LISTEN_PIDFDID=1");
    frame_put_text(&frame, KEEPER_PROGRAM_ENVIRONMENT, "LISTEN_FDSX=1");
    frame_put_number(&frame, KEEPER_PROGRAM_STOP_TIMEOUT_US, 5);
    frame_put_text(&frame, KEEPER_PROGRAM_CGROUP, "name");
    frame_put_text(&frame, 999, "a newer side's");
    fields = fields_of(&frame);
    assert_int_equal(spec_read(&fields, 3, &spec), 0);
    assert_true(spec.has_uid && spec.has_gid && spec.uid == 1 && spec.gid == 0);
    assert_int_equal(spec.group_count, 2);
    assert_int_equal(spec.groups[1], UINT32_MAX - 1);
    assert_string_equal(spec.directory, "/tmp");
    assert_int_equal(spec.umask, 0777);
    assert_int_equal(spec.limit_count, 1);
    assert_true(spec.limits[0].limit.rlim_cur == 1 && spec.limits[0].limit.rlim_max == RLIM_INFINITY);
    assert_int_equal(spec.stdio[2], 2);
    assert_int_equal(spec.listen_count, 2);
    assert_int_equal(spec.listen[0], 1);
    assert_string_equal(spec.environment[0], "A=b");
    assert_string_equal(spec.environment[1], "LISTEN_FDSX=1");
    assert_string_equal(spec.environment[2], "LISTEN_FDS=2");
    assert_ptr_equal(spec.environment[3], spec.listen_pid);
    assert_string_equal(spec.environment[4], "LISTEN_FDNAMES=one:two");
    assert_null(spec.environment[5]);
    assert_int_equal(spec.stop_timeout_us, 5);
    assert_string_equal(spec.cgroup, "name");
}

static void test_spec_malformed(void **state)
{
    static const struct {
        uint16_t tag;
        const char *bytes;
        size_t size_bytes;
        int answer;
    } table[] = {
#define CASE(tag_, bytes_, answer_) {tag_, bytes_, sizeof(bytes_) - 1, answer_}
#define NUMBER(byte_) byte_ "\0\0\0\0\0\0\0"
        CASE(KEEPER_PROGRAM_ARGUMENT, "", 0),
        CASE(KEEPER_PROGRAM_ARGUMENT, "a\0", -EBADMSG),
        CASE(KEEPER_PROGRAM_ENVIRONMENT, "A=\0b", -EBADMSG),
        CASE(KEEPER_PROGRAM_DIRECTORY, "/\0", -EBADMSG),
        CASE(KEEPER_PROGRAM_CGROUP, "\0", -EBADMSG),
        CASE(KEEPER_PROGRAM_LISTEN_NAMES, "\0", -EBADMSG),
        CASE(KEEPER_PROGRAM_LISTEN_NAMES, "no descriptor", 0),
        CASE(KEEPER_PROGRAM_UID, "1234", -EBADMSG),
        CASE(KEEPER_PROGRAM_UID, "", -EBADMSG),
        CASE(KEEPER_PROGRAM_UID, NUMBER("\0"), 0),
        CASE(KEEPER_PROGRAM_UID, "\xff\xff\xff\xff\0\0\0\0", -EINVAL),
        CASE(KEEPER_PROGRAM_GID, "\0\0\0\0\1\0\0\0", -EINVAL),
        CASE(KEEPER_PROGRAM_GROUP, "\xff\xff\xff\xff\xff\xff\xff\xff", -EINVAL),
        CASE(KEEPER_PROGRAM_GROUP, "x", -EBADMSG),
        CASE(KEEPER_PROGRAM_UMASK, NUMBER("\xff"), 0),
        CASE(KEEPER_PROGRAM_UMASK, "\0\2\0\0\0\0\0\0", -EINVAL),
        CASE(KEEPER_PROGRAM_LIMIT, NUMBER("\1") NUMBER("\1") NUMBER("\1"), 0),
        CASE(KEEPER_PROGRAM_LIMIT, NUMBER("\x10") NUMBER("\1") NUMBER("\1"), -EINVAL),
        CASE(KEEPER_PROGRAM_LIMIT, NUMBER("\1") NUMBER("\1"), -EBADMSG),
        CASE(KEEPER_PROGRAM_STDIN, NUMBER("\1"), 0),
        CASE(KEEPER_PROGRAM_STDIN, NUMBER("\2"), -EINVAL),
        CASE(KEEPER_PROGRAM_STDOUT, "\0\0\0\0\0\0\0\x80", -EINVAL),
        CASE(KEEPER_PROGRAM_LISTEN, NUMBER("\1"), 0),
        CASE(KEEPER_PROGRAM_LISTEN, NUMBER("\2"), -EINVAL),
        CASE(KEEPER_PROGRAM_STOP_TIMEOUT_US, "\xff\xff\xff\xff\xff\xff\xff\xff", -EINVAL),
        CASE(999, "anything\0at all", 0),
        CASE(999 | FRAME_CRITICAL, "", -EPROTO),
    };

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        _cleanup_(buffer_release) Buffer frame = {0};
        _cleanup_(spec_release) Spec spec = {0};
        frame_begin(&frame, 1, 1, 0);
        frame_put_text(&frame, KEEPER_PROGRAM_ARGUMENT, "/bin/true");
        frame_put(&frame, table[i].tag, table[i].bytes, table[i].size_bytes);
        FrameFields fields = fields_of(&frame);
        int r = spec_read(&fields, 2, &spec);
        if (r != table[i].answer)
            fail_msg("row %zu: the answer is %d", i, r);
    }
    /* Nothing, and no absolute file. */
    for (int i = 0; i < 3; i++) {
        _cleanup_(buffer_release) Buffer frame = {0};
        Spec spec;
        frame_begin(&frame, 1, 1, 0);
        frame_put_text(&frame, KEEPER_PROGRAM_ARGUMENT, i == 0 ? NULL : i == 1 ? "" : "bin/true");
        FrameFields fields = fields_of(&frame);
        assert_int_equal(spec_read(&fields, 0, &spec), -EINVAL);
    }
}

static int start(Spawner *spawner, const char *program, const char *script, const FdList *fds, bool listen, const char **ret_what)
{
    _cleanup_(buffer_release) Buffer frame = {0};
    _cleanup_(spec_release) Spec spec = {0};
    int pidfd = -1;
    pid_t pid = -1;

    frame_begin(&frame, 1, 1, 0);
    frame_put_text(&frame, KEEPER_PROGRAM_ARGUMENT, program);
    frame_put_text(&frame, KEEPER_PROGRAM_ARGUMENT, "-c");
    frame_put_text(&frame, KEEPER_PROGRAM_ARGUMENT, script);
    for (size_t i = 0; i < fds->count; i++)
        frame_put_number(&frame, listen ? KEEPER_PROGRAM_LISTEN : KEEPER_PROGRAM_STDIN, i);
    FrameFields fields = fields_of(&frame);
    assert_int_equal(spec_read(&fields, fds->count, &spec), 0);
    int r = spawner_start(spawner, &spec, fds->fds, fds->count, -1, &pid, &pidfd, ret_what);
    if (r < 0) {
        assert_int_equal(pid, -1);
        assert_int_equal(pidfd, -1);
        assert_int_equal(waitpid(-1, NULL, 0), -1);
        assert_int_equal(errno, ECHILD);
        return r;
    }
    siginfo_t information;
    int status;
    assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &information, WEXITED | WNOWAIT), 0);
    assert_int_equal(information.si_pid, pid);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(pidfd);
    return status;
}

static void test_spawn(void **state)
{
    static const size_t counts[] = {0, 1, 5, SPAWN_SLOTS, SPAWN_SLOTS + 1, FRAME_FDS_MAX};
    struct rlimit files;
    Spawner spawner;
    sigset_t blocked, before, after;
    FdList fds;
    const char *what;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(spawner_open(&spawner, &files), 0);
    size_t open_now = count_fds();
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, &before), 0);
    for (size_t i = 0; i < ELEMENTS_OF(counts); i++) {
        char script[128];
        snprintf(script, sizeof(script), "test \"${LISTEN_FDS:-0}\" = %zu && kill -TERM $$", counts[i]);
        make_fds(counts[i], &fds);
        int status = start(&spawner, "/bin/sh", script, &fds, true, &what);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM); /* it is not blocked there */
        assert_int_equal(start(&spawner, "/nonexistent/x", "", &fds, true, &what), -ENOENT);
        assert_string_equal(what, "exec");
        fd_list_clear(&fds);
        assert_int_equal(count_fds(), open_now);
    }
    /* Here it is still, and our descriptors are what they were. */
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &after), 0);
    assert_true(sigismember(&after, SIGTERM));
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    struct stat null, slot;
    assert_int_equal(stat("/dev/null", &null), 0);
    for (size_t i = 0; i < SPAWN_SLOTS; i++) {
        assert_int_equal(fstat(spawner.slots[i], &slot), 0);
        assert_int_equal(slot.st_rdev, null.st_rdev);
        assert_true(fcntl(spawner.slots[i], F_GETFD) & FD_CLOEXEC);
    }
    /* A descriptor that is none. */
    fds = (FdList){0};
    assert_int_equal(fd_list_add_consume(&fds, -1), 0);
    assert_int_equal(start(&spawner, "/bin/sh", "", &fds, true, &what), -EBADF);
    assert_string_equal(what, "descriptors");
    fd_list_clear(&fds);
    spawner_close(&spawner);
    spawner_close(&spawner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spec_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spawn, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
