/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that stand for quantities; pure functions. setrlimit(2), systemd.exec(5), systemd.time(7). */

#include <string.h>
#include <sys/resource.h>

#include "schema/base/text.h"
#include "schema/model/quantity.h"

#define COUNT_MAX 1000000000u

/* `N/` with N from 1; returns what follows the slash, or NULL. */
static const char *count_parse(const char *text, uint32_t *ret_count)
{
    const char *slash = strchr(text, '/');
    uint64_t count;

    if (!slash || !text_to_number_sized(text, (size_t)(slash - text), COUNT_MAX, &count) || count == 0)
        return NULL;
    *ret_count = (uint32_t)count;
    return slash + 1;
}

bool rate_parse(const char *text, uint32_t *ret_count, uint32_t *ret_seconds)
{
    static const struct {
        const char *unit;
        uint32_t seconds;
    } units[] = {{"s", 1}, {"min", 60}, {"h", 3600}};
    uint32_t count;
    const char *unit = count_parse(text, &count);

    for (size_t i = 0; unit && i < ELEMENTS_OF(units); i++)
        if (strcmp(unit, units[i].unit) == 0) {
            *ret_count = count;
            *ret_seconds = units[i].seconds;
            return true;
        }
    return false;
}

bool start_limit_parse(const char *text, uint32_t *ret_count, uint32_t *ret_seconds)
{
    uint32_t count;
    const char *time = count_parse(text, &count);
    size_t size = time ? strlen(time) : 0;
    uint64_t seconds;

    if (size < 2 || time[size - 1] != 's' || !text_to_number_sized(time, size - 1, COUNT_MAX, &seconds) || seconds == 0)
        return false;
    *ret_count = count;
    *ret_seconds = (uint32_t)seconds;
    return true;
}

bool mode_parse(const char *text, uint32_t *ret_mode)
{
    size_t size = strlen(text);
    uint32_t mode = 0;

    if (size == 0 || size > 4 || strspn(text, "01234567") != size)
        return false;
    for (size_t i = 0; i < size; i++)
        mode = mode << 3 | (uint32_t)(text[i] - '0');
    if (mode > 0777)
        return false;
    *ret_mode = mode;
    return true;
}

static const struct {
    const char *name;
    int resource;
} limits[] = {
    {"AS", RLIMIT_AS},         {"CORE", RLIMIT_CORE},       {"CPU", RLIMIT_CPU},       {"DATA", RLIMIT_DATA},
    {"FSIZE", RLIMIT_FSIZE},   {"LOCKS", RLIMIT_LOCKS},     {"MEMLOCK", RLIMIT_MEMLOCK}, {"MSGQUEUE", RLIMIT_MSGQUEUE},
    {"NICE", RLIMIT_NICE},     {"NOFILE", RLIMIT_NOFILE},   {"NPROC", RLIMIT_NPROC},   {"RSS", RLIMIT_RSS},
    {"RTPRIO", RLIMIT_RTPRIO}, {"RTTIME", RLIMIT_RTTIME},   {"SIGPENDING", RLIMIT_SIGPENDING}, {"STACK", RLIMIT_STACK},
};

int limit_find(const char *name)
{
    for (size_t i = 0; i < ELEMENTS_OF(limits); i++)
        if (strcmp(limits[i].name, name) == 0)
            return limits[i].resource;
    return -1;
}

typedef struct Unit {
    const char *name;
    uint64_t factor;
} Unit;

static const Unit size_units[] = {
    {"B", 1},           {"K", 1ull << 10},  {"M", 1ull << 20},  {"G", 1ull << 30},
    {"T", 1ull << 40},  {"P", 1ull << 50},  {"E", 1ull << 60},  {NULL, 0},
};
/* In microseconds. */
static const Unit time_units[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", 1000000},
    {"min", 60000000},
    {"h", 3600000000ull},
    {"d", 86400000000ull},
    {"w", 604800000000ull},
    {NULL, 0},
};

