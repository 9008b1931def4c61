/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the command line, and a record's fields as options. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/fields.h"
#include "ctl/options.h"
#include "schema/base/text.h"
#include "schema/codec/record.h"
#include "schema/model/record.h"

#define ARGUMENTS_MAX 12

static const Option table[] = {
    {.name = "json", .help = "-"},
    {.name = "socket", .argument = "PATH", .help = "-"},
    {.name = "label", .argument = "KEY=VALUE", .repeats = true, .help = "-"},
    {.name = "columns", .letter = 'o', .argument = "COLUMNS", .help = "-"},
    {.name = "quiet", .letter = 'q', .help = "-"},
    {.name = "quick", .help = "-"},
    {0},
};

/* `json socket=/x | operand operand | command`, or what was wrong. */
static void given_format(const Given *given, Buffer *text)
{
    for (size_t i = 0; i < given->option_count; i++) {
        const char *value = given->options[i].value;
        buffer_printf(text, "%s%s%s ", given->options[i].name, value ? "=" : "", value ? value : "");
    }
    buffer_append_char(text, '|');
    for (size_t i = 0; i < given->operand_count; i++)
        buffer_printf(text, " %s", given->operands[i]);
    if (given->command)
        buffer_append_text(text, " |");
    for (size_t i = 0; given->command && given->command[i]; i++)
        buffer_printf(text, " %s", given->command[i]);
}

static void assert_parses(OptionFlags flags, const char *const *arguments, const char *expected)
{
    _cleanup_(option_set_release) OptionSet set = {0};
    _cleanup_(given_release) Given given = {0};
    _cleanup_(freep) char *found = NULL;
    Buffer text = {0};
    char *argv[ARGUMENTS_MAX + 2] = {(char[]){"verb"}};
    int argc = 1;

    for (; arguments[argc - 1]; argc++)
        argv[argc] = strdup(arguments[argc - 1]);
    assert_int_equal(option_set_add(&set, table), 0);
    int r = options_parse(&set, argc, argv, flags, &given, &text);
    assert_true(r == 0 || r == OPTIONS_WRONG);
    if (r == 0) {
        assert_int_equal(text.size_bytes, 0);
        given_format(&given, &text);
    }
    assert_int_equal(buffer_take(&text, &found, NULL), 0);
    assert_string_equal(found, expected);
    for (int i = 1; i < argc; i++)
        free(argv[i]);
}

