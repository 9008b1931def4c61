/* SPDX-License-Identifier: Apache-2.0 */
/* What programs, their environment and limits, rates, modes and security descriptors have to look like; as in format.c. */

#include <stdint.h>

#include "schema/base/text.h"
#include "schema/model/characters.h"
#include "schema/model/format.h"
#include "schema/model/quantity.h"

/* ---- programs ---- */

static const char *check_environment_name(const char *text)
{
    if (!*text)
        return "is empty";
    if (strchr(DIGITS, text[0]))
        return "begins with a digit";
    return consists_of(text, LOWER UPPER DIGITS "_") ? NULL : "has something in it that is no letter, digit or underscore";
}

const Format format_environment_name = {
    .name = "variable's name",
    .pattern = "^[A-Za-z_][A-Za-z0-9_]*$",
    .hint = "letters, digits and underscores, no digit first,",
    .check = check_environment_name,
};

static const char *check_utf8(const char *text)
{
    return text_is_utf8(text, strlen(text), NULL) ? NULL : "is not UTF-8";
}

const Format format_environment_value = {
    .name = "variable's value",
    .hint = "any text of UTF-8",
    .check = check_utf8,
};

const Format format_argument = {
    .name = "argument",
    .hint = "any text of UTF-8",
    .check = check_utf8,
};

static const char *check_unit_name(const char *text)
{
    size_t size = strlen(text);

    if (size > 255)
        return "is longer than 255 bytes";
    if (size <= strlen(".service") || !text_ends_with(text, ".service"))
        return "is no name of a service unit";
    return consists_of(text, LOWER UPPER DIGITS ":_.@\\-") ? NULL : "has a character in it that unit names do not have";
}

const Format format_unit_name = {
    .name = "unit",
    .pattern = "^[A-Za-z0-9:_.@\\\\-]+\\.service$",
    .hint = "the name of a unit of systemd's, as guest-log.service,",
    .check = check_unit_name,
};

/* ---- quantities ---- */

static const char *check_mode(const char *text)
{
    uint32_t mode;

    return mode_parse(text, &mode) ? NULL : "is no octal mode up to 0777";
}

const Format format_mode = {
    .name = "mode",
    .pattern = "^0?[0-7]{1,3}$",
    .hint = "octal digits, as 0660,",
    .check = check_mode,
};

static const char *check_rate(const char *text)
{
    uint32_t count, seconds;

    return rate_parse(text, &count, &seconds) ? NULL : "is no rate";
}

const Format format_rate = {
    .name = "rate",
    .pattern = "^[1-9][0-9]{0,9}/(s|min|h)$",
    .hint = "a count and a time, as 50/s, 3/min or 10/h,",
    .check = check_rate,
};

static const char *check_start_limit(const char *text)
{
    uint32_t count, seconds;

    return start_limit_parse(text, &count, &seconds) ? NULL : "is no count in a time";
}

const Format format_start_limit = {
    .name = "start limit",
    .pattern = "^[1-9][0-9]{0,9}/[1-9][0-9]{0,9}s$",
    .hint = "a count and seconds, as 5/10s,",
    .check = check_start_limit,
};

static const char *check_limit_name(const char *text)
{
    return limit_find(text) < 0 ? "is no resource limit" : NULL;
}

static const char *advise_limit_name(const char *text)
{
    if (text_starts_with(text, "Limit") && limit_find(text + 5) >= 0)
        return "the same without the word Limit would be right";
    return NULL;
}

const Format format_limit_name = {
    .name = "limit's name",
    .pattern = "^(AS|CORE|CPU|DATA|FSIZE|LOCKS|MEMLOCK|MSGQUEUE|NICE|NOFILE|NPROC|RSS|RTPRIO|RTTIME|SIGPENDING|STACK)$",
    .hint = "a name as NOFILE, NPROC, CORE, MEMLOCK, AS or CPU",
    .check = check_limit_name,
    .advise = advise_limit_name,
};

static const char *check_limit_value(const char *text)
{
    uint64_t soft, hard;

    return limit_parse(-1, text, &soft, &hard) ? NULL : "is no limit";
}

#define PATTERN_LIMIT "(infinity|[+-]?[0-9]+(B|K|M|G|T|P|E|us|ms|s|min|h|d|w)?)"

const Format format_limit_value = {
    .name = "limit",
    .pattern = "^" PATTERN_LIMIT "(:" PATTERN_LIMIT ")?$",
    .hint = "a number, SOFT:HARD or infinity, as 1024:4096 or 64M,",
    .check = check_limit_value,
};

static const char *check_port_range(const char *text)
{
    uint32_t first, last;

    if (!text_to_range(text, &first, &last))
        return "is no range of ports";
    return last == UINT32_MAX ? "has 4294967295 in it, which stands for any port" : NULL;
}

const Format format_port_range = {
    .name = "range of ports",
    .pattern = "^(0|[1-9][0-9]{0,9}|0x[0-9a-fA-F]{1,8})(-(0|[1-9][0-9]{0,9}|0x[0-9a-fA-F]{1,8}))?$",
    .hint = "two ports, the lower first, as 50000-50999,",
    .check = check_port_range,
};

/* ---- Windows ---- */

/* "Security Descriptor String Format" (Microsoft Learn): O:, G:, D:, S:, each once and in that order, each ACL a row of
 * flags and parenthesised entries. Who is named in it only Windows knows. */
static const char *check_sddl(const char *text)
{
    static const char sections[] = "OGDS";
    const char *at = text, *section = sections;

    if (!*text)
        return "is empty";
    while (*at) {
        const char *found = at[1] == ':' ? strchr(section, *at) : NULL;
        if (!found)
            return "is not O:, G:, D: and S: parts in that order";
        section = found + 1;
        at += 2;
        if (*found == 'O' || *found == 'G') {
            size_t sid = strspn(at, UPPER DIGITS "-");
            /* The next part's letter does not belong to this one, here and below. */
            if (at[sid] == ':' && sid > 0)
                sid--;
            if (sid < 2)
                return "has no SID after O: or G:";
            at += sid;
            continue;
        }
        size_t flags = strspn(at, UPPER "_"); /* P, AR, AI, NO_ACCESS_CONTROL */
        at += flags - (at[flags] == ':' && flags > 0);
        while (*at == '(') {
            size_t entry = strcspn(at + 1, "()");
            if (at[1 + entry] != ')')
                return "has an entry that is not closed";
            unsigned semicolons = 0;
            for (size_t i = 0; i < entry; i++) {
                unsigned char c = (unsigned char)at[1 + i];
                semicolons += c == ';';
                if (c < 0x20 || c > 0x7e)
                    return "has something in it that is no ASCII text";
            }
            if (semicolons < 5)
                return "has an entry without its six parts";
            at += entry + 2;
        }
    }
    return NULL;
}

const Format format_sddl = {
    .name = "security descriptor",
    .pattern = "^([OG]:[A-Z0-9-]+|[DS]:[A-Z_]*(\\([^()]*\\))*)+$",
    .hint = "a security descriptor in SDDL, as D:P(A;;FA;;;SY),",
    .check = check_sddl,
};
