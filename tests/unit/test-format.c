/* SPDX-License-Identifier: Apache-2.0 */
/* schema/model/format*: what each format takes and refuses, that its pattern refuses nothing that its check takes, and what the
 * texts of quantities and peers amount to. */

#include <regex.h>
#include <sys/resource.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/model/format.h"
#include "schema/model/peer.h"
#include "schema/model/quantity.h"
#include "schema/model/records.h"

#define LONG_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_256 LONG_64 LONG_64 LONG_64 LONG_64

/* Texts, ended by NULL. */
static const struct {
    const Format *format;
    const char *good[24];
    const char *bad[32];
} formats[] = {
    {&format_service_name, {"a", "0", "guest-log", "a.b_c-d", "5140", "1.5", "a-", LONG_64, NULL},
     {"", "A", "-a", ".a", "_a", "a b", "a/b", "a:b", "a\n", "\xc3\xa4", "a*", NULL}},
    {&format_machine_name, {"web1", "a", "1a", "1.5", "any1", "hosts", "a-1", "1-a", "0xg", "0x", "2024-11-x", "6f9619ff-8b86-d011-b42d-00c04fc964ff", NULL},
     {"", "42", "0", "042", "0x2a", "1-2", "100-199", "100-", "1-0x2", "any", "local", "host", "hypervisor", "Web", "-1", "a:b", NULL}},
    {&format_name_pattern, {"*", "podman-*", "a*b*", "a", NULL}, {"", "-*", "A*", "a?", "a/*", NULL}},
    {&format_element_name, {"", "Guest log", "\xc3\xa4 \"x\" \\", "\xf0\x9f\x98\x80", NULL},
     {"a\nb", "\t", "\x7f", "\xc2\x85", "\xe2\x80\xa8", "\xff", "a\r", NULL}},
    {&format_guid, {"00001414-facb-11e6-bd58-64006a7986d3", "{00001414-FACB-11e6-bd58-64006a7986d3}", NULL},
     {"", "00001414facb11e6bd5864006a7986d3", "{00001414-facb-11e6-bd58-64006a7986d3", "x", NULL}},
    {&format_listen, {"vsock://:5140", "vsock:2:5", "hybrid:///x", "hyperkit:///x", "unix:///x", "machine:web1", "machine:*", NULL},
     {"", "5140", "machine:42", "vsock://", "tcp://:1", "hvsock:///run/x:5", NULL}},
    {&format_absolute_path, {"/", "/a", "/a/b/", "/a b", "/...", NULL}, {"", "a", "./a", "~/a", "/a/../b", "/..", "/a\nb", "/\xff", "/" LONG_256, NULL}},
    {&format_program, {"/bin/true", "/a b", NULL}, {"", "true", "/", "/bin/", "bin/true", "/a/../b", NULL}},
    {&format_user, {"root", "_apt", "fc-web1", "0", "107", "4294967294", "a.b", "DOM\\u", "u@d.example", "sys$", NULL},
     {"", "-a", "a b", "a:b", "a/b", "4294967295", "007", "1a", "+1", "100-200", "a\n", "\xc3\xa4", ".a", NULL}},
    {&format_user_range, {"root", "0", "100000-165535", "5-5", NULL}, {"", "5-4", "5-", "-5", "1-2-3", "0-4294967295", "01-2", "a b", NULL}},
    {&format_group, {"kvm", "36", NULL}, {"", "1-2", "k v", NULL}},
    {&format_mode, {"0660", "660", "0", "7", "0777", "777", "0000", NULL}, {"", "0888", "1777", "00660", "0o660", "rw", "-1", "0x1", "06 0", NULL}},
    {&format_peer, {"web1", "42", "0", "100-199", "7-7", "uid:107", "uid:fc-web1", "4294967294", "1a", NULL},
     {"", "any", "local", "0x2a", "199-100", "1-", "-1", "1-2-3", "042", "4294967295", "uid:", "uid:-1", "uid:1-2", "uid:4294967295", "gid:1",
      "vsock:42:5", "*", "Web1", LONG_64 "a", NULL}},
    {&format_rate, {"1/s", "50/s", "3/min", "10/h", "1000000000/s", NULL},
     {"", "0/s", "50", "50/", "/s", "50/S", "50/sec", "50/m", "050/s", "-1/s", "50 /s", "50/s ", "1000000001/s", "5/10s", NULL}},
    {&format_start_limit, {"5/10s", "1/1s", "1000000000/1000000000s", NULL}, {"", "5/10", "5/s", "0/10s", "5/0s", "5/010s", "5/10min", "5/10ss", "/10s", NULL}},
    {&format_environment_name, {"A", "_", "a1", "LD_PRELOAD", NULL}, {"", "1A", "A=B", "A B", "A-B", "\xc3\xa4", NULL}},
    {&format_environment_value, {"", "a=b", "two\nlines", "\xc3\xa4", NULL}, {"\xff", NULL}},
    {&format_argument, {"", "-x", "two\nlines", NULL}, {"\xc0\xaf", NULL}},
    {&format_limit_name, {"NOFILE", "NPROC", "CORE", "AS", "CPU", "RTTIME", "NICE", NULL}, {"", "nofile", "LimitNOFILE", "RLIMIT_NOFILE", "X", NULL}},
    {&format_limit_value, {"0", "1024", "1024:4096", "infinity", "1024:infinity", "64M", "1G:2G", "30s", "5min", "100ms", "-5", "+5:-20", NULL},
     {"", ":", "1:", ":1", "1:2:3", "-1M", "1Q", "inf", "01", "1.5G", "0x10", "18446744073709551615", "99999999999E", "-21", "+20", NULL}},
    {&format_unit_name, {"a.service", "guest-log@1.service", "a\\x2db.service", NULL}, {"", ".service", "a.socket", "a", "a b.service", "../a.service", NULL}},
    {&format_label_name, {"team", "a.b/c-d_E9", NULL}, {"", "a b", "a:b", "\xc3\xa4", LONG_64 LONG_64 "a", NULL}},
    {&format_label_value, {"", "infra", "two words", NULL}, {"a\nb", "\xff", LONG_256 LONG_256 LONG_256 LONG_256 "a", NULL}},
    {&format_sddl,
     {"D:P(A;;FA;;;SY)", "O:BAG:SYD:(A;;GA;;;BA)(A;;GA;;;S-1-5-32-544)", "D:", "S:AI(AU;SAFA;FA;;;WD)", "O:S-1-5-18", "D:NO_ACCESS_CONTROL", "O:SYG:S-1-5-32-545D:AI", "D:PS:AI(AU;SAFA;FA;;;WD)", "D:S:", NULL},
     {"", "x", "D", "D:(A;;FA;;;SY", "D:(A;;FA)", "D:(A;;FA;;;S\nY)", "S:D:", "D:P:", "D:D:", "O:", "O:D:", "G:xD:", "(A;;FA;;;SY)", NULL}},
    {&format_port_range, {"0", "50000-50999", "0x10000000-0x1000ffff", "5-5", "4294967294", NULL},
     {"", "9-5", "1-4294967295", "0xffffffff", "-", "1-", "a-b", "01", NULL}},
};

