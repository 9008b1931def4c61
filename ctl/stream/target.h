/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a person means: a URI, or SERVICE@MACHINE, which the daemon knows more of. */
#pragma once

#include "ctl/ctl.h"
#include "ctl/stream/dial.h"

typedef struct Wanted Wanted;

/* What was typed, as far as it can be read without asking anybody. */
struct Wanted {
    const char *operand;
    Address address;            /* of a URI; else without transport */
    char *service;              /* SERVICE: a name, or NULL */
    bool has_port, has_guid;    /* … else one of these */
    uint32_t port;
    Guid guid;
    const char *machine;        /* MACHINE: a name, or NULL */
    uint32_t cid;               /* … else this */
    int type;                   /* SERVICE_STREAM and so on; 0: not given */
};

/* Whether it is a URI: all else is names. */
bool operand_is_uri(const char *operand);
/* A URI of a transport that this host has; what hvsock:// is on Linux, and which URI would be right, is told. connects: it names whom
 * to connect to, not where to listen. The caller releases *ret. 0; EXIT_USAGE (told); -ENOMEM. */
int uri_read(Ctl *ctl, const char *uri, bool connects, Address *ret);
/* --type; 0: not given. 0; EXIT_USAGE (told). */
int type_read(Ctl *ctl, int *ret);
extern const char *const socket_type_words[];

/* 0; EXIT_USAGE (told); -ENOMEM. */
int wanted_read(Ctl *ctl, const char *operand, Wanted *ret);
void wanted_release(Wanted *wanted);
/* Whether the daemon has to be asked. */
static inline bool wanted_asks(const Wanted *wanted)
{
    return wanted->service || wanted->machine;
}
/* Asks it anew each time, until then (clock_ms). 0; TARGET_UNKNOWN with *failure; -errno. */
enum { TARGET_UNKNOWN = 1 };
int target_find(Ctl *ctl, const Wanted *wanted, uint64_t deadline_ms, Failure *failure, Target *ret);
