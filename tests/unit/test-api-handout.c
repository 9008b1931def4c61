/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that leave with replies, events as they come, and the sockets that clients come in by. */

#include "tests/unit/api-client.h"

#define ACQUIRE CALL("Acquire", "{\"names\":[\"a\"]}")
#define ACQUIRE_MORE CALL_WITH("Acquire", "{\"names\":[\"a\"]}", "more")
#define FOLLOW CALL_WITH("Acquire", "{\"names\":[\"a\"],\"follow\":true}", "more")
#define WATCH CALL_WITH("Watch", "{}", "more")
#define HANDED(address_, index_)                                                                                       \
    "{\"service\":\"a\",\"address\":\"unix:///" address_ "\",\"listenerFileDescriptor\":" index_ "}"

/* How many listeners a reply speaks of. */
static size_t count_listeners(const char *reply)
{
    size_t count = 0;

    for (const char *at = reply; (at = strstr(at, "listenerFileDescriptor")); at++)
        count++;
    return count;
}

static void test_acquire(void **state)
{
    static const struct {
        size_t listeners, replies[4];
    } table[] = {
        {1, {1}}, {127, {127}}, {128, {128}}, {129, {128, 1}}, {256, {128, 128}}, {300, {128, 128, 44}},
    };
    Fixture *fixture = *state;
    Client client = client_open(fixture);

    fake_add(&fixture->manager, "a", 1);
    assert_string_equal(ask(fixture, &client, ACQUIRE), "{\"parameters\":{\"listeners\":[" HANDED("0", "0") "]}}");
    assert_int_equal(client.fds.count, 1);
    fd_list_clear(&client.fds);
    assert_string_equal(ask(fixture, &client, CALL("Acquire", "{\"names\":[\"a\",\"b\"]}")),
                        ERROR(OURS "NoSuchService", "{\"name\":\"b\"}"));
    size_t before = count_fds();
    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        fixture->manager.listeners = table[i].listeners;
        client_send(&client, ACQUIRE_MORE);
        pump(fixture);
        for (size_t k = 0; k < 4 && table[i].replies[k]; k++) {
            const char *reply = client_next(&client);
            assert_non_null(reply);
            assert_int_equal(count_listeners(reply), table[i].replies[k]);
            bool last = k == 3 || table[i].replies[k + 1] == 0;
            assert_int_equal(strstr(reply, "continues") == NULL, last);
        }
        assert_null(client_next(&client));
        assert_int_equal(client.fds.count, table[i].listeners);
        fd_list_clear(&client.fds);
        assert_int_equal(count_fds(), before);
        /* Without `more`: all, or ExpectedMore and none. */
        const char *reply = ask(fixture, &client, ACQUIRE);
        bool fits = table[i].listeners <= 128;
        assert_int_equal(count_listeners(reply), fits ? table[i].listeners : 0);
        assert_int_equal(strstr(reply, "ExpectedMore") != NULL, !fits);
        assert_int_equal(client.fds.count, fits ? table[i].listeners : 0);
        fd_list_clear(&client.fds);
        assert_int_equal(count_fds(), before);
    }
    client_close(&client);
}

/* One reply's worth of descriptors waits for a client that does not take them, however often it asks. */
static void test_acquire_never_reading(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    unsigned sent = 0, answered = 0;

    fake_add(&fixture->manager, "a", 1);
    fixture->manager.listeners = 100;
    pump(fixture);
    size_t before = count_fds();
    for (unsigned idle = 0; idle < 3;) {
        if (client_send_bytes(&client, ACQUIRE, sizeof(ACQUIRE)) == sizeof(ACQUIRE)) {
            sent++;
            continue;
        }
        pump(fixture);
        idle++;
    }
    assert_in_range(count_fds(), before, before + 100);
    assert_in_range(fixture->manager.acquires, 1, 200);
    while (answered < sent) {
        pump(fixture);
        while (client_next(&client))
            answered++;
        fd_list_clear(&client.fds);
    }
    client_close(&client);
    pump(fixture);
    assert_int_equal(count_fds(), before - 2);
}

