/* SPDX-License-Identifier: Apache-2.0 */
/* Peer rules as values; they point into the text that they were read from. */

#include <string.h>

#include "schema/base/text.h"
#include "schema/model/format.h"
#include "schema/model/peer.h"

#define CID_MAX 0xfffffffeu
#define UID_MAX 0xfffffffeu

static const char *user_rule_parse(const char *user, PeerRule *ret)
{
    uint64_t uid;

    const char *why = format_user.check(user);
    if (why)
        return why;
    if (text_to_number(user, UID_MAX, &uid))
        *ret = (PeerRule){.kind = PEER_UID, .first = (uint32_t)uid, .last = (uint32_t)uid};
    else
        *ret = (PeerRule){.kind = PEER_USER, .name = user};
    return NULL;
}

const char *peer_rule_parse(const char *text, PeerRule *ret)
{
    const char *dash = strchr(text, '-');
    uint64_t first, last;

    if (text_starts_with(text, "uid:"))
        return user_rule_parse(text + 4, ret);
    if (strchr(text, ':'))
        return "has a colon, and does not begin with uid:";

    size_t size = strlen(text);
    if (size > 0 && strspn(text, "0123456789-") == size && text[0] != '-') {
        if (!dash)
            dash = text + size;
        if (!text_to_number_sized(text, (size_t)(dash - text), CID_MAX, &first))
            return "is no CID, which is a plain decimal number up to 4294967294";
        last = first;
        if (*dash && !text_to_number(dash + 1, CID_MAX, &last))
            return "is no range of CIDs, which is two plain decimal numbers up to 4294967294 with a dash between them";
        if (first > last)
            return "goes backwards";
        *ret = (PeerRule){.kind = PEER_CIDS, .first = (uint32_t)first, .last = (uint32_t)last};
        return NULL;
    }

    const char *why = format_machine_name.check(text);
    if (why)
        return why;
    if (size > 64)
        return "is longer than 64 bytes";
    *ret = (PeerRule){.kind = PEER_MACHINE, .name = text};
    return NULL;
}
