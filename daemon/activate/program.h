/* SPDX-License-Identifier: Apache-2.0 */
/* What a program is to be started as: from a service's activate to the fields of KEEPER_TAG_PROGRAM (schema/wire/keeper.h).
 * Pure; the descriptors are the caller's, and meant by their index. systemd.exec(5), sd_listen_fds(3). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/activate/account.h"
#include "schema/base/buffer.h"
#include "schema/model/records.h"

#define PROGRAM_STOP_TIMEOUT_SECONDS 10
#define PROGRAM_UMASK 0022

typedef struct ProgramWish ProgramWish;

struct ProgramWish {
    const Activation *activate;
    const char *service;
    const char *machine;    /* of the peer; NULL: not known */
    const Account *account; /* NULL: who the keeper is, for it cannot be anybody else */
    const Account *self;    /* whose home that is; NULL: not known */
    bool has_cid;           /* a peer on vsock */
    uint32_t cid, port;
    bool connection;        /* descriptor 0 is standard input and output too */
    unsigned listen_count;  /* descriptors 0, … are passed from 3 on */
    const char *listen_names; /* LISTEN_FDNAMES */
    int error_index;        /* of standard error; -1: none */
    const char *cgroup;     /* a name for it */
};

/* Clears program first. -ENOMEM. */
int program_describe(const ProgramWish *wish, Buffer *program);
