/* SPDX-License-Identifier: Apache-2.0 */
/* schema/codec: values into records and back; how each kind of field is read, plain (YAML) and typed (JSON), and what is told
 * of what is not. */

#include <jansson.h>

#include "schema/codec/nearest.h"
#include "schema/model/format.h"
#include "tests/unit/records.h"

/* ---- a type with every kind of field, of this test alone ---- */

enum { RED = 1, GREEN };
static const char *const words_colour[] = {"red", "green", NULL};

#define LEAF_FIELDS(F, T)                                                                                              \
    F(T, TEXT, name, "name", .required = true, .min = 1, .max = 5, .help = "A name.")                                  \
    F(T, NUMBER, count, "count", .min = 2, .max = 9, .help = "A count.")

#define TREE_FIELDS(F, T)                                                                                              \
    F(T, TEXT, text, "text", .max = 10, .format = &format_user, .example = "root", .help = "A text.")                  \
    F(T, NUMBER, number, "number", .min = 0, .max = 0xfffffffe, .help = "A number.")                                   \
    F(T, CHOICE, choice, "choice", .help = "A choice.")                                                                \
    F(T, WORD(words_colour), colour, "colour", .help = "A word.")                                                      \
    F(T, TEXTS, texts, "texts", .min = 1, .max = 3, .format = &format_service_name, .example = "[a, b]", .help = "Texts.") \
    F(T, MAP, map, "map", .max = 3, .key_format = &format_label_name, .format = &format_label_value, .help = "A map.") \
    F(T, RECORD(Leaf), leaf, "leaf", .help = "A record.")                                                              \
    F(T, RECORDS(Leaf), leaves, "leaves", .max = 2, .help = "Records.")                                                \
    F(T, TEXT, secret, "secret", .secret = true, .help = "A secret.")

RECORD_STRUCT(Leaf, LEAF_FIELDS);
RECORD_STRUCT(Tree, TREE_FIELDS);
RECORD_TYPE(Leaf, LEAF_FIELDS, "A leaf.");
RECORD_TYPE(Tree, TREE_FIELDS, "A tree.");

/* ---- YAML's view: a JSON text is a plain scalar, unless it begins with `!` (quoted) ---- */

static ValueOps plain_ops;
static const ValueOps *json_ops;

static ValueKind plain_kind(const void *node)
{
    ValueKind kind = json_ops->kind(node);

    return kind == VALUE_TEXT && json_ops->text(node)[0] != '!' ? VALUE_PLAIN : kind;
}

static const char *plain_text(const void *node)
{
    const char *text = json_ops->text(node);

    return text + (text[0] == '!');
}

static int setup(void **state)
{
    json_t *json = json_null();

    json_ops = value_from_json(json).ops;
    plain_ops = *json_ops;
    plain_ops.kind = plain_kind;
    plain_ops.text = plain_text;
    return 0;
}

typedef struct Case {
    const char *value;
    const char *outcome; /* begins with `{`: the record; else the problems, as expect_problems has them */
} Case;

static void run(const Case *cases, size_t count, bool plain)
{
    for (size_t i = 0; i < count; i++) {
        Problems problems = {0};
        void *record = NULL;
        char *text = json_from(cases[i].value);
        json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        Value value = {plain ? &plain_ops : json_ops, json};
        int r = record_read(&record_type_Tree, value, &problems, &record);
        bool good = cases[i].outcome[0] == '{';
        expect_problems(cases[i].value, &problems, good ? "" : cases[i].outcome);
        assert_int_equal(r, good ? 0 : RECORD_INVALID);
        if (good)
            expect_record(&record_type_Tree, record, cases[i].outcome);
        record_free(&record_type_Tree, record);
        problems_release(&problems);
        json_decref(json);
        free(text);
    }
}

