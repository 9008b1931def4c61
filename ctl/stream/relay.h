/* SPDX-License-Identifier: Apache-2.0 */
/* A connection, joined with standard input and output: both directions at once, each until its own end. */
#pragma once

#include "ctl/ctl.h"

typedef struct Relay Relay;

struct Relay {
    const char *what; /* for messages: the address */
    int signal_fd;    /* signalfd(2): ends it; or -1 */
    bool progress;
    /* The next connection has the same standard input and output: they stay open. */
    bool again;
    bool input_ended; /* nothing is read from standard input any more; kept from one connection to the next */
    bool stopped;     /* set where signal_fd ended it */
};

/* When standard input ends, the peer is told so (shutdown(2)); it is over when the peer has ended too, or is gone. fd is not closed,
 * and does not block afterwards. Ignores SIGPIPE from here on. EXIT_DONE; EXIT_NO: the peer did not read all, or the connection
 * was lost; EXIT_USAGE: standard input or output cannot be used (all told); -errno. */
int relay_run(Relay *relay, int fd);
/* What comes from fd goes back to it. EXIT_DONE; EXIT_NO; -errno. Nothing is told. */
int relay_echo(int fd);
