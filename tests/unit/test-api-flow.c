/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that say too much, too little, or nothing, that do not listen, and that are too many: each is bounded, and
 * none holds up the others. */

#include <sys/resource.h>
#include <sys/time.h>

#include "tests/unit/api-client.h"

static void add_services(Fixture *fixture, unsigned count)
{
    char name[16];

    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "s%06u", i);
        fake_add(&fixture->manager, name, i);
    }
}

static Connection *only_connection(Fixture *fixture)
{
    Connection *connection = LIST_FIRST(&fixture->server->connections);

    assert_non_null(connection);
    assert_null(LIST_NEXT(connection, connections));
    return connection;
}

static void test_pipelined(void **state)
{
    enum { COUNT = 10000 };
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    Buffer calls = {0};
    char expected[64];

    add_services(fixture, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        buffer_printf(&calls, CALL("Lookup", "{\"name\":\"s%06u\"}"), i);
        buffer_append_char(&calls, '\0');
    }
    size_t sent = 0;
    for (unsigned answered = 0; answered < COUNT;) {
        ssize_t n = client_send_bytes(&client, calls.data + sent, calls.size_bytes - sent);
        sent += n > 0 ? (size_t)n : 0;
        pump(fixture);
        for (const char *reply; (reply = client_next(&client)); answered++) {
            snprintf(expected, sizeof(expected), "\"name\":\"s%06u\"", answered);
            assert_non_null(strstr(reply, expected));
        }
    }
    buffer_release(&calls);
    client_close(&client);
}

/* Nothing is made for who does not read, and a long list does not hold up a short question. */
static void test_never_reading(void **state)
{
    enum { COUNT = 100000 };
    Fixture *fixture = *state;
    Client client = client_open(fixture), other = client_open(fixture);
    unsigned answered = 0;
    bool continues = true;

    add_services(fixture, COUNT);
    client_send(&client, CALL_WITH("List", "{}", "more"));
    client_send(&client, CALL("Status", "{}"));
    client_send(&other, CALL("Describe", "{\"name\":\"s099999\"}"));
    pump(fixture);
    /* What the socket takes and what may wait behind it, at more than 80 bytes each. */
    assert_in_range(fixture->manager.renders, 100, 10000);
    assert_non_null(client_next(&other));
    client_close(&other);
    pump(fixture);
    Connection *connection = only_connection(fixture);
    assert_in_range(wire_pending_out_bytes(connection->wire), 1, CONNECTION_UNSENT_MAX_BYTES + 1024);
    assert_int_equal(connection->io.events, EPOLLOUT);

    while (continues) {
        const char *reply = client_next(&client);
        if (!reply) {
            pump(fixture);
            continue;
        }
        char expected[32];
        snprintf(expected, sizeof(expected), "\"name\":\"s%06u\"", answered++);
        assert_non_null(strstr(reply, expected));
        continues = strstr(reply, ",\"continues\":true}") != NULL;
        if (client.taken > 1000000) {
            client.received.size_bytes -= client.taken;
            memmove(client.received.data, client.received.data + client.taken, client.received.size_bytes);
            client.taken = 0;
        }
    }
    assert_int_equal(answered, COUNT);
    assert_string_equal(client_next(&client), "{\"parameters\":{\"services\":100000}}");
    client_close(&client);
}

/* A list that loses its end while the client reads still has a last reply, without `continues`. */
static void test_list_shrinks(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    unsigned answered = 0;
    const char *reply;
    bool last = false;

    fixture->manager.padding_bytes = 100000;
    add_services(fixture, 50);
    client_send(&client, CALL_WITH("List", "{}", "more"));
    pump(fixture);
    fixture->manager.service_count = 3;
    for (; !last; answered++) {
        while (!(reply = client_next(&client)))
            pump(fixture);
        last = !strstr(reply, "continues");
    }
    assert_in_range(answered, 1, 20);
    assert_null(client_next(&client));
    fixture->manager.service_count = 50;
    client_close(&client);
}

