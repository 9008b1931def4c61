/* SPDX-License-Identifier: Apache-2.0 */
/* Serving with a process for each connection; lives as long as the verb. Processes are reaped as they end, and outlive us.
 * Connections come from hvsockd, which has accepted and checked them, or from a listener of our own. signalfd(2),
 * sd_listen_fds(3), and systemd.socket(5) for the environment. */

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "ctl/inetd.h"
#include "schema/base/fd.h"

#define CONNECTION_FD 3 /* SD_LISTEN_FDS_START */
/* Where no descriptor is free, until it is tried again. */
#define PAUSE_MS 200

typedef struct Inetd {
    Ctl *ctl;
    Registry *registry;     /* NULL: a listener of our own */
    char *const *names;
    int *fds;               /* one a name */
    struct pollfd *watched; /* the same; then the signals */
    size_t count;
    const InetdWork *work;
    size_t running;
    bool paused, told;
    int signal_fd;
    sigset_t signals_before;
} Inetd;

static void inetd_release(Inetd *inetd)
{
    for (size_t i = 0; inetd->registry && inetd->fds && i < inetd->count; i++)
        fd_close(inetd->fds[i]);
    free(inetd->fds);
    free(inetd->watched);
    fd_close(inetd->signal_fd); /* signals stay blocked: one that has come is what ended us */
}

int inetd_signals(bool children, int *ret_fd, sigset_t *ret_before)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (children)
        sigaddset(&signals, SIGCHLD);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    sigprocmask(SIG_BLOCK, &signals, ret_before);
    *ret_fd = fd;
    return 0;
}

void peer_text(int fd, char text[static PEER_TEXT_SIZE_BYTES], pid_t *ret_pid)
{
    union {
        struct sockaddr address;
        struct sockaddr_vm vsock;
        struct sockaddr_storage space;
    } name = {0};
    struct ucred peer = {0};
    socklen_t size = sizeof(name), peer_size = sizeof(peer);

    text[0] = '\0';
    *ret_pid = 0;
    if (getpeername(fd, &name.address, &size) < 0)
        return;
    if (name.address.sa_family == AF_VSOCK) {
        snprintf(text, PEER_TEXT_SIZE_BYTES, "vsock:%u:%u", name.vsock.svm_cid, name.vsock.svm_port);
    } else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0) {
        snprintf(text, PEER_TEXT_SIZE_BYTES, "uid:%u", peer.uid);
        *ret_pid = peer.pid;
    }
}

int inetd_become(char *const *command)
{
    execvp(command[0], command);
    int error = errno;
    ctl_tell(command[0], error == ENOENT ? "give its path, or look at PATH" : NULL, "cannot be started: %s",
             strerror(error));
    return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static bool set_or_unset(const char *name, const char *value)
{
    return (value ? setenv(name, value, 1) : unsetenv(name)) == 0;
}

/* `vsock:42:1234` becomes vsock:42 and 1234; nobody else has such an address. */
static bool set_remote(const char *peer)
{
    const char *port = text_starts_with(peer, "vsock:") ? strrchr(peer, ':') : NULL;
    _cleanup_(freep) char *address = port ? strndup(peer, (size_t)(port - peer)) : NULL;

    if (port && !address)
        return false;
    return set_or_unset("REMOTE_ADDR", address) && set_or_unset("REMOTE_PORT", port ? port + 1 : NULL);
}

static bool set_environment(const hvsock_connection *connection)
{
    char pid[24];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    /* Where LISTEN_PIDFDID is there it has to be right, systemd 259; the pid is enough. */
    return set_or_unset("LISTEN_FDS", "1") && set_or_unset("LISTEN_PID", pid) &&
           set_or_unset("LISTEN_FDNAMES", "connection") && set_or_unset("LISTEN_PIDFDID", NULL) &&
           set_or_unset("HVSOCK_SERVICE", connection->service) && set_or_unset("HVSOCK_MACHINE", connection->machine) &&
           set_remote(connection->peer);
}

/* dup2 onto itself would keep close-on-exec. */
static bool place(int fd, int number)
{
    return fd == number ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, number) >= 0;
}

static _Noreturn void child_run(const Inetd *inetd, const hvsock_connection *connection)
{
    sigprocmask(SIG_SETMASK, &inetd->signals_before, NULL);
    /* Away from the numbers that it is to have. */
    int fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, CONNECTION_FD + 1);
    if (fd < 0 || !place(fd, STDIN_FILENO) || !place(fd, STDOUT_FILENO) || !place(fd, CONNECTION_FD) ||
        !set_environment(connection)) {
        ctl_tell(inetd->names[0], NULL, "a connection cannot be served: %s", strerror(errno));
        _exit(EXIT_NOT_EXECUTABLE);
    }
    close_range(CONNECTION_FD + 1, ~0u, 0);
    _exit(inetd->work->child(inetd->work->command));
}

static void serve_connection(Inetd *inetd, const hvsock_connection *connection)
{
    fflush(stdout);
    pid_t pid = fork();

    if (pid == 0)
        child_run(inetd, connection);
    if (pid > 0)
        inetd->running++;
    else
        ctl_tell(inetd->names[0], NULL, "a connection from %s is closed: no process can be started: %s",
                 connection->peer, strerror(errno));
}

