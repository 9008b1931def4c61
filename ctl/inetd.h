/* SPDX-License-Identifier: Apache-2.0 */
/* A process for each connection of services, as inetd(8) started them. */
#pragma once

#include "ctl/ctl.h"
#include "ctl/libhvsock/hvsock.h"

/* In the child, which has the connection as 0, 1 and 3, and the environment that sd_listen_fds(3) expects: becomes something
 * or answers an exit status. */
typedef int (*InetdChild)(char *const *command);

/* Serves the services until SIGTERM or SIGINT, or until one of them cannot be served any more. An ExitStatus; -errno. */
int inetd_run(Ctl *ctl, char *const *names, InetdChild child, char *const *command);

/* Becomes the command. */
int inetd_become(char *const *command);
