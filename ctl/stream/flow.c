/* SPDX-License-Identifier: Apache-2.0 */
/* One direction of a connection; lives as long as that. Which way it goes is guessed from what its ends are, and corrected when the
 * kernel says EINVAL. splice(2), pipe(7), vsock(7). */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ctl/stream/flow.h"
#include "schema/base/fd.h"

#define CHUNK_BYTES (1u << 18) /* also the pipe's size, and more than a message of AF_VSOCK or AF_UNIX can have by default */
#define TURNS 16               /* until the other direction is looked at */
#define FRUITLESS_MAX 8

typedef enum EndKind {
    END_OTHER, /* terminals and the like, sockets that others share: read and written as they are */
    END_PIPE,
    END_FILE, /* never blocks; /dev/null is one */
    END_SOCKET, /* of ours, does not block */
} EndKind;

static EndKind end_kind(int fd, int ours, bool *ret_is_socket)
{
    struct stat status;

    *ret_is_socket = false;
    if (fstat(fd, &status) < 0)
        return END_OTHER;
    *ret_is_socket = S_ISSOCK(status.st_mode);
    if (S_ISFIFO(status.st_mode))
        return END_PIPE;
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)))
        return END_FILE;
    return fd == ours ? END_SOCKET : END_OTHER;
}

void flow_open(Flow *flow, int from, int to, int ours, int type)
{
    *flow = (Flow){.from = from, .to = to, .datagrams = type == SOCK_DGRAM, .pipe = {-1, -1}};
    flow->messages = flow->datagrams || type == SOCK_SEQPACKET;
    EndKind first = end_kind(from, ours, &flow->from_is_socket), second = end_kind(to, ours, &flow->to_is_socket);

    flow->from_blocks = !flow->from_is_socket && (first == END_OTHER || first == END_PIPE);
    /* A terminal or a pipe that has room takes this much without blocking. */
    flow->write_max_bytes = second == END_OTHER || second == END_PIPE ? PIPE_BUF : CHUNK_BYTES;
    if (flow->messages || first == END_OTHER || second == END_OTHER)
        flow->way = FLOW_COPIES;
    else
        flow->way = first == END_PIPE || second == END_PIPE ? FLOW_SPLICES : FLOW_SPLICES_BY_PIPE;
}

void flow_release(Flow *flow)
{
    flow->pipe[0] = fd_close(flow->pipe[0]);
    flow->pipe[1] = fd_close(flow->pipe[1]);
    free(TAKE_PTR(flow->buffer));
}

static int flow_failed(Flow *flow, bool to)
{
    flow->failed_to = to;
    return -errno;
}

/* What an errno of reading is. */
static int flow_read_failed(Flow *flow)
{
    switch (errno) {
    case EINTR:
        return FLOW_MOVED;
    case EAGAIN:
        flow->waits_for_room = false;
        return 0;
    case EIO: /* a terminal that was hung up */
        return flow->from_is_socket ? flow_failed(flow, false) : FLOW_ENDED;
    case ECONNRESET:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
        return FLOW_LOST;
    default:
        return flow_failed(flow, false);
    }
}

static int flow_write_failed(Flow *flow)
{
    switch (errno) {
    case EINTR:
        return FLOW_MOVED;
    case EAGAIN:
        flow->waits_for_room = true;
        return 0;
    case EPIPE:
    case ECONNRESET:
    case ECONNREFUSED: /* dgram: whoever was there is gone */
    case ENOTCONN:
        return FLOW_GONE;
    default:
        return flow_failed(flow, true);
    }
}

static bool cannot_splice(void)
{
    return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
}

/* ---- by copying ---- */

static ssize_t copy_read(Flow *flow)
{
    struct iovec part = {.iov_base = flow->buffer, .iov_len = CHUNK_BYTES};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (!flow->from_is_socket)
        return read(flow->from, flow->buffer, flow->messages ? CHUNK_BYTES / 4 : CHUNK_BYTES);
    ssize_t size = recvmsg(flow->from, &message, MSG_DONTWAIT);
    if (size >= 0 && flow->messages && message.msg_flags & MSG_TRUNC) {
        errno = EMSGSIZE;
        return -1;
    }
    return size;
}

