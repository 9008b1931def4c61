/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM answers to `CONNECT PORT` on its hybrid socket: one line, `OK N`. FACTS; Firecracker's docs/vsock.md. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct HybridReply HybridReply;

#define HYBRID_REPLY_MAX_BYTES 64

/* {0}: nothing has come yet. */
struct HybridReply {
    char text[HYBRID_REPLY_MAX_BYTES + 1]; /* without its end of line */
    size_t size_bytes;
};

typedef enum HybridAnswer {
    HYBRID_MORE,     /* the line has not ended yet */
    HYBRID_OK,
    HYBRID_REFUSED,  /* a whole line, which is another */
    HYBRID_TOO_LONG,
} HybridAnswer;

/* Takes what came. *ret_used: how much of it is the line's; all that follows is the connection's own, and not looked at. */
HybridAnswer hybrid_reply_feed(HybridReply *reply, const char *bytes, size_t size_bytes, size_t *ret_used);
