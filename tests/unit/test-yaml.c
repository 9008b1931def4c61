/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_read: what is a tree, YAML's traps, and what each broken text is told, with its place. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/yaml.h"

typedef struct Case Case;

struct Case {
    const char *name;
    const char *text;
    size_t size_bytes; /* 0: up to the NUL */
    const char *tree;  /* a document a line; NULL: none */
    const char *problems;
};

/* Plain scalars as they are, texts in quotes. */
static void dump(Value value, Buffer *text)
{
    const void *iterator = NULL, *node;
    const char *key;
    bool first = true;

    switch (value.ops->kind(value.node)) {
    case VALUE_NULL:
        buffer_append_text(text, "null");
        break;
    case VALUE_PLAIN:
        buffer_append_text(text, value.ops->text(value.node));
        break;
    case VALUE_TEXT:
        buffer_append_json(text, value.ops->text(value.node));
        break;
    case VALUE_ARRAY:
        buffer_append_char(text, '[');
        for (size_t i = 0; i < value.ops->count(value.node); i++) {
            buffer_append_text(text, i > 0 ? "," : "");
            dump((Value){value.ops, value.ops->element(value.node, i)}, text);
        }
        buffer_append_char(text, ']');
        break;
    case VALUE_OBJECT:
        buffer_append_char(text, '{');
        while (value.ops->member(value.node, &iterator, &key, &node)) {
            buffer_printf(text, "%s%s:", first ? "" : ",", key);
            dump((Value){value.ops, node}, text);
            first = false;
        }
        buffer_append_char(text, '}');
        break;
    case VALUE_BOOLEAN:
    case VALUE_INTEGER:
    case VALUE_REAL:
        fail_msg("a kind that YAML has not");
    }
}

static char *dump_tree(const YamlTree *tree)
{
    Buffer buffer = {0};
    char *text;

    for (size_t i = 0; i < yaml_tree_count(tree); i++) {
        buffer_append_text(&buffer, i > 0 ? "\n" : "");
        dump(yaml_tree_document(tree, i), &buffer);
    }
    assert_int_equal(buffer_take(&buffer, &text, NULL), 0);
    return text;
}

static char *dump_problems(const Problems *problems)
{
    Buffer buffer = {0};
    char *text;

    for (size_t i = 0; i < problems->count; i++) {
        buffer_append_text(&buffer, i > 0 ? "\n" : "");
        problem_format(&problems->items[i], &buffer);
    }
    assert_int_equal(buffer_take(&buffer, &text, NULL), 0);
    return text;
}

#define DEEP8 "[[[[[[[["
#define SHALLOW8 "]]]]]]]]"
#define DEEP32 DEEP8 DEEP8 DEEP8 DEEP8
#define SHALLOW32 SHALLOW8 SHALLOW8 SHALLOW8 SHALLOW8
#define TAG_HINT "leave it out: the field says how its value is read; a text that begins with ! needs quotes"

