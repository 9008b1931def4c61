/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl doctor: files that did not load. What is wrong in them is mended in an editor; what they are, by a look at them. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/doctor.h"
#include "schema/base/process.h"
#include "schema/base/text.h"
#include "schema/base/user.h"

#define RELOADS " && hvsockctl reload"

/* Of `PATH.yaml:LINE:COLUMN: why` and `FOLDER: why`. NULL: it is of no file, or no memory. */
static char *path_of(const char *error)
{
    const char *end = strstr(error, ".yaml:");

    if (end)
        return strndup(error, (size_t)(end - error) + strlen(".yaml"));
    end = strstr(error, ": the folder ");
    return end ? strndup(error, (size_t)(end - error)) : NULL;
}

/* The group of who reads it gets to do so, and nobody else. */
static int mend_rights(const Doctor *doctor, const char *path, bool folder, char **ret)
{
    uid_t uid = doctor->pid > 0 ? process_owner(doctor->pid) : (uid_t)-1;
    _cleanup_(freep) char *opens = NULL, *then = NULL;
    char user[16], command[48];
    gid_t gid;

    snprintf(user, sizeof(user), "%u", (unsigned)uid);
    if (uid == (uid_t)-1 || user_find(user, NULL, &gid) < 0)
        return 0;
    snprintf(command, sizeof(command), "chgrp %u", (unsigned)(gid == (gid_t)-1 ? uid : gid));
    opens = doctor_mend(folder ? "chmod g+rx" : "chmod g+r", path);
    return !opens || asprintf(&then, " && %s" RELOADS, opens) < 0 ? -ENOMEM : doctor_mend_then(command, path, then, ret);
}

int doctor_mend_file(const Doctor *doctor, const char *error, char **ret)
{
    _cleanup_(freep) char *path = path_of(error);
    struct stat link, file;

    if (!path)
        return 0;
    bool there = lstat(path, &link) == 0;
    if (there && S_ISLNK(link.st_mode) && stat(path, &file) < 0 && errno == ENOENT)
        return doctor_mend_then("rm", path, RELOADS, ret);
    if (there && strstr(error, strerror(EACCES)))
        return mend_rights(doctor, path, S_ISDIR(link.st_mode), ret);
    if (!strstr(error, ".yaml:"))
        return there ? 0 : doctor_mend_then("mkdir -p", path, RELOADS, ret);
    if (there && S_ISDIR(link.st_mode))
        return doctor_mend_away(path, RELOADS, ret);
    return doctor_mend_then("${EDITOR:-vi}", path, " && hvsockctl check" RELOADS, ret);
}
