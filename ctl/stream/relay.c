/* SPDX-License-Identifier: Apache-2.0 */
/* Joining a connection with standard input and output, one poll(2) loop. Lives from the connection to its end. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "ctl/stream/flow.h"
#include "ctl/stream/progress.h"
#include "ctl/stream/relay.h"
#include "schema/base/fd.h"

/* Where the kernel does not tell that a peer that had ended is gone altogether, it is asked. */
#define ASK_MS 1000
/* Datagrams have no end: what still comes after ours, and no longer than this after the last. */
#define QUIET_MS 500

enum { UP, DOWN, DIRECTIONS };
/* What is polled. */
enum { UP_FD, DOWN_FD, OUTPUT_FD, PEER_FD, SIGNAL_FD, POLLED };

typedef struct Join {
    Relay *relay;
    int fd, type, family;
    Flow flows[DIRECTIONS];
    bool open[DIRECTIONS];
    bool unread; /* the peer did not read all */
    Progress progress;
} Join;

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

/* A pipe is closed; a socket that is standard input, too, stays open for that. */
static void close_output(void)
{
    struct stat status;

    if (fstat(STDOUT_FILENO, &status) < 0)
        return;
    if (S_ISSOCK(status.st_mode)) {
        shutdown(STDOUT_FILENO, SHUT_WR);
    } else if (S_ISFIFO(status.st_mode)) {
        /* Its number is not to become another file's. */
        _cleanup_(fd_closep) int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null >= 0)
            dup2(null, STDOUT_FILENO);
    }
}

/* The peer that has ended does not read either: it is gone. Of messages, an empty one would be sent. */
static bool peer_is_gone(const Join *join)
{
    return join->type == SOCK_STREAM && send(join->fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN;
}

static int join_failed(Join *join, int direction, int error)
{
    bool peers = (direction == UP) == join->flows[direction].failed_to;

    if (error == -ENOMEM)
        return error;
    if (error == -EMSGSIZE && !peers)
        return error;
    if (error == -EMSGSIZE)
        ctl_tell(join->relay->what, "give smaller messages", "a message is too long: %s", strerror(-error));
    else if (peers)
        ctl_tell(join->relay->what, NULL, "the connection was lost: %s", strerror(-error));
    else
        ctl_tell(direction == UP ? "standard input" : "standard output", NULL, "cannot be %s: %s",
                 direction == UP ? "read" : "written", strerror(-error));
    return peers ? EXIT_NO : EXIT_USAGE;
}

/* Moves one direction on. 0: it goes on; an ExitStatus plus one: all is over. -errno. */
static int join_move(Join *join, int direction)
{
    int r = flow_move(&join->flows[direction]);

    if (r < 0) {
        r = join_failed(join, direction, r);
        return r < 0 ? r : r + 1;
    }
    if (r == 0)
        return 0;
    join->open[direction] = false;
    if (direction == UP) {
        /* Who does not read any more may still have something to say. */
        if (r == FLOW_GONE)
            join->unread = true;
        else
            join->relay->input_ended = true;
        if (join->type != SOCK_DGRAM)
            shutdown(join->fd, SHUT_WR);
        return 0;
    }
    if (r == FLOW_GONE) /* nobody reads what we write: as with SIGPIPE */
        return EXIT_DONE + 1;
    if (r == FLOW_LOST) {
        ctl_tell(join->relay->what, NULL, "the peer closed the connection without reading all that was sent, or it was reset");
        return EXIT_NO + 1;
    }
    if (join->open[UP] && !join->relay->again)
        close_output();
    return 0;
}

/* The peer is gone: what there still was for it is not read by anybody. */
static int join_last(Join *join)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    /* For the next peer, where there is to be one, it is early enough. */
    if (join->open[UP] && !join->relay->again && (join->flows[UP].pending > 0 || poll(&input, 1, 0) > 0))
        return join_move(join, UP);
    return 0;
}