static const Case cases[] = {
    /* what is fine */
    {"empty", "", .tree = ""},
    {"comments alone", "# nothing\n\n  # here\n", .tree = ""},
    {"a document with nothing in it", "---\n...\n", .tree = "null"},
    {"many documents", "a: 1\n---\nb: 2\n---\n- c\n", .tree = "{a:1}\n{b:2}\n[c]"},
    {"plain scalars are the field's to read", "[0x15, 08, yes, 1e3, 12:30, on, 1_000, .5, =, 2001-01-01]",
     .tree = "[0x15,08,yes,1e3,12:30,on,1_000,.5,=,2001-01-01]"},
    {"quoted scalars are text", "['5140', \"true\", '~', \"a\\tb\", 'it''s']", .tree = "[\"5140\",\"true\",\"~\",\"a\\tb\",\"it's\"]"},
    {"nulls", "[~, null, Null, NULL, '', nULL]\n", .tree = "[null,null,null,null,\"\",nULL]"},
    {"a key without value", "a:\nb: 1\n", .tree = "{a:null,b:1}"},
    {"keys are text", "yes: 1\n08: 2\n~: 3\n\"<<\": 4\n", .tree = "{yes:1,08:2,~:3,<<:4}"},
    {"block scalars are text", "a: |\n  5140\nb: >-\n  x\n  y\n", .tree = "{a:\"5140\\n\",b:\"x y\"}"},
    {"CR LF", "a: 1\r\nb:\r\n  - c\r\n", .tree = "{a:1,b:[c]}"},
    {"CR alone", "a: 1\rb: 2\r", .tree = "{a:1,b:2}"},
    {"a byte order mark", "\xef\xbb\xbf" "a: 1\n", .tree = "{a:1}"},
    {"a byte order mark alone", "\xef\xbb\xbf", .tree = ""},
    {"tabs where they may be", "a:\t1\t# x\nb: {\tc:\t2\t}\n", .tree = "{a:1,b:{c:2}}"},
    {"other alphabets", "größe: 日本\n\"\xf0\x9f\x98\x80\": 1\n", .tree = "{größe:日本,\xf0\x9f\x98\x80:1}"},
    {"an alias of a scalar", "a: &x 5\nb: *x\n", .tree = "{a:5,b:5}"},
    {"an alias of a mapping", "a: &x {k: [1, 2]}\nb: *x\nc: [*x]\n", .tree = "{a:{k:[1,2]},b:{k:[1,2]},c:[{k:[1,2]}]}"},
    {"an alias as a key", "&x a: 1\nb: {*x : 2}\n", .tree = "{a:1,b:{a:2}}"},
    {"an anchor given anew", "[&x 1, *x, &x 2, *x]", .tree = "[1,1,2,2]"},
    {"as deep as may be", DEEP32 "a" SHALLOW32, .tree = DEEP32 "a" SHALLOW32},
    {"a pair in a list", "[a: 1, b]", .tree = "[{a:1},b]"},
    {"a version that we know", "%YAML 1.1\n---\na: 1\n", .tree = "{a:1}"},
    {"seventeen keys are sorted", "{q: 1, w: 1, e: 1, r: 1, t: 1, y: 1, u: 1, i: 1, o: 1, p: 1, a: 1, s: 1, d: 1, f: 1, g: 1, h: 1, j: 1}",
     .tree = "{q:1,w:1,e:1,r:1,t:1,y:1,u:1,i:1,o:1,p:1,a:1,s:1,d:1,f:1,g:1,h:1,j:1}"},

    /* keys */
    {"a key twice", "a: 1\nb: 2\na: 3\n", .problems = "f:3:1: a: the key is given twice, first in line 1; keep one of them"},
    {"a key twice, quoted once", "s:\n- {p: 1, 'p': 2, x: 3}\n",
     .problems = "f:2:10: s[0].p: the key is given twice, first in line 2; keep one of them"},
    {"a key three times", "a: 1\na: 2\na: 3\n",
     .problems = "f:2:1: a: the key is given twice, first in line 1; keep one of them\n"
                 "f:3:1: a: the key is given twice, first in line 1; keep one of them"},
    {"a key twice among many", "{q: 1, w: 1, e: 1, r: 1, t: 1, y: 1, u: 1, i: 1, o: 1, p: 1, a: 1, s: 1, d: 1, f: 1, q: 1, h: 1, w: 1}",
     .problems = "f:1:86: q: the key is given twice, first in line 1; keep one of them\n"
                 "f:1:98: w: the key is given twice, first in line 1; keep one of them"},
    {"merge", "a: &x {k: 1}\nb:\n  <<: *x\n  j: 2\n",
     .problems = "f:3:3: b[\"<<\"]: YAML's merge key is not taken; write the fields out, or let an alias stand for a whole value"},
    {"a list as key", "? [a, b]\n: 1\n",
     .problems = "f:1:3: a list or a mapping cannot be a key; write the key as plain text; what begins with [ or { needs quotes"},
    {"a mapping as key", "{a: 1}: 1\n",
     .problems = "f:1:1: a list or a mapping cannot be a key; write the key as plain text; what begins with [ or { needs quotes"},
    {"an alias of a list as key", "a: &x [1]\nb: {*x : 1}\n",
     .problems = "f:2:5: b: a list or a mapping cannot be a key; write the key as plain text; what begins with [ or { needs quotes"},
    {"a problem below a list as key", "? []\n: [!x 1]\n",
     .problems = "f:1:3: a list or a mapping cannot be a key; write the key as plain text; what begins with [ or { needs quotes\n"
                 "f:2:4: [\"?\"][0]: YAML's tags are not taken: `!x`; " TAG_HINT},
    {"no key", "a:\n  ?\n  : 2\n", .problems = "f:2:4: a: there is no key before the colon; write `key: value`"},

    /* tags */
    {"!!int", "port: !!int \"5140\"\n", .problems = "f:1:7: port: YAML's tags are not taken: `!!int`; " TAG_HINT},
    {"a tag of one's own", "a: !ruby/object {b: 1}\n", .problems = "f:1:4: a: YAML's tags are not taken: `!ruby/object`; " TAG_HINT},
    {"a tag on a list", "- a\n- !!set [x]\n", .problems = "f:2:3: [1]: YAML's tags are not taken: `!!set`; " TAG_HINT},
    {"a whole tag", "a: !<tag:example.org,2000:x> 1\n",
     .problems = "f:1:4: a: YAML's tags are not taken: `tag:example.org,2000:x`; " TAG_HINT},
    {"a tag with a line end in it", "a: !x%0Ay 1\n", .problems = "f:1:4: a: YAML's tags are not taken: `!…`; " TAG_HINT},
    {"the tag that says nothing", "größe: ! 5\n", .problems = "f:1:8: [\"größe\"]: YAML's tags are not taken: `!`; " TAG_HINT},
    {"the same behind an anchor", "a: &x ! 5\n", .problems = "f:1:4: a: YAML's tags are not taken: `!`; " TAG_HINT},
    {"a handle that nobody knows", "a: !e!x 1\n", .problems = "f:1:4: YAML's tags (`!…`) are not taken; " TAG_HINT},

    /* aliases */
    {"an alias of nothing", "a: *x\n",
     .problems = "f:1:4: a: `*x` stands for nothing: there is no `&x` before it; write `&name` before a value, then `*name`; "
                 "a text that begins with * needs quotes"},
    {"an anchor of another document", "&x a\n---\n*x\n",
     .problems = "f:3:1: `*x` stands for nothing: there is no `&x` before it; write `&name` before a value, then `*name`; "
                 "a text that begins with * needs quotes"},
    {"an alias inside of itself", "a: &x [1, *x]\n",
     .problems = "f:1:11: a[1]: `*x` stands inside of what it stands for; name something that is complete"},
    {"a star alone", "peers: *\n", .problems = "f:1:8: `*` begins an alias, and no name follows; put a text that begins with * into quotes"},
    {"aliases that grow deep", "a: &a [[[[[[[[1]]]]]]]]\nb: &b [[[[[[[[*a]]]]]]]]\nc: &c [[[[[[[[*b]]]]]]]]\nd: [[[[[[[*c]]]]]]]\n",
     .problems = "f:4:11: d[0][0][0][0][0][0][0]: lists and mappings are nested more than 32 levels deep; no field is nested that deep"},

    /* bytes */
    {"UTF-16 with its mark", "\xff\xfe" "a\0:\0", 6, .problems = "f:1:1: the file is UTF-16; save it as UTF-8"},
    {"UTF-16 the other way round", "\xfe\xff\0a\0:", 6, .problems = "f:1:1: the file is UTF-16; save it as UTF-8"},
    {"UTF-16 without a mark", "a\0:\0 \0", 6, .problems = "f:1:1: the file is UTF-16; save it as UTF-8"},
    {"UTF-32", "\xff\xfe\0\0a\0\0\0", 8, .problems = "f:1:1: the file is UTF-32; save it as UTF-8"},
    {"UTF-32 without a mark", "\0\0\0a\0\0\0:", 8, .problems = "f:1:1: the file is UTF-32; save it as UTF-8"},
    {"a NUL", "a: 1\nb: x\0y\n", 11, .problems = "f:2:5: the character U+0000 cannot stand here; a YAML file is text; remove the byte"},
    {"an escaped NUL", "a: \"x\\0y\"\n", .problems = "f:1:4: a: no text can hold a NUL; remove the \\0"},
    {"Latin-1", "# größe\r\na: gr\xf6\xdf" "e\n", .problems = "f:2:6: the byte 0xf6 is not UTF-8 here; save the file as UTF-8"},
    {"UTF-8 that is cut", "a: \xe6\x97", .problems = "f:1:4: the byte 0xe6 is not UTF-8 here; save the file as UTF-8"},
    {"a surrogate", "a: \xed\xa0\x80", .problems = "f:1:4: the byte 0xed is not UTF-8 here; save the file as UTF-8"},
    {"an overlong slash", "\xc0\xaf", .problems = "f:1:1: the byte 0xc0 is not UTF-8 here; save the file as UTF-8"},
    {"an escape character", "ä: \x1b[1m\n",
     .problems = "f:1:4: the character U+001B cannot stand here; remove it, or write it as \\xNN in double quotes"},
    {"a line end that editors do not show", "# x\xe2\x80\xa8port: 1\n",
     .problems = "f:1:4: the character U+2028 cannot stand here; YAML ends a line there, and editors do not; remove it, or write it "
                 "as \\N, \\L or \\P in double quotes"},
    {"a second byte order mark", "\xef\xbb\xbf" "a: \xef\xbb\xbf" "1\n",
     .problems = "f:1:4: the character U+FEFF cannot stand here; a byte order mark stands at the beginning of a file or nowhere; remove it"},

    /* what libyaml refuses */
    {"a tab as indentation", "a:\n\tb: 1\n", .problems = "f:2:1: a tab stands where YAML wants spaces; indent with spaces"},
    {"a tab after spaces", "ä:\n  - b: 1\n\t  c: 2\n", .problems = "f:3:1: a tab stands where YAML wants spaces (it began in line 2); indent with spaces"},
    {"a quote that stays open", "a: 1\nb: \"x\nc: 2\n", .problems = "f:2:4: the quote that is opened here is never closed; end the text with the quote that it begins with"},
    {"a single one", "b: 'x", .problems = "f:1:4: the quote that is opened here is never closed; end the text with the quote that it begins with"},
    {"a quote over the end of a document", "b: 'x\n---\na: 1\n",
     .problems = "f:1:4: the quote that is opened here is not closed before the document ends; end the text with the quote that it begins with"},
    {"an @", "a: @b\n", .problems = "f:1:4: no value begins with this character; put the text into quotes"},
    {"two colons", "a: b: c\n", .problems = "f:1:5: there is a colon where no key can be; put a text that holds `: ` into quotes, or mend the indentation"},
    {"indentation that goes wrong", "a:\n  b: 1\n c: 2\n",
     .problems = "f:3:2: this does not go on with the mapping that was begun (it began in line 1); give all its keys the same indentation, "
                 "and put a text with quotes inside of it into quotes as a whole"},
    {"a list that goes wrong", "- a\nb: 1\n",
     .problems = "f:2:1: this does not go on with the list that was begun (it began in line 1); give each `- ` of a list the same indentation"},
    {"a list without end", "a: [1, 2\nb: 3\n",
     .problems = "f:2:2: the list that was opened with [ does not go on here (it began in line 1); put a comma between its values and ] at its end"},
    {"a mapping without end", "a: {b: 1\n",
     .problems = "f:2:1: the mapping that was opened with { does not go on here (it began in line 1); put a comma between its members and } at its end"},
    {"a value that is missing", "a: [1,,2]\n", .problems = "f:1:7: a value is missing here; write it, or remove what asks for it"},
    {"a key without colon", "a: 1\nbb\nc: 2\n",
     .problems = "f:2:1: this key has no colon; write `key: value`; a text goes on in lines that are indented further"},
    {"text behind the end", "{a: 1}\nb\n", .problems = "f:2:1: the document has ended before this; mend the indentation, or begin a new document with `---`"},
    {"an unknown escape", "a: \"C:\\Users\"\n",
     .problems = "f:1:9: hexadecimal digits are missing here, after a \\; write \\xNN, \\uNNNN or \\UNNNNNNNN, or use single quotes"},
    {"another one", "a: \"\\d\"\n", .problems = "f:1:5: this \\ sequence means nothing in double quotes; write \\\\ for a \\, or use single quotes"},
    {"a directive of one's own", "%FOO x\n---\na: 1\n", .problems = "f:1:1: a line that begins with % is a directive, and this is none; leave it out, or put the text into quotes"},
    {"YAML 2", "%YAML 2.0\n---\na: 1\n", .problems = "f:1:1: this version of YAML is not known; leave the line out"},
    {"33 levels", DEEP32 "[a]" SHALLOW32,
     .problems = "f:1:33: [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: "
                 "lists and mappings are nested more than 32 levels deep; no field is nested that deep"},
};

