/* SPDX-License-Identifier: Apache-2.0 */
/* What binds that come at once, one after the other, share: the folder, where the one before was in the same, and being
 * there: as whom, and with which umask. It is good for a moment only, and no more than that is what it saves: each would
 * find the same by itself. For daemon/place alone. setfsuid(2), umask(2). */
#pragma once

#include "daemon/place/site.h"

typedef struct Batch Batch;

struct Batch {
    bool has_site;
    Site site;      /* its path is borrowed from the request that was last */
    int working_fd; /* the working directory that there was; -1: not asked yet */
    bool is_inside; /* the working directory is the site's folder */
    bool is_masked; /* mask is ours, mask_before is what was */
    mode_t mask, mask_before;
    bool is_root;
    uid_t uid, acting_uid; /* who we are, and who to the file system now */
    gid_t gid, acting_gid;
};

void batch_begin(Batch *batch);
void batch_end(Batch *batch);
/* As site_open; the batch may have it already. It stays the batch's. NULL: result says why not. */
Site *batch_open_site(Batch *batch, const char *path, PlaceResult *result);
/* For files of this mode (at most 0777), born as they shall be. In a folder that is not ours we are its owner, or who else
 * was asked for, where we are root; and if it has a descriptor, we are in it: a name alone stands for the path. Several may
 * follow each other; nothing slow, and nothing outside of that folder, is done before batch_leave. */
bool batch_enter(Batch *batch, const PlaceRequest *request, mode_t mode, PlaceResult *result);
void batch_leave(Batch *batch);
