/* SPDX-License-Identifier: Apache-2.0 */
/* What binds that come at once, one after the other, share: the folder, where the one before was in the same. It is good
 * for a moment only, and no more than that is what it saves: each would find the same by itself. For daemon/place alone. */
#pragma once

#include "daemon/place/site.h"

typedef struct Batch Batch;

struct Batch {
    bool has_site;
    Site site;      /* its path is borrowed from the request that was last */
    int working_fd; /* the working directory that there was; -1: not asked yet */
};

void batch_begin(Batch *batch);
void batch_end(Batch *batch);
/* As site_open; the batch may have it already. It stays the batch's. NULL: result says why not. */
Site *batch_open_site(Batch *batch, const char *path, PlaceResult *result);
/* Into the folder for one bind(2), so that its name alone stands for the path; and back at once. false: it cannot be had. */
bool batch_enter(Batch *batch, const Site *site);
void batch_leave(Batch *batch);
