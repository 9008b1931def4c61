/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket of our own, without the daemon: where an address says, until it is closed. */
#pragma once

#include "ctl/stream/socket.h"

typedef struct Listener Listener;

struct Listener {
    int fd;
    char *path; /* of a unix socket, which is removed at the end where it is still ours; or NULL */
    dev_t device;
    ino_t inode;
};

enum { LISTENER_FAILED = 1 };
/* type: SERVICE_STREAM and so on. It does not block. A socket's file that nobody listens on is replaced. 0; LISTENER_FAILED with *failure; -ENOMEM. */
int listener_open(const Address *address, const char *text, int type, Failure *failure, Listener *ret);
void listener_close(Listener *listener);
