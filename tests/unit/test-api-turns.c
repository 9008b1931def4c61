/* SPDX-License-Identifier: Apache-2.0 */
/* Writes share a commit and are answered after it; reads see what is committed; replies keep the order of calls. */

#include "tests/unit/api-client.h"

#define REGISTER(name_) CALL("Register", "{\"service\":{\"name\":\"" name_ "\",\"port\":3}}")
#define REGISTERED(name_)                                                                                              \
    "{\"parameters\":{\"service\":{\"context\":{\"name\":\"" name_ "\",\"port\":3,\"enabled\":true}}}}"
#define FAILED ERROR(OURS "StorageFailed", "{\"reason\":\"the disk is full\"}")

static void test_clients_share_a_commit(void **state)
{
    Fixture *fixture = *state;
    Client clients[64];
    char call[128];

    for (size_t i = 0; i < ELEMENTS_OF(clients); i++) {
        clients[i] = client_open(fixture);
        snprintf(call, sizeof(call), CALL("Register", "{\"service\":{\"name\":\"s%zu\",\"port\":3}}"), i);
        client_send(&clients[i], call);
    }
    pump(fixture);
    assert_int_equal(fixture->manager.service_count, 64);
    /* One, but that a turn does not grow old on a slow machine. */
    assert_in_range(fixture->manager.settles, 1, 16);
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++) {
        const char *reply = client_next(&clients[i]);
        assert_non_null(reply);
        snprintf(call, sizeof(call), "\"name\":\"s%zu\"", i);
        assert_non_null(strstr(reply, call));
        client_close(&clients[i]);
    }
}

/* Each: calls of one client in one turn; the manager's log; the replies. */
static void test_order(void **state)
{
    static const struct {
        const char *calls[6], *log, *replies[6];
    } table[] = {
        {{REGISTER("a"), REGISTER("b"), CALL("Describe", "{\"name\":\"b\"}")},
         "register:a register:b settle:2",
         {REGISTERED("a"), REGISTERED("b"), REGISTERED("b")}},
        /* What is refused keeps its place. */
        {{REGISTER("a"), CALL("Nothing", "{}"), CALL("Describe", "{}"), CALL("Apply", "{\"services\":1}"),
          REGISTER("b")},
         "register:a settle:1 register:b settle:1",
         {REGISTERED("a"), ERROR(VARLINK "MethodNotFound", "{\"method\":\"io.hvsock.Registry.Nothing\"}"),
          ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"name\"}"),
          ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"services\"}"), REGISTERED("b")}},
        {{REGISTER("a"), CALL_WITH("Nothing", "{}", "oneway"), CALL_WITH("Status", "{}", "oneway"), REGISTER("b")},
         "register:a register:b settle:2",
         {REGISTERED("a"), REGISTERED("b")}},
        /* What a reply shows must still be there. */
        {{REGISTER("a"), CALL("Unregister", "{\"name\":\"a\"}"), REGISTER("b")},
         "register:a settle:1 unregister:a register:b settle:2",
         {REGISTERED("a"), "{\"parameters\":{}}", REGISTERED("b")}},
        {{REGISTER("a"), CALL("Unregister", "{\"name\":\"zz\"}"), REGISTER("b")},
         "register:a unregister:zz register:b settle:2",
         {REGISTERED("a"), ERROR(OURS "NoSuchService", "{\"name\":\"zz\"}"), REGISTERED("b")}},
        {{REGISTER("a"), CALL("SetEnabled", "{\"name\":\"a\",\"enabled\":false}")},
         "register:a settle:1 disable:a settle:1",
         {REGISTERED("a"),
          "{\"parameters\":{\"service\":{\"context\":{\"name\":\"a\",\"port\":3,\"enabled\":false}}}}"}},
        /* What can touch everything comes after the rest. */
        {{REGISTER("a"), CALL("Apply", "{\"services\":[{\"name\":\"b\",\"port\":4}],\"set\":\"s1\"}"), REGISTER("c")},
         "register:a settle:1 apply:s1 register:c settle:2",
         {REGISTERED("a"), "{\"parameters\":{\"changes\":[]}}", REGISTERED("c")}},
        {{CALL("Apply", "{\"services\":[],\"machines\":[],\"prune\":true}"), CALL("Reload", "{}")},
         "prune:default settle:1 reload:client settle:1",
         {"{\"parameters\":{\"changes\":[]}}", "{\"parameters\":{\"changes\":[]}}"}},
        {{CALL("Apply", "{\"services\":[],\"dryRun\":true}"), CALL("Status", "{}")},
         "try:default settle:0",
         {"{\"parameters\":{\"changes\":[]}}", "{\"parameters\":{\"services\":0}}"}},
        {{CALL("AddMachine", "{\"machine\":{\"name\":\"web1\",\"cid\":5}}"), CALL("ListMachines", "{}"),
          CALL("RemoveMachine", "{\"name\":\"web2\"}")},
         "add:web1 settle:1 remove:web2",
         {"{\"parameters\":{\"machine\":{\"context\":{\"name\":\"web1\"}}}}",
          "{\"parameters\":{\"machine\":{\"context\":{\"name\":\"web1\"}}}}",
          ERROR(OURS "NoSuchMachine", "{\"name\":\"web2\"}")}},
    };
    void *inner;

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        fixture_setup(&inner);
        Fixture *fixture = inner;
        Client client = client_open(fixture);
        for (size_t k = 0; k < 6 && table[i].calls[k]; k++)
            client_send(&client, table[i].calls[k]);
        pump(fixture);
        for (size_t k = 0; k < 6 && table[i].replies[k]; k++) {
            const char *reply = client_next(&client);
            assert_non_null(reply);
            assert_string_equal(reply, table[i].replies[k]);
        }
        assert_null(client_next(&client));
        assert_string_equal(fixture->manager.log, table[i].log);
        client_close(&client);
        fixture_teardown(&inner);
    }
}

