/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl listen: waits for connections where an address says, or at a service of hvsockd's, and serves them with what is at hand:
 * standard input and output, an echo, or a command of the shell's. */

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "ctl/inetd.h"
#include "ctl/stream/listener.h"
#include "ctl/stream/patience.h"
#include "ctl/stream/progress.h"
#include "ctl/stream/relay.h"
#include "ctl/stream/target.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"

#define CONNECTIONS_DEFAULT "64"
#define CONNECTIONS_MAX 4096

typedef struct Listen {
    Ctl *ctl;
    const char *operand;
    int type; /* of a URI: SERVICE_STREAM and so on */
    Patience patience;
    unsigned connections_max;
    bool keep;
    int fd; /* to wait on: a listener of our own, or a socket of Serve's */
    Listener listener; /* of a URI */
    Relay relay;
} Listen;

static void listen_release(Listen *work)
{
    listener_close(&work->listener);
    /* Signals stay blocked: one that has come is what ended us. */
    fd_close(work->relay.signal_fd);
    fd_close(work->fd);
}

/* ---- where ---- */

/* signals: as they were before. */
static int listen_bind(Listen *work, const sigset_t *signals)
{
    _cleanup_(address_release) Address address = {0};
    Failure failure;

    int r = uri_read(work->ctl, work->operand, false, &address);
    if (r != 0)
        return r;
    do {
        r = listener_open(&address, work->operand, work->type, &failure, &work->listener);
        if (r <= 0)
            return r;
    } while (!failure.for_good && patience_again(&work->patience, signals));
    return failure_tell(work->ctl, &failure);
}

static int listen_serve(Listen *work)
{
    Registry *registry;

    int r = ctl_open(work->ctl, &registry);
    if (r != 0)
        return r;
    r = registry->ops->serve(registry, work->operand, &work->fd);
    return r == 0 ? 0 : ctl_refused(work->ctl, r, work->operand);
}

/* ---- a process a connection ---- */

static int listen_echo(char *const *command)
{
    int r = relay_echo(STDIN_FILENO);

    return r < 0 ? EXIT_NO : r;
}

static int listen_bind_each(void *userdata, const sigset_t *signals, int *ret_fd)
{
    Listen *work = userdata;
    int r = listen_bind(work, signals);

    if (r == 0)
        *ret_fd = work->listener.fd;
    return r;
}

