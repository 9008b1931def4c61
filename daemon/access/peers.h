/* SPDX-License-Identifier: Apache-2.0 */
/* Which peers may connect: peers.allow and peers.deny of a service, read once into sorted tables, so that a decision costs the
 * same however many rules and machines there are. Pure: it knows no socket and no clock but the one it is given. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"
#include "schema/model/records.h"

typedef struct Peer Peer;
typedef struct PeerRules PeerRules;

/* Who is at the other end, as far as the transport tells. */
struct Peer {
    bool has_cid;        /* vsock: its CID; a path: the CID of the machine whose path it is, where that has one */
    bool has_uid;        /* a path: SO_PEERCRED */
    uint32_t cid;
    uid_t uid;
    const char *machine; /* the machine's name, or NULL where it is none that is known */
};

typedef enum PeerVerdict {
    PEER_ALLOWED,
    PEER_DENIED,      /* by a rule of deny */
    PEER_NOT_ALLOWED, /* there is an allow, and nothing in it fits */
} PeerVerdict;

/* peers NULL: everybody. machines: names that may beside what allow says, and then nobody else may (machine:NAME on vsock);
 * "*" is every machine that is known. An empty or absent list adds nothing. Users are looked up now; one that the host does not know fits nobody. -ENOMEM. */
int peer_rules_new(const Peers *peers, char *const *machines, PeerRules **ret);
void peer_rules_free(PeerRules *rules);
DEFINE_CLEANUP(PeerRules *, peer_rules_free)

/* deny first; without allow everybody else may. */
PeerVerdict peer_rules_decide(const PeerRules *rules, const Peer *peer);
