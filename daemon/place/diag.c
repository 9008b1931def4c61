/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of sockets that are not ours, by sock_diag(7): the socket's inode for an address. vsock_diag has
 * no manual page: linux/vm_sockets_diag.h. Either may be a module that is not there; then nothing is known. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <linux/vm_sockets.h>
#include <linux/vm_sockets_diag.h>

#include "daemon/place/holders.h"
#include "schema/base/fd.h"

#define STATE_LISTEN 10 /* TCP_LISTEN, which all families use; netinet/tcp.h */
#define STATE_CLOSE 7   /* bound and not listening */
#define STATE_ESTABLISHED 1

/* Called for each socket of a dump; true: it was found, *inode is set. */
typedef bool (*DiagFits)(struct nlmsghdr *message, const void *wanted, uint64_t *inode);

/* Asks, and calls fits for each socket of the answer until it says yes. -errno: the kernel cannot tell. */
static int diag_each(const void *request, size_t size_bytes, DiagFits fits, const void *wanted, uint64_t *inode)
{
    _cleanup_(fd_closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    union {
        struct nlmsghdr header; /* for the alignment */
        char bytes[32 * 1024];
    } buffer;

    if (fd < 0 || send(fd, request, size_bytes, 0) < 0)
        return -errno;
    for (;;) {
        /* A dump is produced by the reading, so there is always something until its end. */
        ssize_t n = recv(fd, &buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno != EAGAIN ? -errno : 0;
        size_t left = (size_t)n;
        for (struct nlmsghdr *message = &buffer.header; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_type == NLMSG_ERROR)
                return ((const struct nlmsgerr *)NLMSG_DATA(message))->error;
            if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY || fits(message, wanted, inode))
                return 0;
        }
    }
}

static uint64_t diag_ask(const void *request, size_t size_bytes, DiagFits fits, const void *wanted)
{
    uint64_t inode = 0;

    diag_each(request, size_bytes, fits, wanted, &inode);
    return inode;
}

/* Connections that were accepted have the port of their listener. Who is only bound has it too, if nobody listens. */
static bool vsock_fits(struct nlmsghdr *message, const void *wanted, uint64_t *inode)
{
    const struct vsock_diag_msg *socket = NLMSG_DATA(message);
    const uint32_t *port = wanted;

    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*socket)) || socket->vdiag_src_port != *port ||
        (socket->vdiag_state != STATE_LISTEN && socket->vdiag_state != STATE_CLOSE))
        return false;
    *inode = socket->vdiag_ino;
    return socket->vdiag_state == STATE_LISTEN;
}

uint64_t holders_vsock_inode(uint32_t port)
{
    struct {
        struct nlmsghdr header;
        struct vsock_diag_req request;
    } message = {
        .header = {.nlmsg_len = sizeof(message),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = AF_VSOCK, .vdiag_states = 1u << STATE_LISTEN | 1u << STATE_CLOSE},
    };

    return diag_ask(&message, sizeof(message), vsock_fits, &port);
}

typedef struct UnixFile {
    uint32_t device, inode;
} UnixFile;

static bool unix_fits(struct nlmsghdr *message, const void *wanted, uint64_t *inode)
{
    const struct unix_diag_msg *socket = NLMSG_DATA(message);
    const UnixFile *file = wanted;

    /* Accepted connections have the file of their listener. A datagram socket is established once anybody connected to
     * it. */
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*socket)) ||
        (socket->udiag_state == STATE_ESTABLISHED && socket->udiag_type != SOCK_DGRAM))
        return false;
    size_t left = message->nlmsg_len - NLMSG_LENGTH(sizeof(*socket));
    struct rtattr *attribute = (struct rtattr *)((char *)NLMSG_DATA(message) + NLMSG_ALIGN(sizeof(*socket)));
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        const struct unix_diag_vfs *vfs = RTA_DATA(attribute);
        if (attribute->rta_type == UNIX_DIAG_VFS && RTA_PAYLOAD(attribute) >= sizeof(*vfs) &&
            vfs->udiag_vfs_ino == file->inode && vfs->udiag_vfs_dev == file->device) {
            *inode = socket->udiag_ino;
            return true;
        }
    }
    return false;
}

uint64_t holders_unix_inode(uint64_t device, uint64_t file_inode)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } message = {
        .header = {.nlmsg_len = sizeof(message),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = AF_UNIX,
                    .udiag_states = 1u << STATE_LISTEN | 1u << STATE_CLOSE | 1u << STATE_ESTABLISHED,
                    .udiag_show = UDIAG_SHOW_VFS},
    };
    /* The kernel's own form of a device number, and the lower half of the inode's. */
    UnixFile file = {.device = (uint32_t)(major(device) << 20 | minor(device)), .inode = (uint32_t)file_inode};

    return diag_ask(&message, sizeof(message), unix_fits, &file);
}

