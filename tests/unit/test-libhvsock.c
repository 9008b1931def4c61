/* SPDX-License-Identifier: Apache-2.0 */
/* ctl/libhvsock against a daemon that follows a script. Every test ends with as many descriptors as it began with. */

#include <errno.h>

#include "tests/unit/fake-daemon.h"

/* ---- calls ---- */

static const struct {
    const char *method, *parameters;
    const char *call;   /* what the daemon hears; NULL: nothing is sent */
    const char *answer;
    int result;
    const char *reply;  /* or the error's name */
} calls[] = {
    {"List", NULL, "{\"method\":\"io.hvsock.Registry.List\"}", "{}", 0, "{}"},
    {"List", "{}", "{\"method\":\"io.hvsock.Registry.List\",\"parameters\":{}}", "{\"parameters\":{\"a\":1}}", 0, "{\"a\":1}"},
    {"org.varlink.service.GetInfo", NULL, "{\"method\":\"org.varlink.service.GetInfo\"}", "{\"parameters\":null}", 0, "{}"},
    {"a\"b", NULL, "{\"method\":\"io.hvsock.Registry.a\"b\"}", "$", -ECONNRESET, NULL},
    {"a.\"b", NULL, "{\"method\":\"a.\\\"b\"}", "{\"error\":\"x.Y\",\"parameters\":{}}", HVSOCK_REFUSED, "x.Y"},
    {"List", "[]", NULL, "{}", -EINVAL, NULL},
    {"List", "", NULL, "{}", -EINVAL, NULL},
    {"List", " \n{} ", "{\"method\":\"io.hvsock.Registry.List\",\"parameters\": \n{} }", "{}", 0, "{}"},
    /* descriptors that nobody asked for */
    {"List", NULL, NULL, "{}^3", 0, "{}"},
    /* no replies */
    {"List", NULL, NULL, "", -EBADMSG, NULL},
    {"List", NULL, NULL, "x", -EBADMSG, NULL},
    {"List", NULL, NULL, "[]", -EBADMSG, NULL},
    {"List", NULL, NULL, "{} {}", -EBADMSG, NULL},
    {"List", NULL, NULL, "{\"parameters\":[]}", -EBADMSG, NULL},
    {"List", NULL, NULL, "{\"parameters\":{},\"parameters\":{}}", -EBADMSG, NULL},
    {"List", NULL, NULL, "{\"parameters\":{\"a\":\"\xff\"}}", -EBADMSG, NULL},
    {"List", NULL, NULL, "{\"error\":1}", -EBADMSG, NULL},
    {"List", NULL, NULL, "{\"continues\":1}", -EBADMSG, NULL},
    {"List", NULL, NULL, "{\"continues\":true}", -EBADMSG, NULL},
    {"List", NULL, NULL, "{\"error\":\"a.B\",\"continues\":true}", -EBADMSG, NULL},
    {"List", NULL, NULL, "{\"parame~ters\":{}}", -EBADMSG, NULL},
    /* it goes */
    {"List", NULL, NULL, "$", -ECONNRESET, NULL},
    {"List", NULL, NULL, "{\"parameters\":-|$", -ECONNRESET, NULL},
    {"List", NULL, NULL, "{\"parameters\":-^2|$", -ECONNRESET, NULL},
    /* it does not go on */
    {"List", NULL, NULL, "_", -ETIMEDOUT, NULL},
    /* refused */
    {"List", NULL, NULL, "{\"error\":\"a.B\"}", HVSOCK_REFUSED, "a.B"},
    {"List", NULL, NULL, "{\"error\":\"a.B\",\"parameters\":{\"c\":1}}^1", HVSOCK_REFUSED, "a.B"},
};

