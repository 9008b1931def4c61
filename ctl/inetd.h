/* SPDX-License-Identifier: Apache-2.0 */
/* A process for each connection of services, as inetd(8) started them. */
#pragma once

#include <signal.h>

#include "ctl/ctl.h"
#include "ctl/libhvsock/hvsock.h"

/* In the child, which has the connection as 0, 1 and 3, and the environment that sd_listen_fds(3) expects: becomes something
 * or answers an exit status. */
typedef int (*InetdChild)(char *const *command);

/* Who starts what. */
typedef struct InetdWork {
    InetdChild child;
    char *const *command;
    unsigned connections_max; /* at a time; others wait until one ends. 0: no bound */
} InetdWork;

/* Serves the services until SIGTERM or SIGINT, or until one of them cannot be served any more. An ExitStatus; -errno. */
int inetd_run(Ctl *ctl, char *const *names, const InetdWork *work);
/* The same with a listening socket of our own, which `listen` makes once signals are looked after: it answers 0 or an ExitStatus
 * (told), or -errno, and keeps the socket, which does not block. signals: as they were before. address: for messages. */
typedef int (*InetdListen)(void *userdata, const sigset_t *signals, int *ret_fd);
int inetd_listen(Ctl *ctl, const char *address, InetdListen listen, void *userdata, const InetdWork *work);

/* Becomes the command. */
int inetd_become(char *const *command);
/* SIGTERM, SIGINT and more, blocked and to be read from *ret_fd, signalfd(2). *ret_before: for sigprocmask(2). -errno. */
int inetd_signals(bool children, int *ret_fd, sigset_t *ret_before);
/* `vsock:42:1234` or `uid:107` of a socket's peer, empty where it cannot be told; *ret_pid: its process on this host, or 0. */
#define PEER_TEXT_SIZE_BYTES 40
void peer_text(int fd, char text[static PEER_TEXT_SIZE_BYTES], pid_t *ret_pid);
