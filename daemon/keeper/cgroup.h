/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup a program, where the system has delegated ours to us: then whatever a program starts is found and ended with it.
 * Without one nothing fails. cgroups(7), systemd.resource-control(5) (Delegate=). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"

#define CGROUP_NAME_SIZE_BYTES 192

typedef struct Cgroups Cgroups;

struct Cgroups {
    int fd;          /* of the delegated cgroup; -1: there is none */
    uint64_t serial; /* of names */
};

/* Finds out whether ours is delegated, and moves us into its leaf `keeper`. */
void cgroups_open(Cgroups *cgroups);
void cgroups_close(Cgroups *cgroups);
/* Those of programs that there are, also of a keeper before us. */
void cgroups_each(const Cgroups *cgroups, void (*found)(const char *name, void *userdata), void *userdata);

/* A new one, opened for CLONE_INTO_CGROUP; its name is made from wanted (or NULL). -1: there is none. */
int cgroups_make(Cgroups *cgroups, const char *wanted, char name[static CGROUP_NAME_SIZE_BYTES]);
/* Sends a signal to all that is in it but the process group `group` (0: none is left out); SIGKILL in one go, to all. */
void cgroups_kill(const Cgroups *cgroups, const char *name, int signal, pid_t group);
/* false: there is something in it still. */
bool cgroups_remove(const Cgroups *cgroups, const char *name);
