/* SPDX-License-Identifier: Apache-2.0 */
/* Making a bound, listening socket at an address: the address, and owner and mode as a configuration says them, become a
 * flat request for daemon/place. One file a transport (bind-NAME.c); the table is made from the file names by the
 * Makefile. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/place/place.h"
#include "schema/model/address.h"

typedef struct BindRequest BindRequest;
typedef struct BindHands BindHands;
typedef struct Binder Binder;

struct BindRequest {
    const Address *address; /* complete, never machine: or hyperv */
    const char *path;       /* where address_key was asked already, and the transport has paths: what it answered; else NULL */
    int type;               /* SERVICE_STREAM, … */
    uint32_t backlog;
    const char *user; /* of unix paths; NULL: the folder's owner; a name or a uid */
    const char *group;
    const char *mode; /* octal text; NULL: 0660 */
    const char *as_user;  /* the machine's, in whose name it is bound; NULL: the folder's owner's */
    const char *as_group;
    const pid_t *known_holders; /* these four: see PlaceRequest */
    size_t known_holder_count;
    uint64_t device, inode;
};

struct Binder {
    const char *transport; /* Transport.name */
    /* Where that is: path (owned by the caller then), or cid and port. false: result says why not. */
    bool (*find)(const BindRequest *request, char **ret_path, PlaceRequest *place, PlaceResult *result);
};

/* Who does it. */
struct BindHands {
    void (*bind_many)(const PlaceRequest *requests, PlaceResult *results, size_t count, void *userdata);
    void (*change)(const PlaceRequest *request, int fd, PlaceResult *result, void *userdata);
    void *userdata;
};

extern const Binder *const binders[]; /* NULL-terminated, generated */

/* See place_bind. -ENOMEM alone is answered as an error. */
int bind_listener(const BindRequest *request, PlaceResult *result);
/* See place_bind_many. hands: NULL is ourselves. -ENOMEM: no result is filled in. A result that waits without a reason had no memory for it. */
int bind_many(const BindRequest *requests, PlaceResult *results, size_t count, const BindHands *hands);
/* See place_change. path is the listener's, as place_bind told it; NULL: it has none. */
int bind_change(const BindRequest *request, int fd, const char *path, PlaceResult *result, const BindHands *hands);
