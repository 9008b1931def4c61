/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting, each transport in its way, within a time; nothing here outlives its call. FACTS; vsock(7), unix(7). */

#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "ctl/ctl.h"
#include "ctl/stream/dial.h"
#include "ctl/stream/hybrid-reply.h"
#include "ctl/stream/progress.h"
#include "schema/base/fd.h"

/* One attempt. */
typedef struct Dial {
    const Target *target;
    uint64_t deadline_ms;
    Failure *failure;
} Dial;

static bool is_unix(const Address *address)
{
    return address->transport != &transport_vsock;
}

static const char *hint_of(int error, const Address *address)
{
    bool unix_socket = is_unix(address);

    switch (error) {
    case ENOENT:
        return address->transport == &transport_unix ? "start what listens there, or give another path"
                                                     : "start the machine, or give the path of its socket";
    case ECONNREFUSED:
        return unix_socket ? "the socket's file is a left-over: start what listens there" : "start what listens there";
    case ECONNRESET:
        return unix_socket ? NULL : "nothing listens on that port there, or not of that --type";
    case EACCES:
    case EPERM:
        return unix_socket ? "the modes of the socket and of its folders say who may" : NULL;
    case EAFNOSUPPORT:
        return "load vsock (modprobe vsock); container engines forbid AF_VSOCK by their seccomp profile";
    case ENODEV:
    case EADDRNOTAVAIL:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "no machine has that CID, or the transport is not loaded (vhost_vsock, vsock_loopback)";
    case ETIMEDOUT:
        return address->transport == &transport_unix ? "--timeout waits longer; does what listens there hang?"
                                                     : "--timeout waits longer; does the machine run?";
    case EPROTOTYPE:
        return "give the --type that listens there: stream, seqpacket or dgram";
    default:
        return NULL;
    }
}

static int dial_failed(Dial *dial, int error)
{
    if (error == ENOMEM)
        return -ENOMEM;
    failure_set(dial->failure, dial->target->text, hint_of(error, &dial->target->address), "cannot connect: %s", strerror(error));
    dial->failure->for_good = error == EACCES || error == EPERM || error == EAFNOSUPPORT || error == ENAMETOOLONG;
    return DIAL_FAILED;
}

/* ---- sockets ---- */

static int connect_in_time(const Dial *dial, int fd, const struct sockaddr *address, socklen_t size)
{
    int wait_ms;

    while ((wait_ms = clock_left_ms(dial->deadline_ms)) > 0) {
        struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
        /* How long to wait for a place in the backlog, and for a machine. */
        if (address->sa_family == AF_VSOCK)
            setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &wait, sizeof(wait));
        else
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
        if (connect(fd, address, size) == 0)
            return 0;
        /* Stopped and continued: signal(7). */
        if (errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
    }
    return -ETIMEDOUT;
}

static int connect_vsock(const Dial *dial, int *ret_fd)
{
    const Address *address = &dial->target->address;
    struct sockaddr_vm name = {.svm_family = AF_VSOCK, .svm_cid = address->cid, .svm_port = address->port};
    _cleanup_(fd_closep) int fd = socket_open(address, socket_type(dial->target->type));

    if (fd < 0)
        return fd;
    int r = connect_in_time(dial, fd, (const struct sockaddr *)&name, sizeof(name));
    if (r < 0)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int connect_unix_type(const Dial *dial, const UnixName *name, int type, int *ret_fd)
{
    const struct sockaddr_un nameless = {.sun_family = AF_UNIX};
    _cleanup_(fd_closep) int fd = socket_open(&dial->target->address, type);

    if (fd < 0)
        return fd;
    /* Datagrams are answered to a name: any that is free. */
    if (type == SOCK_DGRAM && bind(fd, (const struct sockaddr *)&nameless, sizeof(sa_family_t)) < 0)
        return -errno;
    int r = connect_in_time(dial, fd, (const struct sockaddr *)&name->address, sizeof(name->address));
    if (r < 0)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int connect_unix(const Dial *dial, const char *path, int *ret_fd)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    int wanted = dial->target->type;
    UnixName name;

    int r = unix_name_open(path, &name);
    if (r < 0)
        return r;
    if (wanted != 0) {
        r = connect_unix_type(dial, &name, socket_type(wanted), ret_fd);
    } else {
        r = -EPROTOTYPE;
        for (size_t i = 0; i < ELEMENTS_OF(types) && r == -EPROTOTYPE; i++)
            r = connect_unix_type(dial, &name, types[i], ret_fd);
    }
    unix_name_release(&name);
    return r;
}

/* ---- what is said first ---- */

static int send_line(int fd, const char *line)
{
    size_t size = strlen(line);
    ssize_t sent = send(fd, line, size, MSG_NOSIGNAL);

    if (sent < 0)
        return -errno;
    return (size_t)sent == size ? 0 : -ETIMEDOUT; /* SO_SNDTIMEO; a new socket has room for a line */
}

/* The next of the answer; 0: it hung up. The rest of what came stays in the socket. */
static ssize_t receive_answer(const Dial *dial, int fd, HybridReply *reply, HybridAnswer *ret_answer)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    char bytes[HYBRID_REPLY_MAX_BYTES + 1];
    size_t used;

    int ready = poll(&watched, 1, clock_left_ms(dial->deadline_ms));
    if (ready <= 0)
        return ready < 0 ? -errno : -ETIMEDOUT;
    ssize_t size = recv(fd, bytes, sizeof(bytes), MSG_PEEK);
    if (size <= 0)
        return size < 0 ? -errno : 0;
    *ret_answer = hybrid_reply_feed(reply, bytes, (size_t)size, &used);
    return recv(fd, bytes, used, 0) == (ssize_t)used ? 1 : -EIO;
}

