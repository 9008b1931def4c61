/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by name or number. A name is looked up where the host keeps them (nsswitch.conf(5)), which can take
 * time and can ask the network: not for every call. getpwnam_r(3). */
#pragma once

#include <sys/types.h>

/* A user or group by name or number; ret_gid of a user is its group, or (gid_t)-1 for a number that nobody has as a
 * uid. Either ret may be NULL. -ESRCH: there is none. -errno: it could not be found out. */
int user_find(const char *name, uid_t *ret_uid, gid_t *ret_gid);
int group_find(const char *name, gid_t *ret_gid);
