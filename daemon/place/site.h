/* SPDX-License-Identifier: Apache-2.0 */
/* Where in the file system a socket goes: a folder that was reached without following anybody's symbolic link but
 * root's or our own, and a name in it. For daemon/place alone. openat2(2), path_resolution(7).
 *
 * A folder is *ours* when every folder on the way to it, and it itself, belongs to root or to us and can be written to
 * by nobody else (or is sticky, as /tmp, where others cannot touch what is ours). Nobody can swap a part of such a path
 * under us, so plain paths name it, and symbolic links in it are root's or ours (`/var/run`) and are followed. That
 * matters beyond speed: the kernel remembers a unix socket by the text that it was bound with, which is what `ss -xl`
 * shows. From the first folder that is not ours on, as in the folder that a VMM runs in, no symbolic link is followed
 * at all, and the folder is held open and named by its descriptor: whatever its owner does to the path, what we make
 * lands in it. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "daemon/place/place.h"

typedef struct Site Site;

struct Site {
    int fd;           /* the folder, O_PATH; AT_FDCWD where the folder is ours and plain paths do */
    const char *name; /* for the calls that take fd: the last part, or the whole path; it points into path */
    const char *path; /* as it was given */
    bool is_ours;
    uid_t uid; /* of the folder */
    gid_t gid;
    uid_t as_uid; /* who we are in it, for messages */
    size_t folder_length;  /* of path: without the last part */
    char folder[PATH_MAX]; /* the folder, symbolic links resolved as far as they were followed */
};

/* false: result says why not, and what to watch. path is borrowed. */
bool site_open(const char *path, Site *ret, PlaceResult *result);
/* One that was opened with another path, for this one. false: that is in another folder. */
bool site_move(Site *site, const char *path);
void site_close(Site *site);
/* Gives a folder that is ours, and is named by path so far, a descriptor too. -errno. */
int site_hold(Site *site);
/* Errors of the calls that make, move or remove something there. */
void site_failed(const Site *site, const char *what, int error, PlaceResult *result);
