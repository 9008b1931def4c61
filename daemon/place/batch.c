/* SPDX-License-Identifier: Apache-2.0 */
/* What binds that come at once share. Lives for one array of them; the folder only from one bind to the next in it. */

#include <fcntl.h>
#include <unistd.h>

#include "daemon/place/batch.h"
#include "schema/base/fd.h"

void batch_begin(Batch *batch)
{
    batch->has_site = false;
    batch->working_fd = -1;
}

void batch_end(Batch *batch)
{
    if (batch->has_site)
        site_close(&batch->site);
    batch->has_site = false;
    batch->working_fd = fd_close(batch->working_fd);
}

Site *batch_open_site(Batch *batch, const char *path, PlaceResult *result)
{
    if (batch->has_site && site_move(&batch->site, path))
        return &batch->site;
    if (batch->has_site)
        site_close(&batch->site);
    batch->has_site = site_open(path, &batch->site, result);
    return batch->has_site ? &batch->site : NULL;
}

bool batch_enter(Batch *batch, const Site *site)
{
    if (site->fd < 0)
        return false;
    if (batch->working_fd < 0)
        batch->working_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return batch->working_fd >= 0 && fchdir(site->fd) == 0;
}

void batch_leave(Batch *batch)
{
    /* Nobody's folder is stayed in: it could not be unmounted. */
    if (fchdir(batch->working_fd) < 0 && chdir("/") < 0)
        return;
}
