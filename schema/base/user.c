/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by name or number; nothing is kept. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"
#include "schema/base/user.h"

#define LOOKUP_BUFFER_BYTES (16 * 1024)
#define LOOKUP_BUFFER_MAX_BYTES (16 * 1024 * 1024) /* a group with many members */

/* POSIX says 0 with no entry for a name that is not there; many name services answer one of these instead. */
static int lookup_error(int error)
{
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM ? -ESRCH : -error;
}

int user_find(const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    uint64_t number = 0;
    bool is_number = text_to_number(name, UINT32_MAX - 1, &number);

    if (is_number && !ret_gid) {
        if (ret_uid)
            *ret_uid = (uid_t)number;
        return 0;
    }
    for (size_t size_bytes = LOOKUP_BUFFER_BYTES;; size_bytes *= 4) {
        _cleanup_(freep) char *buffer = malloc(size_bytes);
        struct passwd entry, *found = NULL;
        if (!buffer)
            return -ENOMEM;
        int error = is_number ? getpwuid_r((uid_t)number, &entry, buffer, size_bytes, &found)
                              : getpwnam_r(name, &entry, buffer, size_bytes, &found);
        if (error == ERANGE && size_bytes < LOOKUP_BUFFER_MAX_BYTES)
            continue;
        /* A number needs nobody who is called so; (uid_t)-1 is nobody. */
        if (!is_number && (!found || found->pw_uid == (uid_t)-1))
            return lookup_error(error);
        if (ret_uid)
            *ret_uid = is_number ? (uid_t)number : found->pw_uid;
        if (ret_gid)
            *ret_gid = found ? found->pw_gid : (gid_t)-1;
        return 0;
    }
}

int group_find(const char *name, gid_t *ret_gid)
{
    uint64_t number;

    if (text_to_number(name, UINT32_MAX - 1, &number)) {
        if (ret_gid)
            *ret_gid = (gid_t)number;
        return 0;
    }
    for (size_t size_bytes = LOOKUP_BUFFER_BYTES;; size_bytes *= 4) {
        _cleanup_(freep) char *buffer = malloc(size_bytes);
        struct group entry, *found = NULL;
        if (!buffer)
            return -ENOMEM;
        int error = getgrnam_r(name, &entry, buffer, size_bytes, &found);
        if (error == ERANGE && size_bytes < LOOKUP_BUFFER_MAX_BYTES)
            continue;
        if (!found || found->gr_gid == (gid_t)-1)
            return lookup_error(error);
        if (ret_gid)
            *ret_gid = found->gr_gid;
        return 0;
    }
}