static int hybrid_refused(Dial *dial, const HybridReply *reply, HybridAnswer answer)
{
    char line[HYBRID_REPLY_MAX_BYTES + 1];
    size_t size = reply->size_bytes < 40 ? reply->size_bytes : 40;

    memcpy(line, reply->text, size);
    line[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (line[i] < ' ' || line[i] > '~')
            line[i] = '?';
    failure_set(dial->failure, dial->target->text, "give the path of a VMM's hybrid vsock socket, or unix://PATH for any other",
                answer == HYBRID_TOO_LONG ? "what listens there is no VMM: it answered \"%s\" and more, without an end of line"
                                          : "what listens there is no VMM: it answered \"%s\" instead of OK",
                line);
    dial->failure->for_good = true;
    return DIAL_FAILED;
}

static int hybrid_hung_up(Dial *dial, const HybridReply *reply)
{
    if (reply->size_bytes > 0)
        failure_set(dial->failure, dial->target->text, NULL, "the VMM hung up in the middle of its answer");
    else
        failure_set(dial->failure, dial->target->text, "start what listens there; a machine that still boots has nobody yet: --retry",
                    "the VMM hung up: nothing in the machine listens on that port");
    return DIAL_FAILED;
}

static int say_hybrid(Dial *dial, int fd)
{
    const Address *address = &dial->target->address;
    char guid[GUID_TEXT_SIZE_BYTES], line[64];
    HybridReply reply = {0};
    HybridAnswer answer = HYBRID_MORE;

    if (address->has_port)
        snprintf(line, sizeof(line), "CONNECT %u\n", address->port);
    else
        snprintf(line, sizeof(line), "CONNECT %s\n", guid_format(&address->guid, guid));
    int r = send_line(fd, line);
    if (r == -EPIPE || r == -ECONNRESET)
        return hybrid_hung_up(dial, &reply);
    if (r < 0)
        return dial_failed(dial, -r);
    while (answer == HYBRID_MORE) {
        ssize_t size = receive_answer(dial, fd, &reply, &answer);
        if (size == -EINTR)
            continue;
        if (size == 0 || size == -ECONNRESET)
            return hybrid_hung_up(dial, &reply);
        if (size == -ETIMEDOUT) {
            failure_set(dial->failure, dial->target->text, "--timeout waits longer; does the machine run?",
                        reply.size_bytes > 0 ? "the VMM has not ended its answer" : "the VMM has not answered");
            return DIAL_FAILED;
        }
        if (size < 0)
            return dial_failed(dial, (int)-size);
    }
    return answer == HYBRID_OK ? 0 : hybrid_refused(dial, &reply, answer);
}

static int say_hyperkit(Dial *dial, int fd)
{
    char line[32];

    snprintf(line, sizeof(line), "%08x.%08x\n", dial->target->hyperkit_cid, dial->target->address.port);
    int r = send_line(fd, line);
    return r < 0 ? dial_failed(dial, -r) : 0;
}

int dial(const Target *target, uint64_t deadline_ms, Failure *failure, int *ret_fd)
{
    const Address *address = &target->address;
    Dial attempt = {.target = target, .deadline_ms = deadline_ms, .failure = failure};
    _cleanup_(freep) char *inside = NULL;
    _cleanup_(fd_closep) int fd = -1;
    int r;

    if (address->transport == &transport_vsock) {
        r = connect_vsock(&attempt, &fd);
    } else if (address->transport == &transport_hyperkit) {
        if (asprintf(&inside, "%s/connect", address->path) < 0)
            return -ENOMEM;
        r = connect_unix(&attempt, inside, &fd);
    } else {
        r = connect_unix(&attempt, address->path, &fd);
    }
    if (r < 0)
        return dial_failed(&attempt, -r);
    if (address->transport == &transport_hybrid)
        r = say_hybrid(&attempt, fd);
    else if (address->transport == &transport_hyperkit)
        r = say_hyperkit(&attempt, fd);
    if (r != 0)
        return r;
    /* That time was for connecting alone. */
    if (is_unix(address))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){0}, sizeof(struct timeval));
    *ret_fd = TAKE_FD(fd);
    return 0;
}
