/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl connect: standard input and output, joined with a service in a machine, or with whatever an address names. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/inetd.h"
#include "ctl/stream/patience.h"
#include "ctl/stream/progress.h"
#include "ctl/stream/relay.h"
#include "ctl/stream/target.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"

#define TIMEOUT_MS 30000

/* 0; DIAL_FAILED or TARGET_UNKNOWN with *failure; -errno. */
static int connect_try(Ctl *ctl, const Wanted *wanted, const Patience *patience, Failure *failure, Target *target, int *ret_fd)
{
    uint64_t deadline_ms = clock_ms() + (patience->timeout_ms > 0 ? patience->timeout_ms : TIMEOUT_MS);

    target_release(target);
    int r = target_find(ctl, wanted, deadline_ms, failure, target);
    return r == 0 ? dial(target, deadline_ms, failure, ret_fd) : r;
}

/* Until it is there, or nobody wants to try any more. 0; an ExitStatus (told); -errno. */
static int connect_patiently(Ctl *ctl, const Wanted *wanted, Patience *patience, Target *target, int *ret_fd)
{
    Failure failure;
    int r;

    do {
        r = connect_try(ctl, wanted, patience, &failure, target, ret_fd);
        if (r <= 0)
            return r;
    } while (!failure.for_good && patience_again(patience, NULL));
    return failure_tell(ctl, &failure);
}

/* ---- what becomes of the connection ---- */

/* ssh_config(5), ProxyUseFdpass: one byte, with the descriptor. */
static int connect_pass(Ctl *ctl, int fd)
{
    union {
        struct cmsghdr header; /* for the alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {.iov_base = (char[1]){0}, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    if (sendmsg(STDOUT_FILENO, &message, MSG_NOSIGNAL) == 1)
        return EXIT_DONE;
    ctl_tell(ctl->called, NULL, "the connection cannot be passed on: %s", strerror(errno));
    return EXIT_USAGE;
}

static int connect_exec(const char *command, int fd)
{
    char *const shell[] = {(char *)(uintptr_t)"/bin/sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)command, NULL};

    if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
        return -errno;
    return inetd_become(shell);
}

static int connect_use(Ctl *ctl, const Target *target, int fd)
{
    Relay relay = {.what = target->text, .signal_fd = -1, .progress = given_has(&ctl->given, "progress")};
    const char *command = given_value(&ctl->given, "exec", NULL);

    if (given_has(&ctl->given, "pass-fd"))
        return connect_pass(ctl, fd);
    return command ? connect_exec(command, fd) : relay_run(&relay, fd);
}

static int connect_check_options(Ctl *ctl)
{
    int domain = -1;
    socklen_t size = sizeof(domain);

    if (given_has(&ctl->given, "pass-fd") + given_has(&ctl->given, "exec") + given_has(&ctl->given, "progress") > 1)
        return ctl_usage(ctl, ctl->called, NULL, "--exec, --pass-fd and --progress go not together");
    if (given_has(&ctl->given, "pass-fd") &&
        (getsockopt(STDOUT_FILENO, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX))
        return ctl_usage(ctl, "--pass-fd", "it is for ssh's ProxyUseFdpass", "standard output is no unix socket");
    return 0;
}

static int connect_run(Ctl *ctl)
{
    _cleanup_(wanted_release) Wanted wanted = {0};
    _cleanup_(target_release) Target target = {0};
    _cleanup_(fd_closep) int fd = -1;
    Patience patience = {0};

    int r = connect_check_options(ctl);
    if (r == 0)
        r = patience_read(ctl, &patience);
    if (r == 0)
        r = wanted_read(ctl, ctl->given.operands[0], &wanted);
    if (r == 0)
        r = connect_patiently(ctl, &wanted, &patience, &target, &fd);
    return r == 0 ? connect_use(ctl, &target, fd) : r;
}

static const Option connect_options[] = {
    {.name = "timeout", .argument = "SECONDS", .help = "How long a connection may take to come about, the machine's own answer included; default 30."},
    OPTIONS_PATIENCE(""),
    {.name = "type",
     .argument = "TYPE",
     .completes = COMPLETES_WORDS,
     .words = socket_type_words,
     .help = "stream, seqpacket or dgram. Default: the service's; on unix:// what is there; else stream."},
    {.name = "exec", .argument = "COMMAND", .completes = COMPLETES_COMMANDS, .help = "Become this, by /bin/sh -c, with the connection as standard input and output."},
    {.name = "pass-fd", .help = "Hand the connection over on standard output, and end: for ssh's ProxyUseFdpass."},
    {.name = "progress", .help = "Tell on standard error, once a second, how much was sent and received."},
    {0},
};

const Verb verb_connect = {
    .name = "connect",
    .group = VERBS_OF_USE,
    .synopsis = "URI|SERVICE@MACHINE [OPTION]...",
    .help = "Connect standard input and output with a service in a machine",
    .description =
        "SERVICE is a name, port or GUID, MACHINE a name or CID, or local or host: the machine's hybrid, hyperkit or vsock transport is "
        "taken, the first that there is. A URI needs no daemon: vsock://CID:PORT, also vsock:CID:PORT, hybrid://PATH:PORT|GUID, "
        "hyperkit://:PORT/DIR, unix://PATH.\n"
        "\n"
        "When standard input ends the peer is told so, and what it still sends is printed until it ends, too. Exits 1 where the "
        "connection does not come about, or the peer did not read all that was sent.",
    .options = connect_options,
    .operand = "a URI or SERVICE@MACHINE",
    .operands_min = 1,
    .operands_max = 1,
    .run = connect_run,
};
