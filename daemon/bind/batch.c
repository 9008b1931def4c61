/* SPDX-License-Identifier: Apache-2.0 */
/* What binds that come at once share. Lives for one run of a plan; the folder only from one bind to the next in it. */

#include <stdlib.h>
#include <string.h>

#include "daemon/bind/batch.h"
#include "schema/base/cleanup.h"
#include "schema/base/text.h"

BindBatch *bind_batch_new(void)
{
    return calloc(1, sizeof(BindBatch));
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
