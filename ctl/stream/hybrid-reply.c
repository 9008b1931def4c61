/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a VMM's answer, however it is cut; lives for one handshake. N is not to be interpreted: it is only looked at that it could
 * be a number or a GUID. */

#include <string.h>

#include "ctl/stream/hybrid-reply.h"

static bool is_ok(const char *text)
{
    static const char allowed[] = "0123456789abcdefABCDEF-{}";

    return strncmp(text, "OK ", 3) == 0 && text[3] && text[3 + strspn(text + 3, allowed)] == '\0';
}

HybridAnswer hybrid_reply_feed(HybridReply *reply, const char *bytes, size_t size_bytes, size_t *ret_used)
{
    const char *end = memchr(bytes, '\n', size_bytes);
    size_t size = end ? (size_t)(end - bytes) : size_bytes;
    size_t room = HYBRID_REPLY_MAX_BYTES - reply->size_bytes;
    bool too_long = size > room;

    if (too_long)
        size = room;
    memcpy(reply->text + reply->size_bytes, bytes, size);
    reply->size_bytes += size;
    reply->text[reply->size_bytes] = '\0';
    *ret_used = size + (end && !too_long);
    if (too_long)
        return HYBRID_TOO_LONG;
    if (!end)
        return HYBRID_MORE;
    /* A NUL in it would hide what follows. */
    return strlen(reply->text) == reply->size_bytes && is_ok(reply->text) ? HYBRID_OK : HYBRID_REFUSED;
}