static void test_formats(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(formats); i++) {
        const Format *format = formats[i].format;
        assert_non_null(format->name);
        assert_non_null(format->hint);
        for (size_t k = 0; formats[i].good[k]; k++) {
            const char *why = format->check(formats[i].good[k]);
            if (why)
                fail_msg("%s: \"%s\" was refused: %s", format->name, formats[i].good[k], why);
        }
        for (size_t k = 0; formats[i].bad[k]; k++)
            if (!format->check(formats[i].bad[k]))
                fail_msg("%s: \"%s\" was taken", format->name, formats[i].bad[k]);
    }
}

/* ECMA's patterns are POSIX's, as far as these go, but for lookaheads and \u. */
static void test_patterns(void **state)
{
    size_t compiled = 0;

    for (size_t i = 0; i < ELEMENTS_OF(formats); i++) {
        const Format *format = formats[i].format;
        regex_t regex;
        if (!format->pattern || strstr(format->pattern, "(?") || strstr(format->pattern, "\\u"))
            continue;
        /* Within brackets a backslash is itself in POSIX, an escape in ECMA. */
        char pattern[512];
        size_t size = 0;
        bool brackets = false;
        for (const char *at = format->pattern; *at && size < sizeof(pattern) - 1; at++) {
            brackets = brackets ? *at != ']' : *at == '[';
            if (brackets && at[0] == '\\' && at[1] == '\\')
                at++;
            pattern[size++] = *at;
        }
        pattern[size] = '\0';
        assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
        compiled++;
        for (size_t k = 0; formats[i].good[k]; k++)
            if (regexec(&regex, formats[i].good[k], 0, NULL, 0) != 0)
                fail_msg("%s: the pattern refuses \"%s\"", format->name, formats[i].good[k]);
        regfree(&regex);
    }
    assert_true(compiled >= 15);
}

