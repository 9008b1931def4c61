/* SPDX-License-Identifier: Apache-2.0 */
/* Requests with addresses and names become requests with paths and numbers, and these are made together. What names of
 * users and groups stand for is remembered from one request to the next of an array, and no longer. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/bind/bind.h"
#include "daemon/place/result.h"
#include "schema/base/cleanup.h"
#include "schema/base/text.h"
#include "schema/base/user.h"
#include "schema/model/records.h"

typedef struct Names {
    const char *user, *group; /* found last; borrowed from a request */
    uid_t uid;
    gid_t gid;
} Names;

/* false: result says so. */
static bool id_found(int r, const char *kind, const char *name, PlaceResult *result)
{
    if (r == -ESRCH)
        result_set(result, PLACE_FAILED, ESRCH,
                   "there is no %s %s on this host; a name or number that there is would be right", kind, name);
    else if (r < 0)
        result_set(result, PLACE_WAITING, -r, "the %s %s cannot be looked up: %s", kind, name, strerror(-r));
    return r == 0;
}

static bool find_owner(const BindRequest *request, Names *names, PlaceRequest *place, PlaceResult *result)
{
    if (request->mode) {
        char *end;
        unsigned long mode = strtoul(request->mode, &end, 8);
        if (!*request->mode || *end || mode > 0777) {
            result_set(result, PLACE_FAILED, EINVAL, "%s is no access mode; octal text as 0660 would be right",
                       request->mode);
            return false;
        }
        place->mode = (mode_t)mode;
    }
    if (request->user && !text_equal(request->user, names->user)) {
        if (!id_found(user_find(request->user, &names->uid, NULL), "user", request->user, result))
            return false;
        names->user = request->user;
    }
    if (request->group && !text_equal(request->group, names->group)) {
        if (!id_found(group_find(request->group, &names->gid), "group", request->group, result))
            return false;
        names->group = request->group;
    }
    if (request->user)
        place->uid = names->uid;
    if (request->group)
        place->gid = names->gid;
    return true;
}

static const PlaceRequest nowhere = {.uid = PLACE_NOT_ASKED, .gid = PLACE_NOT_ASKED, .mode = PLACE_NOT_ASKED};

static void take_over(const BindRequest *request, PlaceRequest *place)
{
    *place = nowhere;
    place->type = request->type == SERVICE_SEQPACKET ? SOCK_SEQPACKET
                  : request->type == SERVICE_DGRAM   ? SOCK_DGRAM
                                                     : SOCK_STREAM;
    place->backlog = request->backlog;
    place->known_holders = request->known_holders;
    place->known_holder_count = request->known_holder_count;
    place->device = request->device;
    place->inode = request->inode;
}

/* false: result says why not. */
static bool find_place(const BindRequest *request, Names *names, char **ret_path, PlaceRequest *place,
                       PlaceResult *result)
{
    const char *transport = request->address->transport ? request->address->transport->name : "nothing";

    take_over(request, place);
    for (size_t i = 0; binders[i]; i++)
        if (strcmp(binders[i]->transport, transport) == 0)
            return binders[i]->find(request, ret_path, place, result) &&
                   (!place->path || find_owner(request, names, place, result));
    result_set(result, PLACE_FAILED, EAFNOSUPPORT, "this host holds no listeners on the transport %s", transport);
    return false;
}

int bind_many(const BindRequest *requests, PlaceResult *results, size_t count)
{
    _cleanup_(freep) PlaceRequest *places = reallocarray(NULL, count + 1, sizeof(*places));
    _cleanup_(freep) PlaceResult *made = reallocarray(NULL, count + 1, sizeof(*made));
    _cleanup_(freep) size_t *indices = reallocarray(NULL, count + 1, sizeof(*indices));
    _cleanup_(freep) char **paths = calloc(count + 1, sizeof(*paths));
    Names names = {0};
    size_t found = 0;

    if (!places || !made || !indices || !paths)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        results[i] = (PlaceResult){.fd = -1};
        if (find_place(&requests[i], &names, &paths[i], &places[found], &results[i]))
            indices[found++] = i;
    }
    place_bind_many(places, made, found);
    for (size_t i = 0; i < found; i++)
        results[indices[i]] = made[i];
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    return 0;
}

/* A state that has a reason came without it: there was no memory to write it down. */
static int result_check(PlaceResult *result)
{
    if (result->state == PLACE_LISTENING || result->reason)
        return 0;
    place_result_release(result);
    return -ENOMEM;
}

int bind_listener(const BindRequest *request, PlaceResult *result)
{
    int r = bind_many(request, result, 1);

    return r < 0 ? r : result_check(result);
}

int bind_change(const BindRequest *request, int fd, const char *path, PlaceResult *result)
{
    PlaceRequest place;
    Names names = {0};

    *result = (PlaceResult){.fd = -1};
    take_over(request, &place);
    place.path = path;
    if (!path || find_owner(request, &names, &place, result))
        place_change(&place, fd, result);
    return result_check(result);
}