static ssize_t copy_write(Flow *flow)
{
    size_t size = flow->messages || flow->pending < flow->write_max_bytes ? flow->pending : flow->write_max_bytes;

    if (flow->to_is_socket)
        return send(flow->to, flow->buffer + flow->at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(flow->to, flow->buffer + flow->at, size);
}

static int step_copy(Flow *flow)
{
    if (!flow->buffer) {
        flow->buffer = malloc(CHUNK_BYTES);
        if (!flow->buffer)
            return -ENOMEM;
    }
    if (flow->pending == 0) {
        ssize_t size = copy_read(flow);
        if (size == 0)
            return flow->datagrams && flow->from_is_socket ? FLOW_MOVED : FLOW_ENDED;
        if (size < 0)
            return flow_read_failed(flow);
        flow->at = 0;
        flow->pending = (size_t)size;
    }
    ssize_t size = copy_write(flow);
    if (size < 0)
        return flow_write_failed(flow);
    flow->at += (size_t)size;
    flow->pending -= (size_t)size;
    flow->bytes += (uint64_t)size;
    /* What may block is written to once for each time that poll(2) calls it ready. */
    if (flow->pending > 0 && flow->write_max_bytes == PIPE_BUF) {
        flow->waits_for_room = true;
        return 0;
    }
    if (flow->pending == 0 && flow->from_blocks) {
        flow->waits_for_room = false;
        return 0;
    }
    return FLOW_MOVED;
}

/* ---- by splice ---- */

static int step_splice(Flow *flow)
{
    ssize_t size = splice(flow->from, NULL, flow->to, NULL, CHUNK_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (size > 0) {
        flow->bytes += (uint64_t)size;
        return FLOW_MOVED;
    }
    if (size == 0)
        return FLOW_ENDED;
    if (cannot_splice() || (errno == EAGAIN && flow->fruitless == FRUITLESS_MAX)) {
        flow->way = FLOW_COPIES;
        return FLOW_MOVED;
    }
    /* It is not said which of them is not ready: not the one that poll(2) told of, where nothing was moved since. */
    if (errno == EAGAIN) {
        bool moved = flow->bytes != flow->bytes_before;
        flow->waits_for_room = !moved && !flow->waits_for_room;
        flow->fruitless = moved ? 0 : flow->fruitless + 1;
        return 0;
    }
    /* Nor which failed; but one is a pipe, which fails with EPIPE alone. */
    return errno == EPIPE || (flow->to_is_socket && errno != EIO) ? flow_write_failed(flow) : flow_read_failed(flow);
}

/* What is in the pipe goes into the buffer, from where it is copied. */
static int pipe_to_buffer(Flow *flow)
{
    size_t pending = 0;

    flow->way = FLOW_COPIES;
    flow->buffer = malloc(CHUNK_BYTES); /* the pipe holds no more */
    if (!flow->buffer)
        return -ENOMEM;
    while (pending < flow->pending) {
        ssize_t size = read(flow->pipe[0], flow->buffer + pending, flow->pending - pending);
        if (size <= 0)
            return size < 0 ? flow_failed(flow, true) : -EIO;
        pending += (size_t)size;
    }
    flow->at = 0;
    return FLOW_MOVED;
}

static int step_splice_by_pipe(Flow *flow)
{
    ssize_t size;

    if (flow->pipe[0] < 0) {
        if (pipe2(flow->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
            flow->way = FLOW_COPIES;
            return FLOW_MOVED;
        }
        /* Where that is refused it is smaller. */
        fcntl(flow->pipe[1], F_SETPIPE_SZ, CHUNK_BYTES);
    }
    if (flow->pending == 0) {
        size = splice(flow->from, NULL, flow->pipe[1], NULL, CHUNK_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (size == 0)
            return FLOW_ENDED;
        if (size < 0 && cannot_splice()) {
            flow->way = FLOW_COPIES;
            return FLOW_MOVED;
        }
        if (size < 0)
            return flow_read_failed(flow);
        flow->pending = (size_t)size;
    }
    size = splice(flow->pipe[0], NULL, flow->to, NULL, flow->pending, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (size == 0 || (size < 0 && cannot_splice()))
        return pipe_to_buffer(flow);
    if (size < 0)
        return flow_write_failed(flow);
    flow->pending -= (size_t)size;
    flow->bytes += (uint64_t)size;
    return FLOW_MOVED;
}

int flow_move(Flow *flow)
{
    static int (*const steps[])(Flow *) = {
        [FLOW_COPIES] = step_copy, [FLOW_SPLICES] = step_splice, [FLOW_SPLICES_BY_PIPE] = step_splice_by_pipe};
    int r = FLOW_MOVED;

    flow->bytes_before = flow->bytes;
    for (unsigned turn = 0; turn < TURNS && r == FLOW_MOVED; turn++)
        r = steps[flow->way](flow);
    return r == FLOW_MOVED ? 0 : r;
}
