/* SPDX-License-Identifier: Apache-2.0 */
/* Asking hvsock-keeper for what only it may: binding in others' folders, owners of paths, low ports, who holds a socket. Each
 * is a call that waits; as many as fit go in one. Keeps nothing. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/hold/internal.h"
#include "daemon/log.h"
#include "daemon/place/remote.h"
#include "daemon/place/result.h"

#define TIMEOUT_MS 10000 /* it looks through /proc for who is in the way */
#define INODES_A_CALL 3000
#define CALL_MAX_BYTES (FRAME_MAX_BYTES - 1024) /* of either way, without its header */
#define REQUEST_MAX_BYTES 512 /* without its path and holders */

typedef struct Ask {
    PlaceAction action;
    const PlaceRequest *requests;
    const int *fds; /* one for each, or NULL */
    PlaceResult *results;
} Ask;

static size_t request_max_bytes(const PlaceRequest *request)
{
    return REQUEST_MAX_BYTES + request->known_holder_count * 16 + (request->path ? strlen(request->path) : 0);
}

/* How many of the next fit into one call, and their answers: at least one. */
static size_t fit(const PlaceRequest *requests, size_t count)
{
    size_t bytes = 0, result_bytes = 0, fitting = 0;

    for (; fitting < count && fitting < FRAME_FDS_MAX; fitting++) {
        bytes += request_max_bytes(&requests[fitting]);
        result_bytes += remote_result_max_bytes(&requests[fitting]);
        if (fitting > 0 && (bytes > CALL_MAX_BYTES || result_bytes > CALL_MAX_BYTES))
            break;
    }
    return fitting;
}

static void no_answer(PlaceResult *result, int error)
{
    *result = (PlaceResult){.fd = -1};
    result_set(result, PLACE_WAITING, -error, "hvsock-keeper, which is to do this, does not answer: %s",
               error == -EREMOTEIO ? "it refuses, see the log" : strerror(-error));
}

static int read_results(const Frame *frame, FdList *fds, const Ask *ask, size_t count, size_t *done)
{
    FrameFields fields = frame->fields;
    FrameField field;
    size_t next_fd = 0;
    int r = 0;

    while (r == 0 && *done < count && frame_next(&fields, &field)) {
        if (field.tag != KEEPER_TAG_RESULT)
            continue;
        r = remote_read_result(&field, &ask->requests[*done], fds, &next_fd, &ask->results[*done]);
        if (r == 0)
            (*done)++;
    }
    return r < 0 ? r : *done < count ? -EBADMSG : 0;
}

static void ask_once(Hold *hold, const Ask *ask, size_t count)
{
    _cleanup_(buffer_release) Buffer fields = {0};
    _cleanup_(fd_list_clear) FdList fds = {0};
    size_t done = 0;
    Frame frame;

    for (size_t i = 0; i < count; i++)
        remote_put(&fields, ask->action, &ask->requests[i], ask->fds != NULL);
    int r = fields.failed ? -ENOMEM
                          : hold_call(hold, KEEPER_BIND, &fields, ask->fds, ask->fds ? count : 0, TIMEOUT_MS, &frame, &fds);
    if (r == 0)
        r = frame.type == KEEPER_BOUND ? read_results(&frame, &fds, ask, count, &done) : -EBADMSG;
    for (; done < count; done++)
        no_answer(&ask->results[done], r);
}

static void ask_all(Hold *hold, const Ask *ask, size_t count)
{
    for (size_t i = 0, some; i < count; i += some) {
        some = fit(ask->requests + i, count - i);
        const Ask part = {ask->action, ask->requests + i, ask->fds ? ask->fds + i : NULL, ask->results + i};
        ask_once(hold, &part, some);
    }
}

void hold_bind_many(Hold *hold, const PlaceRequest *requests, PlaceResult *results, size_t count)
{
    const Ask ask = {PLACE_BIND, requests, NULL, results};

    ask_all(hold, &ask, count);
}

void hold_change(Hold *hold, const PlaceRequest *request, int fd, PlaceResult *result)
{
    const Ask ask = {PLACE_CHANGE, request, &fd, result};

    ask_all(hold, &ask, 1);
}

static PlaceRequest request_of(const char *path, uint64_t device, uint64_t inode)
{
    return (PlaceRequest){
        .path = path,
        .type = SOCK_STREAM,
        .uid = PLACE_NOT_ASKED,
        .gid = PLACE_NOT_ASKED,
        .mode = PLACE_NOT_ASKED,
        .as_uid = PLACE_NOT_ASKED,
        .as_gid = PLACE_NOT_ASKED,
        .device = device,
        .inode = inode,
    };
}