static void test_follow(void **state)
{
    Fixture *fixture = *state;
    const ManagerObserver *observer = &fixture->manager.observer;
    Client client = client_open(fixture);

    fake_add(&fixture->manager, "a", 1);
    assert_string_equal(ask(fixture, &client, CALL("Acquire", "{\"names\":[\"a\"],\"follow\":true}")),
                        ERROR(VARLINK "ExpectedMore", "{}"));
    assert_string_equal(ask(fixture, &client, FOLLOW),
                        "{\"parameters\":{\"listeners\":[" HANDED("0", "0") "]},\"continues\":true}");
    assert_int_equal(client.fds.count, 1);
    /* Of no interest, or not changed. */
    observer->on_listeners("b", observer->userdata);
    observer->on_listeners("a", observer->userdata);
    observer->on_events(observer->userdata);
    pump(fixture);
    assert_null(client_next(&client));

    fixture->manager.listeners = 3;
    observer->on_listeners("a", observer->userdata);
    observer->on_listeners("a", observer->userdata);
    pump(fixture);
    assert_string_equal(client_next(&client), "{\"parameters\":{\"listeners\":[" HANDED("1", "0") "," HANDED("2", "1")
                                              "]},\"continues\":true}");
    assert_null(client_next(&client));
    assert_int_equal(client.fds.count, 3);

    fixture->manager.listeners = 1;
    observer->on_listeners("a", observer->userdata);
    pump(fixture);
    assert_string_equal(client_next(&client), "{\"parameters\":{\"listeners\":[],\"withdrawn\":[\"unix:///1\","
                                              "\"unix:///2\"]},\"continues\":true}");
    Failure failure = {0};
    assert_int_equal(manager_unregister(&fixture->manager, NULL, "a", &failure), 0);
    observer->on_listeners("a", observer->userdata);
    pump(fixture);
    assert_string_equal(client_next(&client),
                        "{\"parameters\":{\"listeners\":[],\"withdrawn\":[\"unix:///0\"]},\"continues\":true}");
    assert_int_equal(fixture->server->watcher_count, 1);
    client_close(&client);
    pump(fixture);
    assert_int_equal(fixture->server->watcher_count, 0);
}

#define EVENT_AT(sequence_) "\"sequence\":" sequence_ ","

static void test_watch(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture), other = client_open(fixture), third = client_open(fixture);

    assert_string_equal(ask(fixture, &client, CALL("Watch", "{}")), "{\"parameters\":{}}");
    fake_event(&fixture->manager);
    assert_string_equal(ask(fixture, &client, CALL("Watch", "{}")),
                        "{\"parameters\":{\"event\":{\"sequence\":0,\"time\":\"1970-01-01T00:00:00.000Z\","
                        "\"kind\":\"changed\",\"service\":\"a\",\"text\":\"\"}}}");
    client_send(&client, WATCH);
    client_send(&client, CALL("Status", "{}")); /* never its turn */
    client_send(&other, WATCH);
    pump(fixture);
    assert_null(client_next(&client));
    assert_string_equal(ask(fixture, &third, WATCH),
                        ERROR(OURS "LimitReached", "{\"limit\":\"watchers\",\"value\":2}"));

    fake_event(&fixture->manager);
    fake_event(&fixture->manager);
    pump(fixture);
    for (unsigned i = 1; i <= 2; i++) {
        const char *text = i == 1 ? EVENT_AT("1") : EVENT_AT("2");
        const char *reply = client_next(&client);
        assert_non_null(strstr(reply, text));
        assert_non_null(strstr(reply, ",\"continues\":true}"));
        assert_non_null(strstr(client_next(&other), text));
    }
    assert_null(client_next(&client));
    assert_int_equal(fixture->told, 3);

    /* More than is remembered, before the client has its turn. */
    for (unsigned i = 3; i < 20; i++)
        fake_event(&fixture->manager);
    pump(fixture);
    const char *reply = client_next(&client);
    assert_non_null(strstr(reply, EVENT_AT("11")));
    assert_non_null(strstr(reply, "\"kind\":\"missed\""));
    assert_non_null(strstr(reply, "9 events were missed"));
    for (unsigned i = 12; i < 20; i++)
        assert_non_null(strstr(client_next(&client), "\"kind\":\"changed\""));
    assert_null(client_next(&client));

    client_close(&client);
    client_close(&other);
    pump(fixture);
    assert_int_equal(fixture->server->watcher_count, 0);
    fake_event(&fixture->manager);
    pump(fixture);
    client_close(&third);
}

