/* SPDX-License-Identifier: Apache-2.0 */
/* What is made from the table of fields: the JSON Schema, the manual's reference, the Varlink types. `test-schema --renew` puts
 * the table's types into schema/varlink/io.hvsock.Registry.varlink (from the tree's root); `make golden` calls it. */

#include <fcntl.h>
#include <jansson.h>

#include "schema/base/fd.h"
#include "schema/codec/example.h"
#include "tests/unit/records.h"

#define VARLINK_PATH "schema/varlink/io.hvsock.Registry.varlink"

static const RecordType *const api_types[] = {
    &record_type_SocketFile, &record_type_Handout,        &record_type_Peers,          &record_type_Activation,
    &record_type_Windows,    &record_type_ServiceContext, &record_type_MachineContext,
};

/* ---- Varlink ---- */

static char *varlink_of(const RecordType *type)
{
    Buffer buffer = {0};
    char *text;

    record_write_varlink(type, &buffer);
    return buffer_take(&buffer, &text, NULL) < 0 ? NULL : text;
}

/* Where `type NAME (…)` stands in the interface. */
static bool find_type(const char *interface, const char *name, const char **ret_begin, const char **ret_end)
{
    char head[100];

    snprintf(head, sizeof(head), "\ntype %s (\n", name);
    const char *begin = strstr(interface, head), *end = begin ? strstr(begin, "\n)\n") : NULL;
    if (!end)
        return false;
    *ret_begin = begin + 1;
    *ret_end = end + 3;
    return true;
}

static void test_varlink(void **state)
{
    char *interface;
    size_t size;

    assert_int_equal(file_read(AT_FDCWD, VARLINK_PATH, 1 << 20, &interface, &size), 0);
    for (size_t i = 0; i < ELEMENTS_OF(api_types); i++) {
        const char *begin, *end;
        char *wanted = varlink_of(api_types[i]);
        if (!find_type(interface, api_types[i]->name, &begin, &end))
            fail_msg("the interface has no type %s", api_types[i]->name);
        char *there = strndup(begin, (size_t)(end - begin));
        if (strcmp(there, wanted) != 0)
            fail_msg("the interface has\n%sand the table of fields\n%s(`test-schema --renew` writes it)", there, wanted);
        free(there);
        free(wanted);
    }
    free(interface);
}

static int renew(void)
{
    _cleanup_(freep) char *interface = NULL;
    Buffer text = {0};
    size_t size;

    int r = file_read(AT_FDCWD, VARLINK_PATH, 1 << 20, &interface, &size);
    if (r < 0) {
        fprintf(stderr, "test-schema: %s: %s\n", VARLINK_PATH, strerror(-r));
        return 1;
    }
    for (size_t i = 0; i < ELEMENTS_OF(api_types); i++) {
        const char *begin, *end;
        if (!find_type(interface, api_types[i]->name, &begin, &end)) {
            fprintf(stderr, "test-schema: %s has no type %s; write an empty one where it should stand\n", VARLINK_PATH, api_types[i]->name);
            return 1;
        }
        buffer_append(&text, interface, (size_t)(begin - interface));
        record_write_varlink(api_types[i], &text);
        buffer_append_text(&text, end);
        free(TAKE_PTR(interface));
        if (buffer_take(&text, &interface, &size) < 0)
            return 1;
    }
    FILE *file = fopen(VARLINK_PATH, "we");
    if (!file || fwrite(interface, 1, size, file) != size || fclose(file) != 0) {
        perror(VARLINK_PATH);
        return 1;
    }
    return 0;
}

/* ---- JSON Schema ---- */

static json_t *schema_of(const RecordType *type)
{
    Buffer buffer = {0};
    json_error_t error;

    record_write_schema(type, "https://example.org/x.json", "A title", &buffer);
    json_t *schema = json_loadb(buffer.data, buffer.size_bytes, JSON_REJECT_DUPLICATES, &error);
    if (!schema)
        fail_msg("line %d: %s", error.line, error.text);
    buffer_release(&buffer);
    return schema;
}

