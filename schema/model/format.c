/* SPDX-License-Identifier: Apache-2.0 */
/* What names, addresses, users and labels have to look like: constant tables and the checks behind them. Where a pattern cannot say all that
 * the check does (bounds of numbers, ranges that go backwards), it says more than is right, never less. */

#include <stdint.h>
#include <string.h>

#include "schema/base/text.h"
#include "schema/model/address.h"
#include "schema/model/characters.h"
#include "schema/model/format.h"
#include "schema/model/guid.h"
#include "schema/model/path.h"
#include "schema/model/peer.h"

#define ID_MAX 0xfffffffeu /* (uid_t)-1 is nobody's */

/* ---- names ---- */

static const char *check_service_name(const char *text)
{
    if (!*text)
        return "is empty";
    if (!strchr(LOWER DIGITS, text[0]))
        return "begins with neither a lower-case letter nor a digit";
    if (!consists_of(text, LOWER DIGITS "._-"))
        return "has something in it that is no lower-case letter, digit, dot, dash or underscore";
    return NULL;
}

const Format format_service_name = {
    .name = "service name",
    .pattern = "^[a-z0-9][a-z0-9._-]*$",
    .hint = "lower-case letters, digits, dots, dashes and underscores, a letter or digit first,",
    .check = check_service_name,
};

/* `42`, `0x2a`, also where it is no good number (`042`). */
static bool reads_as_number(const char *text, size_t size)
{
    size_t prefix = size > 2 && text[0] == '0' && text[1] == 'x' ? 2 : 0;
    const char *set = prefix ? DIGITS "abcdef" : DIGITS;

    return size > prefix && strspn(text + prefix, set) >= size - prefix;
}

static const char *check_machine_name(const char *text)
{
    static const char *const cid_words[] = {"any", "hypervisor", "local", "host"};
    const char *why = check_service_name(text);

    if (why)
        return why;
    for (size_t i = 0; i < ELEMENTS_OF(cid_words); i++)
        if (strcmp(text, cid_words[i]) == 0)
            return "is a word for a CID, so it names no machine";
    const char *dash = strchr(text, '-');
    if (reads_as_number(text, dash ? (size_t)(dash - text) : strlen(text))) {
        if (!dash)
            return "is read as a number, so it names no machine";
        if (!dash[1] || reads_as_number(dash + 1, strlen(dash + 1)))
            return "is read as a range, so it names no machine";
    }
    return NULL;
}

const Format format_machine_name = {
    .name = "machine name",
    .pattern = "^(?!([0-9]+|0x[0-9a-f]+)(-([0-9]+|0x[0-9a-f]+)?)?$)(?!(any|hypervisor|local|host)$)[a-z0-9][a-z0-9._-]*$",
    .hint = "a name as web1 (lower-case letters, digits, dots, dashes and underscores; no number, range or word for a CID)",
    .check = check_machine_name,
};

static const char *check_name_pattern(const char *text)
{
    if (!*text)
        return "is empty";
    if (!strchr(LOWER DIGITS "*", text[0]))
        return "begins with neither a lower-case letter, nor a digit, nor *";
    return consists_of(text, LOWER DIGITS "._-*") ? NULL : "has something in it that no service name has";
}

const Format format_name_pattern = {
    .name = "name pattern",
    .pattern = "^[a-z0-9*][a-z0-9._*-]*$",
    .hint = "a service name with * for any text, as podman-*,",
    .check = check_name_pattern,
};

static const char *check_printable(const char *text)
{
    if (!text_is_utf8(text, strlen(text), NULL))
        return "is not UTF-8";
    return text_is_printable(text) ? NULL : "has a control character or a line end in it";
}

#define PATTERN_PRINTABLE "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]*$"

const Format format_element_name = {
    .name = "text",
    .pattern = PATTERN_PRINTABLE,
    .hint = "text on one line, without control characters,",
    .check = check_printable,
};

static const char *check_guid(const char *text)
{
    Guid guid;

    return guid_parse(text, &guid) ? NULL : "is no GUID";
}

#define HEX "[0-9a-fA-F]"
#define PATTERN_BARE_GUID HEX "{8}-" HEX "{4}-" HEX "{4}-" HEX "{4}-" HEX "{12}"

const Format format_guid = {
    .name = "GUID",
    .pattern = "^(" PATTERN_BARE_GUID "|\\{" PATTERN_BARE_GUID "\\})$",
    .hint = "32 hex digits as in 00001414-facb-11e6-bd58-64006a7986d3, with or without braces,",
    .check = check_guid,
};

/* ---- addresses and paths ---- */

static const char *address_refusal(const char *text, const char **ret_hint)
{
    Address address;
    const char *reason, *hint;

    int r = address_parse(text, &address, &reason, &hint);
    if (r == ADDRESS_REFUSED) {
        *ret_hint = hint;
        return reason;
    }
    if (r == 0)
        address_release(&address);
    return NULL; /* also out of memory: service_validate parses once more, and tells */
}