/* Whichever of the two is read first: what is done in the turn in which somebody begins to watch is told. */
static void test_watch_in_the_same_turn(void **state)
{
    Fixture *fixture = *state;

    for (unsigned i = 0; i < 2; i++) {
        Client writer = client_open(fixture), watcher = client_open(fixture);
        char call[128];
        snprintf(call, sizeof(call), CALL("Register", "{\"service\":{\"name\":\"s%u\",\"port\":3}}"), i);
        if (i == 0)
            client_send(&writer, call);
        pump(fixture);
        if (i == 0)
            assert_non_null(client_next(&writer));
        client_send(&watcher, WATCH);
        client_send(&writer, CALL("SetEnabled", "{\"name\":\"s0\",\"enabled\":false}"));
        pump(fixture);
        const char *reply = client_next(&watcher);
        assert_non_null(reply);
        assert_non_null(strstr(reply, "\"kind\":\"changed\""));
        assert_null(client_next(&watcher));
        client_close(&writer);
        client_close(&watcher);
        pump(fixture);
    }
    /* The writer comes in first. */
    Client writer = client_open(fixture), watcher = client_open(fixture);
    client_send(&writer, CALL("Register", "{\"service\":{\"name\":\"t\",\"port\":3}}"));
    client_send(&watcher, WATCH);
    pump(fixture);
    assert_non_null(client_next(&watcher));
    client_close(&writer);
    client_close(&watcher);
}

static mode_t mode_of(const Fixture *fixture, const char *file)
{
    char path[400];
    struct stat status;

    snprintf(path, sizeof(path), "%s/%s", fixture->folder, file);
    return lstat(path, &status) < 0 ? 0 : status.st_mode;
}

static void test_handout_entry(void **state)
{
    static const struct {
        const char *call, *part;
    } table[] = {
        {CALL("Describe", "{\"name\":\"secret\"}"), "\"port\":5,\"enabled\":true}}"}, /* and no secret */
        {CALL("Lookup", "{\"port\":5}"), "\"name\":\"secret\""},
        {CALL("Acquire", "{\"names\":[\"secret\"]}"), "\"listeners\":[{"},
        {CALL("Serve", "{\"name\":\"secret\"}"), "\"connectionSocketFileDescriptor\":0"},
        {CALL("Serve", "{\"name\":\"b\"}"), "NotAllowed"},
        {CALL("ListConnections", "{}"), "NotAllowed"},
        {"{\"method\":\"org.varlink.service.GetInfo\"}", "\"vendor\""},
        {CALL("Lookup", "{\"name\":\"b\"}"), "NoSuchService"},
        {CALL("Lookup", "{\"port\":6}"), "NoSuchService"},
        {CALL("Describe", "{\"name\":\"b\"}"), "NotAllowed"},
        {CALL("Acquire", "{\"names\":[\"secret\",\"b\"]}"), "NotAllowed"},
        {CALL("List", "{}"), "entry to the service secret alone"},
        {CALL("Status", "{}"), "NotAllowed"},
        {CALL("Watch", "{}"), "NotAllowed"},
        {CALL("Register", "{\"service\":{\"name\":\"c\",\"port\":1}}"), "NotAllowed"},
        {CALL("Reload", "{}"), "NotAllowed"},
    };
    Fixture *fixture = *state;
    const ManagerObserver *observer = &fixture->manager.observer;

    fake_add(&fixture->manager, "secret", 5);
    fake_add(&fixture->manager, "b", 6);
    observer->on_handout_socket("secret", true, observer->userdata);
    observer->on_handout_socket("secret", true, observer->userdata);
    assert_int_equal(mode_of(fixture, "handout/secret"), S_IFSOCK | 0666);
    assert_int_equal(mode_of(fixture, "handout"), S_IFDIR | 0755);
    Client client = client_connect(fixture, "handout/secret");
    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        const char *reply = ask(fixture, &client, table[i].call);
        assert_non_null(strstr(reply, table[i].part));
        assert_null(strstr(reply, "\"secret\":true"));
    }
    observer->on_handout_socket("secret", false, observer->userdata);
    observer->on_handout_socket("secret", false, observer->userdata);
    assert_int_equal(mode_of(fixture, "handout/secret"), 0);
    /* Who is in already stays. */
    assert_non_null(strstr(ask(fixture, &client, table[0].call), table[0].part));
    client_close(&client);
}

static int listen_at(const Fixture *fixture, const char *file)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", fixture->folder, file);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static int try_listen(Fixture *fixture)
{
    const ServerOptions options = {.runtime_path = fixture->folder};
    Server *server;

    assert_int_equal(server_new(fixture->event, &fixture->manager, &options, &server), 0);
    int r = server_listen(server);
    server_free(server);
    return r;
}

