/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of peers.allow or peers.deny, read into a value. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct PeerRule PeerRule;

typedef enum PeerRuleKind {
    PEER_CIDS,    /* a CID, or a range of them */
    PEER_MACHINE, /* by name */
    PEER_UID,     /* uid:107 */
    PEER_USER,    /* uid:NAME */
} PeerRuleKind;

struct PeerRule {
    PeerRuleKind kind;
    uint32_t first, last; /* CIDS; UID: both the uid */
    const char *name;     /* MACHINE, USER: a part of the text that was read */
};

/* NULL: read. Else why not, static text. */
const char *peer_rule_parse(const char *text, PeerRule *ret);
