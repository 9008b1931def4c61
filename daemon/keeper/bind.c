/* SPDX-License-Identifier: Apache-2.0 */
/* What hvsockd may not do itself: sockets in folders of others and of other owners, ports below 1024, and looking who else
 * holds a socket. daemon/place does it; what comes of it goes back, and nothing of it is kept here. */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/keeper/keeper.h"
#include "daemon/place/holders.h"
#include "daemon/place/remote.h"

#define PIDS_MAX 64

int bind_on_bind(const Request *request)
{
    _cleanup_(fd_list_clear) FdList fds = {0};
    Buffer *out = request_begin(request, KEEPER_BOUND);

    if (request->cut) {
        request_refuse(request, EMFILE, "hvsock-keeper has no descriptors left (RLIMIT_NOFILE)", NULL);
        return 0;
    }
    int r = remote_serve(request->frame->fields, request->fds, out, &fds);
    if (r == -EPROTO || r == -ENOMEM)
        request_refuse(request, r, r == -EPROTO ? "this hvsock-keeper does not know a critical field of the request" : "memory", NULL);
    else if (r == 0)
        request_send(request, &fds);
    return r == -EBADMSG ? r : 0;
}

/* ---- who holds ---- */

static int read_inodes(const Request *request, uint64_t **ret_inodes, size_t *ret_count)
{
    FrameFields fields = request->frame->fields;
    FrameField field;
    size_t count = 0;
    uint64_t *inodes = calloc(request->frame->fields.size_bytes / 8 + 1, sizeof(*inodes));

    if (!inodes)
        return -ENOMEM;
    while (frame_next(&fields, &field))
        if (field.tag == KEEPER_TAG_NUMBER && frame_field_number(&field, &inodes[count++]) < 0) {
            free(inodes);
            return -EBADMSG;
        }
    *ret_inodes = inodes;
    *ret_count = count;
    return 0;
}

static pid_t client_pid(const Request *request)
{
    struct ucred client;
    socklen_t size = sizeof(client);

    return getsockopt(request->peer->fd, SOL_SOCKET, SO_PEERCRED, &client, &size) < 0 ? 0 : client.pid;
}

static int answer_pids(const Request *request, int r, const pid_t *pids, size_t count)
{
    if (r == -EBADMSG)
        return r;
    if (r < 0) {
        request_refuse(request, r, "holders", NULL);
        return 0;
    }
    Buffer *out = request_begin(request, KEEPER_DONE);
    for (size_t i = 0; i < count; i++)
        frame_put_number(out, KEEPER_TAG_NUMBER, (uint64_t)pids[i]);
    request_send(request, NULL);
    return 0;
}

int bind_on_holders(const Request *request)
{
    _cleanup_(freep) uint64_t *inodes = NULL;
    _cleanup_(freep) pid_t *pids = NULL;
    size_t inode_count = 0, count = 0, kept = 0;
    pid_t client = client_pid(request);

    int r = read_inodes(request, &inodes, &inode_count);
    if (r == 0)
        r = holders_find(inodes, inode_count, PIDS_MAX + 1, &pids, &count);
    for (size_t i = 0; i < count; i++)
        if (pids[i] != client && kept < PIDS_MAX)
            pids[kept++] = pids[i];
    return answer_pids(request, r, pids, kept);
}

int bind_on_holders_of_each(const Request *request)
{
    _cleanup_(freep) uint64_t *inodes = NULL;
    _cleanup_(freep) pid_t *pids = NULL;
    size_t count = 0;

    int r = read_inodes(request, &inodes, &count);
    if (r == 0 && !(pids = calloc(count + 1, sizeof(*pids))))
        r = -ENOMEM;
    if (r == 0)
        r = holders_of_each(inodes, count, client_pid(request), pids);
    return answer_pids(request, r, pids, count);
}