static int listen_each(Listen *work, bool is_uri, const char *command)
{
    char *const shell[] = {(char *)(uintptr_t)"/bin/sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)command, NULL};
    InetdWork each = {.child = command ? inetd_become : listen_echo, .command = shell, .connections_max = work->connections_max};

    if (!is_uri)
        return inetd_run(work->ctl, work->ctl->given.operands, &each);
    return inetd_listen(work->ctl, work->operand, listen_bind_each, work, &each);
}

/* ---- standard input and output ---- */

/* Until somebody comes. 1: there is somebody; 0: it is to end; an ExitStatus plus two (told); -errno. */
static int listen_wait(Listen *work)
{
    struct pollfd watched[] = {{.fd = work->fd, .events = POLLIN}, {.fd = work->relay.signal_fd, .events = POLLIN}};
    int wait_ms = work->patience.timeout_ms > 0 ? (int)work->patience.timeout_ms : -1, ready;

    while ((ready = poll(watched, ELEMENTS_OF(watched), wait_ms)) < 0)
        if (errno != EINTR)
            return -errno;
    if (ready == 0) {
        ctl_tell(work->operand, "--timeout waits longer", "nobody connected");
        return EXIT_NO + 2;
    }
    return watched[1].revents ? 0 : 1;
}

/* dgram: who sent the first is who we speak with. */
static int listen_join_sender(const Listen *work)
{
    struct sockaddr_un sender;
    socklen_t size = sizeof(sender);
    char byte;

    if (recvfrom(work->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, (struct sockaddr *)&sender, &size) < 0)
        return -errno;
    /* Who has no name cannot be answered. */
    if (size > sizeof(sa_family_t) && connect(work->fd, (const struct sockaddr *)&sender, size) < 0)
        return -errno;
    return fd_duplicate(work->fd);
}

/* The connection; -EAGAIN: it is gone again; -errno. */
static int listen_accept(Listen *work, bool is_uri, char peer[static PEER_TEXT_SIZE_BYTES])
{
    pid_t pid;
    int fd;

    if (is_uri) {
        if (work->type == SERVICE_DGRAM)
            fd = listen_join_sender(work);
        else if ((fd = accept4(work->fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
            fd = errno == ECONNABORTED || errno == EINTR ? -EAGAIN : -errno;
        if (fd >= 0)
            peer_text(fd, peer, &pid);
        return fd;
    }
    hvsock_connection connection;
    int r = hvsock_accept(work->fd, &connection);
    if (r < 0)
        return r == -EINTR ? -EAGAIN : r;
    snprintf(peer, PEER_TEXT_SIZE_BYTES, "%s", connection.peer);
    fd = TAKE_FD(connection.fd);
    hvsock_connection_release(&connection);
    return fd;
}

/* 0: another may come; an ExitStatus plus one; -errno. */
static int listen_one(Listen *work, bool is_uri)
{
    char peer[PEER_TEXT_SIZE_BYTES] = "", what[160];

    int r = listen_wait(work);
    if (r != 1)
        return r < 0 ? r : r == 0 ? EXIT_DONE + 1 : r - 1;
    _cleanup_(fd_closep) int fd = listen_accept(work, is_uri, peer);
    if (fd == -EAGAIN)
        return 0;
    if (fd == -ECONNRESET && !is_uri) {
        work->fd = fd_close(work->fd);
        r = listen_serve(work);
        return r > 0 ? r + 1 : r;
    }
    if (fd < 0)
        return fd;
    /* Nobody else is waited for: who comes is refused, not left waiting. */
    if (!work->keep) {
        work->fd = is_uri ? -1 : fd_close(work->fd);
        listener_close(&work->listener);
    }
    snprintf(what, sizeof(what), "%.100s%s%s%s", work->operand, peer[0] ? " (" : "", peer, peer[0] ? ")" : "");
    work->relay.what = what;
    r = relay_run(&work->relay, fd);
    if (r < 0)
        return r;
    return !work->keep || work->relay.stopped || r == EXIT_USAGE ? r + 1 : 0;
}

static int listen_here(Listen *work, bool is_uri)
{
    sigset_t signals;
    int r = is_uri ? 0 : listen_serve(work);

    if (r == 0)
        r = inetd_signals(false, &work->relay.signal_fd, &signals);
    if (r == 0 && is_uri)
        r = listen_bind(work, &signals);
    if (r != 0)
        return r;
    if (is_uri)
        work->fd = work->listener.fd;
    while (r == 0)
        r = listen_one(work, is_uri);
    if (is_uri)
        work->fd = -1; /* the listener's */
    return r < 0 ? r : r - 1;
}

static int listen_read_options(Listen *work, bool is_uri)
{
    Ctl *ctl = work->ctl;
    const char *text = given_value(&ctl->given, "max-connections", CONNECTIONS_DEFAULT);
    uint64_t number;
    bool each = given_has(&ctl->given, "echo") || given_has(&ctl->given, "exec");

    if (given_has(&ctl->given, "echo") && given_has(&ctl->given, "exec"))
        return ctl_usage(ctl, ctl->called, NULL, "--echo and --exec go not together");
    if (each && (given_has(&ctl->given, "keep") || given_has(&ctl->given, "timeout") || given_has(&ctl->given, "progress")))
        return ctl_usage(ctl, ctl->called, NULL, "--keep, --timeout and --progress are for standard input and output, not for --echo and --exec");
    if (!each && given_has(&ctl->given, "max-connections"))
        return ctl_usage(ctl, "--max-connections", NULL, "goes with --echo and --exec alone");
    if (!is_uri && (given_has(&ctl->given, "type") || given_has(&ctl->given, "retry")))
        return ctl_usage(ctl, ctl->called, NULL, "--type and --retry are for a URI: hvsockd listens for %s", work->operand);
    if (!text_to_number(text, CONNECTIONS_MAX, &number) || number == 0)
        return ctl_usage(ctl, "--max-connections", "a number from 1 to 4096 would be right", "\"%s\" is no such number", text);
    work->connections_max = (unsigned)number;
    work->keep = given_has(&ctl->given, "keep");
    work->relay.again = work->keep;
    work->relay.progress = given_has(&ctl->given, "progress");
    int r = type_read(ctl, &work->type);
    if (r == 0 && work->type == 0)
        work->type = SERVICE_STREAM;
    if (r == 0 && work->type == SERVICE_DGRAM && (each || work->keep))
        return ctl_usage(ctl, "--type", NULL, "dgram has no connections: --echo, --exec and --keep are not for it");
    return r == 0 ? patience_read(ctl, &work->patience) : r;
}

static int listen_run(Ctl *ctl)
{
    const char *command = given_value(&ctl->given, "exec", NULL), *operand = ctl->given.operands[0];
    bool is_uri = operand_is_uri(operand);
    _cleanup_(listen_release) Listen work = {.ctl = ctl, .operand = operand, .fd = -1, .listener.fd = -1, .relay.signal_fd = -1};

    int r = listen_read_options(&work, is_uri);
    if (r != 0)
        return r;
    return command || given_has(&ctl->given, "echo") ? listen_each(&work, is_uri, command) : listen_here(&work, is_uri);
}

static const Option listen_options[] = {
    {.name = "echo", .help = "Send back what comes."},
    {.name = "exec", .argument = "COMMAND", .completes = COMPLETES_COMMANDS, .help = "Start this, by /bin/sh -c, for each connection."},
    {.name = "max-connections", .argument = "N", .help = "How many --echo and --exec serve at a time, others wait; default 64."},
    {.name = "keep", .letter = 'k', .help = "After a connection wait for the next, with the same standard input and output."},
    {.name = "timeout", .argument = "SECONDS", .help = "How long to wait for a connection; default: as long as it takes."},
    OPTIONS_PATIENCE(", where a URI cannot be listened on"),
    {.name = "type",
     .argument = "TYPE",
     .completes = COMPLETES_WORDS,
     .words = socket_type_words,
     .help = "stream, seqpacket or dgram, of a URI; default stream."},
    {.name = "progress", .help = "Tell on standard error, once a second, how much was sent and received."},
    {0},
};

const Verb verb_listen = {
    .name = "listen",
    .group = VERBS_OF_USE,
    .synopsis = "URI|NAME [OPTION]...",
    .help = "Wait for connections, and answer them",
    .description =
        "For trying things out. At a URI hvsockctl listens by itself, without hvsockd: vsock://[CID]:PORT, also vsock:CID:PORT, "
        "hybrid://PATH:PORT|GUID (that is PATH_PORT), hyperkit://:PORT/DIR, unix://PATH; a socket's file that nobody listens on is "
        "replaced, and gone at the end. Of a service NAME hvsockd accepts and checks the connections.\n"
        "\n"
        "The first connection has standard input and output, and when it ends so does hvsockctl. With --echo or --exec each connection "
        "has a process; a command has it as its standard input and output and descriptor 3, with the environment of exec --inetd. These "
        "go on until SIGTERM or SIGINT; what was started goes on after that.",
    .options = listen_options,
    .operands = COMPLETES_SERVICES,
    .operand = "a URI or NAME",
    .operands_min = 1,
    .operands_max = 1,
    .run = listen_run,
};
