/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl exec: becomes a program that gets the listeners of services, as sd_listen_fds_with_names(3) expects them.
 */

#include <errno.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "ctl/ctl.h"
#include "ctl/descriptors.h"
#include "ctl/inetd.h"

#define LISTEN_FDS_START 3
/* One environment string: MAX_ARG_STRLEN, execve(2). */
#define ENVIRONMENT_MAX_BYTES (128u * 1024)

/* NAME or NAME@MACHINE, separated by colons. */
static int exec_names(const RegistryListener *listeners, size_t count, char **ret)
{
    Buffer names = {0};

    for (size_t i = 0; i < count; i++) {
        buffer_printf(&names, "%s%s", i > 0 ? ":" : "", listeners[i].service);
        if (listeners[i].machine)
            buffer_printf(&names, "@%s", listeners[i].machine);
    }
    return buffer_take(&names, ret, NULL);
}

static int exec_set_environment(const Ctl *ctl, const RegistryListener *listeners, size_t count)
{
    _cleanup_(freep) char *names = NULL;
    char number[24], pid[24];

    int r = exec_names(listeners, count, &names);
    if (r < 0)
        return r;
    if (strlen("LISTEN_FDNAMES=") + strlen(names) >= ENVIRONMENT_MAX_BYTES) {
        ctl_tell(ctl->called, "take fewer services at a time",
                 "the names of %zu listeners do not fit into LISTEN_FDNAMES (%u bytes)", count, ENVIRONMENT_MAX_BYTES);
        return EXIT_USAGE;
    }
    snprintf(number, sizeof(number), "%zu", count);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (setenv("LISTEN_FDS", number, 1) < 0 || setenv("LISTEN_PID", pid, 1) < 0 ||
        setenv("LISTEN_FDNAMES", names, 1) < 0)
        return -errno;
    /* Where it is there it has to be right, systemd 259; the pid is enough. */
    unsetenv("LISTEN_PIDFDID");
    return 0;
}

/* For receiving, as many descriptors as may be; *ret_limit is what it was. */
static void exec_raise_limit(struct rlimit *ret_limit)
{
    struct rlimit raised;

    if (getrlimit(RLIMIT_NOFILE, ret_limit) < 0)
        *ret_limit = (struct rlimit){.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    raised = *ret_limit;
    raised.rlim_cur = raised.rlim_max;
    setrlimit(RLIMIT_NOFILE, &raised);
}

/* The command gets the limit that it would have had, unless its listeners alone fill that: then it keeps all there is.
 */
static void exec_restore_limit(const struct rlimit *limit, size_t count)
{
    if (limit->rlim_cur > LISTEN_FDS_START + count)
        setrlimit(RLIMIT_NOFILE, limit);
}

static int exec_hand_over(Ctl *ctl, RegistryListener *listeners, size_t count, const struct rlimit *limit)
{
    _cleanup_(freep) int *fds = calloc(count + 1, sizeof(*fds));

    if (!fds)
        return -ENOMEM;
    int r = exec_set_environment(ctl, listeners, count);
    if (r != 0)
        return r;
    for (size_t i = 0; i < count; i++)
        fds[i] = TAKE_FD(listeners[i].fd);
    r = descriptors_place(fds, count, LISTEN_FDS_START);
    if (r < 0)
        return r;
    /* What else is open here, also what we were started with, is not for the command. */
    close_range(LISTEN_FDS_START + (unsigned)count, ~0u, CLOSE_RANGE_CLOEXEC);
    exec_restore_limit(limit, count);
    return ctl_become(ctl);
}

static int exec_run(Ctl *ctl)
{
    RegistryListener *listeners = NULL;
    struct rlimit limit;
    Registry *registry;
    size_t count = 0;

    for (char *const *name = ctl->given.operands; *name; name++)
        for (char *const *other = ctl->given.operands; other < name; other++)
            if (strcmp(*name, *other) == 0)
                return ctl_usage(ctl, *name, "name each service once", "it is named twice");
    if (given_has(&ctl->given, "inetd"))
        return inetd_run(ctl, ctl->given.operands, &(InetdWork){.child = inetd_become, .command = ctl->given.command});
    exec_raise_limit(&limit);
    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = registry->ops->acquire(registry, ctl->given.operands, &listeners, &count);
    if (r == -EMFILE || r == -EBADMSG) {
        /* Descriptors that find no place here are cut off: recvmsg(2), MSG_CTRUNC. */
        struct rlimit most = {0};
        getrlimit(RLIMIT_NOFILE, &most);
        ctl_tell(ctl->called, "raise the hard limit RLIMIT_NOFILE (ulimit -Hn, LimitNOFILE=), or take fewer services",
                 "the listeners could not be taken; at most %llu files can be open here",
                 (unsigned long long)most.rlim_max);
        return EXIT_USAGE;
    }
    if (r != 0)
        return ctl_refused(ctl, r, ctl->called);
    /* The lease is this process's, so the connection is not needed; its number may be a listener's. */
    registry_close(ctl->registry);
    ctl->registry = NULL;
    r = exec_hand_over(ctl, listeners, count, &limit);
    registry_listeners_free(listeners, count);
    return r;
}

static const Option exec_options[] = {
    {.name = "inetd", .help = "Start a COMMAND for each connection, which hvsockd accepts and checks."},
    {0},
};

const Verb verb_exec = {
    .name = "exec",
    .group = VERBS_OF_USE,
    .synopsis = "[--inetd] NAME... -- COMMAND [ARG]...",
    .help = "Become a program that gets the listeners of services",
    .description =
        "The listeners are descriptors from 3 on, in the order of the names. LISTEN_FDS is how many, LISTEN_PID the "
        "process, LISTEN_FDNAMES their "
        "names, separated by colons: NAME, or NAME@MACHINE for a machine's own socket. All other descriptors but 0, 1 "
        "and 2 are closed. "
        "The lease stays with the process and ends with it; connections that come before the program is ready wait.\n"
        "\n"
        "With --inetd hvsockctl stays, and starts a COMMAND a connection: that is its standard input and output and "
        "descriptor 3, with "
        "LISTEN_FDS=1 and LISTEN_FDNAMES=connection; HVSOCK_SERVICE is the service, HVSOCK_MACHINE the machine where it "
        "is known, REMOTE_ADDR "
        "and REMOTE_PORT the peer on vsock. This works in both handout modes, and the service's peer rules hold. It ends "
        "with SIGTERM or "
        "SIGINT; what was started goes on.\n"
        "\n"
        "The exit status is the command's own; 127: it was not found, 126: it could not be started. Before that it is "
        "as with every verb.",
    .options = exec_options,
    .operands = COMPLETES_SERVICES,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = OPERANDS_MANY,
    .takes_command = true,
    .run = exec_run,
};
