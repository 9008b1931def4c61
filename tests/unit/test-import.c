/* SPDX-License-Identifier: Apache-2.0 */
/* .reg files in pieces of any size; keys; names; UTF-16; the index. What bad files are told is in tests/golden/import. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/import/import.h"
#include "config/import/reg.h"
#include "config/utf16.h"
#include "config/yaml.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"
#include "schema/codec/record.h"

#define KEY "[HKEY_LOCAL_MACHINE\\" WINDOWS_PATH "\\"

/* ---- UTF-16 ---- */

static void every_character(void **state)
{
    Buffer text = {0}, text16 = {0}, again = {0};
    bool broken;

    for (uint32_t code = 1; code < 0x110000; code++) {
        char bytes[4];
        size_t size = 0;
        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        if (code < 0x80) {
            bytes[size++] = (char)code;
        } else {
            int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
            bytes[size++] = (char)((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | code >> (6 * more));
            while (more-- > 0)
                bytes[size++] = (char)(0x80 | (code >> (6 * more) & 0x3f));
        }
        buffer_append(&text, bytes, size);
    }
    assert_true(text_is_utf8(text.data, text.size_bytes, NULL));
    utf16_append(&text16, text.data, text.size_bytes);
    assert_int_equal(text16.size_bytes, 2 * (0x10000 - 1 - 0x800) + 4 * 0x100000);
    assert_int_equal(utf16_decode((uint8_t *)text16.data, text16.size_bytes, true, &again, &broken), text16.size_bytes);
    assert_false(broken);
    assert_int_equal(again.size_bytes, text.size_bytes);
    assert_memory_equal(again.data, text.data, text.size_bytes);
    buffer_release(&text);
    buffer_release(&text16);
    buffer_release(&again);
}

static void halves_of_pairs(void **state)
{
    static const struct {
        const char *bytes;
        size_t size_bytes;
        bool last;
        size_t taken;
        bool broken;
    } cases[] = {
        {"a\0\x3d\xd8\x80\xde", 6, false, 6, false}, {"a\0\x3d\xd8\x80", 5, false, 2, false}, {"a\0\x3d\xd8", 4, false, 2, false},
        {"a\0\x3d\xd8", 4, true, 2, true},           {"a\0\x80\xde", 4, false, 2, true},       {"\x3d\xd8\x3d\xd8", 4, false, 0, true},
        {"a\0b", 3, false, 2, false},                {"a", 1, true, 0, false},                 {"", 0, true, 0, false},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Buffer text = {0};
        bool broken = !cases[i].broken;
        assert_int_equal(utf16_decode((const uint8_t *)cases[i].bytes, cases[i].size_bytes, cases[i].last, &text, &broken), cases[i].taken);
        assert_int_equal(broken, cases[i].broken);
        buffer_release(&text);
    }
}

/* ---- the index ---- */

static void index_keeps(void **state)
{
    static Index index;
    uint32_t note = 0;
    char key[32];

    assert_false(index_get(&index, "a", 1, &note));
    for (uint32_t i = 0; i < 5000; i++)
        for (uint32_t again = 0; again < 2; again++) {
            int size = i % 2 ? snprintf(key, sizeof(key), "%u", i) : snprintf(key, sizeof(key), "%016u-of-many", i);
            assert_int_equal(index_add(&index, key, (size_t)size, i + again, &note), again ? INDEX_TAKEN : 0);
            assert_true(!again || note == i);
        }
    assert_int_equal(index.count, 5000);
    assert_true(index_get(&index, "4999", 4, &note) && note == 4999);
    assert_false(index_get(&index, "4998", 4, &note));
    assert_int_equal(index_add(&index, "", 0, 1, NULL), 0);
    assert_int_equal(index_add(&index, "", 0, 1, NULL), INDEX_TAKEN);
    index_release(&index);
}

/* ---- files ---- */

static int on_service(const ServiceContext *service, const WindowsKey *key, void *userdata)
{
    Buffer *text = userdata;

    buffer_printf(text, "%u: ", key->line);
    record_write_json(&record_type_ServiceContext, service, RECORD_WRITE_ALL, text);
    buffer_append_char(text, '\n');
    return 0;
}

/* What is taken, and then what is told; owned by the caller. */
static char *read_in_pieces(const char *bytes, size_t size_bytes, size_t piece_bytes)
{
    Problems problems = {0};
    Buffer text = {0};
    Import import = {.problems = &problems, .on_service = on_service, .userdata = &text};
    _cleanup_(reg_reader_freep) RegReader *reader = NULL;
    char *told;

    assert_int_equal(reg_reader_new("x.reg", import_key, &import, &problems, &reader), 0);
    for (size_t at = 0; at < size_bytes; at += piece_bytes)
        assert_int_equal(reg_reader_feed(reader, bytes + at, size_bytes - at < piece_bytes ? size_bytes - at : piece_bytes), 0);
    assert_int_equal(reg_reader_finish(reader), 0);
    for (size_t i = 0; i < problems.count; i++) {
        problem_format(&problems.items[i], &text);
        buffer_append_char(&text, '\n');
    }
    assert_int_equal(buffer_take(&text, &told, NULL), 0);
    problems_release(&problems);
    import_release(&import);
    return told;
}

static void pieces_of_any_size(void **state)
{
    static const char *const files[] = {"host-desktop", "host-braces", "hand-written", "remove"};

    for (size_t i = 0; i < ELEMENTS_OF(files); i++) {
        char path[128];
        _cleanup_(freep) char *bytes = NULL;
        size_t size_bytes;
        snprintf(path, sizeof(path), "tests/golden/import/%s.reg", files[i]);
        assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &bytes, &size_bytes), 0);
        _cleanup_(freep) char *whole = read_in_pieces(bytes, size_bytes, size_bytes);
        assert_true(strlen(whole) > 0);
        for (size_t piece = 1; piece < 200; piece += piece < 10 ? 1 : 17) {
            _cleanup_(freep) char *told = read_in_pieces(bytes, size_bytes, piece);
            assert_string_equal(told, whole);
        }
    }
}