static void test_cases(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const Case *test = &cases[i];
        Problems problems = {0};
        _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;
        size_t size = test->size_bytes ? test->size_bytes : strlen(test->text);
        /* a copy of exactly that size, so that a sanitizer sees who reads past its end */
        _cleanup_(freep) char *copy = malloc(size ? size : 1);
        assert_non_null(copy);
        memcpy(copy, test->text, size);
        int r = yaml_read("f", copy, size, &problems, &tree);
        _cleanup_(freep) char *told = dump_problems(&problems);
        _cleanup_(freep) char *read = tree ? dump_tree(tree) : NULL;

        if (strcmp(told, test->problems ? test->problems : "") != 0)
            fail_msg("%s:\n told:   %s\n wanted: %s", test->name, told, test->problems ? test->problems : "nothing");
        if (r != (test->problems ? YAML_INVALID : 0))
            fail_msg("%s: %d", test->name, r);
        if ((read == NULL) != (test->tree == NULL) || (read && strcmp(read, test->tree) != 0))
            fail_msg("%s:\n read:   %s\n wanted: %s", test->name, read, test->tree);
        problems_release(&problems);
    }
}

/* What leaves a whole tree does not keep it back; what leaves a hole does, as all that misses it would be told too. */
static void test_with_problems(void **state)
{
    static const struct {
        const char *text, *tree;
        unsigned errors;
    } texts[] = {
        {"a: 1\na: 2\nb: {c: !!int 4, c: 5}\n", "{a:1,b:{c:4}}", 3},
        {"a: 1\na: 2\nb: {<<: 3}\n", NULL, 2},
        {"a: 1\na: 2\n? [d]\n: 5\n", NULL, 2},
        {"a: \"\\0\"\na: 2\n", NULL, 2},
    };

    for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
        Problems problems = {0};
        _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;
        int r = yaml_read_with_problems("f", texts[i].text, strlen(texts[i].text), &problems, &tree);
        assert_int_equal(r, texts[i].tree ? 0 : YAML_INVALID);
        assert_int_equal(problems.errors, texts[i].errors);
        _cleanup_(freep) char *read = tree ? dump_tree(tree) : NULL;
        assert_true(tree ? strcmp(read, texts[i].tree) == 0 : !texts[i].tree);
        problems_release(&problems);
    }
}

