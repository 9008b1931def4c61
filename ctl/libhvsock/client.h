/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of libhvsock share: a client, and one reply of the daemon. Not installed. */
#pragma once

#include <stdbool.h>

#include "ctl/libhvsock/hvsock.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/wire/wire.h"

#define HVSOCK_INTERFACE "io.hvsock.Registry"

typedef struct Reply Reply;
typedef struct json_t json_t; /* <jansson.h> */

struct hvsock {
    Wire *wire;
    int timeout_ms;
    bool broken;            /* it failed, or was left in the middle of a sequence: no more calls */
    char *error_name;       /* of the last HVSOCK_REFUSED; NULL: there was none */
    char *error_parameters; /* JSON object */
    char *error_text;       /* the sentence */
};

struct Reply {
    json_t *parameters; /* an object */
    FdList fds;
    bool continues;
};

void reply_release(Reply *reply);

DEFINE_CLEANUP(hvsock *, hvsock_close)

/* A call, sent: method as in hvsock_call; parameters: JSON text or NULL. The last error is forgotten. -errno. */
int client_send(hvsock *client, const char *method, const char *parameters, bool more);
/* The next reply. 0; HVSOCK_REFUSED, and the error is kept; -errno, and the client is broken. */
int client_receive(hvsock *client, Reply *ret);
/* Both, with parameters as a tree that is consumed; one reply without descriptors is wanted, and any that come are closed. */
int client_call_consume(hvsock *client, const char *method, json_t *parameters_consume, json_t **ret_parameters);

/* Keeps an error for the hvsock_error_* functions. -ENOMEM. */
int error_keep(hvsock *client, const char *name, const json_t *parameters);
void error_forget(hvsock *client);
