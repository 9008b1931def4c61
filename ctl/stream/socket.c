/* SPDX-License-Identifier: Apache-2.0 */
/* Names of unix sockets, and why something failed; nothing here outlives its call. unix(7). */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/stream/socket.h"
#include "schema/base/fd.h"

static bool unix_name_set(UnixName *name, const char *path)
{
    size_t size = strlen(path);

    *name = (UnixName){.address.sun_family = AF_UNIX, .fd = -1};
    if (size >= sizeof(name->address.sun_path))
        return false;
    memcpy(name->address.sun_path, path, size);
    return true;
}

int unix_name_open(const char *path, UnixName *ret)
{
    UnixName name;

    if (!unix_name_set(&name, path)) {
        name.fd = open(path, O_PATH | O_CLOEXEC);
        if (name.fd < 0)
            return -errno;
        snprintf(name.address.sun_path, sizeof(name.address.sun_path), "/proc/self/fd/%d", name.fd);
    }
    *ret = name;
    return 0;
}

int unix_name_prepare(const char *path, UnixName *ret)
{
    const char *slash = strrchr(path, '/');
    UnixName name;

    if (!unix_name_set(&name, path)) {
        _cleanup_(freep) char *folder = slash && slash > path ? strndup(path, (size_t)(slash - path)) : strdup("/");
        if (!folder)
            return -ENOMEM;
        name.fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (name.fd < 0)
            return -errno;
        int size = snprintf(name.address.sun_path, sizeof(name.address.sun_path), "/proc/self/fd/%d/%s", name.fd,
                            slash ? slash + 1 : path);
        if (size < 0 || (size_t)size >= sizeof(name.address.sun_path)) {
            fd_close(name.fd);
            return -ENAMETOOLONG;
        }
    }
    *ret = name;
    return 0;
}

void unix_name_release(UnixName *name)
{
    name->fd = fd_close(name->fd);
}

void failure_set(Failure *failure, const char *what, const char *hint, const char *why_format, ...)
{
    va_list arguments;

    *failure = (Failure){.hint = hint, .status = EXIT_NO};
    snprintf(failure->what, sizeof(failure->what), "%s", what);
    va_start(arguments, why_format);
    vsnprintf(failure->why, sizeof(failure->why), why_format, arguments);
    va_end(arguments);
}

int failure_tell(Ctl *ctl, const Failure *failure)
{
    if (failure->answer != 0)
        return ctl_refused(ctl, failure->answer, failure->what);
    ctl_tell(failure->what, failure->hint, "%s", failure->why);
    return failure->status;
}

int socket_type(int service_type)
{
    return service_type == SERVICE_SEQPACKET ? SOCK_SEQPACKET : service_type == SERVICE_DGRAM ? SOCK_DGRAM : SOCK_STREAM;
}

int socket_open(const Address *address, int type)
{
    int fd = socket(address->transport == &transport_vsock ? AF_VSOCK : AF_UNIX, type | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}
