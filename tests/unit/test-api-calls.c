/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and their replies: what is answered, what is refused with which error, and what ends a connection. */

#include "tests/unit/api-client.h"

static void test_replies(void **state)
{
    static const struct {
        const char *call, *reply;
    } table[] = {
        {CALL("Describe", "{\"name\":\"b\"}"),
         "{\"parameters\":{\"service\":{\"context\":{\"name\":\"b\",\"port\":2,\"enabled\":true}}}}"},
        {CALL("Lookup", "{\"port\":2}"),
         "{\"parameters\":{\"service\":{\"context\":{\"name\":\"b\",\"port\":2,\"enabled\":true}}}}"},
        {CALL("Describe", "{\"name\":\"secret\"}"),
         "{\"parameters\":{\"service\":{\"context\":{\"name\":\"secret\",\"port\":9,\"enabled\":true,"
         "\"secret\":true}}}}"},
        {CALL("Status", "null"), "{\"parameters\":{\"services\":3}}"},
        {"{\"method\":\"io.hvsock.Registry.Status\"}", "{\"parameters\":{\"services\":3}}"},
        {"{\"method\":\"io.hvsock.Registry.Status\",\"more\":null,\"something\":[1]}",
         "{\"parameters\":{\"services\":3}}"},
        {CALL("ListMachines", "{}"), "{\"parameters\":{}}"},
        {CALL("List", "{}"), ERROR(VARLINK "ExpectedMore", "{}")},
        {CALL("Lookup", "{\"port\":1, \"name\":\"a\"}"),
         "{\"parameters\":{\"service\":{\"context\":{\"name\":\"a\",\"port\":1,\"enabled\":true}}}}"},

        {CALL("Describe", "{\"name\":\"zz\"}"), ERROR(OURS "NoSuchService", "{\"name\":\"zz\"}")},
        {CALL("Lookup", "{\"port\":4294967295}"), ERROR(OURS "NoSuchService", "{\"name\":\"4294967295\"}")},
        {CALL("Lookup", "{\"name\":\"a\",\"machine\":\"web1\"}"), ERROR(OURS "NoSuchMachine", "{\"name\":\"web1\"}")},
        {CALL("Lookup", "{}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"name\"}")},
        {CALL("Lookup", "{\"port\":4294967296}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"port\"}")},
        {CALL("Lookup", "{\"port\":\"1\"}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"port\"}")},
        {CALL("Lookup", "{\"port\":-1}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"port\"}")},
        {CALL("Lookup", "{\"guid\":\"x\"}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"guid\"}")},
        {CALL("Lookup", "{\"address\":\"x:y\"}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"address\"}")},
        {CALL("Describe", "{}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"name\"}")},
        {CALL("Describe", "{\"name\":1}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"name\"}")},
        {CALL("Describe", "{\"name\":\"a\",\"x\":1}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"x\"}")},
        {CALL("Describe", "{\"name\":\"a\\u0000b\"}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"name\"}")},
        {CALL("Status", "{\"verbose\":true}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"verbose\"}")},
        {CALL("Acquire", "{\"names\":[]}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"names\"}")},
        {CALL("Acquire", "{\"names\":[\"a\",1]}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"names\"}")},
        {CALL("Register", "{\"service\":1}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"service\"}")},
        {CALL("Register", "{\"service\":{\"name\":5,\"x\":1},\"ephemeralProcessId\":\"1\"}"),
         ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"ephemeralProcessId\"}")},
        {CALL("Register", "{\"service\":{\"name\":\"c\"},\"ephemeralProcessId\":0}"),
         ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"ephemeralProcessId\"}")},

        {CALL("Serve", "{\"name\":\"none\"}"), ERROR(OURS "NoSuchService", "{\"name\":\"none\"}")},
        {CALL("Serve", "{}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"name\"}")},
        {CALL("ReadLog", "{}"), "{\"parameters\":{}}"},
        {CALL("ReadLog", "{\"since\":\"yesterday\"}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"since\"}")},
        {CALL("ReadLog", "{\"follow\":true}"), ERROR(VARLINK "ExpectedMore", "{}")},
        {CALL("Metrics", "{\"text\":1}"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"text\"}")},
        {CALL("Nothing", "{}"), ERROR(VARLINK "MethodNotFound", "{\"method\":\"io.hvsock.Registry.Nothing\"}")},
        {"{\"method\":\"org.varlink.service.Nothing\"}",
         ERROR(VARLINK "MethodNotFound", "{\"method\":\"org.varlink.service.Nothing\"}")},
        {"{\"method\":\"org.example.X\"}", ERROR(VARLINK "InterfaceNotFound", "{\"interface\":\"org.example\"}")},
        {"{\"method\":\"X\"}", ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"method\"}")},
        {"{\"method\":\".X\"}", ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"method\"}")},
        {CALL_WITH("Status", "{}", "upgrade"), ERROR(VARLINK "InvalidParameter", "{\"parameter\":\"upgrade\"}")},
        {"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"a.b\"}}",
         ERROR(VARLINK "InterfaceNotFound", "{\"interface\":\"a.b\"}")},
        {"{\"method\":\"org.varlink.service.GetInfo\"}",
         "{\"parameters\":{\"vendor\":\"hvsockd\",\"product\":\"hvsockd\",\"version\":\"" HVSOCK_VERSION
         "\",\"url\":\"\",\"interfaces\":[\"io.hvsock.Registry\",\"org.varlink.service\"]}}"},
    };
    Fixture *fixture = *state;
    Client client = client_open(fixture);

    fake_add(&fixture->manager, "secret", 9);
    fake_add(&fixture->manager, "b", 2);
    fake_add(&fixture->manager, "a", 1);
    for (size_t i = 0; i < ELEMENTS_OF(table); i++)
        assert_string_equal(ask(fixture, &client, table[i].call), table[i].reply);
    client_close(&client);
}