static void test_paths(void **state)
{
    Fixture *fixture = *state;
    char path[256];

    assert_int_equal(mode_of(fixture, "io.hvsock.Registry"), S_IFSOCK | 0666);
    /* Another one in the same folder. */
    assert_int_equal(try_listen(fixture), -EADDRINUSE);
    assert_int_equal(mode_of(fixture, "io.hvsock.Registry"), S_IFSOCK | 0666);
    server_free(fixture->server);
    assert_int_equal(mode_of(fixture, "io.hvsock.Registry"), 0);

    /* Left by one that was killed, entries too. */
    close(listen_at(fixture, "io.hvsock.Registry"));
    snprintf(path, sizeof(path), "%s/handout", fixture->folder);
    assert_int_equal(mkdir(path, 0755), 0);
    close(listen_at(fixture, "handout/gone"));
    fixture_start(fixture);
    Client client = client_open(fixture);
    assert_string_equal(ask(fixture, &client, CALL("Status", "{}")), "{\"parameters\":{\"services\":0}}");
    client_close(&client);
    assert_int_equal(mode_of(fixture, "handout/gone"), 0);
    server_free(fixture->server);

    /* Something else has that name. */
    snprintf(path, sizeof(path), "%s/io.hvsock.Registry", fixture->folder);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(try_listen(fixture), -EADDRINUSE);
    assert_int_equal(unlink(path), 0);
    int fd = listen_at(fixture, "io.hvsock.Registry");
    assert_int_equal(try_listen(fixture), -EADDRINUSE);
    assert_int_equal(mode_of(fixture, "io.hvsock.Registry") & S_IFMT, S_IFSOCK);
    close(fd);
    fixture_start(fixture);
    /* What is no longer ours is not removed. */
    assert_int_equal(unlink(path), 0);
    fd = listen_at(fixture, "io.hvsock.Registry");
    server_free(fixture->server);
    assert_int_equal(mode_of(fixture, "io.hvsock.Registry") & S_IFMT, S_IFSOCK);
    close(fd);
    fixture_start(fixture);
}

/* A socket that systemd listens on: used as it is, and left where it is. */
static void test_adopted(void **state)
{
    Fixture *fixture = *state;
    int pair[2];

    server_free(fixture->server);
    int fd = listen_at(fixture, "io.hvsock.Registry");
    const ServerOptions options = {.runtime_path = fixture->folder};
    assert_int_equal(server_new(fixture->event, &fixture->manager, &options, &fixture->server), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(server_adopt_consume(fixture->server, pair[0]), -EINVAL);
    assert_int_equal(server_adopt_consume(fixture->server, open("/dev/null", O_RDONLY | O_CLOEXEC)), -EINVAL);
    close(pair[1]);
    assert_int_equal(server_adopt_consume(fixture->server, fd), 0);
    assert_int_equal(server_listen(fixture->server), 0);
    Client client = client_open(fixture);
    assert_string_equal(ask(fixture, &client, CALL("Status", "{}")), "{\"parameters\":{\"services\":0}}");
    client_close(&client);
    server_free(fixture->server);
    assert_int_equal(mode_of(fixture, "io.hvsock.Registry") & S_IFMT, S_IFSOCK);
    fixture_start(fixture);
}

/* A folder whose path is longer than a socket's may be. */
static void test_long_folder(void **state)
{
    Fixture *fixture = *state;
    char path[256];

    server_free(fixture->server);
    snprintf(path, sizeof(path), "%s/%0120d", fixture->folder, 0);
    assert_int_equal(mkdir(path, 0755), 0);
    const ServerOptions options = {.runtime_path = path};
    assert_int_equal(server_new(fixture->event, &fixture->manager, &options, &fixture->server), 0);
    assert_int_equal(server_listen(fixture->server), 0);
    fixture->manager.observer.on_handout_socket("a", true, fixture->manager.observer.userdata);
    snprintf(path, sizeof(path), "%0120d/handout/a", 0);
    assert_int_equal(mode_of(fixture, path), S_IFSOCK | 0666);
    server_free(fixture->server);
    assert_int_equal(mode_of(fixture, path), 0);
    snprintf(path, sizeof(path), "%s/%0120d/handout", fixture->folder, 0);
    assert_int_equal(rmdir(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0);
    fixture_start(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_acquire, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_acquire_never_reading, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_follow, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_watch, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_watch_in_the_same_turn, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_handout_entry, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_paths, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_adopted, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_long_folder, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
