/* SPDX-License-Identifier: Apache-2.0 */
/* The table of methods and the interface files say the same: every method, and every parameter of each. */

#include <ctype.h>

#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"
#include "schema/codec/record.h"
#include "tests/unit/api-client.h"

/* What stands between `method NAME(` and its `)`, blanks made one each; NULL: it has no such method. */
static char *interface_parameters(const char *description, const char *name)
{
    char begin[128];
    Buffer text = {0};
    char *parameters;

    snprintf(begin, sizeof(begin), "\nmethod %s(", name);
    const char *at = strstr(description, begin);
    if (!at)
        return NULL;
    for (at += strlen(begin); *at && *at != ')'; at++)
        if (!isspace((unsigned char)*at))
            buffer_append_char(&text, *at);
    assert_int_equal(buffer_take(&text, &parameters, NULL), 0);
    return parameters;
}

/* The same of a record: `type NAME (…)` without blanks. */
static char *record_parameters(const RecordType *type)
{
    Buffer written = {0}, text = {0};
    char *parameters;

    if (type) {
        record_write_varlink(type, &written);
        const char *begin = memchr(written.data, '(', written.size_bytes);
        assert_non_null(begin);
        for (begin++; begin < written.data + written.size_bytes && *begin != ')'; begin++)
            if (!isspace((unsigned char)*begin))
                buffer_append_char(&text, *begin);
    }
    buffer_release(&written);
    assert_int_equal(buffer_take(&text, &parameters, NULL), 0);
    return parameters;
}

static const Interface *interface_of(const char *method)
{
    for (const Interface *interface = interfaces; interface->name; interface++)
        if (text_starts_with(method, interface->name) && strrchr(method, '.') == method + strlen(interface->name))
            return interface;
    return NULL;
}

static void test_table_is_in_interfaces(void **state)
{
    for (const Method *method = methods; method->name; method++) {
        const Interface *interface = interface_of(method->name);
        assert_non_null(interface);
        _cleanup_(freep) char *wanted = interface_parameters(interface->description, strrchr(method->name, '.') + 1);
        if (!wanted)
            fail_msg("%s is in no interface", method->name);
        _cleanup_(freep) char *ours = record_parameters(method->parameters);
        assert_string_equal(ours, wanted);
        for (const Method *other = methods; other < method; other++)
            assert_string_not_equal(other->name, method->name);
    }
}

static void test_interfaces_are_in_table(void **state)
{
    size_t count = 0;

    for (const Interface *interface = interfaces; interface->name; interface++) {
        for (const char *at = interface->description; (at = strstr(at, "\nmethod ")); at++) {
            char name[128];
            bool found = false;
            snprintf(name, sizeof(name), "%s.%.*s", interface->name, (int)strcspn(at + 8, "( "), at + 8);
            for (const Method *method = methods; method->name; method++)
                found |= strcmp(method->name, name) == 0;
            if (!found)
                fail_msg("%s is not in the table", name);
            count++;
        }
    }
    assert_int_equal(count, 20);
}

/* Every error that can be answered is one of an interface's. */
static void test_errors_are_in_interfaces(void **state)
{
    for (FailureCode code = FAILURE_NO_SUCH_SERVICE; code <= FAILURE_PERMISSION_DENIED; code++) {
        const char *name = failure_name(code);
        const Interface *interface = interface_of(name);
        char begin[128];
        assert_non_null(interface);
        snprintf(begin, sizeof(begin), "\nerror %s (", strrchr(name, '.') + 1);
        assert_non_null(strstr(interface->description, begin));
    }
}

/* Nothing can be changed, taken by a stranger or read as an administrator but by methods that say so. */
static void test_flags(void **state)
{
    static const struct {
        const char *name;
        unsigned flags;
    } table[] = {
        {"Register", METHOD_WRITE},
        {"Unregister", METHOD_WRITE},
        {"SetEnabled", METHOD_WRITE},
        {"Apply", METHOD_WRITE | METHOD_ALONE},
        {"Reload", METHOD_WRITE | METHOD_ALONE | METHOD_ADMINISTRATOR},
        {"AddMachine", METHOD_WRITE | METHOD_ADMINISTRATOR},
        {"RemoveMachine", METHOD_WRITE | METHOD_ADMINISTRATOR},
        {"ListConnections", METHOD_ADMINISTRATOR},
        {"ReadLog", METHOD_ADMINISTRATOR},
        {"Metrics", METHOD_ADMINISTRATOR},
        {"Describe", METHOD_HANDOUT | METHOD_PLAIN},
        {"Lookup", METHOD_HANDOUT | METHOD_PLAIN},
        {"Acquire", METHOD_HANDOUT},
        {"Serve", METHOD_HANDOUT},
        {"List", 0},
        {"ListMachines", 0},
        {"Status", 0},
        {"Watch", 0},
        {"GetInfo", METHOD_HANDOUT | METHOD_PLAIN},
        {"GetInterfaceDescription", METHOD_HANDOUT | METHOD_PLAIN},
    };

    for (const Method *method = methods; method->name; method++) {
        bool found = false;
        for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
            if (strcmp(strrchr(method->name, '.') + 1, table[i].name) != 0)
                continue;
            assert_int_equal(method->flags, table[i].flags);
            found = true;
        }
        assert_true(found);
    }
}

/* Strangers read; what they may not do is refused before anything of it is looked at. */
static void test_strangers(void **state)
{
    static const struct {
        const char *call, *part;
    } table[] = {
        {CALL("Status", "{}"), "\"services\":1"},
        {CALL("Describe", "{\"name\":\"a\"}"), "\"name\":\"a\""},
        {CALL("Register", "{\"nonsense\":1}"), OURS "NotAllowed"},
        {CALL("Unregister", "{\"name\":\"a\"}"), OURS "NotAllowed"},
        {CALL("SetEnabled", "{}"), OURS "NotAllowed"},
        {CALL("Apply", "{\"services\":[]}"), OURS "NotAllowed"},
        {CALL("AddMachine", "{}"), OURS "NotAllowed"},
        {CALL("RemoveMachine", "{\"name\":\"m\"}"), OURS "NotAllowed"},
        {CALL("Reload", "{}"), OURS "NotAllowed"},
        {CALL("Metrics", "{}"), OURS "NotAllowed"},
        {CALL("ReadLog", "{}"), OURS "NotAllowed"},
        {CALL("ListConnections", "{}"), OURS "NotAllowed"},
    };
    Fixture *fixture = *state;
    static char bytes[70000];

    if (geteuid() != 0)
        skip();
    fake_add(&fixture->manager, "a", 1);
    /* The kernel notes who connects. */
    assert_int_equal(seteuid(54321), 0);
    Client client = client_open(fixture);
    assert_int_equal(seteuid(0), 0);
    for (size_t i = 0; i < ELEMENTS_OF(table); i++)
        assert_non_null(strstr(ask(fixture, &client, table[i].call), table[i].part));
    assert_int_equal(fixture->manager.settles, 0);

    /* Nor are their messages as long as an administrator's. */
    memset(bytes, ' ', sizeof(bytes));
    assert_int_equal(client_send_bytes(&client, bytes, sizeof(bytes)), sizeof(bytes));
    pump(fixture);
    assert_non_null(strstr(client_next(&client), OURS "LimitReached"));
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_in_interfaces),
        cmocka_unit_test(test_interfaces_are_in_table),
        cmocka_unit_test(test_errors_are_in_interfaces),
        cmocka_unit_test(test_flags),
        cmocka_unit_test_setup_teardown(test_strangers, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
