/* SPDX-License-Identifier: Apache-2.0 */
/* schema/model/guid: every form of text, the template in both directions, the wire. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/base/cleanup.h"
#include "schema/model/guid.h"

static const struct {
    const char *text;
    const char *canonical; /* NULL: refused */
} forms[] = {
    {"00000ac9-facb-11e6-bd58-64006a7986d3", "00000ac9-facb-11e6-bd58-64006a7986d3"},
    {"00000AC9-FACB-11E6-BD58-64006A7986D3", "00000ac9-facb-11e6-bd58-64006a7986d3"},
    {"{00000ac9-facb-11e6-bd58-64006a7986d3}", "00000ac9-facb-11e6-bd58-64006a7986d3"},
    {"{00000aC9-FaCb-11E6-bD58-64006a7986D3}", "00000ac9-facb-11e6-bd58-64006a7986d3"},
    {"ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
    {"00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"},
    {"", NULL},
    {"{", NULL},
    {"}", NULL},
    {"{}", NULL},
    {"00000ac9facb11e6bd5864006a7986d3", NULL},
    {"{00000ac9-facb-11e6-bd58-64006a7986d3", NULL},
    {"00000ac9-facb-11e6-bd58-64006a7986d3}", NULL},
    {"{{00000ac9-facb-11e6-bd58-64006a7986d3}}", NULL},
    {" 00000ac9-facb-11e6-bd58-64006a7986d3", NULL},
    {"00000ac9-facb-11e6-bd58-64006a7986d3 ", NULL},
    {"00000ac9-facb-11e6-bd58-64006a7986d3\n", NULL},
    {"{00000ac9-facb-11e6-bd58-64006a7986d3}x", NULL},
    {"00000ac9-facb-11e6-bd58-64006a7986d", NULL},
    {"00000ac9-facb-11e6-bd58-64006a7986d33", NULL},
    {"00000ac9-facb-11e6-bd58-64006a7986dg", NULL},
    {"0000ac9-0facb-11e6-bd58-64006a7986d3", NULL},
    {"00000ac9-facb-11e6-bd5864006a7986d3-", NULL},
    {"00000ac9_facb_11e6_bd58_64006a7986d3", NULL},
    {"urn:uuid:00000ac9-facb-11e6-bd58-64006a7986d3", NULL},
    {"0x000ac9-facb-11e6-bd58-64006a7986d3", NULL},
    {"+0000ac9-facb-11e6-bd58-64006a7986d3", NULL},
};

static void test_forms(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(forms); i++) {
        const Guid before = {{1, 2, 3}};
        char text[GUID_TEXT_SIZE_BYTES];
        Guid guid = before;
        bool good = guid_parse(forms[i].text, &guid);
        if (good != (forms[i].canonical != NULL))
            fail_msg("\"%s\" was %s", forms[i].text, good ? "taken" : "refused");
        if (good)
            assert_string_equal(guid_format(&guid, text), forms[i].canonical);
        else
            assert_memory_equal(&guid, &before, sizeof(guid));
    }
}

/* Cut off and with one byte changed: never more than refused. */
static void test_every_byte(void **state)
{
    static const char good[] = "{00000ac9-facb-11e6-bd58-64006a7986d3}";

    for (size_t i = 0; i < sizeof(good); i++) {
        char text[sizeof(good)];
        Guid guid;
        memcpy(text, good, sizeof(good));
        text[i] = '\0';
        assert_int_equal(guid_parse(text, &guid), i == sizeof(good) - 1);
        for (int c = 1; c < 256 && i < sizeof(good) - 1; c++) {
            memcpy(text, good, sizeof(good));
            text[i] = (char)c;
            bool hex = strchr("0123456789abcdefABCDEF", c) && good[i] != '{' && good[i] != '}' && good[i] != '-';
            assert_int_equal(guid_parse(text, &guid), hex || c == good[i]);
        }
    }
}

static const struct {
    uint32_t port;
    const char *guid;
} ports[] = {
    {0, "00000000-facb-11e6-bd58-64006a7986d3"},          {1, "00000001-facb-11e6-bd58-64006a7986d3"},
    {1023, "000003ff-facb-11e6-bd58-64006a7986d3"},       {2761, "00000ac9-facb-11e6-bd58-64006a7986d3"},
    {5140, "00001414-facb-11e6-bd58-64006a7986d3"},       {0x7fffffff, "7fffffff-facb-11e6-bd58-64006a7986d3"},
    {0x80000000, "80000000-facb-11e6-bd58-64006a7986d3"}, {0xfffffffe, "fffffffe-facb-11e6-bd58-64006a7986d3"},
    {0xffffffff, "ffffffff-facb-11e6-bd58-64006a7986d3"}, {0x12345678, "12345678-facb-11e6-bd58-64006a7986d3"},
};

