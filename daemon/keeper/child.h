/* SPDX-License-Identifier: Apache-2.0 */
/* What runs between clone and execve, in the keeper's own memory. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/keeper/spec.h"

typedef struct Child Child;

struct Child {
    const Spec *spec;
    const int *sources; /* by index: where the spec's descriptors are; each above every number that they get */
    int source_max;
    int null_fd;
    int cgroup_fd; /* where it moves itself to; -1: nowhere, or it is there already */
    pid_t keeper_pid;
    bool sets_groups;
    struct rlimit files;
    /* What has become of it; the keeper reads it when it runs again. */
    int error;
    const char *what; /* what failed, or what it is at: one of those that can take long */
};

/* Does not return: execve, or _exit once error and what are set. */
int child_main(void *userdata);