/* However a file is cut: no key is taken that is not in it as a whole, and the cut is told unless it is between lines. */
static void cut_anywhere(void **state)
{
    static const char file[] = "Windows Registry Editor Version 5.00\n" KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n\"Purpose\"=\"a\"\n" KEY
                               "00000002-FACB-11E6-BD58-64006A7986D3]\n\"ElementName\"=hex(1):62,00,\\\n  63,00,00,00\n\"Purpose\"=\"\xf0\x9f\x9a\x80 b\"\n";
    Buffer text16 = {0};

    utf16_append(&text16, file, sizeof(file) - 1);
    for (size_t size = 0; size <= text16.size_bytes; size++) {
        _cleanup_(freep) char *told = read_in_pieces(text16.data, size, 100);
        bool between = size >= 2 && text16.data[size - 2] == '\n' && text16.data[size - 4] != '\\';
        /* At the end of a line its newline may be missing. */
        bool end = size + 2 <= text16.size_bytes && text16.data[size] == '\n' && text16.data[size - 2] != '\\';
        bool blank = size >= 2 && text16.data[size - 2] == '\\' && size + 2 <= text16.size_bytes && text16.data[size] == '\n';
        if (!between && !end && !blank && !strstr(told, "x.reg:"))
            fail_msg("cut after %zu bytes, and not told: %s", size, told);
        if ((between || end) && strstr(told, "cut"))
            fail_msg("not cut after %zu bytes, but told: %s", size, told);
        assert_null(strstr(told, "\"b\"") ? strstr(told, "x.reg:") : NULL);
    }
    buffer_release(&text16);
}