/* ---- which sockets are open ---- */

/* A dump goes through all sockets there are, the question for one through the same table. */
#define ASK_SINGLY_MAX 8

typedef struct Checking {
    const uint64_t *inodes; /* as the caller has them */
    const size_t *order;    /* their indices, sorted by inode */
    size_t count;
    bool *open;
} Checking;

static void checking_mark(const Checking *checking, uint32_t inode)
{
    size_t low = 0, high = checking->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uint32_t)checking->inodes[checking->order[middle]] < inode)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < checking->count && (uint32_t)checking->inodes[checking->order[low]] == inode; low++)
        checking->open[checking->order[low]] = true;
}

static bool unix_mark(struct nlmsghdr *message, const void *wanted, uint64_t *inode)
{
    const struct unix_diag_msg *socket = NLMSG_DATA(message);

    if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(*socket)))
        checking_mark(wanted, socket->udiag_ino);
    return false;
}

static bool vsock_mark(struct nlmsghdr *message, const void *wanted, uint64_t *inode)
{
    const struct vsock_diag_msg *socket = NLMSG_DATA(message);

    if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(*socket)))
        checking_mark(wanted, socket->vdiag_ino);
    return false;
}

static int unix_check(const Checking *checking, const uint64_t *one)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } message = {
        .header = {.nlmsg_len = sizeof(message),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | (one ? 0 : NLM_F_DUMP)},
        .request = {.sdiag_family = AF_UNIX,
                    .udiag_states = UINT32_MAX,
                    .udiag_ino = one ? (uint32_t)*one : 0,
                    .udiag_cookie = {UINT32_MAX, UINT32_MAX}},
    };

    return diag_each(&message, sizeof(message), unix_mark, checking, NULL);
}

/* It says the same of a socket that is gone as of its own absence: so it is asked for one that is there. */
static bool unix_diag_is_there(void)
{
    Checking nothing = {0};
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t inode = fd < 0 ? 0 : holders_inode(fd);

    return inode > 0 && unix_check(&nothing, &inode) == 0;
}

static int vsock_dump(DiagFits fits, const void *wanted, uint32_t states)
{
    struct {
        struct nlmsghdr header;
        struct vsock_diag_req request;
    } message = {
        .header = {.nlmsg_len = sizeof(message),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = AF_VSOCK, .vdiag_states = states},
    };

    return diag_each(&message, sizeof(message), fits, wanted, NULL);
}

static int order_compare(const void *a, const void *b, void *userdata)
{
    const uint64_t *inodes = userdata;
    uint32_t left = (uint32_t)inodes[*(const size_t *)a], right = (uint32_t)inodes[*(const size_t *)b];

    return (left > right) - (left < right);
}

int holders_check_open(int family, const uint64_t *inodes, size_t count, bool *ret_open)
{
    _cleanup_(freep) size_t *order = reallocarray(NULL, count + 1, sizeof(*order));
    Checking checking = {.inodes = inodes, .order = order, .count = count, .open = ret_open};
    int r;

    if (!order)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        order[i] = i;
        ret_open[i] = false;
    }
    qsort_r(order, count, sizeof(*order), order_compare, (void *)(uintptr_t)inodes);
    if (family == AF_VSOCK)
        return vsock_dump(vsock_mark, &checking, UINT32_MAX);
    if (count > ASK_SINGLY_MAX)
        return unix_check(&checking, NULL);
    for (size_t i = 0; i < count; i++) {
        r = unix_check(&checking, &inodes[i]);
        if (r == -ENOENT && !unix_diag_is_there())
            return r;
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

typedef struct Visit {
    void (*visit)(const HoldersVsock *connection, void *userdata);
    void *userdata;
} Visit;

static bool vsock_visit(struct nlmsghdr *message, const void *wanted, uint64_t *inode)
{
    const struct vsock_diag_msg *socket = NLMSG_DATA(message);
    const Visit *visit = wanted;

    if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(*socket)) && socket->vdiag_state == STATE_ESTABLISHED)
        visit->visit(&(HoldersVsock){.local_port = socket->vdiag_src_port,
                                     .peer_cid = socket->vdiag_dst_cid,
                                     .peer_port = socket->vdiag_dst_port,
                                     .inode = socket->vdiag_ino},
                     visit->userdata);
    return false;
}

int holders_each_vsock(void (*visit)(const HoldersVsock *connection, void *userdata), void *userdata)
{
    Visit visiting = {visit, userdata};

    return vsock_dump(vsock_visit, &visiting, 1u << STATE_ESTABLISHED);
}