static void test_parse(void **state)
{
    static const struct {
        OptionFlags flags;
        const char *arguments[ARGUMENTS_MAX];
        const char *expected;
    } cases[] = {
        {0, {NULL}, "|"},
        {0, {"a", "--json", "b"}, "json | a b"},
        {0, {"a", "--socket", "/x", "b"}, "socket=/x | a b"},
        {0, {"--socket=/x", "--label", "a=1", "--label=b=2"}, "socket=/x label=a=1 label=b=2 |"},
        {0, {"-oNAME", "-q"}, "columns=NAME quiet |"},
        {0, {"-qo", "NAME", "x"}, "quiet columns=NAME | x"},
        {0, {"--js"}, "json |"},
        {0, {"a", "--", "--json", "b"}, "| a --json b"},
        {0, {"-"}, "| -"},
        {0, {""}, "| "},
        {0, {"--socket", "--json"}, "socket=--json |"},
        {OPTIONS_STOP_AT_OPERAND, {"--json", "list", "--nope"}, "json | list --nope"},
        {OPTIONS_STOP_AT_OPERAND, {"--json", "--", "list"}, "json | list"},
        {OPTIONS_COMMAND, {"a", "b", "--json", "--", "ls", "--color", "-l"}, "json | a b | ls --color -l"},
        {OPTIONS_COMMAND, {"a", "--", "ls", "--", "x"}, "| a | ls -- x"},
        {OPTIONS_COMMAND, {"a", "--"}, "| a |"},
        {OPTIONS_COMMAND, {"a", "b"}, "| a b"},
        {0, {"--nope"}, "--nope: unknown option"},
        {0, {"--nope=1"}, "--nope: unknown option"},
        {0, {"a", "-x"}, "-x: unknown option"},
        {0, {"-qx"}, "-x: unknown option"},
        {0, {"--json", "-qx"}, "-x: unknown option"},
        {0, {"--qui"}, "--qui: ambiguous option"},
        {0, {"--socket"}, "--socket: needs PATH"},
        {0, {"-o"}, "--columns: needs COLUMNS"},
        {0, {"--json=1"}, "--json: takes no value"},
        {0, {"--socket", "a", "--socket", "b"}, "--socket: given twice"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_parses(cases[i].flags, cases[i].arguments, cases[i].expected);
}

static void test_values(void **state)
{
    const struct GivenOption options[] = {{"a", "1"}, {"b", NULL}, {"a", "2"}};
    const Given given = {.options = (struct GivenOption *)(uintptr_t)options, .option_count = ELEMENTS_OF(options)};

    assert_string_equal(given_value(&given, "a", "none"), "2");
    assert_string_equal(given_value(&given, "c", "none"), "none");
    assert_true(given_has(&given, "b"));
    assert_false(given_has(&given, "c"));
}

/* ---- fields ---- */

static const FieldName names[] = {
    {.path = "enabled", .option = "disabled", .value = "false"},
    {.path = "autoPort"},
    {.path = "peers.allow", .option = "allow", .argument = "PEER"},
    {0},
};
static const FieldOptions fields = {.type = &record_type_ServiceContext, .names = names};

/* The record as JSON, or the problems. */
static void assert_reads(const char *name, const char *const *arguments, const char *expected)
{
    _cleanup_(option_set_release) OptionSet set = {0};
    _cleanup_(given_release) Given given = {0};
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(freep) char *found = NULL;
    void *record = NULL;
    Buffer text = {0};
    char *argv[ARGUMENTS_MAX + 2] = {(char[]){"verb"}};
    int argc = 1;

    for (; arguments[argc - 1]; argc++)
        argv[argc] = strdup(arguments[argc - 1]);
    assert_int_equal(fields_add_options(&fields, &set), 0);
    assert_int_equal(options_parse(&set, argc, argv, 0, &given, &text), 0);
    int r = fields_read(&fields, &set, name, &given, &problems, &record);
    if (r == 0) {
        record_write_json(&record_type_ServiceContext, record, RECORD_WRITE_ALL, &text);
        record_free(&record_type_ServiceContext, record);
    } else {
        assert_int_equal(r, FIELDS_INVALID);
        assert_null(record);
    }
    /* Whose field, and no more: why is the codec's to say. */
    for (size_t i = 0; i < problems.count; i++)
        buffer_printf(&text, "%s ", problems.items[i].field);
    assert_int_equal(buffer_take(&text, &found, NULL), 0);
    assert_string_equal(found, expected);
    for (int i = 1; i < argc; i++)
        free(argv[i]);
}

static void test_fields(void **state)
{
    static const struct {
        const char *name;
        const char *arguments[ARGUMENTS_MAX];
        const char *expected;
    } cases[] = {
        {"a", {NULL}, "--port "}, /* one of port and guid is needed */
        {"a", {"--port", "5140"}, "{\"name\":\"a\",\"port\":5140}"},
        {"a", {"--port", "1", "--disabled"}, "{\"name\":\"a\",\"port\":1,\"enabled\":false}"},
        {"a", {"--port", "1", "--element-name", "42"}, "{\"name\":\"a\",\"elementName\":\"42\",\"port\":1}"},
        {"a", {"--port", "1", "--element-name", "true"}, "{\"name\":\"a\",\"elementName\":\"true\",\"port\":1}"},
        {"a",
         {"--listen", "unix:///a", "--listen", "unix:///b"},
         "{\"name\":\"a\",\"listen\":[\"unix:///a\",\"unix:///b\"]}"},
        {"a", {"--port", "1", "--listen", ""}, "{\"name\":\"a\",\"port\":1,\"listen\":[]}"},
        {"a",
         {"--port", "1", "--handout-user", "0", "--handout-exclusive"},
         "{\"name\":\"a\",\"port\":1,\"handout\":{\"users\":[\"0\"],\"exclusive\":true}}"},
        {"a",
         {"--port", "1", "--allow", "42", "--peers-deny", "web1"},
         "{\"name\":\"a\",\"port\":1,\"peers\":{\"allow\":[\"42\"],\"deny\":[\"web1\"]}}"},
        {"a",
         {"--port", "1", "--label", "x=1", "--label", "y="},
         "{\"name\":\"a\",\"port\":1,\"labels\":{\"x\":\"1\",\"y\":\"\"}}"},
        {"a", {"--port", "1", "--type", "seqpacket"}, "{\"name\":\"a\",\"port\":1,\"type\":\"seqpacket\"}"},
        {"a", {"--port", "1", "--socket-mode", "0600"}, "{\"name\":\"a\",\"port\":1,\"socket\":{\"mode\":\"0600\"}}"},
        {"A", {"--port", "1"}, "NAME "},
        {"a", {"--port", "x", "--backlog", "0"}, "--port --backlog "},
        {"a", {"--port", "1", "--allow", "42", "--allow", "any"}, "--allow "},
        {"a", {"--port", "1", "--label", "x"}, "--label "},
        {"a", {"--port", "1", "--label", "A B=1"}, "--label "},
        {"a", {"--port", "1", "--type", "tcp"}, "--type "},
        {"a", {"--guid", "\xff"}, "--guid "},
        {"\xff", {NULL}, "NAME "},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_reads(cases[i].name, cases[i].arguments, cases[i].expected);
}

/* Each field has one option of its own name, but for those that the table says have none. */
static void count_fields(const RecordType *type, size_t *count)
{
    for (size_t i = 0; i < type->field_count; i++) {
        if (type->fields[i].kind == FIELD_RECORD)
            count_fields(type->fields[i].record, count);
        else
            (*count)++;
    }
}

static void test_every_field(void **state)
{
    _cleanup_(option_set_release) OptionSet set = {0};
    size_t count = 0;

    count_fields(&record_type_ServiceContext, &count);
    assert_int_equal(fields_add_options(&fields, &set), 0);
    assert_int_equal(set.count, count - 2); /* name, autoPort */
    for (size_t i = 0; i < set.count; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(set.items[i].name, set.items[k].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_every_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
