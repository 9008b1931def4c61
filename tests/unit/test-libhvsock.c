/* SPDX-License-Identifier: Apache-2.0 */
/* ctl/libhvsock against a daemon that follows a script: what it sends to each call, byte for byte, with how many descriptors.
 * Every test ends with as many descriptors as it began with. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "ctl/libhvsock/hvsock.h"
#include "tests/unit/wire-peer.h"

/* ---- a daemon ---- */

/* `|` parts messages, `^N` at the end of one gives it N descriptors, `$` closes, `_` waits for ever, `~` is a NUL in the
 * wrong place. Of each call a line goes into `heard`. */
typedef struct Daemon {
    char path[100];
    pid_t pid;
    int heard;
} Daemon;

static void daemon_answer(int fd, const char *script)
{
    char text[20000], *rest = text;

    snprintf(text, sizeof(text), "%s", script);
    for (char *message; (message = strsep(&rest, "|"));) {
        if (strcmp(message, "$") == 0) {
            shutdown(fd, SHUT_RDWR);
            _exit(0);
        }
        if (strcmp(message, "_") == 0)
            pause();
        char *caret = strchr(message, '^');
        size_t count = caret ? strtoul(caret + 1, NULL, 10) : 0;
        if (caret)
            *caret = '\0';
        size_t size = strlen(message);
        for (char *c = message; *c; c++)
            if (*c == '~')
                *c = '\0';
        bool half = rest && strcmp(rest, "$") == 0 && size > 0 && message[size - 1] == '-';
        send_raw(fd, message, half ? size - 1 : size + 1, count);
    }
}

/* One connection; script: for each call in turn. */
static void daemon_run(int listener, int heard, const char *const *script)
{
    Wire *wire;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), plain = dup(fd);

    assert_int_equal(wire_new_consume(fd, WIRE_MESSAGE_ADMINISTRATOR_MAX_BYTES, &wire), 0);
    for (;;) {
        char *message;
        size_t size;
        while (!wire_next(wire, &message, &size, NULL)) {
            int r = wire_read(wire);
            if (r == WIRE_AGAIN)
                wire_wait(wire, false, -1);
            else if (r != 0)
                _exit(0);
        }
        if (heard >= 0 && size < 500)
            dprintf(heard, "%s\n", message);
        fd_set_nonblocking(plain, false);
        daemon_answer(plain, *script ? *script++ : "$");
    }
}

static void daemon_start(Daemon *daemon, const char *const *script)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ends[2];
    char folder[] = "/tmp/test-libhvsock-XXXXXX";

    assert_non_null(mkdtemp(folder));
    snprintf(daemon->path, sizeof(daemon->path), "%s/socket", folder);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemon->path);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    daemon->heard = ends[0];
    daemon->pid = fork();
    if (daemon->pid == 0) {
        alarm(60);
        daemon_run(listener, ends[1], script);
        _exit(0);
    }
    close(ends[1]);
    close(listener);
}

static void daemon_stop(Daemon *daemon)
{
    kill(daemon->pid, SIGKILL);
    waitpid(daemon->pid, NULL, 0);
    close(daemon->heard);
    unlink(daemon->path);
    *strrchr(daemon->path, '/') = '\0';
    rmdir(daemon->path);
}

static void assert_heard(Daemon *daemon, const char *expected)
{
    char text[1000];
    ssize_t n = read(daemon->heard, text, sizeof(text) - 1);

    assert_true(n > 0);
    text[n - 1] = '\0';
    assert_string_equal(text, expected);
}

static hvsock *daemon_open(Daemon *daemon, const char *const *script)
{
    hvsock *client;

    daemon_start(daemon, script);
    assert_int_equal(hvsock_open(daemon->path, &client), 0);
    return client;
}

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

/* ---- sentences ---- */