static const Case typed[] = {
    {"{}", "{}"},
    {"{'text':'root','number':7,'choice':true,'colour':'green','texts':['b','a'],'map':{'z':'1','a':'2'},'leaf':{'name':'x'},"
     "'leaves':[{'name':'y','count':2},{'name':'z'}],'secret':'s'}",
     "{'text':'root','number':7,'choice':true,'colour':'green','texts':['b','a'],'map':{'a':'2','z':'1'},'leaf':{'name':'x'},"
     "'leaves':[{'name':'y','count':2},{'name':'z'}],'secret':'s'}"},
    /* null is absent */
    {"{'text':null,'number':null,'choice':null,'colour':null,'texts':null,'map':null,'leaf':null,'leaves':null}", "{}"},
    {"{'leaf':{'name':null}}", "leaf.name: is missing"},
    {"{'texts':['a',null]}", "texts[1]: null is no text"},
    {"{'map':{'a':null}}", "map.a: null is no text; a text would be right"},
    {"{'leaves':[null]}", "leaves[0]: null is no mapping; a mapping with name, count would be right"},
    /* empty is not absent */
    {"{'map':{},'leaves':[]}", "{'map':{},'leaves':[]}"},
    {"{'texts':[]}", "texts: too little in it; at least 1"},
    {"{'leaf':{}}", "leaf.name: is missing"},
    /* text */
    {"{'text':5}", "text: 5 is no text; a text, in quotes, would be right, as in `text: root`"},
    {"{'text':true}", "text: true is no text"},
    {"{'text':['root']}", "text: a list is no text; a text would be right"},
    {"{'text':{}}", "text: a mapping is no text"},
    {"{'text':'a b'}", "text: 'a b' has a character"},
    {"{'text':'aaaaaaaaaa'}", "{'text':'aaaaaaaaaa'}"},
    {"{'text':'aaaaaaaaaaa'}", "text: is too long; at most 10 bytes"},
    {"{'leaf':{'name':''}}", "leaf.name: is empty"},
    {"{'leaf':{'name':'123456'}}", "leaf.name: is too long; at most 5 bytes"},
    {"{'text':'a\\nb'}", "text: \\n"},
    /* number */
    {"{'number':0}", "{'number':0}"},
    {"{'number':4294967294}", "{'number':4294967294}"},
    {"{'number':4294967295}", "number: 4294967295 is out of bounds; a number from 0 to 4294967294 would be right"},
    {"{'number':9223372036854775807}", "number: out of bounds"},
    {"{'number':-1}", "number: -1 is out of bounds"},
    {"{'number':-9223372036854775808}", "number: out of bounds"},
    {"{'leaf':{'name':'x','count':1}}", "leaf.count: 1 is out of bounds; a number from 2 to 9"},
    {"{'leaf':{'name':'x','count':10}}", "leaf.count: 10 is out of bounds"},
    {"{'number':'5'}", "number: '5' is text; a plain decimal number from 0 to 4294967294 would be right: 5 without quotes"},
    {"{'number':'abc'}", "number: 'abc' is no number; a plain decimal number from 0 to 4294967294 would be right"},
    {"{'number':5.0}", "number: is no whole number"},
    {"{'number':1e3}", "number: is no whole number"},
    {"{'number':true}", "number: true is no number"},
    {"{'number':[]}", "number: a list is no number"},
    /* choice */
    {"{'choice':false}", "{'choice':false}"},
    {"{'choice':'true'}", "choice: 'true' is text; true without quotes would be right"},
    {"{'choice':'yes'}", "choice: 'yes' is no boolean; true would be right"},
    {"{'choice':1}", "choice: 1 is no boolean; true would be right"},
    {"{'choice':0}", "choice: 0 is no boolean; false would be right"},
    {"{'choice':{}}", "choice: a mapping is no boolean; true or false would be right"},
    /* word */
    {"{'colour':'red'}", "{'colour':'red'}"},
    {"{'colour':'gren'}", "colour: 'gren' is none of the words for it; red or green would be right, perhaps green"},
    {"{'colour':'RED'}", "colour: 'RED' is none"},
    {"{'colour':1}", "colour: 1 is none"},
    {"{'colour':''}", "colour: '' is none"},
    /* lists and maps */
    {"{'texts':'a'}", "texts: 'a' is no list; a list of texts would be right, as in `texts: [a, b]`"},
    {"{'texts':{}}", "texts: a mapping is no list"},
    {"{'texts':['a','b','c','d']}", "texts: 4 are too many; at most 3"},
    {"{'texts':['a','B',5,'c']}", "texts: 4 are too many"},
    {"{'texts':['A',5,'c']}", "texts[0]: begins with neither\ntexts[1]: 5 is no text"},
    {"{'map':['a']}", "map: a list is no mapping"},
    {"{'map':{'a b':'1','c':2,'d':'x'}}", "map[\"a b\"]: has something in it\nmap.c: 2 is no text"},
    {"{'map':{'a.b':[]}}", "map[\"a.b\"]: a list is no text"},
    {"{'map':{'':'x'}}", "map[\"\"]: is empty"},
    {"{'map':{'a':'1','b':'2','c':'3','d':'4'}}", "map: 4 are too many"},
    {"{'leaf':[]}", "leaf: a list is no mapping; a mapping with name, count"},
    {"{'leaves':{}}", "leaves: a mapping is no list"},
    {"{'leaves':[{'name':'a'},{'name':'b'},{'name':'c'}]}", "leaves: 3 are too many"},
    {"{'leaves':[{'name':'a','count':1},{'count':'x'}]}", "leaves[0].count: out of bounds\nleaves[1].count: is no number\nleaves[1].name: is missing"},
    /* unknown fields */
    {"{'txt':'root'}", "txt: there is no such field; text would be right"},
    {"{'Number':1,'CHOICE':true}", "Number: number would be right\nCHOICE: choice would be right"},
    {"{'zzzzzzzz':1}", "zzzzzzzz: there is no such field; what there is: text, number, choice, colour"},
    {"{'':1}", "[\"\"]: there is no such field"},
    {"{'a.b':1,'\\u0001':2}", "[\"a.b\"]: no such field\n[\"\\u0001\"]: no such field"},
    {"{'leaf':{'nam':'x'}}", "leaf.nam: name would be right"},
    {"{'leaf':{'name':'x','number':1}}", "leaf.number: what there is: name, count"},
    /* not even a mapping */
    {"[]", ": a list is no mapping; a mapping with text, number, choice, … would be right"},
    {"null", ": null is no mapping"},
    {"'x'", ": 'x' is no mapping"},
    {"5", ": 5 is no mapping"},
};