static void test_places(void **state)
{
    static const char text[] = "\xef\xbb\xbf# größe\r\nservices:\r\n  - name: x\r\n    listen: ['a', &b \"ä\", *b]\r\n    labels: {ä: *b}\r\n";
    static const struct {
        const char *path;
        bool at_key;
        unsigned line, column;
    } places[] = {
        {"", false, 2, 1},
        {"services", false, 3, 3},
        {"services", true, 2, 1},
        {"services[0]", false, 3, 5},
        {"services[0].name", false, 3, 11},
        {"services[0].name", true, 3, 5},
        {"services[0].listen[1]", false, 4, 19},
        {"services[0].listen[2]", false, 4, 27},
        {"services[0].labels[\"ä\"]", false, 5, 17},
        {"services[0].labels[\"ä\"]", true, 5, 14},
        {"services[0].port", false, 3, 5}, /* is missing: the record's place */
        {"services[7]", false, 3, 3},
    };
    Problems problems = {0};
    _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;

    assert_int_equal(yaml_read("f", text, strlen(text), &problems, &tree), 0);
    problem_locate(problems_add(&problems, "x", NULL, "before"), "other", 0, 0);
    for (size_t i = 0; i < ELEMENTS_OF(places); i++)
        problems_add(&problems, places[i].path, NULL, "-")->at_key = places[i].at_key;
    yaml_locate("f", yaml_tree_document(tree, 0), &problems, 1);
    assert_int_equal(problems.items[0].line, 0);
    assert_string_equal(problems.items[0].file, "other");
    for (size_t i = 0; i < ELEMENTS_OF(places); i++) {
        const Problem *problem = &problems.items[i + 1];
        if (problem->line != places[i].line || problem->column != places[i].column)
            fail_msg("%s: %u:%u", places[i].path, problem->line, problem->column);
        assert_string_equal(problem->file, "f");
    }
    problems_release(&problems);
}

