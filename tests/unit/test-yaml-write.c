/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_write_record: what is quoted, how a service looks, and record -> YAML -> record for records of any content. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/yaml.h"
#include "schema/base/text.h"

/* A record of every kind of field, its texts of any form. */
static const char *const words_colour[] = {"red", "yes", "07", NULL};
#define INNER_FIELDS(F, T)                                                                                             \
    F(T, TEXT, text, "text", .help = "")                                                                               \
    F(T, MAP, map, "map", .help = "")                                                                                  \
    F(T, TEXT, secret, "secret", .secret = true, .help = "")
#define OUTER_FIELDS(F, T)                                                                                             \
    F(T, TEXT, text, "text", .help = "")                                                                               \
    F(T, NUMBER, number, "number", .max = UINT32_MAX, .help = "")                                                      \
    F(T, CHOICE, choice, "y", .help = "")                                                                              \
    F(T, WORD(words_colour), word, "word", .help = "")                                                                 \
    F(T, TEXTS, texts, "texts", .help = "")                                                                            \
    F(T, MAP, map, "map", .help = "")                                                                                  \
    F(T, RECORD(Inner), inner, "inner", .help = "")                                                                    \
    F(T, RECORDS(Inner), inners, "inners", .help = "")
RECORD_STRUCT(Inner, INNER_FIELDS);
RECORD_STRUCT(Outer, OUTER_FIELDS);
RECORD_TYPE(Inner, INNER_FIELDS, "");
RECORD_TYPE(Outer, OUTER_FIELDS, "");
static void outer_freep(Outer **outer)
{
    record_free(&record_type_Outer, *outer);
}
static void inner_freep(Inner **inner)
{
    record_free(&record_type_Inner, *inner);
}

/* Texts, and how each has to stand. */
static const char *const texts[][2] = {
    {"plain", "plain"},
    {"vsock://:5140", "vsock://:5140"},
    {"/run/vms/web1/v.sock", "/run/vms/web1/v.sock"},
    {"machine:*", "machine:*"},
    {"Guest log", "Guest log"},
    {"yes", "\"yes\""},
    {"No", "\"No\""},
    {"ON", "\"ON\""},
    {"y", "\"y\""},
    {"true", "\"true\""},
    {"null", "\"null\""},
    {"~", "\"~\""},
    {"", "\"\""},
    {"0x15", "\"0x15\""},
    {"08", "\"08\""},
    {"0660", "\"0660\""},
    {"1e3", "\"1e3\""},
    {"12:30", "\"12:30\""},
    {"1_000", "\"1_000\""},
    {"5140", "\"5140\""},
    {"-1", "\"-1\""},
    {"+1", "\"+1\""},
    {".5", "\".5\""},
    {".inf", "\".inf\""},
    {"2001-01-01", "\"2001-01-01\""},
    {"=", "\"=\""},
    {"<<", "\"<<\""},
    {"*x", "\"*x\""},
    {"&x", "\"&x\""},
    {"!x", "\"!x\""},
    {"- x", "\"- x\""},
    {"a: b", "\"a: b\""},
    {"a:", "\"a:\""},
    {"a #b", "\"a #b\""},
    {" a", "\" a\""},
    {"a ", "\"a \""},
    {"[a", "\"[a\""},
    {"a, b", "\"a, b\""},
    {"a\nb", "\"a\\nb\""},
    {"a\tb", "\"a\\tb\""},
    {"\"", "\"\\\"\""},
    {"C:\\x", "\"C:\\\\x\""},
    {"it's", "\"it's\""},
    {"größe", "\"größe\""},
    {"\xf0\x9f\x98\x80", "\"\\U0001F600\""},
    {"a\xe2\x80\xa8" "b", "\"a\\Lb\""},
    {"\x7f\x1b", "\"\\x7F\\e\""},
    {"---", "\"---\""},
};

static char *write_yaml(const RecordType *type, const void *record, RecordWriteFlags flags)
{
    Buffer buffer = {0};
    char *text;

    assert_int_equal(yaml_write_record(type, record, flags, &buffer), 0);
    assert_int_equal(buffer_take(&buffer, &text, NULL), 0);
    return text;
}

static void *read_back(const RecordType *type, const char *text)
{
    Problems problems = {0};
    _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;
    void *record;

    if (yaml_read("f", text, strlen(text), &problems, &tree) != 0)
        fail_msg("%s\n---\n%s", problems.items[0].reason, text);
    assert_int_equal(yaml_tree_count(tree), 1);
    if (record_read(type, yaml_tree_document(tree, 0), &problems, &record) != 0)
        fail_msg("%s: %s\n---\n%s", problems.items[0].field, problems.items[0].reason, text);
    return record;
}

static void assert_round_trip(const RecordType *type, const void *record)
{
    _cleanup_(freep) char *text = write_yaml(type, record, RECORD_WRITE_ALL);
    void *again = read_back(type, text);

    if (!record_equal(type, record, again))
        fail_msg("not the same again:\n%s", text);
    record_free(type, again);
}

