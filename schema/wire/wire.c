/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a Varlink connection; lives as long as the connection. What comes in is scanned for NUL once, and handed out
 * where it lies; what goes out waits in one text, with marks where a message has descriptors. */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "schema/wire/queue.h"
#include "schema/wire/wire.h"

#define READ_LEAST_BYTES 1024u /* room worth a system call */
#define NONE SIZE_MAX

struct Wire {
    int fd;
    int failed; /* the -errno that wire_read is to answer from now on */
    size_t message_max_bytes;
    size_t fds_max;
    size_t fds_waiting;
    Queue in, out;
    bool filled;       /* the last read took all the room there was */
    size_t next_end;   /* of `in`: index of the first NUL; NONE: not in what came so far, which was all searched */
    bool at_beginning; /* the next byte to come begins a message */
};

/* ---- making ---- */

int wire_new_consume(int fd, size_t message_max_bytes, Wire **ret)
{
    _cleanup_(fd_closep) int socket_fd = fd;

    int r = fd_set_nonblocking(socket_fd, true);
    if (r < 0)
        return r;
    Wire *wire = malloc(sizeof(*wire));
    if (!wire)
        return -ENOMEM;
    *wire = (Wire){
        .fd = TAKE_FD(socket_fd),
        .message_max_bytes = message_max_bytes,
        .fds_max = WIRE_FDS_MAX,
        .next_end = NONE,
        .at_beginning = true,
    };
    *ret = wire;
    return 0;
}

void wire_free(Wire *wire)
{
    if (!wire)
        return;
    queue_release(&wire->in);
    queue_release(&wire->out);
    fd_close(wire->fd);
    free(wire);
}

int wire_fd(const Wire *wire)
{
    return wire->fd;
}

void wire_set_message_max(Wire *wire, size_t message_max_bytes)
{
    wire->message_max_bytes = message_max_bytes;
}

void wire_set_fds_max(Wire *wire, size_t fds_max)
{
    wire->fds_max = fds_max < WIRE_FDS_MAX ? fds_max : WIRE_FDS_MAX;
}

/* ---- reading ---- */

/* Finds the end of the message at in.start, beginning the search at index `from`. */
static void wire_search(Wire *wire, size_t from)
{
    Queue *in = &wire->in;
    const char *nul = in->end > from ? memchr(in->data + from, '\0', in->end - from) : NULL;

    wire->next_end = nul ? (size_t)(nul - in->data) : NONE;
    if ((nul ? wire->next_end : in->end) - in->start > wire->message_max_bytes) {
        wire->next_end = NONE;
        wire->failed = -EMSGSIZE;
    }
}

/* Everything that came beside the bytes: the descriptors are owned by *ret, also where it fails. */
static int control_take(struct msghdr *header, FdList *ret)
{
    int r = header->msg_flags & MSG_CTRUNC ? -EBADMSG : 0;

    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(control) + i * sizeof(fd), sizeof(fd));
            int added = fd_list_add_consume(ret, fd);
            if (added < 0 && r == 0)
                r = added;
        }
    }
    return r;
}

/* Descriptors came with the last `size_bytes` bytes: gives them to the last message that begins there. */
static int wire_take_fds(Wire *wire, FdList *fds, bool was_beginning, size_t size_bytes)
{
    Queue *in = &wire->in;
    const char *came = in->data + in->end - size_bytes, *begin = was_beginning ? came : NULL;
    const char *nul = memrchr(came, '\0', size_bytes - 1);

    if (nul)
        begin = nul + 1;
    if (!begin || fds->count > wire->fds_max || wire->fds_waiting + fds->count > WIRE_FDS_WAITING_MAX)
        return -EBADMSG;
    int r = marks_reserve(&in->marks);
    if (r < 0)
        return r;
    wire->fds_waiting += fds->count;
    marks_add_consume(&in->marks, &(Mark){
        .position = in->position + (size_t)(begin - (in->data + in->start)),
        .fds = *fds,
    });
    *fds = (FdList){0};
    return 0;
}

/* The peer closed, or the socket failed. */
static int wire_end(Wire *wire)
{
    return wire_has_next(wire) ? 0 : queue_size_bytes(&wire->in) > 0 ? WIRE_CUT : WIRE_END;
}