void hold_release_many(Hold *hold, const PlaceHeld *held_consume, size_t count)
{
    _cleanup_(freep) PlaceRequest *requests = reallocarray(NULL, count + 1, sizeof(*requests));
    _cleanup_(freep) PlaceResult *results = reallocarray(NULL, count + 1, sizeof(*results));
    _cleanup_(freep) int *fds = reallocarray(NULL, count + 1, sizeof(*fds));
    size_t asked = 0;

    for (size_t i = 0; requests && results && fds && i < count; i++)
        if (held_consume[i].path) {
            requests[asked] = request_of(held_consume[i].path, held_consume[i].device, held_consume[i].inode);
            fds[asked++] = held_consume[i].fd;
        }
    const Ask ask = {PLACE_REMOVE, requests, fds, results};
    ask_all(hold, &ask, asked);
    for (size_t i = 0; i < asked; i++) {
        if (results[i].state != PLACE_LISTENING)
            log_warning("%s is left behind: %s", requests[i].path, results[i].reason ? results[i].reason : "out of memory");
        place_result_release(&results[i]);
    }
    /* The files are gone, or cannot be had: the sockets alone. */
    for (size_t i = 0; i < count; i++) {
        if (held_consume[i].path)
            shutdown(held_consume[i].fd, SHUT_RDWR);
        fd_close(held_consume[i].fd);
    }
}

bool hold_is_gone(Hold *hold, const char *path, uint64_t device, uint64_t inode)
{
    const PlaceRequest request = request_of(path, device, inode);
    PlaceResult result;
    const Ask ask = {PLACE_LOOK, &request, NULL, &result};

    ask_all(hold, &ask, 1);
    bool gone = result.state == PLACE_FAILED && result.error == ENOENT;
    place_result_release(&result);
    return gone;
}

int hold_watch_folder(Hold *hold, int inotify_fd, const char *folder)
{
    const PlaceRequest request = request_of(folder, 0, 0);
    PlaceResult result;
    const Ask ask = {PLACE_WATCH, &request, &inotify_fd, &result};

    ask_all(hold, &ask, 1);
    int watch = result.state == PLACE_LISTENING && result.watch > 0 ? result.watch : -(result.error ? result.error : EIO);
    place_result_release(&result);
    return watch;
}

/* ---- who holds ---- */

/* The pids of the answer: at most max. */
static int ask_holders(Hold *hold, KeeperType type, const uint64_t *inodes, size_t inode_count, pid_t *pids, size_t max,
                       size_t *ret_count)
{
    _cleanup_(buffer_release) Buffer fields = {0};
    Frame frame;
    FrameField field;
    uint64_t pid;

    *ret_count = 0;
    for (size_t i = 0; i < inode_count; i++)
        frame_put_number(&fields, KEEPER_TAG_NUMBER, inodes[i]);
    int r = fields.failed ? -ENOMEM : hold_call(hold, type, &fields, NULL, 0, TIMEOUT_MS, &frame, NULL);
    if (r < 0)
        return r;
    while (*ret_count < max && frame_next(&frame.fields, &field)) {
        if (field.tag != KEEPER_TAG_NUMBER)
            continue;
        if (frame_field_number(&field, &pid) < 0 || pid > INT32_MAX)
            return -EBADMSG;
        pids[(*ret_count)++] = (pid_t)pid;
    }
    return 0;
}

int hold_find_holders(Hold *hold, const uint64_t *inodes, size_t inode_count, size_t max, pid_t **ret_pids, size_t *ret_count)
{
    _cleanup_(freep) pid_t *pids = calloc(max + 1, sizeof(*pids));
    size_t count;

    if (!pids)
        return -ENOMEM;
    if (inode_count > INODES_A_CALL)
        return -E2BIG;
    int r = ask_holders(hold, KEEPER_HOLDERS, inodes, inode_count, pids, max, &count);
    if (r < 0)
        return r;
    *ret_pids = count > 0 ? TAKE_PTR(pids) : NULL;
    *ret_count = count;
    return 0;
}

int hold_find_holders_of_each(Hold *hold, const uint64_t *inodes, size_t count, pid_t *ret_pids)
{
    for (size_t i = 0, some, found; i < count; i += some) {
        some = count - i > INODES_A_CALL ? INODES_A_CALL : count - i;
        int r = ask_holders(hold, KEEPER_HOLDERS_OF_EACH, inodes + i, some, ret_pids + i, some, &found);
        if (r < 0)
            return r;
        if (found != some)
            return -EBADMSG;
    }
    return 0;
}
