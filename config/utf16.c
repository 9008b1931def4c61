/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 to UTF-16LE and back, four units at a time where they are ASCII. The Unicode Standard, 3.9. */

#include <string.h>

#include "config/utf16.h"

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LITTLE32(value_) __builtin_bswap32(value_)
#define LITTLE64(value_) __builtin_bswap64(value_)
#else
#define LITTLE32(value_) (value_)
#define LITTLE64(value_) (value_)
#endif

/* 0x0000000044434241 -> 0x0044004300420041 */
static uint64_t widen(uint32_t four)
{
    uint64_t units = four;

    units = (units | units << 16) & 0x0000ffff0000ffff;
    return (units | units << 8) & 0x00ff00ff00ff00ff;
}

static uint32_t narrow(uint64_t units)
{
    units = (units | units >> 8) & 0x0000ffff0000ffff;
    return (uint32_t)(units | units >> 16);
}

static char *put_unit(char *to, uint32_t unit)
{
    *to++ = (char)(unit & 0xff);
    *to++ = (char)(unit >> 8);
    return to;
}

static char *put_code(char *to, uint32_t code)
{
    if (code < 0x10000)
        return put_unit(to, code);
    code -= 0x10000;
    to = put_unit(to, 0xd800 | code >> 10);
    return put_unit(to, 0xdc00 | (code & 0x3ff));
}

void utf16_append(Buffer *text16, const char *text, size_t size_bytes)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + size_bytes;

    /* A byte of UTF-8 never needs more than two of UTF-16. */
    if (!buffer_reserve(text16, size_bytes * 2))
        return;
    char *to = text16->data + text16->size_bytes;
    while (at < end) {
        uint32_t four;
        while (end - at >= 4 && (memcpy(&four, at, 4), (four & 0x80808080) == 0)) {
            uint64_t units = LITTLE64(widen(LITTLE32(four)));
            memcpy(to, &units, 8);
            at += 4;
            to += 8;
        }
        if (at == end)
            break;
        uint32_t code = *at++;
        size_t more = code < 0x80 ? 0 : code < 0xe0 ? 1 : code < 0xf0 ? 2 : 3;
        if (more > 0)
            code &= 0x3fu >> more;
        for (; more > 0 && at < end; more--)
            code = code << 6 | (*at++ & 0x3f);
        to = put_code(to, code);
    }
    text16->size_bytes = (size_t)(to - text16->data);
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

static uint32_t unit_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
}

size_t utf16_decode(const uint8_t *bytes, size_t size_bytes, bool last, Buffer *text, bool *ret_broken)
{
    size_t at = 0;

    *ret_broken = false;
    /* A unit of UTF-16 never needs more than three bytes of UTF-8. */
    if (!buffer_reserve(text, size_bytes / 2 * 3))
        return size_bytes;
    char *to = text->data + text->size_bytes;
    while (size_bytes - at >= 2) {
        uint64_t units;
        while (size_bytes - at >= 8 && (memcpy(&units, bytes + at, 8), (units & LITTLE64(0xff80ff80ff80ff80)) == 0)) {
            uint32_t four = LITTLE32(narrow(LITTLE64(units)));
            memcpy(to, &four, 4);
            at += 8;
            to += 4;
        }
        if (size_bytes - at < 2)
            break;
        uint32_t code = unit_at(bytes + at);
        if (code >= 0xd800 && code <= 0xdfff) {
            if (code <= 0xdbff && size_bytes - at < 4 && !last)
                break;
            uint32_t low = code <= 0xdbff && size_bytes - at >= 4 ? unit_at(bytes + at + 2) : 0;
            if (low < 0xdc00 || low > 0xdfff) {
                *ret_broken = true;
                break;
            }
            code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
            at += 2;
        }
        to = put_utf8(to, code);
        at += 2;
    }
    text->size_bytes = (size_t)(to - text->data);
    return at;
}