/* Nobody is told of anything that is not on disk: somebody else's question commits first. */
static void test_readers_wait_for_writers(void **state)
{
    Fixture *fixture = *state;
    Client writer = client_open(fixture), reader = client_open(fixture);

    client_send(&writer, REGISTER("a"));
    client_send(&reader, CALL_WITH("List", "{}", "more"));
    pump(fixture);
    assert_string_equal(fixture->manager.log, "register:a settle:1");
    assert_string_equal(client_next(&writer), REGISTERED("a"));
    assert_string_equal(client_next(&reader), REGISTERED("a"));
    client_close(&writer);
    client_close(&reader);
}

/* Clients that write and read in turns do not cost a commit each. */
static void test_readers_share_a_commit(void **state)
{
    Fixture *fixture = *state;
    Client clients[30];
    char call[128];

    for (size_t i = 0; i < ELEMENTS_OF(clients); i++)
        clients[i] = client_open(fixture);
    pump(fixture);
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++)
        for (size_t k = 0; k < 3; k++) {
            snprintf(call, sizeof(call), CALL("Register", "{\"service\":{\"name\":\"s%zu.%zu\",\"port\":3}}"), i, k);
            client_send(&clients[i], call);
            client_send(&clients[i], CALL("Status", "{}"));
        }
    pump(fixture);
    assert_int_equal(fixture->manager.service_count, 90);
    assert_in_range(fixture->manager.settles, 3, 30);
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++) {
        for (size_t k = 0; k < 3; k++) {
            snprintf(call, sizeof(call), "\"name\":\"s%zu.%zu\"", i, k);
            assert_non_null(strstr(client_next(&clients[i]), call));
            assert_non_null(strstr(client_next(&clients[i]), "\"services\":"));
        }
        client_close(&clients[i]);
    }
}

