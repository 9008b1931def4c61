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

#include "daemon/bind/holders.h"
#include "schema/base/fd.h"

#define STATE_LISTEN 10 /* TCP_LISTEN, which all families use; netinet/tcp.h */
#define STATE_CLOSE 7   /* bound and not listening */
#define STATE_ESTABLISHED 1

/* Called for each socket of a dump; true: it was found, *inode is set. */
typedef bool (*DiagFits)(struct nlmsghdr *message, const void *wanted, uint64_t *inode);

static uint64_t diag_ask(const void *request, size_t size_bytes, DiagFits fits, const void *wanted)
{
    _cleanup_(fd_closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    union {
        struct nlmsghdr header; /* for the alignment */
        char bytes[32 * 1024];
    } buffer;
    uint64_t inode = 0;

    if (fd < 0 || send(fd, request, size_bytes, 0) < 0)
        return 0;
    for (;;) {
        /* A dump is produced by the reading, so there is always something until its end. */
        ssize_t n = recv(fd, &buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return inode;
        size_t left = (size_t)n;
        for (struct nlmsghdr *message = &buffer.header; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY)
                return inode; /* NLMSG_DONE, NLMSG_ERROR */
            if (fits(message, wanted, &inode))
                return inode;
        }
    }
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
