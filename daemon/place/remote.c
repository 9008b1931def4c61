/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for places over a socket: fields are written and read, and carried out. Keeps nothing; see the header for whom is
 * trusted with what. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/sockios.h>
#include <linux/un.h>

#include "daemon/place/remote.h"
#include "daemon/place/result.h"
#include "schema/base/cleanup.h"
#include "schema/base/text.h"

#define REQUESTS_MAX FRAME_FDS_MAX
#define HOLDERS_MAX 64
#define REASON_MAX_BYTES 1024 /* without the paths in it, which are at most three */

typedef struct Asked {
    PlaceAction action;
    char *path; /* owned */
    pid_t *holders; /* owned */
    size_t holder_count;
    bool has_fd;
    int fd; /* borrowed; -1 */
} Asked;

/* ---- writing and reading requests ---- */

static void put_if_asked(Buffer *fields, uint16_t tag, uint32_t number)
{
    if (number != PLACE_NOT_ASKED)
        frame_put_number(fields, tag, number);
}

static void put_holders(Buffer *fields, const pid_t *holders, size_t count)
{
    for (size_t i = 0; i < count && i < HOLDERS_MAX; i++)
        frame_put_number(fields, KEEPER_PLACE_HOLDER, (uint64_t)holders[i]);
}

void remote_put(Buffer *fields, PlaceAction action, const PlaceRequest *request, bool has_fd)
{
    size_t opened = frame_open(fields, KEEPER_TAG_REQUEST);

    frame_put_number(fields, KEEPER_PLACE_ACTION, action);
    frame_put_text(fields, KEEPER_PLACE_PATH, request->path);
    if (!request->path) {
        frame_put_number(fields, KEEPER_PLACE_CID, request->cid);
        frame_put_number(fields, KEEPER_PLACE_PORT, request->port);
    }
    frame_put_number(fields, KEEPER_PLACE_TYPE, (uint64_t)request->type);
    frame_put_number(fields, KEEPER_PLACE_BACKLOG, request->backlog);
    put_if_asked(fields, KEEPER_PLACE_UID, request->uid);
    put_if_asked(fields, KEEPER_PLACE_GID, request->gid);
    put_if_asked(fields, KEEPER_PLACE_MODE, request->mode);
    put_if_asked(fields, KEEPER_PLACE_AS_UID, request->as_uid);
    put_if_asked(fields, KEEPER_PLACE_AS_GID, request->as_gid);
    if (has_fd)
        frame_put_number(fields, KEEPER_PLACE_FDS, 1);
    put_holders(fields, request->known_holders, request->known_holder_count);
    if (request->inode) {
        frame_put_number(fields, KEEPER_PLACE_DEVICE, request->device);
        frame_put_number(fields, KEEPER_PLACE_INODE, request->inode);
    }
    frame_close(fields, opened);
}

size_t remote_result_max_bytes(const PlaceRequest *request)
{
    return REASON_MAX_BYTES + HOLDERS_MAX * 16 + (request->path ? 4 * strlen(request->path) : 0);
}

static int add_holder(pid_t **holders, size_t *count, uint64_t pid)
{
    if (pid == 0 || pid > INT32_MAX || *count >= HOLDERS_MAX)
        return -EBADMSG;
    pid_t *more = reallocarray(*holders, *count + 1, sizeof(pid_t));
    if (!more)
        return -ENOMEM;
    *holders = more;
    (*holders)[(*count)++] = (pid_t)pid;
    return 0;
}

static void asked_release(Asked *asked)
{
    free(asked->path);
    free(asked->holders);
}