static void test_quoting(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
        _cleanup_(inner_freep) Inner *inner = record_new(&record_type_Inner);
        assert_non_null(inner);
        inner->text = strdup(texts[i][0]);
        _cleanup_(freep) char *text = write_yaml(&record_type_Inner, inner, RECORD_WRITE_ALL), *wanted = NULL;
        assert_true(asprintf(&wanted, "text: %s\n", texts[i][1]) > 0);
        assert_string_equal(text, wanted);
        assert_round_trip(&record_type_Inner, inner);
    }
}

static void test_service(void **state)
{
    static const char wanted[] = "services:\n"
                                 "- name: guest-log\n"
                                 "  elementName: Guest log\n"
                                 "  port: 5140\n"
                                 "  type: stream\n"
                                 "  enabled: true\n"
                                 "  listen:\n"
                                 "  - vsock://:5140\n"
                                 "  - hybrid:///run/vms/web1/v.sock:5140\n"
                                 "  socket:\n"
                                 "    mode: \"0660\"\n"
                                 "  handout: {}\n"
                                 "  peers:\n"
                                 "    allow:\n"
                                 "    - web1\n"
                                 "    - \"42\"\n"
                                 "    - \"100-199\"\n"
                                 "    - uid:107\n"
                                 "    deny: []\n"
                                 "    rate: \"50/s\"\n"
                                 "  activate:\n"
                                 "    mode: accept\n"
                                 "    exec:\n"
                                 "    - /usr/libexec/guest-log\n"
                                 "    - \"--inetd\"\n"
                                 "    environment:\n"
                                 "      A: \"1\"\n"
                                 "      B: \"\"\n"
                                 "machines: []\n";
    _cleanup_(document_freep) Document *document = read_back(&record_type_Document, wanted);
    _cleanup_(freep) char *text = write_yaml(&record_type_Document, document, RECORD_WRITE_ALL);
    assert_string_equal(text, wanted);

    _cleanup_(freep) char *open = write_yaml(&record_type_Document, document, RECORD_OMIT_SECRETS);
    assert_null(strstr(open, "environment"));
    assert_non_null(strstr(open, "--inetd"));
}

static uint64_t random_state = 2463534242;

static unsigned random_below(unsigned bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state % bound);
}

/* Of pieces that mean something to YAML, and characters of every size. */
static char *random_text(void)
{
    static const char *const pieces[] = {" ", ":", "#", "-", "'", "\"", "\\", "\n", "\t", "\r", ",", "[", "]", "{", "}", "&", "*", "!", "|", ">",
                                         "%", "@", "`", "~", "?", "=", "<<", "0", "1", ".", "e", "a", "Z", "\x01", "\x7f", "ä", "\xc2\x85",
                                         "\xe2\x80\xa8", "日", "\xef\xbb\xbf", "\xef\xbf\xbd", "\xf0\x9f\x98\x80", "...", "---", "\n\n", "  "};
    Buffer text = {0};
    char *taken;

    if (random_below(3) == 0)
        return strdup(texts[random_below(ELEMENTS_OF(texts))][0]);
    for (unsigned n = random_below(12); n > 0; n--)
        buffer_append_text(&text, pieces[random_below(ELEMENTS_OF(pieces))]);
    assert_int_equal(buffer_take(&text, &taken, NULL), 0);
    return taken;
}

static TextList random_texts(void)
{
    TextList list = calloc(5, sizeof(*list));

    assert_non_null(list);
    for (unsigned i = 0, n = random_below(5); i < n; i++)
        list[i] = random_text();
    return list;
}

/* Keys in their order, each once, none empty. */
static TextList random_map(void)
{
    TextList map = calloc(2 * 4 + 1, sizeof(*map));
    unsigned count = 0;

    assert_non_null(map);
    for (unsigned i = 0; i < 4; i++) {
        char *key = random_text();
        if (!key[0] || (count > 0 && strcmp(map[2 * (count - 1)], key) >= 0)) {
            free(key);
            continue;
        }
        map[2 * count] = key;
        map[2 * count + 1] = random_text();
        count++;
    }
    return map;
}

static Inner *random_inner(void)
{
    Inner *inner = record_new(&record_type_Inner);

    assert_non_null(inner);
    inner->text = random_below(2) ? random_text() : NULL;
    inner->map = random_below(2) ? random_map() : NULL;
    return inner;
}

static void test_random(void **state)
{
    for (unsigned i = 0; i < 3000; i++) {
        _cleanup_(outer_freep) Outer *outer = record_new(&record_type_Outer);
        assert_non_null(outer);
        outer->text = random_below(4) ? random_text() : NULL;
        outer->number = (Number){.value = random_below(2) ? random_below(UINT32_MAX) : 0, .set = true};
        outer->choice = (Choice)random_below(3);
        outer->word = (uint8_t)random_below(4);
        outer->texts = random_below(2) ? random_texts() : NULL;
        outer->map = random_below(2) ? random_map() : NULL;
        outer->inner = random_below(2) ? random_inner() : NULL;
        if (random_below(2)) {
            outer->inners = calloc(4, sizeof(*outer->inners));
            assert_non_null(outer->inners);
            for (unsigned k = 0, n = random_below(4); k < n; k++)
                outer->inners[k] = random_inner();
        }
        assert_round_trip(&record_type_Outer, outer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_service),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