/* That type; or null, where it may be absent. */
static void check_schema_kind(const json_t *property, const char *wanted, bool nullable)
{
    const json_t *type = json_object_get(property, "type");

    assert_int_equal(json_array_size(type), nullable ? 2 : 0);
    assert_string_equal(json_string_value(nullable ? json_array_get(type, 0) : type), wanted);
    if (nullable)
        assert_string_equal(json_string_value(json_array_get(type, 1)), "null");
}

static void check_schema_field(const json_t *property, const Field *field)
{
    const json_t *items = json_object_get(property, field->kind == FIELD_MAP ? "additionalProperties" : "items");
    bool nullable = !field->required;
    const char *description = json_string_value(json_object_get(property, "description"));

    assert_non_null(description);
    assert_non_null(strstr(description, field->help));
    switch (field->kind) {
    case FIELD_TEXT:
        assert_int_equal(json_integer_value(json_object_get(property, "maxLength")), field->max);
        break;
    case FIELD_NUMBER:
        check_schema_kind(property, "integer", nullable);
        assert_int_equal(json_integer_value(json_object_get(property, "minimum")), field->min);
        assert_int_equal(json_integer_value(json_object_get(property, "maximum")), field->max);
        break;
    case FIELD_CHOICE:
        check_schema_kind(property, "boolean", nullable);
        break;
    case FIELD_WORD:
        assert_non_null(json_object_get(property, "enum"));
        break;
    case FIELD_TEXTS:
        check_schema_kind(property, "array", nullable);
        assert_non_null(json_object_get(items, "type"));
        assert_int_equal(json_integer_value(json_object_get(property, "maxItems")), field->max);
        break;
    case FIELD_MAP:
        check_schema_kind(property, "object", nullable);
        assert_non_null(json_object_get(items, "type"));
        break;
    case FIELD_RECORD:
        if (nullable)
            property = json_array_get(json_object_get(property, "anyOf"), 0);
        assert_non_null(strstr(json_string_value(json_object_get(property, "$ref")), field->record->name));
        break;
    case FIELD_RECORDS:
        assert_non_null(strstr(json_string_value(json_object_get(items, "$ref")), field->record->name));
        break;
    }
    assert_int_equal(json_object_get(property, "default") != NULL, field->fallback_json != NULL);
}

static void check_schema_type(const json_t *schema, const json_t *object, const RecordType *type)
{
    const json_t *properties = json_object_get(object, "properties"), *required = json_object_get(object, "required");
    size_t required_count = 0;

    check_schema_kind(object, "object", object == schema); /* a file can be empty */
    assert_true(json_is_false(json_object_get(object, "additionalProperties")));
    assert_int_equal(json_object_size(properties), type->field_count);
    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        const json_t *property = json_object_get(properties, field->name);
        if (!property)
            fail_msg("%s.%s is not in the schema", type->name, field->name);
        check_schema_field(property, field);
        required_count += field->required;
        if (field->record)
            check_schema_type(schema, json_object_get(json_object_get(schema, "$defs"), field->record->name), field->record);
    }
    assert_int_equal(json_array_size(required), required_count);
}

static void test_schema(void **state)
{
    static const RecordType *const files[] = {&record_type_Document, &record_type_Settings};

    for (size_t i = 0; i < ELEMENTS_OF(files); i++) {
        json_t *schema = schema_of(files[i]);
        assert_string_equal(json_string_value(json_object_get(schema, "$schema")), "https://json-schema.org/draft/2020-12/schema");
        assert_string_equal(json_string_value(json_object_get(schema, "$id")), "https://example.org/x.json");
        assert_string_equal(json_string_value(json_object_get(schema, "title")), "A title");
        check_schema_type(schema, schema, files[i]);
        json_decref(schema);
    }
}