static void join_watch(const Join *join, struct pollfd watched[static POLLED])
{
    for (int i = 0; i < POLLED; i++)
        watched[i] = (struct pollfd){.fd = -1};
    for (int i = 0; i < DIRECTIONS; i++) {
        const Flow *flow = &join->flows[i];
        if (join->open[i])
            watched[i] = flow->waits_for_room ? (struct pollfd){.fd = flow->to, .events = POLLOUT}
                                              : (struct pollfd){.fd = flow->from, .events = POLLIN};
    }
    /* That nobody reads what we write any more, and that the peer is gone, is told without being asked for. */
    if (join->open[DOWN] && watched[DOWN].fd != STDOUT_FILENO)
        watched[OUTPUT_FD].fd = STDOUT_FILENO;
    if (!join->open[DOWN])
        watched[PEER_FD].fd = join->fd;
    watched[SIGNAL_FD] = (struct pollfd){.fd = join->relay->signal_fd, .events = POLLIN};
}

static int join_wait_ms(const Join *join)
{
    int wait_ms = join->relay->progress ? progress_wait_ms(&join->progress) : -1;

    if (!join->open[DOWN] && join->family != AF_UNIX && join->type == SOCK_STREAM && (wait_ms < 0 || wait_ms > ASK_MS))
        wait_ms = ASK_MS;
    if (join->type == SOCK_DGRAM && !join->open[UP])
        wait_ms = QUIET_MS;
    return wait_ms;
}

static int join_loop(Join *join)
{
    struct pollfd watched[POLLED];

    while (join->open[UP] || join->open[DOWN]) {
        join_watch(join, watched);
        int ready = poll(watched, POLLED, join_wait_ms(join));
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (watched[SIGNAL_FD].revents) {
            join->relay->stopped = true;
            return EXIT_DONE;
        }
        if (ready > 0 && watched[OUTPUT_FD].revents)
            return EXIT_DONE;
        if (!join->open[DOWN] && ((ready > 0 && watched[PEER_FD].revents) || (ready == 0 && peer_is_gone(join)))) {
            int r = join_last(join);
            if (r != 0)
                return r < 0 ? r : r - 1;
            break;
        }
        for (int i = 0; ready > 0 && i < DIRECTIONS; i++) {
            int r = watched[i].revents ? join_move(join, i) : 0;
            if (r != 0)
                return r < 0 ? r : r - 1;
        }
        if (ready == 0 && join->type == SOCK_DGRAM && !join->open[UP])
            break;
        if (join->relay->progress)
            progress_tell(&join->progress, join->flows[UP].bytes, join->flows[DOWN].bytes, false);
    }
    if (join->unread) {
        ctl_tell(join->relay->what, NULL, "the peer closed the connection without reading all that was sent");
        return EXIT_NO;
    }
    return EXIT_DONE;
}

int relay_run(Relay *relay, int fd)
{
    Join join = {.relay = relay, .fd = fd, .type = socket_option(fd, SO_TYPE), .family = socket_option(fd, SO_DOMAIN)};
    int r = fd_set_nonblocking(fd, true);

    if (r < 0)
        return r;
    signal(SIGPIPE, SIG_IGN);
    flow_open(&join.flows[UP], STDIN_FILENO, fd, fd, join.type);
    flow_open(&join.flows[DOWN], fd, STDOUT_FILENO, fd, join.type);
    join.open[UP] = !relay->input_ended;
    join.open[DOWN] = true;
    if (relay->input_ended && join.type != SOCK_DGRAM)
        shutdown(fd, SHUT_WR);
    if (relay->progress)
        progress_begin(&join.progress);
    r = join_loop(&join);
    if (relay->progress)
        progress_tell(&join.progress, join.flows[UP].bytes, join.flows[DOWN].bytes, true);
    flow_release(&join.flows[UP]);
    flow_release(&join.flows[DOWN]);
    return r;
}

int relay_echo(int fd)
{
    Flow flow;
    int r = fd_set_nonblocking(fd, true);

    if (r < 0)
        return r;
    signal(SIGPIPE, SIG_IGN);
    flow_open(&flow, fd, fd, fd, socket_option(fd, SO_TYPE));
    while (r == 0) {
        struct pollfd watched = {.fd = fd, .events = flow.waits_for_room ? POLLOUT : POLLIN};
        if (poll(&watched, 1, -1) < 0)
            r = errno == EINTR ? 0 : -errno;
        else
            r = flow_move(&flow);
    }
    flow_release(&flow);
    return r < 0 ? r : r == FLOW_ENDED ? EXIT_DONE : EXIT_NO;
}
