/* SPDX-License-Identifier: Apache-2.0 */
/* What binds that come at once share. Lives for one run of a plan; the folder only from one bind to the next in it. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/bind/batch.h"
#include "schema/base/cleanup.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"

BindBatch *bind_batch_new(void)
{
    BindBatch *batch = calloc(1, sizeof(BindBatch));

    if (batch)
        batch->working_fd = -1;
    return batch;
}

static void batch_drop_place(BindBatch *batch)
{
    if (batch->has_place)
        place_close(&batch->place);
    batch->has_place = false;
}

void bind_batch_free(BindBatch *batch)
{
    if (!batch)
        return;
    batch_drop_place(batch);
    fd_close(batch->working_fd);
    free(batch->user);
    free(batch->group);
    free(batch);
}

bool batch_open_place(BindBatch *batch, const char *path, Place *own, Place **ret, BindResult *result)
{
    Place *place = batch ? &batch->place : own;

    *ret = place;
    if (batch && batch->has_place && place_move(place, path))
        return true;
    if (batch)
        batch_drop_place(batch);
    if (!place_open(path, place, result))
        return false;
    if (batch)
        batch->has_place = true;
    return true;
}

void batch_leave_place(BindBatch *batch, Place *place)
{
    if (!batch) {
        place_close(place);
        return;
    }
    /* The request's path goes with the request. */
    size_t size_bytes = strlen(place->path) + 1;
    if (size_bytes > sizeof(batch->path)) {
        batch_drop_place(batch);
        return;
    }
    memmove(batch->path, place->path, size_bytes);
    place->path = batch->path;
}

bool batch_enter(BindBatch *batch, const Place *place)
{
    if (!batch || place->fd < 0)
        return false;
    if (batch->working_fd < 0)
        batch->working_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return batch->working_fd >= 0 && fchdir(place->fd) == 0;
}

void batch_leave(BindBatch *batch)
{
    /* Nobody's folder is stayed in: it could not be unmounted. */
    if (fchdir(batch->working_fd) < 0 && chdir("/") < 0)
        return;
}

int batch_find_user(BindBatch *batch, const char *name, uid_t *ret)
{
    if (batch && text_equal(batch->user, name)) {
        *ret = batch->uid;
        return 0;
    }
    int r = user_find(name, ret, NULL);
    if (batch && r == 0) {
        free(batch->user);
        batch->user = strdup(name);
        batch->uid = *ret;
    }
    return r;
}

int batch_find_group(BindBatch *batch, const char *name, gid_t *ret)
{
    if (batch && text_equal(batch->group, name)) {
        *ret = batch->gid;
        return 0;
    }
    int r = group_find(name, ret);
    if (batch && r == 0) {
        free(batch->group);
        batch->group = strdup(name);
        batch->gid = *ret;
    }
    return r;
}
