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
    struct Name {
        const char *text; /* found last; borrowed from a request */
        uint32_t id;
        gid_t own_gid; /* of a user: its group */
    } user, group, as_user, as_group;
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

/* Of a number the group is not looked up: it would cost more than the bind, and only who is not the folder's owner needs it. */
static bool user_found(const char *text, struct Name *name, PlaceResult *result)
{
    uint64_t number;
    bool is_number = text_to_number(text, UINT32_MAX - 1, &number);

    if (text_equal(text, name->text))
        return true;
    name->own_gid = PLACE_NOT_ASKED;
    if (!id_found(user_find(text, &name->id, is_number ? NULL : &name->own_gid), "user", text, result))
        return false;
    name->text = text;
    return true;
}

static bool group_found(const char *text, struct Name *name, PlaceResult *result)
{
    if (text_equal(text, name->text))
        return true;
    if (!id_found(group_find(text, &name->id), "group", text, result))
        return false;
    name->text = text;
    return true;
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
    if (request->user && !user_found(request->user, &names->user, result))
        return false;
    if (request->group && !group_found(request->group, &names->group, result))
        return false;
    if (request->as_user && text_equal(request->as_user, names->user.text))
        names->as_user = names->user;
    if (request->as_user && !user_found(request->as_user, &names->as_user, result))
        return false;
    if (request->as_group && !group_found(request->as_group, &names->as_group, result))
        return false;
    if (request->user)
        place->uid = names->user.id;
    if (request->group)
        place->gid = names->group.id;
    if (request->as_user) {
        place->as_uid = names->as_user.id;
        place->as_gid = request->as_group ? names->as_group.id : names->as_user.own_gid;
    }
    return true;
}

static const PlaceRequest nowhere = {.uid = PLACE_NOT_ASKED,
                                     .gid = PLACE_NOT_ASKED,
                                     .mode = PLACE_NOT_ASKED,
                                     .as_uid = PLACE_NOT_ASKED,
                                     .as_gid = PLACE_NOT_ASKED};

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

int bind_many(const BindRequest *requests, PlaceResult *results, size_t count, const BindHands *hands)
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
    if (hands)
        hands->bind_many(places, made, found, hands->userdata);
    else
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
    int r = bind_many(request, result, 1, NULL);

    return r < 0 ? r : result_check(result);
}

int bind_change(const BindRequest *request, int fd, const char *path, PlaceResult *result, const BindHands *hands)
{
    PlaceRequest place;
    Names names = {0};

    *result = (PlaceResult){.fd = -1};
    take_over(request, &place);
    place.path = path;
    if (path && !find_owner(request, &names, &place, result))
        return result_check(result);
    if (hands)
        hands->change(&place, fd, result, hands->userdata);
    else
        place_change(&place, fd, result);
    return result_check(result);
}
