/* SPDX-License-Identifier: Apache-2.0 */
/* What binds that come at once share. Lives for one array of them; the folder only from one bind to the next in it. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/place/batch.h"
#include "daemon/place/result.h"
#include "schema/base/fd.h"

#define NOBODYS_GROUP 65534

void batch_begin(Batch *batch)
{
    batch->has_site = batch->is_inside = batch->is_masked = false;
    batch->working_fd = -1;
    batch->uid = batch->acting_uid = geteuid();
    batch->gid = batch->acting_gid = getegid();
    batch->is_root = batch->uid == 0;
}

/* In a user namespace that does not have it, an id cannot be taken on. The capabilities over files come and go with the
 * user: CAP_SETGID is none of them. */
static bool act_as(Batch *batch, uid_t uid, gid_t gid)
{
    if (batch->acting_gid != gid) {
        setfsgid(gid);
        batch->acting_gid = (gid_t)setfsgid((gid_t)-1);
    }
    if (batch->acting_uid != uid) {
        setfsuid(uid);
        batch->acting_uid = (uid_t)setfsuid((uid_t)-1);
    }
    return batch->acting_uid == uid && batch->acting_gid == gid;
}

void batch_leave(Batch *batch)
{
    if (batch->acting_uid != batch->uid || batch->acting_gid != batch->gid)
        act_as(batch, batch->uid, batch->gid);
    if (batch->is_masked)
        umask(batch->mask_before);
    batch->is_masked = false;
    /* Nobody's folder is stayed in: it could not be unmounted. */
    if (batch->is_inside && fchdir(batch->working_fd) < 0 && chdir("/") < 0)
        return;
    batch->is_inside = false;
}

static void batch_drop_site(Batch *batch)
{
    batch_leave(batch);
    if (batch->has_site)
        site_close(&batch->site);
    batch->has_site = false;
}

void batch_end(Batch *batch)
{
    batch_drop_site(batch);
    batch->working_fd = fd_close(batch->working_fd);
}

Site *batch_open_site(Batch *batch, const char *path, PlaceResult *result)
{
    if (batch->has_site && site_move(&batch->site, path))
        return &batch->site;
    batch_drop_site(batch);
    batch->has_site = site_open(path, &batch->site, result);
    return batch->has_site ? &batch->site : NULL;
}

static bool enter_folder(Batch *batch)
{
    if (batch->is_inside || batch->site.fd < 0)
        return true;
    if (batch->working_fd < 0)
        batch->working_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (batch->working_fd < 0 || fchdir(batch->site.fd) < 0)
        return false;
    batch->is_inside = true;
    return true;
}

/* Root becomes who could have made the file without it, so that nothing is done for anybody that he may not do himself.
 * The folder's owner is judged by his own permission whatever his group is: so that can be the file's at once. */
static bool act_in_site(Batch *batch, const PlaceRequest *request, PlaceResult *result)
{
    const Site *site = &batch->site;
    bool asked = request->as_uid != PLACE_NOT_ASKED;
    uid_t uid = asked ? request->as_uid : site->uid;
    gid_t file_gid = request->gid != PLACE_NOT_ASKED ? request->gid : site->gid;
    gid_t gid = uid == site->uid                        ? file_gid
                : request->as_gid != PLACE_NOT_ASKED ? request->as_gid
                                                        : NOBODYS_GROUP;

    if (!batch->is_root || site->is_ours || act_as(batch, uid, gid))
        return true;
    act_as(batch, batch->uid, batch->gid);
    if (asked)
        result_set(result, PLACE_FAILED, EPERM, "uid %u, gid %u do not exist in the user namespace of hvsockd",
                   (unsigned)uid, (unsigned)gid);
    return !asked;
}

bool batch_enter(Batch *batch, const PlaceRequest *request, mode_t mode, PlaceResult *result)
{
    mode_t mask = ~mode & 0777;

    if (!batch->is_masked || batch->mask != mask) {
        mode_t before = umask(mask);
        if (!batch->is_masked)
            batch->mask_before = before;
        batch->mask = mask;
        batch->is_masked = true;
    }
    /* Into the folder first: with the rights that opened it. */
    if (!enter_folder(batch)) {
        site_failed(&batch->site, "bound", errno, result);
        return false;
    }
    if (!act_in_site(batch, request, result))
        return false;
    batch->site.as_uid = batch->acting_uid;
    return true;
}
