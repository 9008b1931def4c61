/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets at the addresses of this host's transports: what connect and listen have in common. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ctl/ctl.h"
#include "schema/model/address.h"

typedef struct UnixName UnixName;
typedef struct Failure Failure;

/* A path as a socket's address. Where it is longer than an address can be, it is reached through a descriptor: proc(5). */
struct UnixName {
    struct sockaddr_un address;
    int fd; /* or -1 */
};

/* Of a socket that is there. -errno. */
int unix_name_open(const char *path, UnixName *ret);
/* Of one that is to be made: its folder is there. -errno. */
int unix_name_prepare(const char *path, UnixName *ret);
void unix_name_release(UnixName *name);

/* Why it did not come about, for ctl_tell. */
struct Failure {
    char what[160], why[400];
    const char *hint;
    bool for_good;  /* another try would not help */
    int answer;     /* of the registry, for ctl_refused; 0: it was not that */
    int status;     /* an ExitStatus, where answer is 0 */
};

void failure_set(Failure *failure, const char *what, const char *hint, const char *why_format, ...) _printf_(4, 5);
/* Tells it; the ExitStatus. -errno. */
int failure_tell(Ctl *ctl, const Failure *failure);

/* SOCK_STREAM and so on, of a service's type. */
int socket_type(int service_type);
/* A socket for an address's transport; -errno. */
int socket_open(const Address *address, int type);