/* Each byte at each place of a name. */
static void test_every_byte(void **state)
{
    for (int c = 1; c < 256; c++) {
        const char first[] = {(char)c, 'a', '\0'}, later[] = {'a', (char)c, '\0'};
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool inner = letter || c == '.' || c == '_' || c == '-';
        assert_int_equal(format_service_name.check(first) == NULL, letter);
        assert_int_equal(format_service_name.check(later) == NULL, inner);
        assert_int_equal(format_machine_name.check(first) == NULL, letter);
        assert_int_equal(format_machine_name.check(later) == NULL, inner);
        bool printable = c >= 0x20 && c < 0x7f; /* a lone byte above is no UTF-8 */
        assert_int_equal(format_element_name.check(later) == NULL, printable);
        assert_int_equal(format_environment_value.check(later) == NULL, c < 0x80);
    }
}

static void test_advice(void **state)
{
    assert_non_null(strstr(format_limit_name.advise("LimitNOFILE"), "without the word Limit"));
    assert_null(format_limit_name.advise("nofile"));
    assert_non_null(strstr(format_listen.advise("hvsock:///run/v.sock:5"), "hybrid://"));
    assert_non_null(strstr(format_listen.advise("vsock://2"), "vsock://:PORT"));
}

static const struct {
    const char *text;
    uint32_t count, seconds;
} rates[] = {{"50/s", 50, 1}, {"3/min", 3, 60}, {"1000000000/h", 1000000000, 3600}};

static void test_rates(void **state)
{
    uint32_t count, seconds, mode;

    for (size_t i = 0; i < ELEMENTS_OF(rates); i++) {
        assert_true(rate_parse(rates[i].text, &count, &seconds));
        assert_int_equal(count, rates[i].count);
        assert_int_equal(seconds, rates[i].seconds);
    }
    assert_true(start_limit_parse("5/10s", &count, &seconds));
    assert_int_equal(count, 5);
    assert_int_equal(seconds, 10);
    assert_true(mode_parse("0640", &mode));
    assert_int_equal(mode, 0640);
    assert_true(mode_parse("7", &mode));
    assert_int_equal(mode, 07);
}