static int read_field(const FrameField *field, Asked *asked, PlaceRequest *request)
{
    uint64_t number = 0;
    int r;

    if (field->tag == KEEPER_PLACE_PATH) {
        free(TAKE_PTR(asked->path));
        r = frame_field_text(field, &asked->path);
        request->path = asked->path;
        return r;
    }
    switch (field->tag) {
    case KEEPER_PLACE_ACTION:
    case KEEPER_PLACE_CID:
    case KEEPER_PLACE_PORT:
    case KEEPER_PLACE_TYPE:
    case KEEPER_PLACE_BACKLOG:
    case KEEPER_PLACE_UID:
    case KEEPER_PLACE_GID:
    case KEEPER_PLACE_MODE:
    case KEEPER_PLACE_AS_UID:
    case KEEPER_PLACE_AS_GID:
    case KEEPER_PLACE_FDS:
        r = frame_field_number(field, &number);
        if (r < 0 || number > UINT32_MAX)
            return -EBADMSG;
        break;
    case KEEPER_PLACE_HOLDER:
    case KEEPER_PLACE_DEVICE:
    case KEEPER_PLACE_INODE:
        r = frame_field_number(field, &number);
        if (r < 0)
            return r;
        break;
    default: /* of a newer one */
        return field->tag & FRAME_CRITICAL ? -EPROTO : 0;
    }

    uint32_t small = (uint32_t)number;
    switch (field->tag) {
    case KEEPER_PLACE_ACTION:
        asked->action = (PlaceAction)small;
        break;
    case KEEPER_PLACE_CID:
        request->cid = small;
        break;
    case KEEPER_PLACE_PORT:
        request->port = small;
        break;
    case KEEPER_PLACE_TYPE:
        request->type = small <= INT32_MAX ? (int)small : -1;
        break;
    case KEEPER_PLACE_BACKLOG:
        request->backlog = small;
        break;
    case KEEPER_PLACE_UID:
        request->uid = small;
        break;
    case KEEPER_PLACE_GID:
        request->gid = small;
        break;
    case KEEPER_PLACE_MODE:
        request->mode = small;
        break;
    case KEEPER_PLACE_AS_UID:
        request->as_uid = small;
        break;
    case KEEPER_PLACE_AS_GID:
        request->as_gid = small;
        break;
    case KEEPER_PLACE_FDS:
        asked->has_fd = small == 1;
        return small > 1 ? -EBADMSG : 0;
    case KEEPER_PLACE_HOLDER:
        return add_holder(&asked->holders, &asked->holder_count, number);
    case KEEPER_PLACE_DEVICE:
        request->device = number;
        break;
    case KEEPER_PLACE_INODE:
        request->inode = number;
        break;
    }
    return 0;
}

/* What no hvsockd of ours asks for. */
static int check(const Asked *asked, const PlaceRequest *request)
{
    bool wants_fd = asked->action == PLACE_CHANGE || asked->action == PLACE_REMOVE || asked->action == PLACE_WATCH;

    if (asked->action < PLACE_BIND || asked->action > PLACE_WATCH)
        return -EPROTO;
    if (request->type != SOCK_STREAM && request->type != SOCK_SEQPACKET && request->type != SOCK_DGRAM)
        return -EBADMSG;
    if (request->mode != PLACE_NOT_ASKED && request->mode > 0777)
        return -EBADMSG;
    if (asked->has_fd != wants_fd || (!request->path && asked->action != PLACE_BIND) || request->backlog > INT32_MAX)
        return -EBADMSG;
    return 0;
}

static int read_request(const FrameField *field, Asked *asked, PlaceRequest *request)
{
    FrameFields fields;
    FrameField inner;
    int r = frame_field_fields(field, &fields);

    *asked = (Asked){.fd = -1};
    *request = (PlaceRequest){
        .type = SOCK_STREAM,
        .uid = PLACE_NOT_ASKED,
        .gid = PLACE_NOT_ASKED,
        .mode = PLACE_NOT_ASKED,
        .as_uid = PLACE_NOT_ASKED,
        .as_gid = PLACE_NOT_ASKED,
    };
    while (r == 0 && frame_next(&fields, &inner))
        r = read_field(&inner, asked, request);
    if (r == 0)
        r = check(asked, request);
    if (r < 0) {
        asked_release(asked);
        return r;
    }
    request->known_holders = asked->holders;
    request->known_holder_count = asked->holder_count;
    return 0;
}

/* ---- carrying out ---- */