/* A reader waits for one turn of writers, not for one after the other. */
static void test_reader_waits_once(void **state)
{
    Fixture *fixture = *state;
    Client writer = client_open(fixture), reader = client_open(fixture);

    pump(fixture);
    client_send(&writer, REGISTER("a"));
    while (fixture->server->turn.count == 0)
        assert_int_equal(sd_event_run(fixture->event, 0), 1);
    client_send(&reader, CALL("Status", "{}"));
    assert_int_equal(sd_event_run(fixture->event, 0), 1);
    assert_null(client_next(&reader));
    assert_int_equal(server_settle(fixture->server), 0);
    /* The writer is first again. */
    assert_int_equal(sd_event_source_set_enabled(fixture->server->ready_source, SD_EVENT_OFF), 0);
    client_send(&writer, REGISTER("b"));
    while (fixture->server->turn.count == 0)
        assert_int_equal(sd_event_run(fixture->event, 0), 1);
    assert_int_equal(sd_event_source_set_enabled(fixture->server->ready_source, SD_EVENT_ON), 0);
    assert_int_equal(sd_event_run(fixture->event, 0), 1);
    assert_string_equal(client_next(&reader), "{\"parameters\":{\"services\":2}}");
    assert_string_equal(fixture->manager.log, "register:a settle:1 register:b settle:1");
    client_close(&writer);
    client_close(&reader);
}

static void test_failed_commit(void **state)
{
    Fixture *fixture = *state;
    Client one = client_open(fixture), other = client_open(fixture);

    fixture->manager.settle_fails = true;
    client_send(&one, REGISTER("a"));
    client_send(&one, CALL("Unregister", "{\"name\":\"zz\"}"));
    client_send(&one, REGISTER("b"));
    client_send(&other, REGISTER("c"));
    client_send(&other, REGISTER("c")); /* a conflict with what will not have been */
    client_send(&other, CALL("Status", "{}"));
    pump(fixture);
    assert_string_equal(client_next(&one), FAILED);
    assert_string_equal(client_next(&one), FAILED);
    assert_string_equal(client_next(&one), FAILED);
    assert_string_equal(client_next(&other), FAILED);
    /* The second one of that name came after the first was settled. */
    assert_non_null(strstr(client_next(&other), OURS "Conflict"));
    assert_string_equal(client_next(&other), "{\"parameters\":{\"services\":3}}");

    assert_non_null(strstr(ask(fixture, &one, REGISTER("d")), "\"d\""));
    client_close(&one);
    client_close(&other);
}

static void test_refusals_wait_too(void **state)
{
    Fixture *fixture = *state;
    Client one = client_open(fixture), other = client_open(fixture);

    /* Nothing staged: refused at once, without a commit. */
    assert_string_equal(ask(fixture, &one, CALL("Unregister", "{\"name\":\"zz\"}")),
                        ERROR(OURS "NoSuchService", "{\"name\":\"zz\"}"));
    assert_int_equal(fixture->manager.settles, 0);
    /* Refused because of what another has staged: its commit can still fail. */
    fixture->manager.settle_fails = true;
    client_send(&one, REGISTER("a"));
    client_send(&other, CALL("Unregister", "{\"name\":\"b\"}"));
    pump(fixture);
    assert_string_equal(client_next(&one), FAILED);
    assert_string_equal(client_next(&other), FAILED);
    client_close(&one);
    client_close(&other);
}

/* As many as may be in flight, then the commit; all of them in order. */
static void test_many_pipelined(void **state)
{
    enum { COUNT = 10000 };
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    Buffer calls = {0};
    char expected[64];

    fixture->manager.logs = false;
    for (unsigned i = 0; i < COUNT; i++) {
        buffer_printf(&calls, CALL("Register", "{\"service\":{\"name\":\"s%05u\",\"port\":3}}"), i);
        buffer_append_char(&calls, '\0');
    }
    size_t sent = 0;
    for (unsigned answered = 0; answered < COUNT;) {
        ssize_t n = client_send_bytes(&client, calls.data + sent, calls.size_bytes - sent);
        sent += n > 0 ? (size_t)n : 0;
        pump(fixture);
        for (const char *reply; (reply = client_next(&client)); answered++) {
            snprintf(expected, sizeof(expected), "\"name\":\"s%05u\"", answered);
            assert_non_null(strstr(reply, expected));
        }
    }
    assert_int_equal(fixture->manager.staged_max, 64);
    buffer_release(&calls);
    client_close(&client);
}