/* Inside of a record the field is told by its path, with what is wrong. */
static void test_invalid_fields(void **state)
{
    static const struct {
        const char *call, *field;
    } table[] = {
        {CALL("Register", "{\"service\":{\"name\":\"c\",\"colour\":1}}"), "colour"},
        {CALL("Register", "{\"service\":{\"port\":1}}"), "name"},
        {CALL("Register", "{\"service\":{\"name\":\"c\",\"peers\":{\"allow\":[\"web1\",5]}}}"), "peers.allow[1]"},
        {CALL("Register", "{\"service\":{\"name\":\"a\\u0000b\"}}"), "name"},
        {CALL("Apply", "{\"services\":[{\"name\":\"c\",\"port\":1},{\"name\":\"d\",\"port\":\"x\"}]}"),
         "services[1].port"},
        {CALL("Apply", "{\"services\":[],\"machines\":[{\"name\":\"m\",\"cid\":-1}]}"), "machines[0].cid"},
        {CALL("AddMachine", "{\"machine\":{\"name\":\"web1\",\"cid\":true}}"), "cid"},
    };
    Fixture *fixture = *state;
    Client client = client_open(fixture);

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        json_t *reply = json_loads(ask(fixture, &client, table[i].call), 0, NULL);
        const char *error, *field, *reason;
        assert_int_equal(json_unpack(reply, "{s:s, s:{s:s, s:s}}", "error", &error, "parameters", "field", &field,
                                     "reason", &reason), 0);
        assert_string_equal(error, OURS "InvalidField");
        assert_string_equal(field, table[i].field);
        assert_true(strlen(reason) > 3);
        json_decref(reply);
    }
    assert_int_equal(fixture->manager.registers, 0);
    client_close(&client);
}

static void test_metrics(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);

    ask(fixture, &client, CALL("Status", "{}"));
    json_t *reply = json_loads(ask(fixture, &client, CALL("Metrics", "{}")), 0, NULL);
    const char *text;
    assert_int_equal(json_unpack(reply, "{s:{s:s}}", "parameters", "text", &text), 0);
    assert_ptr_equal(strstr(text, "# fake\n"), text);
    assert_non_null(strstr(text, "\nhvsock_calls_total{method=\"io.hvsock.Registry.Status\"} 1\n"));
    assert_non_null(strstr(text, "\nhvsock_connections 1\n"));
    json_decref(reply);
    client_close(&client);
}

