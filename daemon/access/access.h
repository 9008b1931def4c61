/* SPDX-License-Identifier: Apache-2.0 */
/* Who may what, decided from the kernel's credentials of a connection, the settings and the record alone. Default: no.
 * Names of users and groups in the settings are looked up once, when the settings are loaded. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"
#include "schema/model/records.h"

typedef struct Access Access;
typedef struct Credentials Credentials;

/* Of the process that connected: SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD (unix(7), socket(7)). The groups and the pidfd are
 * fetched when first asked for. */
struct Credentials {
    int socket_fd; /* borrowed from the connection */
    pid_t pid;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
    bool groups_known;
};

int credentials_read(int socket_fd, Credentials *ret);
void credentials_release(Credentials *credentials);
/* Also where it is only a supplementary group. */
bool credentials_in_group(Credentials *credentials, gid_t group);
/* A pidfd of the process, that the caller owns. Where the kernel has no SO_PEERPIDFD it is opened by pid, and refused where
 * the process can have been another. -ESRCH: it is gone. */
int credentials_open_pidfd(const Credentials *credentials);

int access_new(const Settings *settings, Access **ret);
void access_free(Access *access);
DEFINE_CLEANUP(Access *, access_free)

/* Root, the user that the daemon runs as, administrators. */
bool access_is_administrator(const Access *access, Credentials *credentials);

/* Each answers NULL where it is allowed, else why not and what would allow it (static text, or kept until the next call). */
/* Register, unregister, enable, disable, Apply of a service of that name and port. */
const char *access_may_change(const Access *access, Credentials *credentials, const ServiceContext *service,
                              const uint32_t *port);
/* Beside that: activation only as oneself. */
const char *access_may_activate_as(const Access *access, Credentials *credentials, const ServiceContext *service);
/* Acquire and Serve. owner: who registered it, or (uid_t)-1. */
const char *access_may_take(const Access *access, Credentials *credentials, const ServiceContext *service,
                            const uint32_t *port);
/* Any delegation at all names this uid: for Apply's sets. */
bool access_is_delegate(const Access *access, Credentials *credentials);
