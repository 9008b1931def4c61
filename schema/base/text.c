/* SPDX-License-Identifier: Apache-2.0 */
/* Strict readings of text, lists of texts, times. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "schema/base/text.h"

bool text_to_number_sized(const char *text, size_t size_bytes, uint64_t max, uint64_t *ret)
{
    uint64_t number = 0;

    if (size_bytes == 0 || (text[0] == '0' && size_bytes > 1))
        return false;
    for (size_t i = 0; i < size_bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number) || number > max)
            return false;
    }
    *ret = number;
    return true;
}

bool text_to_number(const char *text, uint64_t max, uint64_t *ret)
{
    return text_to_number_sized(text, strlen(text), max, ret);
}

static bool text_to_hex_or_decimal(const char *text, size_t size_bytes, uint32_t *ret)
{
    uint64_t number = 0;

    if (size_bytes > 2 && size_bytes <= 10 && text[0] == '0' && text[1] == 'x') {
        for (size_t i = 2; i < size_bytes; i++) {
            char c = text[i];
            int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
            if (digit < 0)
                return false;
            number = number << 4 | (unsigned)digit;
        }
    } else if (!text_to_number_sized(text, size_bytes, UINT32_MAX, &number)) {
        return false;
    }
    *ret = (uint32_t)number;
    return true;
}

bool text_to_range(const char *text, uint32_t *ret_first, uint32_t *ret_last)
{
    const char *dash = strchr(text, '-');
    uint32_t first, last;

    if (!text_to_hex_or_decimal(text, dash ? (size_t)(dash - text) : strlen(text), &first))
        return false;
    if (!dash)
        last = first;
    else if (!text_to_hex_or_decimal(dash + 1, strlen(dash + 1), &last))
        return false;
    if (first > last)
        return false;
    *ret_first = first;
    *ret_last = last;
    return true;
}

bool text_is_utf8(const char *text, size_t size_bytes, size_t *ret_offset)
{
    const unsigned char *bytes = (const unsigned char *)text;

    for (size_t i = 0; i < size_bytes;) {
        unsigned char c = bytes[i];
        size_t more;
        uint32_t code, least;
        if (c != 0 && c < 0x80) {
            i++;
            continue;
        } else if ((c & 0xe0) == 0xc0) {
            more = 1, code = c & 0x1f, least = 0x80;
        } else if ((c & 0xf0) == 0xe0) {
            more = 2, code = c & 0x0f, least = 0x800;
        } else if ((c & 0xf8) == 0xf0) {
            more = 3, code = c & 0x07, least = 0x10000;
        } else {
            goto bad;
        }
        if (size_bytes - i <= more)
            goto bad;
        for (size_t k = 1; k <= more; k++) {
            if ((bytes[i + k] & 0xc0) != 0x80)
                goto bad;
            code = code << 6 | (bytes[i + k] & 0x3f);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            goto bad;
        i += more + 1;
        continue;
    bad:
        if (ret_offset)
            *ret_offset = i;
        return false;
    }
    return true;
}

bool text_is_printable(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c >= 0x20 && *c < 0x7f)
            continue;
        if (*c < 0x20 || *c == 0x7f)
            return false;
        if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
            return false;
        if (c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9))
            return false;
    }
    return true;
}

bool text_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool text_starts_with(const char *text, const char *prefix)
{
    /* Prefixes are short, and most differ at once. */
    while (*prefix)
        if (*text++ != *prefix++)
            return false;
    return true;
}

bool text_ends_with(const char *text, const char *suffix)
{
    size_t size = strlen(text), suffix_size = strlen(suffix);

    return size >= suffix_size && memcmp(text + size - suffix_size, suffix, suffix_size) == 0;
}

int text_compare(const char *a, const char *b)
{
    return strcmp(a, b);
}

size_t text_list_count(char *const *list)
{
    size_t count = 0;

    while (list && list[count])
        count++;
    return count;
}

void text_list_free(char **list)
{
    if (!list)
        return;
    for (size_t i = 0; list[i]; i++)
        free(list[i]);
    free(list);
}

int text_list_copy(char *const *list, char ***ret)
{
    size_t count = text_list_count(list);

    if (!list) {
        *ret = NULL;
        return 0;
    }
    _cleanup_(text_list_freep) char **copy = calloc(count + 1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(list[i]);
        if (!copy[i])
            return -ENOMEM;
    }
    *ret = TAKE_PTR(copy);
    return 0;
}

bool text_list_equal(char *const *a, char *const *b)
{
    if (!a || !b)
        return a == b;
    for (size_t i = 0;; i++) {
        if (!a[i] || !b[i])
            return a[i] == b[i];
        if (strcmp(a[i], b[i]) != 0)
            return false;
    }
}