static const Case plain[] = {
    /* the field decides: the same scalar is text here and a number there */
    {"{'text':'5140','number':'5140','choice':'true','colour':'red','texts':['5','true'],'map':{'a':'null','b':'0x15'}}",
     "{'text':'5140','number':5140,'choice':true,'colour':'red','texts':['5','true'],'map':{'a':'null','b':'0x15'}}"},
    {"{'text':'true','secret':'~'}", "{'text':'true','secret':'~'}"},
    {"{'text':'!root'}", "{'text':'root'}"},
    {"{'number':'0'}", "{'number':0}"},
    {"{'number':'4294967295'}", "number: 4294967295 is out of bounds"},
    {"{'number':'18446744073709551616'}", "number: 18446744073709551616 is out of bounds"},
    {"{'number':'!5140'}", "number: '5140' is text; a plain decimal number from 0 to 4294967294 would be right: 5140 without quotes"},
    {"{'number':'0x15'}", "number: 0x15 is no plain decimal number; a plain decimal number from 0 to 4294967294 would be right: 21"},
    {"{'number':'0X1F'}", "number: would be right: 31"},
    {"{'number':'08'}", "number: 08 has a leading zero"},
    {"{'number':'00'}", "number: 00 has a leading zero"},
    {"{'number':'-5'}", "number: -5 is out of bounds"},
    {"{'number':'-'}", "number: - is no number"},
    {"{'number':'+5'}", "number: +5 is no number"},
    {"{'number':'1_000'}", "number: 1_000 is no number"},
    {"{'number':'1e3'}", "number: 1e3 is no number"},
    {"{'number':'5.0'}", "number: 5.0 is no number"},
    {"{'number':'0o17'}", "number: 0o17 is no number"},
    {"{'number':''}", "number: '' is no number"},
    {"{'number':' 5'}", "number:  5 is no number"},
    {"{'choice':'false'}", "{'choice':false}"},
    {"{'choice':'yes'}", "choice: yes is no boolean; true would be right"},
    {"{'choice':'On'}", "choice: On is no boolean; true would be right"},
    {"{'choice':'off'}", "choice: off is no boolean; false would be right"},
    {"{'choice':'N'}", "choice: N is no boolean; false would be right"},
    {"{'choice':'True'}", "choice: True is no boolean; true would be right"},
    {"{'choice':'maybe'}", "choice: maybe is no boolean; true or false would be right"},
    {"{'choice':'!true'}", "choice: 'true' is text; true without quotes would be right"},
    {"{'colour':'!green'}", "{'colour':'green'}"},
    {"{'texts':'a'}", "texts: a is no list"},
    {"{'leaf':'x'}", "leaf: x is no mapping"},
    {"{'text':'a\\u001bb'}", "text: a\\u001bb"},
};

