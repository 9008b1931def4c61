/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a program: a clone that shares our memory, while we wait until it has executed, so that it costs the same however
 * much we hold. FACTS: a fork copies the table of descriptors; this one copies the few that stand below what is needed. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/keeper/spec.h"

#define SPAWN_SLOTS 32 /* descriptors that a program is given without a copy of the whole table */

typedef struct Spawner Spawner;
typedef struct SpawnWord SpawnWord;

struct Spawner {
    int null_fd;
    int slots[SPAWN_SLOTS]; /* low numbers, kept for what programs are given */
    char *stack;
    SpawnWord *stuck; /* of those that we gave up */
    bool score_is_lowered; /* our oom_score_adj: programs begin with 0 */
    struct rlimit files;   /* RLIMIT_NOFILE as we were given it */
};

int spawner_open(Spawner *spawner, const struct rlimit *files); /* before the low descriptors are taken */
void spawner_close(Spawner *spawner);

/* fds: those that the spec's indexes mean; they stay the caller's. cgroup_fd: -1, or where it begins; where that is refused it
 * begins without. -errno: *ret_what names what failed. -ETIMEDOUT: its file or folder is where nobody answers. */
int spawner_start(Spawner *spawner, const Spec *spec, const int *fds, size_t fd_count, int cgroup_fd, pid_t *ret_pid, int *ret_pidfd,
                  const char **ret_what);