static void repeat(Buffer *text, const char *what, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buffer_append_text(text, what);
}

static void assert_told(const Buffer *text, const char *wanted)
{
    Problems problems = {0};
    YamlTree *tree = NULL;

    assert_false(text->failed);
    assert_int_equal(yaml_read("f", text->data, text->size_bytes, &problems, &tree), YAML_INVALID);
    assert_null(tree);
    assert_int_equal(problems.count, 1);
    _cleanup_(freep) char *told = dump_problems(&problems);
    if (!strstr(told, wanted))
        fail_msg("%s", told);
    problems_release(&problems);
}

static void test_levels(void **state)
{
    Buffer text = {0};

    repeat(&text, "[", 5000);
    repeat(&text, "]", 5000);
    assert_told(&text, "f:1:33: ");
    buffer_clear(&text);
    repeat(&text, "{a: ", 5000);
    assert_told(&text, "nested more than 32 levels");
    buffer_clear(&text);
    repeat(&text, "- ", 5000);
    assert_told(&text, "nested more than 32 levels");
    buffer_clear(&text);
    for (size_t i = 0; i < 5000; i++) {
        repeat(&text, " ", i);
        repeat(&text, "a:\n", 1);
    }
    assert_told(&text, "f:33:33: ");
    buffer_release(&text);
}

/* Ten aliases of ten aliases of …: told before anything of that size is made. */
static void test_laughs(void **state)
{
    Buffer text = {0};

    buffer_append_text(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (unsigned i = 1; i < 20; i++) {
        buffer_printf(&text, "a%u: &a%u [", i, i);
        for (unsigned k = 0; k < 10; k++)
            buffer_printf(&text, "%s*a%u", k > 0 ? ", " : "", i - 1);
        buffer_append_text(&text, "]\n");
    }
    assert_told(&text, "f:8:10: a7[0]: the file holds more than 16000000 values, aliases counted as what they stand for");
    buffer_release(&text);
}

static void test_long_key(void **state)
{
    Buffer text = {0};

    buffer_append_text(&text, "? ");
    repeat(&text, "k", YAML_KEY_MAX_BYTES + 1);
    buffer_append_text(&text, "\n: 1\n");
    assert_told(&text, "f:1:3: the key has more than 4096 bytes; choose a shorter one");
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),  cmocka_unit_test(test_with_problems), cmocka_unit_test(test_places),
        cmocka_unit_test(test_levels), cmocka_unit_test(test_laughs),        cmocka_unit_test(test_long_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
