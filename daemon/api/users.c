/* SPDX-License-Identifier: Apache-2.0 */
/* Connections a uid; one record for each uid that has any. */

#include <errno.h>
#include <stdlib.h>

#include "daemon/api/users.h"
#include "schema/base/cleanup.h"

static int user_compare(const User *a, const User *b)
{
    return (a->uid > b->uid) - (a->uid < b->uid);
}

RB_GENERATE_INTERNAL(UsersByUid, User, by_uid, user_compare, _unused_ static)

int users_enter(Users *users, uid_t uid, size_t max, User **ret)
{
    User *user = RB_FIND(UsersByUid, &users->by_uid, &(User){.uid = uid});

    if (user && user->connections >= max)
        return USERS_LIMIT;
    if (!user) {
        user = calloc(1, sizeof(*user));
        if (!user)
            return -ENOMEM;
        user->uid = uid;
        RB_INSERT(UsersByUid, &users->by_uid, user);
    }
    user->connections++;
    *ret = user;
    return 0;
}

void users_leave(Users *users, User *user)
{
    if (!user || --user->connections > 0)
        return;
    RB_REMOVE(UsersByUid, &users->by_uid, user);
    free(user);
}