static void test_call(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(calls); i++) {
        Daemon daemon;
        char *reply = NULL;
        const char *script[] = {calls[i].answer, "{\"parameters\":{\"again\":true}}", NULL};
        hvsock *client = daemon_open(&daemon, script);

        hvsock_set_timeout(client, calls[i].result == -ETIMEDOUT ? 50 : 20000);
        assert_null(hvsock_error_name(client));
        int r = hvsock_call(client, calls[i].method, calls[i].parameters, &reply);
        if (r != calls[i].result)
            print_message("%zu: %s\n", i, calls[i].answer);
        assert_int_equal(r, calls[i].result);
        if (calls[i].call)
            assert_heard(&daemon, calls[i].call);
        if (r == 0)
            assert_string_equal(reply, calls[i].reply);
        else
            assert_null(reply);
        free(reply);
        if (r == HVSOCK_REFUSED)
            assert_string_equal(hvsock_error_name(client), calls[i].reply);
        else
            assert_null(hvsock_error_name(client));

        /* What is broken stays so; all else can go on. */
        bool broken = r < 0 && r != -EINVAL;
        if (r == -EINVAL)
            assert_int_equal(hvsock_call(client, "List", NULL, NULL), 0);
        r = hvsock_call(client, "List", NULL, &reply);
        assert_int_equal(r, broken ? -ENOTCONN : 0);
        assert_null(hvsock_error_name(client));
        if (r == 0) {
            assert_string_equal(reply, "{\"again\":true}");
            free(reply);
        }
        assert_null(hvsock_close(client));
        daemon_stop(&daemon);
    }
}

static int on_reply(const char *parameters, int *fds, size_t fd_count, void *userdata)
{
    Buffer *heard = userdata;

    buffer_append_text(heard, parameters);
    if (fd_count > 0) {
        buffer_printf(heard, "(%zu)", fd_count);
        close(fds[0]);
        fds[0] = -1; /* taken over */
    }
    return strstr(parameters, "stop") ? -ECANCELED : strstr(parameters, "seven") ? 7 : 0;
}

static const struct {
    const char *answer;
    int result;
    const char *heard;
} sequences[] = {
    {"{}", 0, "{}"},
    {"{\"continues\":true,\"parameters\":{\"a\":1}}|{\"continues\":true}^2|{\"parameters\":{\"b\":2}}^3", 0, "{\"a\":1}{}(2){\"b\":2}(3)"},
    {"{\"continues\":true,\"parameters\":{\"stop\":1}}^2|{}", -ECANCELED, "{\"stop\":1}(2)"},
    {"{\"parameters\":{\"seven\":1}}", 7, "{\"seven\":1}"},
    {"{\"continues\":true}|{\"error\":\"a.B\"}", HVSOCK_REFUSED, "{}"},
    {"{\"continues\":true}|x", -EBADMSG, "{}"},
    {"{\"continues\":true}|$", -ECONNRESET, "{}"},
    {"{\"continues\":true}|{\"continues\":-|$", -ECONNRESET, "{}"},
    {"{\"continues\":true}|_", -ETIMEDOUT, "{}"},
};

static void test_call_more(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(sequences); i++) {
        Daemon daemon;
        Buffer heard = {0};
        const char *script[] = {sequences[i].answer, "{}", NULL};
        hvsock *client = daemon_open(&daemon, script);

        hvsock_set_timeout(client, sequences[i].result == -ETIMEDOUT ? 50 : 20000);
        int r = hvsock_call_more(client, "Watch", NULL, on_reply, &heard);
        assert_int_equal(r, sequences[i].result);
        assert_heard(&daemon, "{\"method\":\"io.hvsock.Registry.Watch\",\"more\":true}");
        buffer_append_char(&heard, '\0');
        assert_string_equal(heard.data, sequences[i].heard);
        assert_int_equal(hvsock_call(client, "List", NULL, NULL), r == 0 || r == HVSOCK_REFUSED ? 0 : -ENOTCONN);
        buffer_release(&heard);
        hvsock_close(client);
        daemon_stop(&daemon);
    }
}

/* ---- listeners ---- */

#define ONE(service_, index_) "{\"service\":\"" service_ "\",\"address\":\"unix:///a\",\"listenerFileDescriptor\":" #index_ "}"
#define REPLY(list_) "{\"parameters\":{\"listeners\":[" list_ "]}}"
#define PART(list_) "{\"continues\":true,\"parameters\":{\"listeners\":[" list_ "]}}"

