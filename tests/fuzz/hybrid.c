/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a VMM answers to CONNECT, cut anywhere: the same answer, and never a byte behind the line. The first byte says
 * where they are cut. */

#include <string.h>

#include "ctl/stream/hybrid-reply.h"
#include "tests/fuzz/fuzz.h"

typedef struct Result {
    HybridAnswer answer;
    size_t used;
} Result;

/* As hvsockctl reads: a part at a time, as far as it is used. */
static Result read_in_parts(const char *bytes, size_t size_bytes, size_t part)
{
    Result result = {HYBRID_MORE, 0};
    HybridReply reply = {0};

    while (result.answer == HYBRID_MORE && result.used < size_bytes) {
        size_t left = size_bytes - result.used, size = left < part ? left : part, used = SIZE_MAX;
        result.answer = hybrid_reply_feed(&reply, bytes + result.used, size, &used);
        PROMISED(used <= size && (result.answer != HYBRID_MORE || used == size));
        result.used += used;
        PROMISED(reply.size_bytes <= HYBRID_REPLY_MAX_BYTES && reply.text[reply.size_bytes] == '\0');
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    if (size_bytes == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    size_t size = size_bytes - 1;
    Result whole = read_in_parts(bytes, size, size + 1), cut = read_in_parts(bytes, size, data[0] % 80 + 1u);
    const char *end = memchr(bytes, '\n', size);

    PROMISED(whole.answer == cut.answer && whole.used == cut.used);
    PROMISED(whole.used <= HYBRID_REPLY_MAX_BYTES + 1);
    if (whole.answer == HYBRID_OK || whole.answer == HYBRID_REFUSED)
        PROMISED(end && whole.used == (size_t)(end - bytes) + 1);
    if (whole.answer == HYBRID_OK)
        PROMISED(memcmp(bytes, "OK ", 3) == 0 && !memchr(bytes, '\0', whole.used));
    if (whole.answer == HYBRID_MORE)
        PROMISED(!end && whole.used == size);
    return 0;
}