static const struct {
    const char *name, *value;
    bool good;
    uint64_t soft, hard;
} limits[] = {
    {"NOFILE", "1024", true, 1024, 1024},
    {"NOFILE", "1024:4096", true, 1024, 4096},
    {"NOFILE", "4096:1024", false, 0, 0},
    {"NOFILE", "infinity", true, LIMIT_INFINITY, LIMIT_INFINITY},
    {"NOFILE", "1:infinity", true, 1, LIMIT_INFINITY},
    {"NOFILE", "infinity:1", false, 0, 0},
    {"NOFILE", "1K", false, 0, 0},
    {"NPROC", "1s", false, 0, 0},
    {"NPROC", "-1", false, 0, 0},
    {"MEMLOCK", "64M", true, 64ull << 20, 64ull << 20},
    {"MEMLOCK", "1K:2G", true, 1ull << 10, 2ull << 30},
    {"AS", "15E", true, 15ull << 60, 15ull << 60},
    {"AS", "16E", false, 0, 0},
    {"CORE", "0", true, 0, 0},
    {"CORE", "5s", false, 0, 0},
    {"CPU", "30", true, 30, 30},
    {"CPU", "2min", true, 120, 120},
    {"CPU", "1500ms", true, 2, 2},
    {"CPU", "1M", false, 0, 0},
    {"RTTIME", "100", true, 100, 100},
    {"RTTIME", "2ms", true, 2000, 2000},
    {"NICE", "0", true, 0, 0},
    {"NICE", "40", true, 40, 40},
    {"NICE", "41", false, 0, 0},
    {"NICE", "-20", true, 40, 40},
    {"NICE", "+19", true, 1, 1},
    {"NICE", "+0", true, 20, 20},
};

static void test_limits(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(limits); i++) {
        uint64_t soft = 77, hard = 77;
        int resource = limit_find(limits[i].name);
        assert_true(resource >= 0);
        if (limit_parse(resource, limits[i].value, &soft, &hard) != limits[i].good)
            fail_msg("%s=%s", limits[i].name, limits[i].value);
        assert_true(soft == (limits[i].good ? limits[i].soft : 77));
        assert_true(hard == (limits[i].good ? limits[i].hard : 77));
        /* What one of them takes, the format takes. */
        if (limits[i].good)
            assert_null(format_limit_value.check(limits[i].value));
    }
    assert_int_equal(limit_find("NOFILE"), RLIMIT_NOFILE);
    assert_int_equal(limit_find("STACK"), RLIMIT_STACK);
    assert_int_equal(limit_find("nofile"), -1);
}

static const struct {
    const char *text;
    PeerRule rule;
} rules[] = {
    {"42", {.kind = PEER_CIDS, .first = 42, .last = 42}},
    {"100-199", {.kind = PEER_CIDS, .first = 100, .last = 199}},
    {"0-4294967294", {.kind = PEER_CIDS, .first = 0, .last = 0xfffffffe}},
    {"web1", {.kind = PEER_MACHINE, .name = "web1"}},
    {"uid:107", {.kind = PEER_UID, .first = 107, .last = 107}},
    {"uid:fc-web1", {.kind = PEER_USER, .name = "fc-web1"}},
};

static void test_rules(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(rules); i++) {
        PeerRule rule;
        assert_null(peer_rule_parse(rules[i].text, &rule));
        assert_int_equal(rule.kind, rules[i].rule.kind);
        assert_int_equal(rule.first, rules[i].rule.first);
        assert_int_equal(rule.last, rules[i].rule.last);
        if (rules[i].rule.name)
            assert_string_equal(rule.name, rules[i].rule.name);
        else
            assert_null(rule.name);
    }
}

/* Every format of the table of fields is tested here. */
static void check_fields(const RecordType *type, size_t *count)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        const Format *used[] = {field->format, field->key_format};
        for (size_t u = 0; u < ELEMENTS_OF(used); u++) {
            bool known = !used[u];
            for (size_t k = 0; k < ELEMENTS_OF(formats); k++)
                known |= formats[k].format == used[u];
            if (!known)
                fail_msg("no test of the format of %s.%s", type->name, field->name);
            *count += used[u] != NULL;
        }
        if (field->record)
            check_fields(field->record, count);
    }
}

static void test_all_formats_are_here(void **state)
{
    size_t count = 0;

    check_fields(&record_type_Document, &count);
    check_fields(&record_type_Settings, &count);
    assert_true(count > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats), cmocka_unit_test(test_patterns), cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_advice),  cmocka_unit_test(test_rates),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_rules),   cmocka_unit_test(test_all_formats_are_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
