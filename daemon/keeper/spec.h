/* SPDX-License-Identifier: Apache-2.0 */
/* What a program is to be, read from the fields of KEEPER_TAG_PROGRAM. One allocation, which every pointer points into. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"
#include "schema/wire/frame.h"

#define SPEC_LIMITS_MAX 16 /* RLIM_NLIMITS */

typedef struct Spec Spec;
typedef struct SpecLimit SpecLimit;

struct SpecLimit {
    int resource;
    struct rlimit limit;
};

struct Spec {
    char *memory;
    char **arguments;
    char **environment; /* the given, and behind them room for LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID */
    char *listen_pid;   /* of the environment; what stands behind `=` is written by the child. NULL: there is none */
    char *directory;
    char *cgroup; /* or NULL */
    gid_t *groups;
    size_t group_count;
    bool has_uid, has_gid;
    uid_t uid;
    gid_t gid;
    mode_t umask;
    uint64_t stop_timeout_us;
    size_t limit_count;
    SpecLimit limits[SPEC_LIMITS_MAX];
    int stdio[3];    /* indexes of descriptors; -1: /dev/null */
    size_t *listen;  /* the same */
    size_t listen_count;
};

/* Indexes are below fd_count. -EPROTO: a critical field that we do not know; -EINVAL: a number out of its range, no argument, or
 * a file that is not absolute; -EBADMSG: a field of another shape; -ENOMEM. */
int spec_read(const FrameFields *fields, size_t fd_count, Spec *ret);
void spec_release(Spec *spec);
