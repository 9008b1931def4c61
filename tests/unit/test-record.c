/* SPDX-License-Identifier: Apache-2.0 */
/* schema/model/record, on records with every field of the table: made by the table itself, so that a new field is tested
 * with its line. */

#include "schema/codec/example.h"
#include "tests/unit/records.h"

/* Every field, with its example. The result is good only field by field (exec and unit are both there), so it is read without
 * the type's own validation. */
static void write_full(const RecordType *type, Buffer *text)
{
    buffer_append_char(text, '{');
    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        buffer_printf(text, "%s\"%s\":", i ? "," : "", field->name);
        if (field->kind == FIELD_RECORDS)
            buffer_append_char(text, '[');
        if (field->record)
            write_full(field->record, text);
        else if (field->example)
            example_write_json(field, text);
        else
            buffer_append_number(text, (unsigned long long)field->min);
        if (field->kind == FIELD_RECORDS)
            buffer_append_char(text, ']');
    }
    buffer_append_char(text, '}');
}

static void *make_full(const RecordType *type)
{
    RecordType unvalidated = *type;
    Buffer text = {0};
    Problems problems = {0};
    void *record = NULL;

    unvalidated.validate = NULL;
    write_full(type, &text);
    if (record_read_json(&unvalidated, text.data, text.size_bytes, &problems, &record) != 0)
        fail_msg("%s: %s", problems.count ? problems.items[0].field : "", problems.count ? problems.items[0].reason : "");
    problems_release(&problems);
    buffer_release(&text);
    return record;
}

static const RecordType *const types[] = {
    &record_type_SocketFile,     &record_type_Handout, &record_type_Peers,      &record_type_Activation, &record_type_Windows,
    &record_type_ServiceContext, &record_type_MachineContext, &record_type_Administrators, &record_type_Delegation, &record_type_Limits,
};

static void test_full(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(types); i++) {
        const RecordType *type = types[i];
        void *full = make_full(type), *copy, *empty = record_new(type);
        char **fields;

        /* Every field is there, and in the empty one none. */
        for (size_t k = 0; k < type->field_count; k++) {
            assert_false(field_is_absent(&type->fields[k], full));
            assert_true(field_is_absent(&type->fields[k], empty));
            assert_ptr_equal(record_find_field(type, type->fields[k].name), &type->fields[k]);
        }
        assert_null(record_find_field(type, "nothing"));
        assert_int_equal(record_copy(type, full, &copy), 0);
        assert_true(record_equal(type, full, copy));
        assert_false(record_equal(type, full, empty));
        assert_int_equal(record_differences(type, full, copy, &fields), 0);
        assert_non_null(fields);
        assert_null(fields[0]);
        text_list_free(fields);
        assert_int_equal(record_differences(type, full, empty, &fields), 0);
        assert_int_equal(text_list_count(fields), type->field_count);
        for (size_t k = 0; k < type->field_count; k++)
            assert_string_equal(fields[k], type->fields[k].name);
        text_list_free(fields);

        /* record -> JSON -> record */
        char *text = write_text(type, full, RECORD_WRITE_ALL);
        RecordType unvalidated = *type;
        Problems problems = {0};
        void *read = NULL;
        unvalidated.validate = NULL;
        assert_int_equal(record_read_json(&unvalidated, text, strlen(text), &problems, &read), 0);
        assert_true(record_equal(type, full, read));
        free(text);
        expect_record(type, empty, "{}");
        record_free(type, full);
        record_free(type, copy);
        record_free(type, empty);
        record_free(type, read);
    }
}

/* One field changed: that one differs, and no other. */
static void test_one_difference(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(types); i++)
        for (size_t k = 0; k < types[i]->field_count; k++) {
            const Field *field = &types[i]->fields[k];
            void *full = make_full(types[i]), *other = make_full(types[i]);
            char **fields;
            switch (field->kind) {
            case FIELD_TEXT:
                (*(char **)field_in(field, other))[0] ^= 1;
                break;
            case FIELD_NUMBER:
                ((Number *)field_in(field, other))->value ^= 1;
                break;
            case FIELD_CHOICE:
            case FIELD_WORD:
                *(uint8_t *)field_in(field, other) ^= 3;
                break;
            case FIELD_TEXTS:
            case FIELD_MAP:
                (**(char ***)field_in(field, other))[0] ^= 1;
                break;
            case FIELD_RECORD:
                record_free(field->record, *(void **)field_in(field, other));
                *(void **)field_in(field, other) = record_new(field->record);
                break;
            case FIELD_RECORDS:
                break;
            }
            assert_false(record_equal(types[i], full, other));
            assert_int_equal(record_differences(types[i], full, other, &fields), 0);
            assert_int_equal(text_list_count(fields), 1);
            assert_string_equal(fields[0], field->name);
            text_list_free(fields);
            record_free(types[i], full);
            record_free(types[i], other);
        }
}

static void test_lists_of_records(void **state)
{
    Document *document = read_good(&record_type_Document, "{'services':[{'name':'a','port':5},{'name':'b','port':6}],'machines':[]}");
    Document *other = read_good(&record_type_Document, "{'services':[{'name':'a','port':5},{'name':'b','port':7}],'machines':[]}");
    Document *less = read_good(&record_type_Document, "{'services':[{'name':'a','port':5}]}");
    Document *copy;
    char **fields;

    assert_int_equal(record_copy(&record_type_Document, document, (void **)&copy), 0);
    assert_true(record_equal(&record_type_Document, document, copy));
    assert_string_equal(copy->services[1]->name, "b");
    assert_null(copy->services[2]);
    assert_non_null(copy->machines);
    assert_null(copy->machines[0]);
    assert_int_equal(record_differences(&record_type_Document, document, other, &fields), 0);
    assert_int_equal(text_list_count(fields), 1);
    text_list_free(fields);
    assert_int_equal(record_differences(&record_type_Document, document, less, &fields), 0);
    assert_int_equal(text_list_count(fields), 2);
    text_list_free(fields);
    document_free(document);
    document_free(other);
    document_free(less);
    document_free(copy);
    document_free(NULL);
}

/* Absent, and there with the value that absent things have in memory, are two things. */
static void test_absent(void **state)
{
    static const char *const pairs[][2] = {
        {"{'name':'a','port':0}", "{'name':'a'}"},
        {"{'name':'a','listen':[]}", "{'name':'a'}"},
        {"{'name':'a','enabled':false}", "{'name':'a'}"},
        {"{'name':'a','labels':{}}", "{'name':'a'}"},
        {"{'name':'a','peers':{}}", "{'name':'a'}"},
        {"{'name':'a','peers':{'allow':[]}}", "{'name':'a','peers':{}}"},
    };
    RecordType unvalidated = record_type_ServiceContext;

    unvalidated.validate = NULL;
    for (size_t i = 0; i < ELEMENTS_OF(pairs); i++) {
        void *a = read_good(&unvalidated, pairs[i][0]), *b = read_good(&unvalidated, pairs[i][1]);
        assert_false(record_equal(&unvalidated, a, b));
        assert_false(record_equal(&unvalidated, b, a));
        expect_record(&unvalidated, a, pairs[i][0]);
        record_free(&unvalidated, a);
        record_free(&unvalidated, b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_one_difference),
        cmocka_unit_test(test_lists_of_records),
        cmocka_unit_test(test_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