static const char *check_listen(const char *text)
{
    const char *hint;

    return address_refusal(text, &hint);
}

static const char *advise_listen(const char *text)
{
    const char *hint = NULL;

    address_refusal(text, &hint);
    return hint;
}

const Format format_listen = {
    .name = "address",
    .pattern = "^[a-z]+:.",
    .hint = "a URI as vsock://:5140, hybrid:///run/v.sock or unix:///run/x.sock, machine:NAME or machine:*",
    .check = check_listen,
    .advise = advise_listen,
};

static const char *check_absolute_path(const char *text)
{
    if (text[0] != '/')
        return "is no absolute path";
    return path_check(text);
}

const Format format_absolute_path = {
    .name = "absolute path",
    .pattern = "^/",
    .hint = "an absolute path without `..`, of at most 4095 bytes,",
    .check = check_absolute_path,
};

static const char *check_program(const char *text)
{
    const char *why = check_absolute_path(text);

    return why ? why : text_ends_with(text, "/") ? "is a folder" : NULL;
}

const Format format_program = {
    .name = "program",
    .pattern = "^/.*[^/]$",
    .hint = "the program's absolute path, as /usr/bin/logger,",
    .check = check_program,
};

/* ---- users, groups, peers ---- */

static const char *check_user_or_range(const char *text, bool range)
{
    uint64_t first, last;

    if (!*text)
        return "is empty";
    if (strchr(DIGITS, text[0])) {
        size_t digits = strspn(text, DIGITS);
        if (text[digits] && (text[digits] != '-' || !consists_of(text + digits + 1, DIGITS)))
            return "begins with a digit and is no number";
        if (text[digits] && !range)
            return "is a range";
        if (!text_to_number_sized(text, digits, ID_MAX, &first))
            return "is no plain decimal number up to 4294967294";
        last = first;
        if (text[digits] && !text_to_number(text + digits + 1, ID_MAX, &last))
            return "is no range of plain decimal numbers up to 4294967294";
        return first > last ? "goes backwards" : NULL;
    }
    if (!strchr(LOWER UPPER "_", text[0]))
        return "begins with neither a letter, nor a digit, nor an underscore";
    return consists_of(text, LOWER UPPER DIGITS "_.@\\$+-") ? NULL : "has a character in it that such names do not have";
}

static const char *check_user(const char *text)
{
    return check_user_or_range(text, false);
}

static const char *check_user_range(const char *text)
{
    return check_user_or_range(text, true);
}

#define PATTERN_USER "[A-Za-z_][A-Za-z0-9_.@\\\\$+-]*"
#define PATTERN_NUMBER "(0|[1-9][0-9]{0,9})"

const Format format_user = {
    .name = "user",
    .pattern = "^(" PATTERN_USER "|" PATTERN_NUMBER ")$",
    .hint = "a user's name or uid",
    .check = check_user,
};

const Format format_user_range = {
    .name = "user or range of uids",
    .pattern = "^(" PATTERN_USER "|" PATTERN_NUMBER "(-" PATTERN_NUMBER ")?)$",
    .hint = "a user's name, a uid or a range of uids, as 100000-165535,",
    .check = check_user_range,
};

const Format format_group = {
    .name = "group",
    .pattern = "^(" PATTERN_USER "|" PATTERN_NUMBER ")$",
    .hint = "a group's name or gid",
    .check = check_user,
};

static const char *check_peer(const char *text)
{
    PeerRule rule;

    return peer_rule_parse(text, &rule);
}

const Format format_peer = {
    .name = "peer",
    .pattern = "^(uid:(" PATTERN_USER "|" PATTERN_NUMBER ")|" PATTERN_NUMBER "(-" PATTERN_NUMBER ")?|"
               "(?!([0-9]+|0x[0-9a-f]+)(-([0-9]+|0x[0-9a-f]+)?)?$)(?!(any|hypervisor|local|host)$)[a-z0-9][a-z0-9._-]*)$",
    .hint = "a machine's name, a CID, a range of CIDs (100-199) or a user (uid:107)",
    .check = check_peer,
};

/* ---- labels ---- */

static const char *check_label_name(const char *text)
{
    size_t size = strlen(text);

    if (size == 0)
        return "is empty";
    if (size > 128)
        return "is longer than 128 bytes";
    return consists_of(text, LOWER UPPER DIGITS "._/-") ? NULL
                                                        : "has something in it that is no letter, digit, dot, dash, slash or "
                                                          "underscore";
}

const Format format_label_name = {
    .name = "label's name",
    .pattern = "^[A-Za-z0-9._/-]{1,128}$",
    .hint = "letters, digits, dots, dashes, slashes and underscores, at most 128,",
    .check = check_label_name,
};

static const char *check_label_value(const char *text)
{
    if (strlen(text) > 1024)
        return "is longer than 1024 bytes";
    return check_printable(text);
}

const Format format_label_value = {
    .name = "label's value",
    .pattern = PATTERN_PRINTABLE,
    .hint = "text on one line, at most 1024 bytes,",
    .check = check_label_value,
};
