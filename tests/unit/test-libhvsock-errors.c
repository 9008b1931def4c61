/* SPDX-License-Identifier: Apache-2.0 */
/* ctl/libhvsock: what was refused, in a sentence. */

#include "tests/unit/fake-daemon.h"

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
    {"Conflict", "{\"field\":\"cid\",\"value\":\"42\",\"holder\":\"web1\",\"origin\":\"user:0\",\"since\":\"S\"}",
     "cid 42 is held by web1 (user:0, since S); choose another CID, or remove that machine first"},
    {"Conflict", "{\"field\":\"listen[0]\",\"value\":\"unix:///a\",\"holder\":\"b\",\"origin\":\"user:0\",\"since\":\"\"}",
     "listen[0] unix:///a is held by b (user:0); choose another address"},
    {"Conflict", "{\"field\":\"name\",\"value\":\"a\",\"holder\":\"a\",\"origin\":\"user:0\",\"since\":\"S\",\"others\":[{\"field\":\"x\"},{}]}",
     "name a is held by a (user:0, since S); choose another name, or unregister that one first (and 2 more conflicts)"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_are_all, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