static void test_description(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);
    _cleanup_(freep) char *text = NULL;
    size_t size_bytes;
    const char *description;

    assert_int_equal(file_read(AT_FDCWD, "schema/varlink/io.hvsock.Registry.varlink", 1 << 20, &text, &size_bytes), 0);
    const char *answer = ask(fixture, &client, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                                               "\"parameters\":{\"interface\":\"io.hvsock.Registry\"}}");
    json_t *reply = json_loads(answer, 0, NULL);
    assert_int_equal(json_unpack(reply, "{s:{s:s}}", "parameters", "description", &description), 0);
    assert_string_equal(description, text);
    json_decref(reply);
    client_close(&client);
}

/* What is no call ends the connection; what was asked before it is answered. */
static void test_malformed(void **state)
{
    static const char *const table[] = {
        "", "x", "[]", "1", "{}", "{\"method\":1}", "{\"method\":\"a.b\",\"parameters\":[]}",
        "{\"method\":\"io.hvsock.Registry.Status\",\"more\":1}", "{\"method\":\"io.hvsock.Registry.Status\"",
        "{\"method\":\"io.hvsock.Registry.Status\"}}", "{\"method\":\"a.b\",\"method\":\"c.d\"}",
        "{\"method\":\"a.\xff\"}", "{\"method\":\"a.b\\u0000\"}",
        "{\"method\":\"io.hvsock.Registry.Status\",\"parameters\":{\"a\\u0000\":1}}",
        "{\"method\":\"io.hvsock.Registry.Status\",\"parameters\":{\"a\":1,\"a\":2}}",
    };
    Fixture *fixture = *state;

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        Client client = client_open(fixture);
        client_send(&client, CALL("Status", "{}"));
        client_send(&client, table[i]);
        client_send(&client, CALL("Status", "{}"));
        pump(fixture);
        assert_string_equal(client_next(&client), "{\"parameters\":{\"services\":0}}");
        assert_null(client_next(&client));
        assert_true(client.ended);
        client_close(&client);
    }
    pump(fixture);
    assert_true(LIST_EMPTY(&fixture->server->connections));
}

static void test_oneway(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);

    client_send(&client, CALL_WITH("Register", "{\"service\":{\"name\":\"c\",\"port\":3}}", "oneway"));
    client_send(&client, CALL_WITH("Register", "{\"service\":{\"name\":\"c\",\"port\":3}}", "oneway"));
    client_send(&client, CALL_WITH("Describe", "{\"name\":\"nobody\"}", "oneway"));
    client_send(&client, CALL_WITH("List", "{}", "oneway"));
    client_send(&client, CALL_WITH("Nothing", "{}", "oneway"));
    client_send(&client, CALL_WITH("Acquire", "{\"names\":[\"c\"]}", "oneway"));
    assert_string_equal(ask(fixture, &client, CALL("Status", "{}")), "{\"parameters\":{\"services\":1}}");
    assert_null(client_next(&client));
    assert_int_equal(fixture->manager.registers, 2);
    assert_int_equal(fixture->manager.acquires, 0);
    client_close(&client);
}

/* A client that sends and closes at once has its calls carried out; one that only closes its side is answered too. */
static void test_closing_clients(void **state)
{
    Fixture *fixture = *state;
    Client client = client_open(fixture);

    client_send(&client, CALL("Register", "{\"service\":{\"name\":\"c\",\"port\":3}}"));
    client_send(&client, CALL_WITH("List", "{}", "more"));
    client_send(&client, CALL("Register", "{\"service\":{\"name\":\"d\",\"port\":4}}"));
    client_close(&client);
    pump(fixture);
    assert_int_equal(fixture->manager.service_count, 2);
    assert_false(fixture->manager.staged);
    assert_true(LIST_EMPTY(&fixture->server->connections));

    client = client_open(fixture);
    client_send(&client, CALL("Status", "{}"));
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    pump(fixture);
    assert_string_equal(client_next(&client), "{\"parameters\":{\"services\":2}}");
    assert_null(client_next(&client));
    assert_true(client.ended);
    assert_true(LIST_EMPTY(&fixture->server->connections));
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replies, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_invalid_fields, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_metrics, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_description, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_malformed, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_oneway, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_closing_clients, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
