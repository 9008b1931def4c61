/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to places, and what comes of them, as fields of frames (schema/wire/keeper.h): so that who may not do it asks who
 * may. hvsockd's user is trusted to say what shall listen where, and not with more: what is there already is only changed or
 * removed by who shows the very socket that is bound to it. */
#pragma once

#include "daemon/place/place.h"
#include "schema/wire/keeper.h"

typedef enum PlaceAction {
    PLACE_BIND = 1,
    PLACE_CHANGE = 2,  /* with the socket */
    PLACE_REMOVE = 3,  /* its path, with the socket */
    PLACE_LOOK = 4,    /* is its path (DEVICE, INODE) there still? FAILED with ENOENT where it is not */
    PLACE_WATCH = 5,   /* the folder that is its path, with the inotify(7) instance */
} PlaceAction;

/* ---- who asks ---- */

/* A REQUEST. has_fd: a descriptor goes with it. */
void remote_put(Buffer *fields, PlaceAction action, const PlaceRequest *request, bool has_fd);
/* No more than so many bytes can come back for it, and one descriptor. */
size_t remote_result_max_bytes(const PlaceRequest *request);
/* The RESULT to it. Its descriptor is taken out of fds, from *next_fd on. -EBADMSG, -ENOMEM: nothing is set, and what came is
 * still in fds. */
int remote_read_result(const FrameField *field, const PlaceRequest *request, FdList *fds, size_t *next_fd, PlaceResult *ret);

/* ---- who is asked ---- */

/* Does everything that the fields ask for, and puts a RESULT for each REQUEST into out, in their order. fds: what came with
 * them; ret_fds gets what goes back. -EBADMSG: they are malformed; -EPROTO: there is something critical that we do not know;
 * -ENOMEM. Nothing is done then. */
int remote_serve(FrameFields fields, const FdList *fds, Buffer *out, FdList *ret_fds);