/* expect_problems compares with what is printed, where quotes are double. */
static void run_quoted(const Case *cases, size_t count, bool as_plain)
{
    for (size_t i = 0; i < count; i++) {
        char *outcome = cases[i].outcome[0] == '{' ? strdup(cases[i].outcome) : json_from(cases[i].outcome);
        run(&(Case){cases[i].value, outcome}, 1, as_plain);
        free(outcome);
    }
}

static void test_typed(void **state)
{
    run_quoted(typed, ELEMENTS_OF(typed), false);
}

static void test_plain(void **state)
{
    run_quoted(plain, ELEMENTS_OF(plain), true);
}

static void test_at_key(void **state)
{
    Problems problems = {0};
    void *record = NULL;

    assert_int_equal(read_quoted(&record_type_Tree, "{'txt':1,'number':'x','map':{'a b':'x'}}", &problems, &record), RECORD_INVALID);
    assert_int_equal(problems.count, 3);
    assert_true(problems.items[0].at_key);
    assert_false(problems.items[1].at_key);
    assert_true(problems.items[2].at_key);
    assert_null(record);
    problems_release(&problems);
}

static void test_bad_json(void **state)
{
    static const char *const texts[] = {"", "{", "}", "x", "{'a':1,}", "{'text':'a','text':'b'}", "{'leaf':{'name':'a','name':'b'}}", "{} x",
                                        "{'number':99999999999999999999}", "{'text':'\\u0000'}", "{'text':'\xff'}", "{'text':'\\ud800'}",
                                        "5", "null", "{'text':'a\nb'}", "\xef\xbb\xbf{}"};

    for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
        Problems problems = {0};
        void *record = NULL;
        if (read_quoted(&record_type_Tree, texts[i], &problems, &record) != RECORD_INVALID)
            fail_msg("%s", texts[i]);
        assert_int_equal(problems.count, 1);
        assert_null(problems.items[0].field);
        assert_non_null(strstr(problems.items[0].reason, "no good JSON"));
        assert_null(record);
        problems_release(&problems);
    }
    /* With NUL inside, and deeper than anybody needs. */
    Problems problems = {0};
    void *record = NULL;
    char deep[10000];
    assert_int_equal(record_read_json(&record_type_Tree, "{}\0{}", 5, &problems, &record), RECORD_INVALID);
    memset(deep, '[', sizeof(deep));
    assert_int_equal(record_read_json(&record_type_Tree, deep, sizeof(deep), &problems, &record), RECORD_INVALID);
    problems_release(&problems);
}