static const struct {
    const char *name; /* of io.hvsock.Registry where it has no dot */
    const char *parameters;
    const char *text;
} errors[] = {
    {"NoSuchService", "{\"name\":\"a\"}", "no service is called a; `hvsockctl list` shows those there are"},
    {"NoSuchMachine", "{\"name\":\"web1\"}", "no machine is called web1; `hvsockctl machine list` shows those there are"},
    {"Conflict", "{\"field\":\"port\",\"value\":\"5140\",\"holder\":\"guest-log\",\"origin\":\"file:/etc/hvsockd/services.d/a.yaml\","
                 "\"since\":\"2026-11-20T10:00:00.000Z\"}",
     "port 5140 is held by guest-log (file:/etc/hvsockd/services.d/a.yaml, since 2026-11-20T10:00:00.000Z); choose another port, or "
     "--port auto"},
    {"Conflict", "{\"field\":\"name\",\"value\":\"a\",\"holder\":\"a\",\"origin\":\"user:1000\",\"since\":\"S\"}",
     "name a is held by a (user:1000, since S); choose another name, or unregister that one first"},
    {"Conflict", "{\"field\":\"listen[0]\",\"value\":\"unix:///a\",\"holder\":\"b\",\"origin\":\"user:0\",\"since\":\"\"}",
     "listen[0] unix:///a is held by b (user:0); choose another address"},
    {"Conflict", "{}", "? ? is held by ?; choose another address"},
    {"InvalidField", "{\"field\":\"peers.allow[1]\",\"reason\":\"no such machine\",\"hint\":\"add it\"}",
     "peers.allow[1]: no such machine; add it"},
    {"InvalidField", "{\"field\":\"\",\"reason\":\"why\",\"hint\":null}", "why"},
    {"Declared", "{\"name\":\"a\",\"origin\":\"file:/etc/hvsockd/services.d/a.yaml\"}",
     "a is declared (file:/etc/hvsockd/services.d/a.yaml); change it there, then `hvsockctl reload`"},
    {"NotAllowed", "{\"name\":\"a\",\"reason\":\"of root's\"}", "a: not allowed: of root's"},
    {"NotAllowed", "{\"name\":null,\"reason\":\"of root's\"}", "not allowed: of root's"},
    {"Busy", "{\"name\":\"a\",\"processId\":12,\"userId\":34,\"since\":\"S\"}",
     "a is exclusive, and process 12 of user 34 has it since S; end that process first"},
    {"NotListening", "{\"name\":\"a\",\"reason\":\"no folder\"}",
     "a has nothing to hand out: no folder; `hvsockctl show a` shows its listeners"},
    {"LimitReached", "{\"limit\":\"services\",\"value\":200000}",
     "the limit services of 200000 is reached; an administrator can raise it in hvsockd.yaml, `limits`"},
    {"InvalidConfiguration", "{\"messages\":[\"a:1:2: port: no; x\"]}", "nothing was changed: a:1:2: port: no; x"},
    {"InvalidConfiguration", "{\"messages\":[\"one\",\"two\",\"three\"]}",
     "nothing was changed: one, and 2 more; `hvsockctl check` shows them all"},
    {"InvalidConfiguration", "{}", "nothing was changed: the configuration is not valid"},
    {"StorageFailed", "{\"reason\":\"disk full\"}", "nothing was changed: the registry cannot be written: disk full"},
    {"org.varlink.service.InterfaceNotFound", "{\"interface\":\"a.b\"}", "this daemon has no interface a.b; is it an hvsockd?"},
    {"org.varlink.service.MethodNotFound", "{\"method\":\"a.b.C\"}", "this daemon does not know a.b.C; it may be older than this program"},
    {"org.varlink.service.MethodNotImplemented", "{\"method\":\"C\"}", "this daemon does not know C; it may be older than this program"},
    {"org.varlink.service.InvalidParameter", "{\"parameter\":\"x\"}",
     "the daemon does not take the parameter x; it may be older than this program"},
    {"org.varlink.service.PermissionDenied", "{}", "not allowed: this is for administrators (hvsockd.yaml, `administrators`)"},
    {"org.varlink.service.ExpectedMore", "{}", "there are several replies: call with `more`"},
    {"a.newer.Error", "{\"x\":\"\\u001b\xc2\x9b\"}", "the daemon answered a.newer.Error {\"x\":\"\\u001B\\u009B\"}"},
    /* nothing that moves a terminal's cursor comes through */
    {"StorageFailed", "{\"reason\":\"a\\u001b[2Jb\\nc\\u007f\xc2\x9b" "d\xc3\xa4\"}",
     "nothing was changed: the registry cannot be written: a?[2Jb?c??d\xc3\xa4"},
    /* fields that are of another type than said */
    {"Busy", "{\"name\":1,\"processId\":\"x\",\"since\":2}", "? is exclusive, and process 0 of user 0 has it; end that process first"},
};

static void test_errors(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(errors); i++) {
        Daemon daemon;
        char answer[1000], name[100];

        snprintf(name, sizeof(name), "%s%s", strchr(errors[i].name, '.') ? "" : "io.hvsock.Registry.", errors[i].name);
        snprintf(answer, sizeof(answer), "{\"error\":\"%s\",\"parameters\":%s}", name, errors[i].parameters);
        hvsock *client = daemon_open(&daemon, (const char *const[]){answer, "{}", NULL});
        assert_int_equal(hvsock_call(client, "List", NULL, NULL), HVSOCK_REFUSED);
        assert_string_equal(hvsock_error_text(client), errors[i].text);
        assert_string_equal(hvsock_error_name(client), name);
        assert_int_equal(hvsock_call(client, "List", NULL, NULL), 0);
        assert_null(hvsock_error_text(client));
        hvsock_close(client);
        daemon_stop(&daemon);
    }
}

/* Every error of the interface has a sentence of its own. */
static void test_errors_are_all(void **state)
{
    FILE *file = fopen("schema/varlink/io.hvsock.Registry.varlink", "re");
    char line[1000], name[100];
    int count = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "error %99s", name) != 1)
            continue;
        bool found = false;
        for (size_t i = 0; i < ELEMENTS_OF(errors); i++)
            found |= strcmp(errors[i].name, name) == 0;
        if (!found)
            print_message("%s\n", name);
        assert_true(found);
        count++;
    }
    fclose(file);
    assert_true(count >= 11);
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
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_are_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guid, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
