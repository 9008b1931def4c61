/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections each uid has. */
#pragma once

#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct User User;
typedef struct Users Users;

struct User {
    RB_ENTRY(User) by_uid;
    uid_t uid;
    size_t connections;
};

RB_HEAD(UsersByUid, User);
struct Users {
    struct UsersByUid by_uid;
};

/* One more connection of uid, for users_leave. USERS_LIMIT: it has max already. -ENOMEM. */
enum { USERS_LIMIT = 1 };
int users_enter(Users *users, uid_t uid, size_t max, User **ret);
/* Takes NULL. */
void users_leave(Users *users, User *user);
