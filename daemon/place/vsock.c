/* SPDX-License-Identifier: Apache-2.0 */
/* AF_VSOCK: a port. Three system calls where all is well; what went wrong is worth some more. vsock(7). */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

#include "daemon/place/holders.h"
#include "daemon/place/result.h"
#include "daemon/place/vsock.h"
#include "schema/base/fd.h"

static const char *type_name(int type)
{
    return type == SOCK_SEQPACKET ? "seqpacket" : type == SOCK_DGRAM ? "dgram" : "stream";
}

static void vsock_socket_failed(const PlaceRequest *request, int error, PlaceResult *result)
{
    const char *type = type_name(request->type);

    if (result_set_resources(result, error))
        return;
    switch (error) {
    case EAFNOSUPPORT:
        result_set(
            result, PLACE_WAITING, error,
            "this kernel has no AF_VSOCK yet, or a sandbox hides it: modprobe vsock, or RestrictAddressFamilies= "
            "with AF_VSOCK");
        break;
    case ENODEV: /* type dgram: only some transports have it, and they can still be loaded */
        result_set(result, PLACE_WAITING, error,
                   "no vsock transport that is loaded knows the type %s; stream is known to all", type);
        break;
    case ESOCKTNOSUPPORT:
    case EPROTONOSUPPORT:
    case EOPNOTSUPP:
        result_set(result, PLACE_FAILED, error,
                   "AF_VSOCK of this kernel does not know the type %s; stream is known to all", type);
        break;
    case EPERM:
    case EACCES:
        result_set(result, PLACE_FAILED, error,
                   "socket(AF_VSOCK) is forbidden here, as by the seccomp profile of a container engine; run hvsockd "
                   "outside of it");
        break;
    default:
        result_set(result, PLACE_FAILED, error, "no AF_VSOCK socket can be made: %s", strerror(error));
    }
}

static void vsock_in_use(const PlaceRequest *request, uint32_t port, PlaceResult *result)
{
    uint64_t inode = holders_vsock_inode(port);
    _cleanup_(buffer_release) Buffer names = {0};

    result_find_holders(result, request, &inode, inode > 0);
    if (result_name_holders(result, &names))
        result_set(result, PLACE_WAITING, EADDRINUSE, "port %u is held by %s", (unsigned)port,
                   names.failed ? "others" : names.data);
    else if (inode > 0)
        result_set(result, PLACE_WAITING, EADDRINUSE,
                   "port %u is held by a process that hvsockd may not see; `ss --vsock -lp` as root names it",
                   (unsigned)port);
    else
        result_set(result, PLACE_WAITING, EADDRINUSE,
                   "port %u is held by another socket of this host; by which process cannot be told without the kernel "
                   "module vsock_diag",
                   (unsigned)port);
}

static void vsock_bind_failed(const PlaceRequest *request, int error, PlaceResult *result)
{
    uint32_t cid = request->cid, port = request->port;

    if (result_set_resources(result, error))
        return;
    switch (error) {
    case EADDRINUSE:
        vsock_in_use(request, port, result);
        break;
    case EADDRNOTAVAIL:
        if (cid == VMADDR_CID_LOCAL)
            result_set(result, PLACE_WAITING, error, "CID 1 (local) is not there yet: modprobe vsock_loopback");
        else if (cid == VMADDR_CID_HOST)
            result_set(result, PLACE_WAITING, error, "CID 2 (host) is not there yet: modprobe vhost_vsock");
        else
            result_set(result, PLACE_WAITING, error,
                       "CID %u is not this host's CID; vsock://:%u listens on every CID that it has", (unsigned)cid,
                       (unsigned)port);
        break;
    case EACCES:
    case EPERM:
        if (port < 1024)
            result_set(
                result, PLACE_FAILED, error,
                "port %u is below 1024, which needs CAP_NET_BIND_SERVICE; give hvsockd that capability, or take a "
                "port from 1024 on",
                (unsigned)port);
        else
            result_set(result, PLACE_FAILED, error, "port %u is refused by a security module (SELinux, AppArmor, …): %s",
                       (unsigned)port, strerror(error));
        break;
    default:
        result_set(result, PLACE_FAILED, error, "port %u cannot be bound: %s", (unsigned)port, strerror(error));
    }
}

void vsock_bind(const PlaceRequest *request, PlaceResult *result)
{
    struct sockaddr_vm name = {.svm_family = AF_VSOCK, .svm_cid = request->cid, .svm_port = request->port};

    if (request->port == VMADDR_PORT_ANY) { /* the kernel would choose one */
        result_set(result, PLACE_FAILED, EINVAL, "4294967295 means any port and is none to listen on; take another");
        return;
    }
    _cleanup_(fd_closep) int fd = socket(AF_VSOCK, request->type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        vsock_socket_failed(request, errno, result);
        return;
    }
    if (bind(fd, (const struct sockaddr *)&name, sizeof(name)) < 0) {
        vsock_bind_failed(request, errno, result);
        return;
    }
    if (request->type != SOCK_DGRAM && listen(fd, (int)request->backlog) < 0) {
        result_set(result, PLACE_FAILED, errno, "port %u is bound, but listen(2) fails: %s", (unsigned)request->port,
                   strerror(errno));
        return;
    }
    result_listening(result, TAKE_FD(fd));
}

bool place_port_is_taken(uint32_t port)
{
    const struct sockaddr_vm name = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    _cleanup_(fd_closep) int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd >= 0 && bind(fd, (const struct sockaddr *)&name, sizeof(name)) < 0 && errno == EADDRINUSE;
}
