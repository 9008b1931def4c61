/* SPDX-License-Identifier: Apache-2.0 */
/* One call of a client: what it asks, and what is to become its reply. It lives on the stack of its connection's turn;
 * one that is answered later (a write that waits for its commit, a sequence of replies) is moved to the heap with
 * call_keep. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/manager/failure.h"
#include "daemon/manager/manager.h"
#include "schema/base/buffer.h"
#include "schema/base/fd.h"
#include "schema/codec/value-quick.h"
#include "schema/model/records.h"

typedef struct Call Call;
typedef struct Connection Connection;
typedef struct Method Method;
typedef enum SequenceStep SequenceStep;

/* What a sequence's next function answers, beside -errno. */
enum SequenceStep {
    SEQUENCE_END = 0, /* there are no more */
    SEQUENCE_ITEM,    /* one was rendered */
    SEQUENCE_AGAIN,   /* nothing yet: it has taken long, and others may have their turn before it goes on */
    SEQUENCE_LATER,   /* nothing now; whoever knows of more makes the connection ready (only where call->endless) */
    SEQUENCE_REFUSED, /* it cannot go on: call->failure, which ends it */
};

struct Call {
    TAILQ_ENTRY(Call) turn; /* of the writes that wait for their commit */
    Connection *connection; /* NULL: the client has gone meanwhile */
    const Method *method;
    bool parsed;
    json_t *message;        /* where the library read it; else it is server->quick */
    Value parameters;       /* in what was read, good until the next call is; .ops NULL: there are none */
    const char *name;       /* of the method; likewise */
    char *nul_path;         /* the first text with a NUL in it; or NULL */
    bool oneway, more;
    uint64_t event_sequence; /* the first event that has come with or after it */
    void *arguments;        /* the parameters, as a record of method->parameters */

    Failure failure;
    Buffer rendered;        /* a write: its reply, where that is known before the commit */
    /* A write was staged (or refused while others were): renders its reply after the commit. */
    int (*finish)(Call *call, Buffer *reply);

    /* A sequence of replies: renders the parameters of the next one. */
    int (*next)(Call *call, Buffer *reply, FdList *fds); /* SequenceStep or -errno */
    bool endless;           /* every reply has `continues` */
    /* Listeners of a service have changed; true: there may be more to tell. NULL: of no interest. */
    bool (*on_listeners)(Call *call, const char *service);
    bool has_held;
    Buffer held;            /* rendered, and kept back until it is known whether it is the last */
    FdList held_fds;
    /* A write: the name that it is about. A sequence by name: the last one made. */
    char about[SERVICE_NAME_MAX_BYTES + 1];
    void *state;            /* the handler's own */
    void (*state_free)(void *state);
};

/* Reads a message. CALL_MALFORMED: it is no Varlink call. -ENOMEM. The call must be released in any case. */
enum { CALL_MALFORMED = 1 };
int call_parse(Call *call, const char *text, size_t size_bytes);
void call_release(Call *call);
static inline void call_free(Call *call)
{
    if (call)
        call_release(call);
    free(call);
}
DEFINE_CLEANUP(Call *, call_free)
/* Moves it to the heap; the original is empty afterwards. NULL: no memory. */
Call *call_keep(Call *call);

/* The cursor of a sequence by name, for manager_next_*. */
static inline const char *call_after(const Call *call)
{
    return call->about[0] ? call->about : NULL;
}
void call_set_about(Call *call, const char *name);

/* The message around a reply's parameters: begin, append an object, end. */
void reply_begin(Buffer *text);
void reply_end(Buffer *text, bool continues);
/* A whole error reply. */
void reply_failure(Buffer *text, const Failure *failure);