/* Its socket has ended: served anew, where that can be; else it is told why not. */
static int serve_again(Inetd *inetd, size_t i)
{
    inetd->fds[i] = fd_close(inetd->fds[i]);
    int r = inetd->registry->ops->serve(inetd->registry, inetd->names[i], &inetd->fds[i]);

    return r == 0 ? 0 : ctl_refused(inetd->ctl, r, inetd->names[i]);
}

/* On a listener of our own. */
static int accept_connection(const Inetd *inetd, size_t i, hvsock_connection *ret)
{
    char peer[PEER_TEXT_SIZE_BYTES];
    int fd = accept4(inetd->fds[i], NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return errno == ECONNABORTED ? -EAGAIN : -errno;
    *ret = (hvsock_connection){.fd = fd};
    peer_text(fd, peer, &ret->process_id);
    ret->peer = strdup(peer);
    if (ret->peer)
        return 0;
    hvsock_connection_release(ret);
    return -ENOMEM;
}

/* It waits: on our own listener until there is a descriptor for it, else it is closed already. */
static void tell_no_descriptor(Inetd *inetd, size_t i, int error)
{
    inetd->paused = !inetd->registry;
    if (!inetd->paused || !inetd->told)
        ctl_tell(inetd->names[i], "raise RLIMIT_NOFILE", inetd->paused ? "connections wait: %s" : "a connection is closed: %s", strerror(error));
    inetd->told = inetd->paused;
}

static int take_connection(Inetd *inetd, size_t i)
{
    hvsock_connection connection;
    int r = inetd->registry ? hvsock_accept(inetd->fds[i], &connection) : accept_connection(inetd, i, &connection);

    switch (-r) {
    case 0:
        serve_connection(inetd, &connection);
        hvsock_connection_release(&connection);
        return 0;
    case EINTR:
    case EAGAIN:
        return 0;
    case EMFILE:
    case ENFILE:
        tell_no_descriptor(inetd, i, -r);
        return 0;
    case ECONNRESET:
        return inetd->registry ? serve_again(inetd, i) : 0;
    default:
        return r;
    }
}

/* true: it is to end. */
static bool take_signal(Inetd *inetd)
{
    struct signalfd_siginfo information;

    if (read(inetd->signal_fd, &information, sizeof(information)) != sizeof(information))
        return false;
    if (information.ssi_signo != SIGCHLD)
        return true;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        inetd->running--;
    return false;
}

static void watch(Inetd *inetd)
{
    bool full = inetd->work->connections_max > 0 && inetd->running >= inetd->work->connections_max;

    for (size_t i = 0; i < inetd->count; i++)
        inetd->watched[i] = (struct pollfd){.fd = full || inetd->paused ? -1 : inetd->fds[i], .events = POLLIN};
    inetd->watched[inetd->count] = (struct pollfd){.fd = inetd->signal_fd, .events = POLLIN};
}

static int inetd_loop(Inetd *inetd)
{
    for (;;) {
        watch(inetd);
        int ready = poll(inetd->watched, inetd->count + 1, inetd->paused ? PAUSE_MS : -1);
        inetd->paused = false;
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0)
            continue;
        if (inetd->watched[inetd->count].revents && take_signal(inetd))
            return EXIT_DONE;
        for (size_t i = 0; i < inetd->count; i++) {
            int r = inetd->watched[i].revents ? take_connection(inetd, i) : 0;
            if (r != 0)
                return r;
        }
    }
}

/* Room for what is watched. */
static int inetd_prepare(Inetd *inetd)
{
    inetd->fds = calloc(inetd->count, sizeof(*inetd->fds));
    inetd->watched = calloc(inetd->count + 1, sizeof(*inetd->watched));
    if (!inetd->fds || !inetd->watched)
        return -ENOMEM;
    for (size_t i = 0; i < inetd->count; i++)
        inetd->fds[i] = -1;
    return 0;
}

static int inetd_block_signals(Inetd *inetd)
{
    return inetd_signals(true, &inetd->signal_fd, &inetd->signals_before);
}

int inetd_run(Ctl *ctl, char *const *names, const InetdWork *work)
{
    _cleanup_(inetd_release) Inetd inetd = {.ctl = ctl, .names = names, .count = text_list_count(names), .work = work, .signal_fd = -1};

    int r = inetd_prepare(&inetd);
    if (r == 0)
        r = ctl_open(ctl, &inetd.registry);
    for (size_t i = 0; i < inetd.count && r == 0; i++) {
        r = inetd.registry->ops->serve(inetd.registry, names[i], &inetd.fds[i]);
        if (r != 0)
            r = ctl_refused(ctl, r, names[i]);
    }
    if (r == 0)
        r = inetd_block_signals(&inetd);
    return r != 0 ? r : inetd_loop(&inetd);
}

int inetd_listen(Ctl *ctl, const char *address, InetdListen listen, void *userdata, const InetdWork *work)
{
    char *const names[] = {(char *)(uintptr_t)address, NULL};
    _cleanup_(inetd_release) Inetd inetd = {.ctl = ctl, .names = names, .count = 1, .work = work, .signal_fd = -1};

    int r = inetd_prepare(&inetd);
    if (r == 0)
        r = inetd_block_signals(&inetd);
    if (r == 0)
        r = listen(userdata, &inetd.signals_before, &inetd.fds[0]);
    return r == 0 ? inetd_loop(&inetd) : r;
}