/* Every constant default and every example is what its own field takes: read as a record of that one field. */
static void check_constants(const RecordType *type)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        Field lone = *field;
        lone.offset = 0;
        lone.required = false;
        const RecordType lone_type = {.name = "Lone", .help = "", .size_bytes = sizeof(Number) + sizeof(void *), .fields = &lone, .field_count = 1};
        Buffer example = {0};
        char *example_json = NULL;
        if (field->example && !field->record) {
            example_write_json(field, &example);
            assert_int_equal(buffer_take(&example, &example_json, NULL), 0);
        }
        const char *constants[] = {field->fallback_json, example_json};
        for (size_t k = 0; k < ELEMENTS_OF(constants); k++) {
            Problems problems = {0};
            void *record = NULL;
            char text[512];
            if (!constants[k])
                continue;
            int size = snprintf(text, sizeof(text), "{\"%s\":%s}", field->name, constants[k]);
            if (record_read_json(&lone_type, text, (size_t)size, &problems, &record) != 0)
                fail_msg("%s.%s: %s: %s", type->name, field->name, constants[k], problems.count ? problems.items[0].reason : "");
            assert_false(field_is_absent(&lone, record));
            record_free(&lone_type, record);
            problems_release(&problems);
        }
        free(example_json);
        assert_non_null(field->help);
        assert_true(field->record || field->kind == FIELD_CHOICE || field->kind == FIELD_WORD || field->max > 0);
        assert_true(type != &record_type_ServiceContext || field->record || field->example);
        if (field->record)
            check_constants(field->record);
    }
}

static void test_constants(void **state)
{
    check_constants(&record_type_Document);
    check_constants(&record_type_Settings);
}

/* ---- the manual ---- */

static void check_manual(const char *manual, const RecordType *type)
{
    for (size_t i = 0; i < type->field_count; i++) {
        char item[100];
        snprintf(item, sizeof(item), "\n.It Cm %s Pq \"", type->fields[i].name);
        if (!strstr(manual, item))
            fail_msg("%s.%s is not in the manual", type->name, type->fields[i].name);
        if (type->fields[i].record)
            check_manual(manual, type->fields[i].record);
    }
}

static void test_manual(void **state)
{
    static const RecordType *const files[] = {&record_type_Document, &record_type_Settings};

    for (size_t i = 0; i < ELEMENTS_OF(files); i++) {
        Buffer buffer = {0};
        char *manual;
        size_t begun = 0, ended = 0;
        record_write_manual(files[i], &buffer);
        assert_int_equal(buffer_take(&buffer, &manual, NULL), 0);
        check_manual(manual, files[i]);
        for (const char *line = manual; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            begun += text_starts_with(line, ".Bl");
            ended += text_starts_with(line, ".El");
            assert_true(*line != '\'');
        }
        assert_true(begun > 2 && begun == ended);
        free(manual);
    }
}

static void test_examples(void **state)
{
    static const struct {
        FieldKind kind;
        const char *example, *json;
    } examples[] = {
        {FIELD_TEXT, "Guest log", "\"Guest log\""},
        {FIELD_TEXT, "\"0660\"", "\"0660\""},
        {FIELD_TEXT, "a\"b", "\"a\\\"b\""},
        {FIELD_WORD, "stream", "\"stream\""},
        {FIELD_NUMBER, "5", "5"},
        {FIELD_CHOICE, "true", "true"},
        {FIELD_TEXTS, "[]", "[]"},
        {FIELD_TEXTS, "[a, 42, \"uid:1\", \"a,b]\" ]", "[\"a\",\"42\",\"uid:1\",\"a,b]\"]"},
        {FIELD_MAP, "{}", "{}"},
        {FIELD_MAP, "{A: b, C: \"1:2\"}", "{\"A\":\"b\",\"C\":\"1:2\"}"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(examples); i++) {
        Buffer buffer = {0};
        char *json;
        example_write_json(&(Field){.kind = examples[i].kind, .example = examples[i].example}, &buffer);
        assert_int_equal(buffer_take(&buffer, &json, NULL), 0);
        assert_string_equal(json, examples[i].json);
        free(json);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varlink), cmocka_unit_test(test_schema),   cmocka_unit_test(test_constants),
        cmocka_unit_test(test_manual),  cmocka_unit_test(test_examples),
    };

    if (argc == 2 && strcmp(argv[1], "--renew") == 0)
        return renew();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