static void lines(void **state)
{
    static const struct {
        const char *body, *told;
    } cases[] = {
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n", "2: {\"name\":\"port-1\",\"port\":1}\n"},
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3] ; why\n  \"ElementName\" = \"a; \\\\b\\\"\" ; c\n",
         "2: {\"name\":\"a-b\",\"elementName\":\"a; \\\\b\\\"\",\"port\":1}\n"},
        {KEY "{00000001-facb-11e6-bd58-64006a7986d3}]\n\"PURPOSE\"=\"X\"\n", "2: {\"name\":\"x\",\"port\":1}\n"},
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n\"ElementName\"=hex(1):77,00,\\\n; a comment\n 65,\\\n00,00,00\n",
         "2: {\"name\":\"we\",\"port\":1}\n"},
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n\"ElementName\"=hex(1):\n", "2: {\"name\":\"port-1\",\"port\":1}\n"},
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n\"Other\"=hex(7):zz,\\\n  \"ElementName\"=\"part of it\"\n\"ElementName\"=\"e\"",
         "2: {\"name\":\"e\",\"port\":1}\n"},
        {"\"ElementName\"=\"of no key\"\nnonsense\n", ""},
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n\"Purpose\"=\"Not ours\"\n\"ToolName\"=\"podman\"\n", "2: {\"name\":\"not-ours\",\"port\":1}\n"},
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n\"Purpose\"=\"a..b_\"\n\"ToolName\"=\"hvsockd\"\n", "2: {\"name\":\"a..b_\",\"port\":1}\n"},
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n\"Purpose\"=\"-Árvíztűrő_Ÿ× ſ.\"\n", "2: {\"name\":\"arvizturo_y-s\",\"port\":1}\n"},
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n\"Purpose\"=hex(2):61,00,00,00\n",
         "x.reg:3:1: \"Purpose\" is no string; REG_SZ would be right\nx.reg:2:1: this key is not taken, because a line of it cannot be read\n"},
        {KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n\"Purpose\"=hex(1):61,00\n",
         "x.reg:3:1: \"Purpose\" is cut: a string ends with a zero; hex(1): and pairs of hex digits with commas between them would be right\n"
         "x.reg:2:1: this key is not taken, because a line of it cannot be read\n"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Buffer file = {0};
        buffer_append_text(&file, "Windows Registry Editor Version 5.00\n");
        buffer_append_text(&file, cases[i].body);
        _cleanup_(freep) char *told = read_in_pieces(file.data, file.size_bytes, 7);
        assert_string_equal(told, cases[i].told);
        buffer_release(&file);
    }
}

static int stop(const WindowsKey *key, void *userdata)
{
    return -ECANCELED;
}

static void an_answer_ends_it(void **state)
{
    static const char file[] = "REGEDIT4\n" KEY "00000001-FACB-11E6-BD58-64006A7986D3]\n" KEY "00000002-FACB-11E6-BD58-64006A7986D3]\n";
    Problems problems = {0};
    _cleanup_(reg_reader_freep) RegReader *reader = NULL;

    assert_int_equal(reg_reader_new("x.reg", stop, NULL, &problems, &reader), 0);
    assert_int_equal(reg_reader_feed(reader, file, sizeof(file) - 1), -ECANCELED);
    assert_int_equal(problems.count, 0);
}

/* As yaml_write_record has it, so that both read the same. */
static void yaml_is_read(void **state)
{
    const ServiceContext services[] = {
        {.name = (char[]){"a"}, .port = {.value = 5, .set = true}},
        {.name = (char[]){"on"}, .element_name = (char[]){"- \"x\": #\\ \xf0\x9f\x9a\x80 "}, .guid = (char[]){"3a9f1c52-0f6e-4a7b-9a50-5d3c1f0b7e61"}},
    };

    for (size_t i = 0; i < ELEMENTS_OF(services); i++) {
        Problems problems = {0};
        Buffer text = {0};
        YamlTree *tree = NULL;
        void *read = NULL;
        buffer_append_text(&text, "services:\n");
        import_write_yaml(&services[i], &text);
        assert_int_equal(yaml_read("x", text.data, text.size_bytes, &problems, &tree), 0);
        assert_int_equal(record_read(&record_type_Document, yaml_tree_document(tree, 0), &problems, &read), 0);
        Document *document = read;
        assert_true(record_equal(&record_type_ServiceContext, document->services[0], &services[i]));
        document_free(document);
        yaml_tree_free(tree);
        buffer_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character), cmocka_unit_test(halves_of_pairs),   cmocka_unit_test(index_keeps),
        cmocka_unit_test(pieces_of_any_size), cmocka_unit_test(cut_anywhere),   cmocka_unit_test(lines),
        cmocka_unit_test(an_answer_ends_it), cmocka_unit_test(yaml_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
