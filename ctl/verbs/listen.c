/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl listen: serves a service with what is at hand: an echo, or a command of the shell's. */

#include <errno.h>

#include "ctl/inetd.h"

static int listen_echo(char *const *command)
{
    char bytes[16384];
    ssize_t size;

    while ((size = read(STDIN_FILENO, bytes, sizeof(bytes))) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        for (ssize_t at = 0, n; at < size; at += n) {
            n = write(STDOUT_FILENO, bytes + at, (size_t)(size - at));
            if (n < 0 && errno != EINTR)
                return EXIT_NO;
            n = n < 0 ? 0 : n;
        }
        if (size < 0)
            return EXIT_NO;
    }
    return EXIT_DONE;
}

static int listen_run(Ctl *ctl)
{
    const char *command = given_value(&ctl->given, "exec", NULL);
    char *const shell[] = {(char *)(uintptr_t)"/bin/sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)command, NULL};
    bool echo = given_has(&ctl->given, "echo");

    if (echo == (command != NULL))
        return ctl_usage(ctl, "listen", NULL, "either --echo or --exec COMMAND is needed");
    return inetd_run(ctl, ctl->given.operands, echo ? listen_echo : inetd_become, shell);
}

static const Option listen_options[] = {
    {.name = "echo", .help = "Send back what comes."},
    {.name = "exec", .argument = "COMMAND", .completes = COMPLETES_COMMANDS, .help = "Start this, by /bin/sh -c, for each connection."},
    {0},
};

const Verb verb_listen = {
    .name = "listen",
    .group = VERBS_OF_USE,
    .synopsis = "NAME --echo|--exec COMMAND",
    .help = "Serve a service with an echo or a command",
    .description = "For trying things out. hvsockd accepts and checks the connections; a command has each as its standard input and "
                   "output, with the environment of exec --inetd. Ends with SIGTERM or SIGINT.",
    .options = listen_options,
    .operands = COMPLETES_SERVICES,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .run = listen_run,
};
