/* SPDX-License-Identifier: Apache-2.0 */
/* What binds that come at once share; see bind.h. For daemon/bind alone. */
#pragma once

#include "daemon/bind/place.h"

struct BindBatch {
    bool has_place;
    Place place;
    char path[PATH_MAX]; /* that place was opened with */
    int working_fd;      /* the working directory that there was; -1: not asked yet */
    char *user, *group;  /* found last */
    uid_t uid;
    gid_t gid;
};

/* As place_open; the batch (or NULL) may have it already. For batch_leave_place. */
bool batch_open_place(BindBatch *batch, const char *path, Place *own, Place **ret, BindResult *result);
void batch_leave_place(BindBatch *batch, Place *place);
/* Into the folder for one bind(2), so that its name alone stands for the path; and back at once. false: it cannot be had. */
bool batch_enter(BindBatch *batch, const Place *place);
void batch_leave(BindBatch *batch);
/* As user_find and group_find. */
int batch_find_user(BindBatch *batch, const char *name, uid_t *ret);
int batch_find_group(BindBatch *batch, const char *name, gid_t *ret);
