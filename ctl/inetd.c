/* SPDX-License-Identifier: Apache-2.0 */
/* Serving with a process for each connection; lives as long as the verb. Processes are reaped as they end, and outlive us.
 * signalfd(2), sd_listen_fds(3), and systemd.socket(5) for the environment. */

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "ctl/inetd.h"
#include "schema/base/fd.h"

#define CONNECTION_FD 3 /* SD_LISTEN_FDS_START */

typedef struct Inetd {
    Ctl *ctl;
    Registry *registry;
    char *const *names;
    struct pollfd *watched; /* one a name; then the signals */
    size_t count;
    InetdChild child;
    char *const *command;
    sigset_t signals, signals_before;
} Inetd;

static void inetd_release(Inetd *inetd)
{
    for (size_t i = 0; inetd->watched && i <= inetd->count; i++)
        fd_close(inetd->watched[i].fd);
    free(inetd->watched);
    sigprocmask(SIG_SETMASK, &inetd->signals_before, NULL);
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
        ctl_tell(connection->service, NULL, "a connection cannot be served: %s", strerror(errno));
        _exit(EXIT_NOT_EXECUTABLE);
    }
    close_range(CONNECTION_FD + 1, ~0u, 0);
    _exit(inetd->child(inetd->command));
}

static void serve_connection(const Inetd *inetd, const hvsock_connection *connection)
{
    fflush(stdout);
    pid_t pid = fork();

    if (pid == 0)
        child_run(inetd, connection);
    if (pid < 0)
        ctl_tell(connection->service, NULL, "a connection from %s is closed: no process can be started: %s",
                 connection->peer, strerror(errno));
}

/* Its socket has ended: served anew, where that can be; else it is told why not. */
static int serve_again(Inetd *inetd, size_t i)
{
    inetd->watched[i].fd = fd_close(inetd->watched[i].fd);
    int r = inetd->registry->ops->serve(inetd->registry, inetd->names[i], &inetd->watched[i].fd);

    return r == 0 ? 0 : ctl_refused(inetd->ctl, r, inetd->names[i]);
}

static int take_connection(Inetd *inetd, size_t i)
{
    hvsock_connection connection;
    int r = hvsock_accept(inetd->watched[i].fd, &connection);

    switch (-r) {
    case 0:
        serve_connection(inetd, &connection);
        hvsock_connection_release(&connection);
        return 0;
    case EINTR:
    case EAGAIN:
        return 0;
    case EMFILE:
        ctl_tell(inetd->names[i], "raise RLIMIT_NOFILE", "a connection is closed: %s", strerror(EMFILE));
        return 0;
    case ECONNRESET:
        return serve_again(inetd, i);
    default:
        return r;
    }
}

/* true: it is to end. */
static bool take_signal(const Inetd *inetd)
{
    struct signalfd_siginfo information;

    if (read(inetd->watched[inetd->count].fd, &information, sizeof(information)) != sizeof(information))
        return false;
    if (information.ssi_signo != SIGCHLD)
        return true;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return false;
}

static int inetd_loop(Inetd *inetd)
{
    for (;;) {
        if (poll(inetd->watched, inetd->count + 1, -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (inetd->watched[inetd->count].revents && take_signal(inetd))
            return EXIT_DONE;
        for (size_t i = 0; i < inetd->count; i++) {
            int r = inetd->watched[i].revents ? take_connection(inetd, i) : 0;
            if (r != 0)
                return r;
        }
    }
}

int inetd_run(Ctl *ctl, char *const *names, InetdChild child, char *const *command)
{
    _cleanup_(inetd_release) Inetd inetd = {
        .ctl = ctl, .names = names, .count = text_list_count(names), .child = child, .command = command};

    sigemptyset(&inetd.signals);
    sigaddset(&inetd.signals, SIGCHLD);
    sigaddset(&inetd.signals, SIGTERM);
    sigaddset(&inetd.signals, SIGINT);
    sigprocmask(SIG_BLOCK, &inetd.signals, &inetd.signals_before);
    inetd.watched = calloc(inetd.count + 1, sizeof(*inetd.watched));
    if (!inetd.watched)
        return -ENOMEM;
    for (size_t i = 0; i <= inetd.count; i++)
        inetd.watched[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    inetd.watched[inetd.count].fd = signalfd(-1, &inetd.signals, SFD_CLOEXEC);
    if (inetd.watched[inetd.count].fd < 0)
        return -errno;
    int r = ctl_open(ctl, &inetd.registry);
    for (size_t i = 0; i < inetd.count && r == 0; i++) {
        r = inetd.registry->ops->serve(inetd.registry, names[i], &inetd.watched[i].fd);
        if (r != 0)
            r = ctl_refused(ctl, r, names[i]);
    }
    return r != 0 ? r : inetd_loop(&inetd);
}