/* Thousands of errors: the first thousand are kept, all are counted. */
static void test_many(void **state)
{
    Buffer text = {0};
    Problems problems = {0};
    void *record = NULL;

    buffer_append_char(&text, '{');
    for (unsigned i = 0; i < 5000; i++)
        buffer_printf(&text, "%s\"x%u\":1", i ? "," : "", i);
    buffer_append_char(&text, '}');
    assert_int_equal(record_read_json(&record_type_Tree, text.data, text.size_bytes, &problems, &record), RECORD_INVALID);
    assert_int_equal(problems.count, PROBLEMS_MAX);
    assert_int_equal(problems.errors, 5000);
    assert_int_equal(problems.dropped, 4000);
    problems_release(&problems);
    buffer_release(&text);
}

static void test_write(void **state)
{
    static const char all[] = "{'text':'a','number':4294967294,'choice':false,'colour':'red','texts':['x'],'map':{},'leaf':{'name':'\\u007f\\\\'},"
                              "'leaves':[],'secret':'s'}";
    Tree *tree = read_good(&record_type_Tree, all);

    expect_record(&record_type_Tree, tree, all);
    char *text = write_text(&record_type_Tree, tree, RECORD_OMIT_SECRETS);
    assert_null(strstr(text, "secret"));
    free(text);
    record_free(&record_type_Tree, tree);
}

static const struct {
    const char *path;
    const char *found; /* as JSON */
} paths[] = {
    {"", "whole"},          {"a", "'x'"},           {"b.c[1]", "2"},        {"b.c[1].d", "2"},          {"b.c[9]", "[1,2]"},
    {"b.zzz", "{'c':[1,2]}"}, {"l[0].n", "'z'"},      {"m[\"a.b\"]", "'q'"},  {"m[\"a\\\"c\"]", "'r'"},   {"m[\"zz\"]", "{'a.b':'q','a\\\"c':'r'}"},
    {"a.b.c", "'x'"},       {"b..c", "{'c':[1,2]}"}, {"b.c[", "[1,2]"},      {"b.c[x]", "[1,2]"},        {"m[\"", "{'a.b':'q','a\\\"c':'r'}"},
};

static void test_find(void **state)
{
    char *text = json_from("{'a':'x','b':{'c':[1,2]},'l':[{'n':'z'}],'m':{'a.b':'q','a\\\"c':'r'}}");
    json_t *root = json_loads(text, 0, NULL);

    for (size_t i = 0; i < ELEMENTS_OF(paths); i++) {
        Value value = value_find(value_from_json(root), paths[i].path);
        if (strcmp(paths[i].found, "whole") == 0) {
            assert_ptr_equal(value.node, root);
            continue;
        }
        char *wanted = json_from(paths[i].found);
        json_t *found = json_loads(wanted, JSON_DECODE_ANY, NULL);
        if (!json_equal(found, value.node))
            fail_msg("%s", paths[i].path);
        json_decref(found);
        free(wanted);
    }
    json_decref(root);
    free(text);
}

static const struct {
    const char *word, *near; /* of: elementName, port, autoPort, workingDirectory */
} slips[] = {
    {"elementname", "elementName"}, {"element_name", "elementName"}, {"element-name", "elementName"}, {"prot", "port"}, {"ports", "port"},
    {"auto_port", "autoPort"}, {"autport", "autoPort"}, {"workingDir", NULL}, {"workingDirecotry", "workingDirectory"}, {"x", NULL}, {"", NULL},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
};

static void test_nearest(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(slips); i++) {
        Nearest nearest = nearest_to(slips[i].word);
        nearest_offer(&nearest, "elementName");
        nearest_offer(&nearest, "port");
        nearest_offer(&nearest, "autoPort");
        nearest_offer(&nearest, "workingDirectory");
        if (slips[i].near ? !nearest.best || strcmp(nearest.best, slips[i].near) != 0 : nearest.best != NULL)
            fail_msg("%s: %s", slips[i].word, nearest.best ? nearest.best : "nothing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_typed), cmocka_unit_test(test_plain), cmocka_unit_test(test_at_key), cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_many),  cmocka_unit_test(test_write), cmocka_unit_test(test_find),   cmocka_unit_test(test_nearest),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
