/* SPDX-License-Identifier: Apache-2.0 */
/* Who may what, decided from the kernel's credentials of a connection, the settings and the record alone. Default: no.
 * Names of users and groups in the settings are looked up once, when the settings are loaded. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"
#include "schema/base/process.h"
#include "schema/model/records.h"

typedef struct Access Access;
typedef struct Credentials Credentials;

/* Of the process that connected: SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD (unix(7), socket(7)). The groups and the
 * pidfd are fetched when first asked for. */
struct Credentials {
    int socket_fd; /* borrowed from the connection */
    pid_t pid;
    uid_t uid;
    gid_t gid;
    uint64_t read_at_ns; /* CLOCK_BOOTTIME: the connection was made before */
    gid_t *groups;
    size_t group_count;
    bool groups_known;
    char program[PROCESS_NAME_SIZE_BYTES]; /* credentials_program */
    bool program_known;
    bool has_lease; /* a lease was made for this very process; what of it still lives is the leases' to say */
};

/* -ENOTCONN: nobody is at the other end. */
int credentials_read(int socket_fd, Credentials *ret);
void credentials_release(Credentials *credentials);
/* Fills in groups, once. Where they cannot be had there are none: less is allowed then, never more. */
void credentials_fetch_groups(Credentials *credentials);
/* What the process is called, as it was when this was asked first; NULL: it was gone. */
const char *credentials_program(Credentials *credentials);
/* Also where it is only a supplementary group. */
bool credentials_in_group(Credentials *credentials, gid_t group);
/* A pidfd of the process, that the caller owns. Where the kernel has no SO_PEERPIDFD (Linux before 6.5) it is opened by
 * pid, and refused where the process can have been another. -ESRCH: it is gone, or another has its pid; -EACCES: /proc
 * does not say. */
int credentials_open_pidfd(const Credentials *credentials);
/* The second way alone. */
int credentials_open_pidfd_by_pid(const Credentials *credentials);

int access_new(const Settings *settings, Access **ret);
void access_free(Access *access);
DEFINE_CLEANUP(Access *, access_free)

/* uid -1, and the uid that stands for every user who has none in our user namespace (user_namespaces(7)), are nobody:
 * refused everywhere, even where they are named. */

/* Root, the user that the daemon runs as, administrators. */
bool access_is_administrator(const Access *access, Credentials *credentials);

/* Each answers NULL where it is allowed, else why not and what would allow it (static text, or kept until the next
 * call). */
/* Register, unregister, enable, disable, Apply of a service of that name and port (NULL: it has none). Paths of its
 * own, and owners of paths other than oneself, are for administrators: the keeper makes them with rights that a
 * delegate has not. */
const char *access_may_change(const Access *access, Credentials *credentials, const ServiceContext *service,
                              const uint32_t *port);
/* The first port from *port on that access_may_change would take with that name; false: there is none. */
bool access_next_port(const Access *access, Credentials *credentials, const char *name, uint32_t *port);
/* Beside that: activation only as oneself: no other user or group, no unit of systemd's, no limits. */
const char *access_may_activate_as(const Access *access, Credentials *credentials, const ServiceContext *service);
/* Acquire and Serve: those who may change it, and whom its handout names. */
const char *access_may_take(const Access *access, Credentials *credentials, const ServiceContext *service,
                            const uint32_t *port);
/* Any delegation at all names this uid: for Apply's sets. */
bool access_is_delegate(const Access *access, Credentials *credentials);