bool text_list_contains(char *const *list, const char *text)
{
    for (size_t i = 0; list && list[i]; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return false;
}

int text_list_append(char ***list, const char *text)
{
    size_t count = text_list_count(*list);
    _cleanup_(freep) char *copy = strdup(text);

    if (!copy)
        return -ENOMEM;
    char **larger = reallocarray(*list, count + 2, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    *list = larger;
    (*list)[count] = TAKE_PTR(copy);
    (*list)[count + 1] = NULL;
    return 0;
}

uint64_t time_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

char *time_format(uint64_t time_us, char text[static TIME_TEXT_SIZE_BYTES])
{
    time_t seconds = (time_t)(time_us / 1000000);
    struct tm parts;

    if (!gmtime_r(&seconds, &parts))
        parts = (struct tm){.tm_year = 70, .tm_mday = 1};
    const struct {
        unsigned number;
        unsigned digits;
        char after;
    } written[] = {
        {(unsigned)parts.tm_year + 1900u, 4, '-'}, {(unsigned)parts.tm_mon + 1u, 2, '-'},
        {(unsigned)parts.tm_mday, 2, 'T'},         {(unsigned)parts.tm_hour, 2, ':'},
        {(unsigned)parts.tm_min, 2, ':'},          {(unsigned)parts.tm_sec, 2, '.'},
        {(unsigned)(time_us / 1000 % 1000), 3, 'Z'},
    };
    char *at = text;
    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        unsigned number = written[i].number;
        for (unsigned digit = written[i].digits; digit-- > 0; number /= 10)
            at[digit] = (char)('0' + number % 10);
        at += written[i].digits;
        *at++ = written[i].after;
    }
    *at = '\0';
    return text;
}

/* count digits at *text as a number from least to most; *text stands behind them afterwards. */
static bool take_digits(const char **text, size_t count, int least, int most, int *ret)
{
    int number = 0;

    for (size_t i = 0; i < count; i++) {
        if ((*text)[i] < '0' || (*text)[i] > '9')
            return false;
        number = number * 10 + ((*text)[i] - '0');
    }
    *text += count;
    *ret = number;
    return number >= least && number <= most;
}

static bool take_char(const char **text, const char *one_of)
{
    if (!**text || !strchr(one_of, **text))
        return false;
    (*text)++;
    return true;
}

/* `Z`, `+01:00`. */
static bool take_offset(const char **text, int *ret_seconds)
{
    int sign = **text == '-' ? -1 : 1, hours, minutes;

    *ret_seconds = 0;
    if (take_char(text, "Zz"))
        return true;
    if (!take_char(text, "+-") || !take_digits(text, 2, 0, 23, &hours) || !take_char(text, ":") ||
        !take_digits(text, 2, 0, 59, &minutes))
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool time_parse(const char *text, uint64_t *ret_time_us)
{
    struct tm parts = {0};
    uint64_t fraction_us = 0;
    int offset_seconds;

    if (!take_digits(&text, 4, 1970, 9999, &parts.tm_year) || !take_char(&text, "-") ||
        !take_digits(&text, 2, 1, 12, &parts.tm_mon) || !take_char(&text, "-") ||
        !take_digits(&text, 2, 1, 31, &parts.tm_mday) || !take_char(&text, "Tt ") ||
        !take_digits(&text, 2, 0, 23, &parts.tm_hour) || !take_char(&text, ":") ||
        !take_digits(&text, 2, 0, 59, &parts.tm_min) || !take_char(&text, ":") ||
        !take_digits(&text, 2, 0, 60, &parts.tm_sec)) /* 60: a leap second */
        return false;
    if (take_char(&text, ".")) {
        uint64_t unit_us = 100000;
        if (*text < '0' || *text > '9')
            return false;
        for (; *text >= '0' && *text <= '9'; text++, unit_us /= 10)
            fraction_us += unit_us * (uint64_t)(*text - '0');
    }
    if (!take_offset(&text, &offset_seconds) || *text)
        return false;

    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    /* timegm makes 31 February a day of March. */
    struct tm day = {.tm_year = parts.tm_year, .tm_mon = parts.tm_mon, .tm_mday = parts.tm_mday};
    timegm(&day);
    if (day.tm_mday != parts.tm_mday)
        return false;
    time_t seconds = timegm(&parts) - offset_seconds;
    if (seconds < 0)
        return false;
    *ret_time_us = (uint64_t)seconds * 1000000 + fraction_us;
    return true;
}