static const struct {
    const char *answer;
    int result;
    size_t count;
} acquires[] = {
    {REPLY(ONE("a", 0)) "^1", 0, 1},
    {REPLY(""), 0, 0},
    {REPLY(ONE("a", 1) "," ONE("b", 0)) "^2", 0, 2},
    {PART(ONE("a", 0)) "^1|" PART("") "|" REPLY(ONE("b", 0) "," ONE("c", 1)) "^2", 0, 3},
    {"{\"parameters\":{\"listeners\":[{\"service\":\"a\",\"machine\":null,\"address\":\"\",\"listenerFileDescriptor\":0}]}}^1", 0, 1},
    /* another number of descriptors than said */
    {REPLY(ONE("a", 0)), -EBADMSG, 0},
    {REPLY(ONE("a", 0)) "^2", -EBADMSG, 0},
    {REPLY("") "^2", -EBADMSG, 0},
    {REPLY(ONE("a", 0) "," ONE("b", 1)) "^1", -EBADMSG, 0},
    {PART(ONE("a", 0)) "^1|" REPLY(ONE("b", 0)), -EBADMSG, 0},
    /* the same one twice, none of that number, and what is no HandedOut */
    {REPLY(ONE("a", 0) "," ONE("b", 0)) "^2", -EBADMSG, 0},
    {REPLY(ONE("a", 1)) "^1", -EBADMSG, 0},
    {REPLY(ONE("a", -1)) "^1", -EBADMSG, 0},
    {REPLY(ONE("a", 4294967296)) "^1", -EBADMSG, 0},
    {REPLY(ONE("a", "0")) "^1", -EBADMSG, 0},
    {REPLY("{}") "^1", -EBADMSG, 0},
    {REPLY("1") "^1", -EBADMSG, 0},
    {"{\"parameters\":{\"listeners\":[{\"service\":\"a\",\"machine\":1,\"address\":\"\",\"listenerFileDescriptor\":0}]}}^1", -EBADMSG, 0},
    {"{}^1", -EBADMSG, 0},
    {"{\"parameters\":{\"listeners\":1}}", -EBADMSG, 0},
    /* it goes, and it refuses, with some of them given already */
    {PART(ONE("a", 0)) "^1|$", -ECONNRESET, 0},
    {PART(ONE("a", 0)) "^1|{\"error\":\"a.B\"}", HVSOCK_REFUSED, 0},
    {PART(ONE("a", 0)) "^1|{\"parameters\":-^1|$", -ECONNRESET, 0},
};

static void test_acquire(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(acquires); i++) {
        Daemon daemon;
        const char *script[] = {acquires[i].answer, NULL};
        hvsock *client = daemon_open(&daemon, script);
        hvsock_listener *listeners = NULL;
        size_t count = 99;

        int r = hvsock_acquire(client, (const char *const[]){"a", "b", NULL}, &listeners, &count);
        if (r != acquires[i].result)
            print_message("%zu: %s\n", i, acquires[i].answer);
        assert_int_equal(r, acquires[i].result);
        assert_heard(&daemon, "{\"method\":\"io.hvsock.Registry.Acquire\",\"more\":true,\"parameters\":{\"names\":[\"a\",\"b\"]}}");
        if (r == 0) {
            assert_int_equal(count, acquires[i].count);
            for (size_t n = 0; n < count; n++)
                assert_true(fcntl(listeners[n].fd, F_GETFD) & FD_CLOEXEC);
            if (count == 3) {
                assert_string_equal(listeners[2].service, "c");
                assert_string_equal(listeners[2].address, "unix:///a");
                assert_null(listeners[2].machine);
                close(TAKE_FD(listeners[2].fd));
            }
            hvsock_listeners_free(listeners, count);
        } else {
            assert_null(listeners);
            assert_int_equal(count, 99);
        }
        hvsock_close(client);
        daemon_stop(&daemon);
    }

    hvsock_listener *listeners;
    size_t count;
    Daemon daemon;
    hvsock *client = daemon_open(&daemon, (const char *const[]){"{}", NULL});
    assert_int_equal(hvsock_acquire(client, (const char *const[]){"\xff", NULL}, &listeners, &count), -EINVAL);
    assert_int_equal(hvsock_call(client, "List", NULL, NULL), 0);
    hvsock_close(client);
    daemon_stop(&daemon);
}

