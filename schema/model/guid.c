/* SPDX-License-Identifier: Apache-2.0 */
/* Service GUIDs as values: text, wire form, and the template that holds an AF_VSOCK port. */

#include <string.h>

#include "schema/model/guid.h"

/* 00000000-facb-11e6-bd58-64006a7986d3 without its first field. */
static const uint8_t template_tail[12] = {0xfa, 0xcb, 0x11, 0xe6, 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3};

/* hvsocket.h of the Windows SDK; FACTS. */
static const struct {
    const char *name;
    Guid guid;
} wildcards[] = {
    {"WILDCARD", {{0}}},
    {"BROADCAST",
     {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}},
    {"CHILDREN",
     {{0x90, 0xdb, 0x8b, 0x89, 0x0d, 0x35, 0x4f, 0x79, 0x8c, 0xe9, 0x49, 0xea, 0x0a, 0xc8, 0xb7, 0xcd}}},
    {"LOOPBACK",
     {{0xe0, 0xe1, 0x61, 0x97, 0xdd, 0x56, 0x4a, 0x10, 0x91, 0x95, 0x5e, 0xe7, 0xa1, 0x55, 0xa8, 0x38}}},
    {"PARENT",
     {{0xa4, 0x2e, 0x7c, 0xda, 0xd0, 0x3f, 0x48, 0x0c, 0x9c, 0xc2, 0xa4, 0xde, 0x20, 0xab, 0xb8, 0x78}}},
    {"SILOHOST",
     {{0x36, 0xbd, 0x0c, 0x5c, 0x72, 0x76, 0x42, 0x23, 0x88, 0xba, 0x7d, 0x03, 0xb6, 0x54, 0xc5, 0x68}}},
};

static bool dash_follows(size_t byte)
{
    return byte == 3 || byte == 5 || byte == 7 || byte == 9;
}

/* By table, as GUIDs are read wherever a service is looked at: 1 to 16 for a hex digit, 0 for all else. */
static const uint8_t hex_digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static inline int hex_digit(char c)
{
    return hex_digits[(unsigned char)c] - 1;
}

bool guid_parse(const char *text, Guid *ret)
{
    bool braces = text[0] == '{';
    const char *at = text + braces;
    Guid guid;

    for (size_t i = 0; i < sizeof(guid.bytes); i++) {
        int high = hex_digit(at[0]);
        int low = high < 0 ? -1 : hex_digit(at[1]);
        if (low < 0)
            return false;
        guid.bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
        if (dash_follows(i) && *at++ != '-')
            return false;
    }
    if (strcmp(at, braces ? "}" : "") != 0)
        return false;
    *ret = guid;
    return true;
}

bool guid_has_shape(const char *text)
{
    size_t size = strlen(text);

    if (size > 1 && text[0] == '{')
        return true;
    if (size != GUID_TEXT_SIZE_BYTES - 1)
        return false;
    for (size_t i = 0; i < size; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool other = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z') ||
                     (text[i] >= 'A' && text[i] <= 'Z');
        if (dash ? text[i] != '-' : !other)
            return false;
    }
    return true;
}

static char *guid_format_digits(const Guid *guid, const char digits[static 16], char text[static GUID_TEXT_SIZE_BYTES])
{
    char *at = text;

    for (size_t i = 0; i < sizeof(guid->bytes); i++) {
        *at++ = digits[guid->bytes[i] >> 4];
        *at++ = digits[guid->bytes[i] & 15];
        if (dash_follows(i))
            *at++ = '-';
    }
    *at = '\0';
    return text;
}

char *guid_format(const Guid *guid, char text[static GUID_TEXT_SIZE_BYTES])
{
    return guid_format_digits(guid, "0123456789abcdef", text);
}

char *guid_format_upper(const Guid *guid, char text[static GUID_TEXT_SIZE_BYTES])
{
    return guid_format_digits(guid, "0123456789ABCDEF", text);
}

Guid guid_from_port(uint32_t port)
{
    Guid guid = {{(uint8_t)(port >> 24), (uint8_t)(port >> 16), (uint8_t)(port >> 8), (uint8_t)port}};

    memcpy(guid.bytes + 4, template_tail, sizeof(template_tail));
    return guid;
}

bool guid_to_port(const Guid *guid, uint32_t *ret_port)
{
    const uint8_t *b = guid->bytes;

    if (memcmp(b + 4, template_tail, sizeof(template_tail)) != 0)
        return false;
    *ret_port = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return true;
}

/* Where each byte of the text's order stands on the wire, and the reverse: swapping twice gives the same again. */
static const uint8_t wire_order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

void guid_to_wire(const Guid *guid, uint8_t wire[static 16])
{
    for (size_t i = 0; i < 16; i++)
        wire[wire_order[i]] = guid->bytes[i];
}

Guid guid_from_wire(const uint8_t wire[static 16])
{
    Guid guid;

    for (size_t i = 0; i < 16; i++)
        guid.bytes[i] = wire[wire_order[i]];
    return guid;
}

int guid_compare(const Guid *a, const Guid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool guid_is_zero(const Guid *guid)
{
    return guid_compare(guid, &wildcards[0].guid) == 0;
}

const char *guid_wildcard_name(const Guid *guid)
{
    for (size_t i = 0; i < sizeof(wildcards) / sizeof(wildcards[0]); i++)
        if (guid_compare(guid, &wildcards[i].guid) == 0)
            return wildcards[i].name;
    return NULL;
}