static void test_never_reading_answers(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    const char call[] = CALL("Describe", "{\"name\":\"s000000\"}");
    unsigned sent = 0;

    add_services(fixture, 1);
    fixture->manager.padding_bytes = 2000;
    /* Until nothing is taken any more, on either side. */
    for (unsigned idle = 0; idle < 3;) {
        ssize_t n = client_send_bytes(&client, call, sizeof(call));
        if (n < 0) {
            pump(fixture);
            idle++;
            continue;
        }
        assert_int_equal(n, sizeof(call));
        sent++;
        idle = 0;
    }
    Connection *connection = only_connection(fixture);
    assert_in_range(sent, 300, 30000);
    assert_in_range(fixture->manager.renders, 1, 2000);
    assert_in_range(wire_pending_in_bytes(connection->wire), 1, WIRE_MESSAGE_MAX_BYTES);
    assert_in_range(wire_pending_out_bytes(connection->wire), 1, CONNECTION_UNSENT_MAX_BYTES + 4096);
    for (unsigned answered = 0; answered < sent;) {
        pump(fixture);
        while (client_next(&client))
            answered++;
    }
    client_close(&client);
}

/* Others come in between, however much of what one has said is here already. */
static void test_fair_turns(void **state)
{
    Fixture *fixture = *state;
    Client flood = client_open(fixture), other = client_open(fixture);
    const char call[] = CALL_WITH("Status", "{}", "oneway");
    unsigned busy = 0;

    pump(fixture);
    for (unsigned round = 0; round < 50; round++) {
        while (client_send_bytes(&flood, call, sizeof(call)) == sizeof(call))
            ;
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(sd_event_run(fixture->event, 0), 1);
        busy += fixture->server->ready_count > 0;
        client_send(&other, CALL("Status", "{}"));
        for (unsigned turns = 0; !client_next(&other); turns++) {
            assert_true(turns < 2);
            assert_int_equal(sd_event_run(fixture->event, 0), 1);
        }
    }
    assert_true(busy > 10);
    client_close(&flood);
    client_close(&other);
}

/* Who connects does not wait for what all those who came before want to have done. */
static void test_newcomers(void **state)
{
    Fixture *fixture = *state;
    Client crowd[200], other;
    const char call[] = CALL_WITH("Status", "{}", "oneway");
    unsigned turns = 0;

    for (size_t i = 0; i < ELEMENTS_OF(crowd); i++) {
        crowd[i] = client_open(fixture);
        for (unsigned k = 0; k < 200; k++)
            client_send(&crowd[i], call);
    }
    other = client_open(fixture);
    client_send(&other, CALL("Status", "{}"));
    while (!client_next(&other)) {
        assert_int_equal(sd_event_run(fixture->event, 0), 1);
        turns++;
    }
    /* One turn of each, at most; all that they want takes three. */
    assert_in_range(turns, 1, ELEMENTS_OF(crowd) + 50);
    for (size_t i = 0; i < ELEMENTS_OF(crowd); i++)
        client_close(&crowd[i]);
    client_close(&other);
}

static void test_in_pieces(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    const char call[] = CALL("Status", "{}");

    for (size_t i = 0; i < sizeof(call); i++) {
        assert_null(client_next(&client));
        assert_int_equal(client_send_bytes(&client, call + i, 1), 1);
        pump(fixture);
    }
    assert_string_equal(client_next(&client), "{\"parameters\":{\"services\":0}}");
    /* Cut off in the middle: nothing is done with it. */
    assert_int_equal(client_send_bytes(&client, call, 20), 20);
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    pump(fixture);
    assert_null(client_next(&client));
    assert_true(client.ended);
    assert_true(LIST_EMPTY(&fixture->server->connections));
    client_close(&client);
}