static void test_template(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(ports); i++) {
        char text[GUID_TEXT_SIZE_BYTES];
        Guid guid = guid_from_port(ports[i].port);
        uint32_t port;
        assert_string_equal(guid_format(&guid, text), ports[i].guid);
        assert_true(guid_to_port(&guid, &port));
        assert_int_equal(port, ports[i].port);
        /* Any other tail is no port's. */
        for (size_t byte = 4; byte < 16; byte++) {
            Guid other = guid;
            other.bytes[byte] ^= 1;
            port = 7;
            assert_false(guid_to_port(&other, &port));
            assert_int_equal(port, 7);
        }
    }
}

static void test_wire(void **state)
{
    static const uint8_t wire[16] = {0xc9, 0x0a, 0x00, 0x00, 0xcb, 0xfa, 0xe6, 0x11, 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3};
    uint8_t written[16];
    Guid guid = guid_from_port(2761);

    guid_to_wire(&guid, written);
    assert_memory_equal(written, wire, sizeof(wire));
    Guid back = guid_from_wire(wire);
    assert_int_equal(guid_compare(&back, &guid), 0);
}

static void test_upper(void **state)
{
    char text[GUID_TEXT_SIZE_BYTES];
    Guid guid;

    assert_true(guid_parse("999e53d4-3d5c-4c3e-8779-bed06ec056e1", &guid));
    assert_string_equal(guid_format_upper(&guid, text), "999E53D4-3D5C-4C3E-8779-BED06EC056E1");
}

static void test_order(void **state)
{
    Guid low = guid_from_port(1), high = guid_from_port(2);

    assert_true(guid_compare(&low, &high) < 0);
    assert_true(guid_compare(&high, &low) > 0);
    assert_false(guid_is_zero(&low));
    assert_true(guid_is_zero(&(Guid){{0}}));
}

static void test_wildcards(void **state)
{
    static const char *const wildcards[][2] = {
        {"00000000-0000-0000-0000-000000000000", "WILDCARD"}, {"ffffffff-ffff-ffff-ffff-ffffffffffff", "BROADCAST"},
        {"90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd", "CHILDREN"}, {"e0e16197-dd56-4a10-9195-5ee7a155a838", "LOOPBACK"},
        {"a42e7cda-d03f-480c-9cc2-a4de20abb878", "PARENT"},   {"36bd0c5c-7276-4223-88ba-7d03b654c568", "SILOHOST"},
    };
    Guid guid;

    for (size_t i = 0; i < ELEMENTS_OF(wildcards); i++) {
        assert_true(guid_parse(wildcards[i][0], &guid));
        assert_string_equal(guid_wildcard_name(&guid), wildcards[i][1]);
    }
    guid = guid_from_port(0);
    assert_null(guid_wildcard_name(&guid));
}

static const struct {
    const char *text;
    bool shape;
} shapes[] = {
    {"00000ac9-facb-11e6-bd58-64006a7986d3", true},
    {"00000ac9-facb-11e6-bd58-64006a7986dz", true},
    {"{00000ac9-facb-11e6-bd58-64006a7986d3}", true},
    {"{x", true},
    {"", false},
    {"{", false},
    {"web1", false},
    {"5140", false},
    {"00000ac9-facb-11e6-bd58-64006a7986d", false},
    {"00000ac9facb-11e6-bd58-64006a7986d3a", false},
    {"vsock://:5140/facb-11e6-bd58-64006a7", false},
    {"00000ac9-facb-11e6-bd58-64006a7986d.", false},
};

static void test_shapes(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(shapes); i++)
        if (guid_has_shape(shapes[i].text) != shapes[i].shape)
            fail_msg("\"%s\"", shapes[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),     cmocka_unit_test(test_every_byte), cmocka_unit_test(test_template),
        cmocka_unit_test(test_wire),      cmocka_unit_test(test_upper),      cmocka_unit_test(test_order),
        cmocka_unit_test(test_wildcards), cmocka_unit_test(test_shapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