typedef enum LimitKind {
    LIMIT_COUNT,
    LIMIT_SIZE,
    LIMIT_SECONDS,
    LIMIT_MICROSECONDS,
    LIMIT_NICE,
    LIMIT_ANY,
} LimitKind;

static LimitKind limit_kind(int resource)
{
    switch (resource) {
    case -1:
        return LIMIT_ANY;
    case RLIMIT_AS:
    case RLIMIT_CORE:
    case RLIMIT_DATA:
    case RLIMIT_FSIZE:
    case RLIMIT_MEMLOCK:
    case RLIMIT_MSGQUEUE:
    case RLIMIT_RSS:
    case RLIMIT_STACK:
        return LIMIT_SIZE;
    case RLIMIT_CPU:
        return LIMIT_SECONDS;
    case RLIMIT_RTTIME:
        return LIMIT_MICROSECONDS;
    case RLIMIT_NICE:
        return LIMIT_NICE;
    default:
        return LIMIT_COUNT;
    }
}

static uint64_t unit_find(const Unit *units, const char *name, size_t size)
{
    for (; units->name; units++)
        if (strlen(units->name) == size && memcmp(units->name, name, size) == 0)
            return units->factor;
    return 0;
}

/* -20..19 becomes 40..1 as setrlimit(2) has it; without a sign it is that number itself. */
static bool nice_parse(const char *text, size_t size, uint64_t *ret)
{
    uint64_t number;

    if (size == 0)
        return false;
    if (text[0] != '+' && text[0] != '-')
        return text_to_number_sized(text, size, 40, ret);
    if (!text_to_number_sized(text + 1, size - 1, text[0] == '+' ? 19 : 20, &number))
        return false;
    *ret = text[0] == '+' ? 20 - number : 20 + number;
    return true;
}

static bool limit_part_parse(LimitKind kind, const char *text, size_t size, uint64_t *ret)
{
    uint64_t number, factor = 1;

    if (size == strlen("infinity") && memcmp(text, "infinity", size) == 0) {
        *ret = LIMIT_INFINITY;
        return true;
    }
    if (kind == LIMIT_NICE || (kind == LIMIT_ANY && size > 0 && (text[0] == '+' || text[0] == '-')))
        return nice_parse(text, size, ret);

    size_t digits = 0;
    while (digits < size && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    if (!text_to_number_sized(text, digits, UINT64_MAX - 1, &number))
        return false;
    if (digits < size) {
        bool sized = kind == LIMIT_SIZE || kind == LIMIT_ANY;
        bool timed = kind == LIMIT_SECONDS || kind == LIMIT_MICROSECONDS || kind == LIMIT_ANY;
        factor = sized ? unit_find(size_units, text + digits, size - digits) : 0;
        if (factor == 0 && timed)
            factor = unit_find(time_units, text + digits, size - digits);
        if (factor == 0)
            return false;
    } else if (kind == LIMIT_SECONDS) {
        factor = 1000000;
    }
    if (__builtin_mul_overflow(number, factor, &number) || number == LIMIT_INFINITY)
        return false;
    /* RLIMIT_CPU counts seconds; a part of one is a whole one. */
    *ret = kind == LIMIT_SECONDS ? number / 1000000 + (number % 1000000 > 0) : number;
    return true;
}

bool limit_parse(int resource, const char *text, uint64_t *ret_soft, uint64_t *ret_hard)
{
    LimitKind kind = limit_kind(resource);
    const char *colon = strchr(text, ':');
    uint64_t soft, hard;

    if (!limit_part_parse(kind, text, colon ? (size_t)(colon - text) : strlen(text), &soft))
        return false;
    if (!colon)
        hard = soft;
    else if (!limit_part_parse(kind, colon + 1, strlen(colon + 1), &hard))
        return false;
    if (soft > hard && kind != LIMIT_ANY)
        return false;
    *ret_soft = soft;
    *ret_hard = hard;
    return true;
}