/* On an entry to one service even an administrator's messages are small. */
static void test_oversized(void **state)
{
    static char bytes[70000];
    Fixture *fixture = *state;

    memset(bytes, ' ', sizeof(bytes));
    fixture->manager.observer.on_handout_socket("a", true, fixture->manager.observer.userdata);
    Client client = client_connect(fixture, "handout/a");
    client_send(&client, "{\"method\":\"org.varlink.service.GetInfo\"}");
    assert_int_equal(client_send_bytes(&client, bytes, sizeof(bytes)), sizeof(bytes));
    pump(fixture);
    assert_non_null(strstr(client_next(&client), "\"vendor\""));
    assert_string_equal(client_next(&client),
                        ERROR(OURS "LimitReached", "{\"limit\":\"messageBytes\",\"value\":65536}"));
    assert_null(client_next(&client));
    assert_true(client.ended);
    client_close(&client);

    /* An administrator's may be large elsewhere. */
    client = client_open(fixture);
    Buffer call = {0};
    buffer_append_text(&call, "{\"method\":\"io.hvsock.Registry.Status\"");
    for (unsigned i = 0; i < 20; i++)
        buffer_append(&call, bytes, sizeof(bytes));
    buffer_append(&call, "}", 2);
    for (size_t sent = 0; sent < call.size_bytes;) {
        ssize_t n = client_send_bytes(&client, call.data + sent, call.size_bytes - sent);
        sent += n > 0 ? (size_t)n : 0;
        pump(fixture);
    }
    assert_string_equal(client_next(&client), "{\"parameters\":{\"services\":0}}");
    buffer_release(&call);
    client_close(&client);
}

static void test_unwanted_descriptors(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    char call[] = CALL("Status", "{}");
    struct iovec vector = {call, sizeof(call)};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {0};
    struct msghdr header = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    pump(fixture);
    size_t before = count_fds();
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &client.fd, sizeof(int));
    assert_int_equal(sendmsg(client.fd, &header, MSG_NOSIGNAL), sizeof(call));
    pump(fixture);
    assert_null(client_next(&client));
    assert_true(client.ended);
    assert_true(LIST_EMPTY(&fixture->server->connections));
    assert_int_equal(count_fds(), before - 1);
    client_close(&client);
}

/* Four times as many for who sets things right; the next one sees an end, not a reset. */
static void test_too_many_connections(void **state)
{
    Fixture *fixture = *state;
    Client clients[13];

    fixture->manager.limits.connections_per_user.value = 3;
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++) {
        clients[i] = client_open(fixture);
        client_send(&clients[i], CALL("Status", "{}"));
        pump(fixture);
    }
    for (size_t i = 0; i < 12; i++)
        assert_non_null(client_next(&clients[i]));
    assert_null(client_next(&clients[12]));
    assert_int_equal(clients[12].error, 0);
    assert_true(clients[12].ended);
    client_close(&clients[0]);
    client_close(&clients[12]);
    pump(fixture);
    clients[12] = client_open(fixture);
    assert_string_equal(ask(fixture, &clients[12], CALL("Status", "{}")), "{\"parameters\":{\"services\":0}}");
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++)
        client_close(&clients[i]);
    pump(fixture);
    assert_true(RB_EMPTY(&fixture->server->users.by_uid));
}

/* Without descriptors one client at a time is still served, and the others wait until it goes, or some come back. */
static void test_no_descriptors(void **state)
{
    Fixture *fixture = *state;
    Client clients[3];
    struct rlimit before, low;
    FdList filling = {0};

    for (size_t i = 0; i < ELEMENTS_OF(clients); i++) {
        clients[i] = client_open(fixture);
        client_send(&clients[i], CALL("Status", "{}"));
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){.rlim_cur = 256, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int fd;
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        assert_int_equal(fd_list_add_consume(&filling, fd), 0);
    assert_int_equal(errno, EMFILE);

    pump(fixture);
    assert_true(fixture->server->paused);
    assert_non_null(client_next(&clients[0]));
    assert_null(client_next(&clients[1]));
    assert_false(clients[1].ended);
    /* The one goes, the next comes. */
    close(clients[0].fd);
    clients[0].fd = -1;
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* what we closed ourselves is not the server's */
    assert_true(fd >= 0);
    pump(fixture);
    assert_non_null(client_next(&clients[1]));
    assert_null(client_next(&clients[2]));
    /* Somebody else gives some back: found out without anybody's going. */
    close(fd);
    fd_list_clear(&filling);
    for (unsigned i = 0; i < 1200 && fixture->server->paused; i++)
        assert_true(sd_event_run(fixture->event, 50 * 1000) >= 0);
    pump(fixture);
    assert_false(fixture->server->paused);
    assert_non_null(client_next(&clients[2]));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++)
        client_close(&clients[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pipelined, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_never_reading, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_list_shrinks, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_never_reading_answers, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_fair_turns, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_newcomers, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_in_pieces, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_oversized, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_unwanted_descriptors, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_too_many_connections, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_no_descriptors, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