/* Only what this very socket is bound to, by the kernel's word. */
static bool prove(const Asked *asked, PlaceRequest *request, PlaceResult *result)
{
    _cleanup_(fd_closep) int file_fd = ioctl(asked->fd, SIOCUNIXFILE);
    struct stat status;

    if (file_fd < 0 || fstat(file_fd, &status) < 0) {
        result_set(result, PLACE_FAILED, EPERM, "the descriptor for %s is no socket that is bound to a path", request->path);
        return false;
    }
    request->device = status.st_dev;
    request->inode = status.st_ino;
    return true;
}

static void carry_out(const Asked *asked, PlaceRequest *request, PlaceResult *result)
{
    *result = (PlaceResult){.fd = -1};
    if (asked->action == PLACE_LOOK) {
        if (place_is_gone(request->path, request->device, request->inode))
            result_set(result, PLACE_FAILED, ENOENT, "%s is not there any more", request->path);
    } else if (asked->action == PLACE_WATCH) {
        result->watch = place_watch(asked->fd, request->path);
        if (result->watch < 0)
            result_set(result, PLACE_FAILED, -result->watch, "%s cannot be watched: %s", request->path, strerror(-result->watch));
    } else if (!prove(asked, request, result)) {
        return;
    } else if (asked->action == PLACE_CHANGE) {
        place_change(request, asked->fd, result);
    } else {
        place_remove(request);
    }
}

static void carry_out_all(const Asked *asked, PlaceRequest *requests, PlaceResult *results, size_t count)
{
    for (size_t i = 0, next; i < count; i = next) {
        next = i + 1;
        if (asked[i].action != PLACE_BIND) {
            carry_out(&asked[i], &requests[i], &results[i]);
            continue;
        }
        while (next < count && asked[next].action == PLACE_BIND)
            next++;
        place_bind_many(requests + i, results + i, next - i);
    }
}

/* ---- results ---- */

static void put_text(Buffer *out, uint16_t tag, const char *text, size_t max_bytes)
{
    if (text)
        frame_put(out, tag, text, strlen(text) < max_bytes ? strlen(text) : max_bytes);
}

static void put_result(Buffer *out, const PlaceRequest *request, PlaceResult *result, FdList *ret_fds)
{
    size_t opened = frame_open(out, KEEPER_TAG_RESULT);
    size_t path_bytes = request->path ? strlen(request->path) : 0;

    if (result->fd >= 0) {
        if (fd_list_add_consume(ret_fds, TAKE_FD(result->fd)) == 0)
            frame_put_number(out, KEEPER_PLACE_FDS, 1);
        else
            result->state = PLACE_WAITING; /* without a reason: there was no memory */
    }
    frame_put_number(out, KEEPER_PLACE_STATE, result->state);
    frame_put_number(out, KEEPER_PLACE_ERROR, (uint64_t)result->error);
    put_text(out, KEEPER_PLACE_REASON, result->reason, REASON_MAX_BYTES / 2 + 3 * path_bytes);
    put_text(out, KEEPER_PLACE_WATCH_PATH, result->watch_path, path_bytes);
    put_holders(out, result->holders, result->holder_count);
    if (result->watch > 0)
        frame_put_number(out, KEEPER_PLACE_WATCH, (uint64_t)result->watch);
    if (result->inode) {
        frame_put_number(out, KEEPER_PLACE_DEVICE, result->device);
        frame_put_number(out, KEEPER_PLACE_INODE, result->inode);
    }
    frame_close(out, opened);
}

static int read_requests(FrameFields fields, const FdList *fds, Asked *asked, PlaceRequest *requests, size_t *ret_count)
{
    FrameField field;
    size_t count = 0, next_fd = 0;
    int r = 0;

    while (r == 0 && frame_next(&fields, &field)) {
        if (field.tag != KEEPER_TAG_REQUEST)
            continue;
        r = count == REQUESTS_MAX ? -EBADMSG : read_request(&field, &asked[count], &requests[count]);
        if (r < 0)
            break;
        if (asked[count].has_fd && next_fd < fds->count)
            asked[count].fd = fds->fds[next_fd++];
        else if (asked[count].has_fd)
            r = -EBADMSG;
        count++;
    }
    *ret_count = count;
    return r == 0 && next_fd != fds->count ? -EBADMSG : r;
}