/* ---- functions for one method ---- */

static void test_register(void **state)
{
    Daemon daemon;
    const char *script[] = {
        "{\"parameters\":{\"service\":{\"context\":{\"port\":5140}}}}",
        "{\"parameters\":{\"service\":{\"context\":{\"port\":268435456}}}}",
        "{\"parameters\":{\"service\":{\"context\":{}}}}",
        "{\"parameters\":{\"service\":{\"context\":{\"port\":-1}}}}",
        "{}",
        "{\"parameters\":{\"service\":{\"x\":1}}}",
        "{}",
        "{\"error\":\"io.hvsock.Registry.NoSuchService\",\"parameters\":{\"name\":\"a\"}}",
        NULL,
    };
    hvsock *client = daemon_open(&daemon, script);
    uint32_t port = 1;
    char *service = NULL;

    assert_int_equal(hvsock_register(client, "a", 5140, "An \"a\"", &port), 0);
    assert_heard(&daemon, "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":"
                          "{\"service\":{\"name\":\"a\",\"port\":5140,\"elementName\":\"An \\\"a\\\"\"}}}");
    assert_int_equal(port, 5140);
    assert_int_equal(hvsock_register(client, "a", 0, NULL, &port), 0);
    assert_heard(&daemon, "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":{\"name\":\"a\",\"autoPort\":true}}}");
    assert_int_equal(port, 268435456);
    assert_int_equal(hvsock_register(client, "a", 1, NULL, &port), -EBADMSG);
    assert_int_equal(hvsock_register(client, "a", 1, NULL, NULL), -EBADMSG);
    assert_int_equal(hvsock_register(client, "\xff", 1, NULL, NULL), -EINVAL);
    assert_int_equal(port, 268435456);
    assert_int_equal(hvsock_describe(client, "a", &service), -EBADMSG);
    assert_null(service);
    assert_int_equal(hvsock_describe(client, "a", &service), 0);
    assert_string_equal(service, "{\"x\":1}");
    free(service);
    assert_int_equal(hvsock_unregister(client, "a"), 0);
    assert_int_equal(hvsock_unregister(client, "a"), HVSOCK_REFUSED);
    assert_string_equal(hvsock_error_text(client), "no service is called a; `hvsockctl list` shows those there are");
    assert_string_equal(hvsock_error_parameters(client), "{\"name\":\"a\"}");
    hvsock_close(client);
    daemon_stop(&daemon);
}

/* ---- the connection ---- */

static void test_open(void **state)
{
    hvsock *client = NULL;
    Daemon daemon;
    char path[300];

    assert_int_equal(hvsock_open("/nonexistent/socket", &client), -ENOENT);
    memset(path, 'x', 250);
    memcpy(path, "/tmp/", 5);
    path[250] = '\0';
    assert_int_equal(hvsock_open(path, &client), -ENOENT);
    assert_null(client);

    /* The environment's, and a path that is longer than an address can be. */
    daemon_start(&daemon, (const char *const[]){"{}", NULL});
    setenv("HVSOCK_SOCKET", daemon.path, 1);
    assert_int_equal(hvsock_open(NULL, &client), 0);
    unsetenv("HVSOCK_SOCKET");
    assert_true(hvsock_fd(client) >= 0);
    assert_int_equal(hvsock_call(client, "List", NULL, NULL), 0);
    hvsock_close(client);
    daemon_stop(&daemon);

    daemon_start(&daemon, (const char *const[]){"{}", NULL});
    snprintf(path, sizeof(path), "/tmp/%0150d/../%s", 0, daemon.path + 5);
    char *folder = strndup(path, 5 + 150);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(hvsock_open(path, &client), 0);
    assert_int_equal(hvsock_call(client, "List", NULL, NULL), 0);
    hvsock_close(client);
    rmdir(folder);
    free(folder);
    daemon_stop(&daemon);

    /* Nobody listens there any more. */
    daemon_start(&daemon, (const char *const[]){NULL});
    kill(daemon.pid, SIGKILL);
    waitpid(daemon.pid, NULL, 0);
    client = NULL;
    assert_int_equal(hvsock_open(daemon.path, &client), -ECONNREFUSED);
    assert_null(client);
    daemon_stop(&daemon);
    assert_null(hvsock_close(NULL));
}

/* Who is there and does not accept is waited for, and no longer than is wanted; and so is what he answers. */
static void test_open_within(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    hvsock *client = NULL, *waiting = NULL;

    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/test-libhvsock-within-%d", getpid());
    assert_int_equal(hvsock_open_within(address.sun_path, 20000, &client), -ENOENT);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(hvsock_open_within(address.sun_path, 20000, &waiting), 0);
    /* Its time is for connecting: what is asked afterwards may take as long again, and the socket is as it was. */
    struct timeval patience = {.tv_sec = 1};
    socklen_t size = sizeof(patience);
    assert_int_equal(getsockopt(hvsock_fd(waiting), SOL_SOCKET, SO_SNDTIMEO, &patience, &size), 0);
    assert_int_equal(patience.tv_sec + patience.tv_usec, 0);
    /* The backlog is full. */
    for (int timeout_ms = 0; timeout_ms < 60; timeout_ms += 50)
        assert_int_equal(hvsock_open_within(address.sun_path, timeout_ms, &client), -ETIMEDOUT);
    assert_null(client);
    hvsock_set_timeout(waiting, 50);
    assert_int_equal(hvsock_call(waiting, "List", NULL, NULL), -ETIMEDOUT);
    hvsock_close(waiting);
    close(accept(listener, NULL, NULL));
    assert_int_equal(hvsock_open_within(address.sun_path, 50, &client), 0);
    assert_int_equal(hvsock_call(client, "List", NULL, NULL), -ETIMEDOUT);
    hvsock_close(client);
    close(listener);
    unlink(address.sun_path);
}

/* A call larger than the socket's buffers, to a daemon that reads it all, and to one that hangs up after the first bytes. */
static void test_large_call(void **state)
{
    enum { SIZE = 4 * 1024 * 1024 };
    char *parameters = malloc(SIZE + 20), *reply;
    Daemon daemon;

    assert_non_null(parameters);
    size_t size = (size_t)sprintf(parameters, "{\"a\":\"");
    memset(parameters + size, 'x', SIZE);
    strcpy(parameters + size + SIZE, "\"}");
    hvsock *client = daemon_open(&daemon, (const char *const[]){"{\"parameters\":{\"b\":1}}", NULL});
    assert_int_equal(hvsock_call(client, "Apply", parameters, &reply), 0);
    assert_string_equal(reply, "{\"b\":1}");
    free(reply);
    hvsock_close(client);
    daemon_stop(&daemon);

    for (int answers = 0; answers < 2; answers++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/test-libhvsock-large-%d", getpid());
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(hvsock_open(address.sun_path, &client), 0);
        int peer = accept(listener, NULL, NULL);
        static const char refusal[] = "{\"error\":\"io.hvsock.Registry.LimitReached\"}";
        if (answers)
            send_raw(peer, refusal, sizeof(refusal), 0);
        close(peer);
        assert_int_equal(hvsock_call(client, "Apply", parameters, NULL), answers ? HVSOCK_REFUSED : -ECONNRESET);
        assert_int_equal(hvsock_call(client, "List", NULL, NULL), -ENOTCONN);
        hvsock_close(client);
        close(listener);
        unlink(address.sun_path);
    }
    free(parameters);
}

static void test_guid(void **state)
{
    char guid[37];
    uint32_t port = 7;

    hvsock_guid_from_port(2761, guid);
    assert_string_equal(guid, "00000ac9-facb-11e6-bd58-64006a7986d3");
    assert_int_equal(hvsock_guid_to_port("{00000AC9-FACB-11E6-BD58-64006A7986D3}", &port), 0);
    assert_int_equal(port, 2761);
    assert_int_equal(hvsock_guid_to_port("999e53d4-3d5c-4c3e-8779-bed06ec056e1", &port), -EINVAL);
    assert_int_equal(hvsock_guid_to_port("2761", &port), -EINVAL);
    assert_int_equal(port, 2761);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_acquire, setup, teardown),
        cmocka_unit_test_setup_teardown(test_register, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_within, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guid, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
