/* SPDX-License-Identifier: Apache-2.0 */
/* Who a program runs as: a user with its groups and its home, as the host knows them. Remembered for some seconds: a program is
 * started for every connection, and a look-up reads files or asks the network. getpwnam_r(3), getgrouplist(3). */
#pragma once

#include <sys/types.h>

#include "schema/base/cleanup.h"

typedef struct Account Account;
typedef struct Accounts Accounts;

struct Account {
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* supplementary */
    size_t group_count;
    char *name, *home, *shell; /* NULL: a number that the host has no entry for */
};

int accounts_new(Accounts **ret);
void accounts_free(Accounts *accounts);
DEFINE_CLEANUP(Accounts *, accounts_free)

/* user: a name or a number. groups: names or numbers, the first is its own; NULL: the user's. *ret is good until the next call.
 * -ESRCH: one of them is not known here, and *ret_why, the caller's, says which; -ENOMEM. */
int accounts_find(Accounts *accounts, const char *user, char *const *groups, const Account **ret, char **ret_why);