int remote_serve(FrameFields fields, const FdList *fds, Buffer *out, FdList *ret_fds)
{
    _cleanup_(freep) Asked *asked = calloc(REQUESTS_MAX, sizeof(*asked));
    _cleanup_(freep) PlaceRequest *requests = calloc(REQUESTS_MAX, sizeof(*requests));
    _cleanup_(freep) PlaceResult *results = calloc(REQUESTS_MAX, sizeof(*results));
    size_t count = 0;

    if (!asked || !requests || !results)
        return -ENOMEM;
    int r = read_requests(fields, fds, asked, requests, &count);
    if (r == 0)
        carry_out_all(asked, requests, results, count);
    for (size_t i = 0; i < count; i++) {
        if (r == 0) {
            put_result(out, &requests[i], &results[i], ret_fds);
            place_result_release(&results[i]);
        }
        asked_release(&asked[i]);
    }
    return r;
}

static int read_result_field(const FrameField *field, PlaceResult *result, bool *has_fd)
{
    uint64_t number = 0;
    int r;

    switch (field->tag) {
    case KEEPER_PLACE_REASON:
        free(TAKE_PTR(result->reason));
        return frame_field_text(field, &result->reason);
    case KEEPER_PLACE_WATCH_PATH:
        free(TAKE_PTR(result->watch_path));
        return frame_field_text(field, &result->watch_path);
    case KEEPER_PLACE_STATE:
    case KEEPER_PLACE_ERROR:
    case KEEPER_PLACE_HOLDER:
    case KEEPER_PLACE_FDS:
    case KEEPER_PLACE_DEVICE:
    case KEEPER_PLACE_INODE:
    case KEEPER_PLACE_WATCH:
        r = frame_field_number(field, &number);
        if (r < 0)
            return r;
        break;
    default: /* of a newer one */
        return field->tag & FRAME_CRITICAL ? -EBADMSG : 0;
    }

    switch (field->tag) {
    case KEEPER_PLACE_STATE:
        result->state = (PlaceState)number;
        return number > PLACE_FAILED ? -EBADMSG : 0;
    case KEEPER_PLACE_ERROR:
        result->error = (int)number;
        return number > 4095 ? -EBADMSG : 0;
    case KEEPER_PLACE_HOLDER:
        return add_holder(&result->holders, &result->holder_count, number);
    case KEEPER_PLACE_FDS:
        *has_fd = number == 1;
        return number > 1 ? -EBADMSG : 0;
    case KEEPER_PLACE_WATCH:
        result->watch = (int)number;
        return number > INT32_MAX ? -EBADMSG : 0;
    case KEEPER_PLACE_DEVICE:
        result->device = number;
        break;
    case KEEPER_PLACE_INODE:
        result->inode = number;
        break;
    }
    return 0;
}

int remote_read_result(const FrameField *field, const PlaceRequest *request, FdList *fds, size_t *next_fd, PlaceResult *ret)
{
    PlaceResult result = {.fd = -1, .state = PLACE_FAILED};
    FrameFields fields;
    FrameField inner;
    bool has_fd = false;
    int r = frame_field_fields(field, &fields);

    while (r == 0 && frame_next(&fields, &inner))
        r = read_result_field(&inner, &result, &has_fd);
    if (r == 0 && has_fd && result.state == PLACE_LISTENING && request->path && !(result.path = strdup(request->path)))
        r = -ENOMEM;
    if (r == 0 && has_fd) {
        result.fd = fd_list_take(fds, *next_fd);
        r = result.fd < 0 ? -EBADMSG : 0;
        (*next_fd)++;
    }
    if (r < 0) {
        place_result_release(&result);
        return r;
    }
    *ret = result;
    return 0;
}