static int wire_receive(Wire *wire)
{
    Queue *in = &wire->in;
    size_t limit = wire->message_max_bytes + 1 > QUEUE_FIRST_BYTES ? wire->message_max_bytes + 1 : QUEUE_FIRST_BYTES;

    queue_give_back(in);
    size_t before = in->start;
    int r = queue_reserve(in, wire->filled ? QUEUE_KEEP_BYTES : READ_LEAST_BYTES, limit);
    if (r < 0)
        return r;
    if (wire->next_end != NONE)
        wire->next_end -= before - in->start;
    size_t room = in->capacity - in->end;
    if (room == 0)
        return wire_has_next(wire) ? 0 : -EMSGSIZE;

    union {
        char bytes[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
        struct cmsghdr header;
    } control;
    struct iovec vector = {in->data + in->end, room};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    if (wire->fds_max > 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof(control);
    }
    ssize_t n;
    do
        n = recvmsg(wire->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? WIRE_AGAIN : -errno;

    _cleanup_(fd_list_clear) FdList fds = {0};
    r = control_take(&header, &fds);
    if (r < 0)
        return r;
    if (n == 0)
        return wire_end(wire);

    size_t size = (size_t)n, searched = in->end;
    bool was_beginning = wire->at_beginning;
    in->end += size;
    wire->filled = size == room;
    wire->at_beginning = in->data[in->end - 1] == '\0';
    if (fds.count > 0) {
        r = wire_take_fds(wire, &fds, was_beginning, size);
        if (r < 0)
            return r;
    }
    if (wire->next_end == NONE)
        wire_search(wire, searched);
    return wire->failed;
}

int wire_read(Wire *wire)
{
    if (wire->failed < 0)
        return wire->failed;
    int r = wire_receive(wire);
    if (r < 0)
        wire->failed = r;
    return r;
}

bool wire_next(Wire *wire, char **ret_message, size_t *ret_size_bytes, FdList *ret_fds)
{
    Queue *in = &wire->in;

    if (wire->next_end == NONE)
        return false;
    char *message = in->data + in->start;
    size_t size = wire->next_end - in->start;

    FdList fds = {0};
    Mark *mark = marks_first(&in->marks);
    if (mark && mark->position == in->position) {
        fds = mark->fds;
        wire->fds_waiting -= fds.count;
        marks_drop_first(&in->marks);
    }
    /* The bytes stay where they are until the next read, though the queue counts them no more. */
    queue_take(in, size + 1);
    wire_search(wire, in->start);

    *ret_message = message;
    if (ret_size_bytes)
        *ret_size_bytes = size;
    if (ret_fds)
        *ret_fds = fds;
    else
        fd_list_clear(&fds);
    return true;
}

bool wire_has_next(const Wire *wire)
{
    return wire->next_end != NONE;
}

size_t wire_pending_in_bytes(const Wire *wire)
{
    return queue_size_bytes(&wire->in);
}

/* ---- writing ---- */

int wire_write_fds_consume(Wire *wire, const char *message, size_t size_bytes, FdList *fds)
{
    _cleanup_(fd_list_clear) FdList own = {0};
    Queue *out = &wire->out;

    if (fds) {
        own = *fds;
        *fds = (FdList){0};
    }
    if (own.count > WIRE_FDS_MAX)
        return -EINVAL;
    int r = own.count > 0 ? marks_reserve(&out->marks) : 0;
    if (r < 0)
        return r;
    size_t size = size_bytes + 1;
    if (size == 0)
        return -ENOMEM;
    r = queue_reserve(out, size, SIZE_MAX);
    if (r < 0)
        return r;
    if (own.count > 0) {
        marks_add_consume(&out->marks, &(Mark){
            .position = out->position + queue_size_bytes(out),
            .size_bytes = size,
            .fds = own,
        });
        own = (FdList){0};
    }
    if (size_bytes > 0)
        memcpy(out->data + out->end, message, size_bytes);
    out->data[out->end + size_bytes] = '\0';
    out->end += size;
    return 0;
}

int wire_write(Wire *wire, const char *message, size_t size_bytes)
{
    return wire_write_fds_consume(wire, message, size_bytes, NULL);
}

/* Sends bytes up to where the next message with descriptors begins; such a message, with what it has, by itself. */
static ssize_t wire_send(Wire *wire)
{
    Queue *out = &wire->out;
    const Mark *mark = marks_first(&out->marks);
    union {
        char bytes[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
        struct cmsghdr header;
    } control;
    struct iovec vector = {out->data + out->start, queue_size_bytes(out)};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};

    if (mark && mark->position > out->position) {
        vector.iov_len = (size_t)(mark->position - out->position);
    } else if (mark) {
        size_t fds_bytes = mark->fds.count * sizeof(int);
        memset(&control.header, 0, sizeof(control.header));
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(fds_bytes);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(fds_bytes);
        memcpy(CMSG_DATA(&control.header), mark->fds.fds, fds_bytes);
        vector.iov_len = mark->size_bytes;
    }
    ssize_t n;
    do
        n = sendmsg(wire->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int wire_flush(Wire *wire)
{
    Queue *out = &wire->out;

    while (queue_size_bytes(out) > 0) {
        ssize_t n = wire_send(wire);
        if (n == -EAGAIN)
            return WIRE_AGAIN;
        if (n < 0)
            return (int)n;
        /* The descriptors left with the first byte, however many bytes went with it. */
        Mark *mark = marks_first(&out->marks);
        if (mark && mark->position == out->position) {
            fd_list_clear(&mark->fds);
            marks_drop_first(&out->marks);
        }
        queue_take(out, (size_t)n);
    }
    queue_give_back(out);
    return 0;
}

size_t wire_pending_out_bytes(const Wire *wire)
{
    return queue_size_bytes(&wire->out);
}

/* ---- waiting ---- */

static int64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int wire_wait(Wire *wire, bool for_writing, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = wire->fd, .events = for_writing ? POLLOUT : POLLIN};
    int64_t deadline_ms = timeout_ms < 0 ? 0 : monotonic_ms() + timeout_ms;

    for (int left_ms = timeout_ms;;) {
        int r = poll(&poll_fd, 1, left_ms);
        if (r > 0)
            return poll_fd.revents & POLLNVAL ? -EBADF : 0;
        if (r == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
        if (timeout_ms >= 0) {
            int64_t left = deadline_ms - monotonic_ms();
            left_ms = left > 0 ? (int)left : 0;
        }
    }
}