/* Exactly as many as may be in flight, and nothing more: the client is listened to again. */
static void test_as_many_as_may_be(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    char call[128];

    for (unsigned i = 0; i < 64; i++) {
        snprintf(call, sizeof(call), CALL("Register", "{\"service\":{\"name\":\"s%02u\",\"port\":3}}"), i);
        client_send(&client, call);
    }
    pump(fixture);
    for (unsigned i = 0; i < 64; i++)
        assert_non_null(client_next(&client));
    assert_string_equal(ask(fixture, &client, CALL("Status", "{}")), "{\"parameters\":{\"services\":64}}");
    client_close(&client);
}

/* A turn does not grow beyond its bound, however many have something to say. */
static void test_large_turn(void **state)
{
    Fixture *fixture = *state;
    Client clients[20];
    char call[128];

    fixture->manager.logs = false;
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++) {
        clients[i] = client_open(fixture);
        for (size_t k = 0; k < 40; k++) {
            snprintf(call, sizeof(call), CALL("Register", "{\"service\":{\"name\":\"s%zu.%zu\",\"port\":3}}"), i, k);
            client_send(&clients[i], call);
        }
    }
    pump(fixture);
    assert_int_equal(fixture->manager.service_count, 800);
    assert_in_range(fixture->manager.staged_max, 1, TURN_CALLS_MAX);
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++)
        client_close(&clients[i]);
}

/* An old turn ends before anything more is put into it. */
static void test_old_turn(void **state)
{
    Fixture *fixture = *state;
    Client one = client_open(fixture), other = client_open(fixture);

    pump(fixture);
    client_send(&one, REGISTER("a"));
    while (fixture->server->turn.count == 0)
        assert_int_equal(sd_event_run(fixture->event, 0), 1);
    assert_false(turn_is_due(fixture->server));
    fixture_now_us += TURN_AGE_MAX_US;
    assert_true(turn_is_due(fixture->server));
    client_send(&other, REGISTER("b"));
    pump(fixture);
    assert_string_equal(fixture->manager.log, "register:a settle:1 register:b settle:1");
    client_close(&one);
    client_close(&other);
}

static void test_writer_goes(void **state)
{
    Fixture *fixture = *state;
    Client one = client_open(fixture), other = client_open(fixture);

    pump(fixture);
    client_send(&one, REGISTER("a"));
    client_send(&other, REGISTER("b"));
    client_close(&one);
    pump(fixture);
    assert_int_equal(fixture->manager.service_count, 2);
    assert_string_equal(client_next(&other), REGISTERED("b"));
    assert_false(fixture->manager.staged);
    client_close(&other);
    pump(fixture);
    assert_true(LIST_EMPTY(&fixture->server->connections));
}

/* A socket that is hung up says so again and again: nobody listens to that while its writes wait for their commit. */
static void test_hung_up_is_quiet(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    char call[128];
    unsigned turns = 0;

    for (unsigned i = 0; i < 200; i++) {
        snprintf(call, sizeof(call), CALL("Register", "{\"service\":{\"name\":\"s%u\",\"port\":3}}"), i);
        client_send(&client, call);
    }
    client_close(&client);
    while (sd_event_run(fixture->event, 0) > 0)
        turns++;
    assert_int_equal(fixture->manager.service_count, 200);
    assert_in_range(turns, 1, 40);
}

/* What the manager staged by itself is committed too. */
static void test_staged_without_calls(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);

    fake_stage(&fixture->manager);
    assert_string_equal(ask(fixture, &client, CALL("Status", "{}")), "{\"parameters\":{\"services\":0}}");
    assert_string_equal(fixture->manager.log, "settle:1");
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clients_share_a_commit, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_order),
        cmocka_unit_test_setup_teardown(test_readers_wait_for_writers, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_readers_share_a_commit, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_reader_waits_once, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_failed_commit, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_refusals_wait_too, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_many_pipelined, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_as_many_as_may_be, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_large_turn, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_old_turn, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_writer_goes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_hung_up_is_quiet, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_staged_without_calls, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
