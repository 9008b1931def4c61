/* SPDX-License-Identifier: Apache-2.0 */
/* Every bind, change and release goes through here to its transport's file. Keeps nothing. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/bind/bind.h"
#include "daemon/bind/path.h"
#include "daemon/bind/result.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"
#include "schema/model/records.h"

/* A state that has a reason came without it: there was no memory to write it down. */
static int result_check(BindResult *result)
{
    if (result->state == BIND_LISTENING || result->reason)
        return 0;
    bind_result_release(result);
    return -ENOMEM;
}

int bind_listener(const BindRequest *request, BindResult *result)
{
    const char *transport = request->address->transport ? request->address->transport->name : "nothing";

    *result = (BindResult){.fd = -1};
    for (size_t i = 0; binders[i]; i++)
        if (strcmp(binders[i]->transport, transport) == 0) {
            binders[i]->bind(request, result);
            return result_check(result);
        }
    result_set(result, BIND_FAILED, EAFNOSUPPORT, "this host holds no listeners on the transport %s", transport);
    return result_check(result);
}

void bind_result_release(BindResult *result)
{
    free(result->reason);
    free(result->watch_path);
    free(result->holders);
    free(result->path);
    fd_close(result->fd);
    *result = (BindResult){.fd = -1};
}

int bind_change(const BindRequest *request, int fd, const char *path, BindResult *result)
{
    *result = (BindResult){.fd = -1};
    /* On a socket that listens already, listen(2) sets the backlog and nothing else. */
    if (request->type != SERVICE_DGRAM && listen(fd, (int)request->backlog) < 0) {
        result_set(result, BIND_FAILED, errno, "the backlog cannot be set: %s", strerror(errno));
        return result_check(result);
    }
    if (path)
        path_change(request, fd, path, result);
    return result_check(result);
}

void bind_release(int fd_consume, const char *path, uint64_t device, uint64_t inode)
{
    if (path) {
        /* The file first, while our socket keeps its inode from being given to another: so that the comparison holds,
         * and nobody finds a path that refuses. Then every copy of the socket is deaf (measured; unix(7) does not say
         * it). */
        path_remove(path, device, inode);
        shutdown(fd_consume, SHUT_RDWR);
    }
    fd_close(fd_consume);
}
