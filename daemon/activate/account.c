/* SPDX-License-Identifier: Apache-2.0 */
/* A table of fixed size, one place a hash: what comes later takes the place. Lives as long as the manager. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/activate/account.h"
#include "schema/base/buffer.h"
#include "schema/base/text.h"
#include "schema/base/user.h"

#define ACCOUNT_PLACES 256
#define ACCOUNT_TRUSTED_SECONDS 5
#define ACCOUNT_ENTRY_BYTES (64 * 1024)
#define ACCOUNT_GROUPS_MAX 65536 /* NGROUPS_MAX */

typedef struct Place {
    char *key; /* the user and the groups; NULL: empty */
    time_t until_seconds;
    Account account;
} Place;

struct Accounts {
    Place places[ACCOUNT_PLACES];
};

int accounts_new(Accounts **ret)
{
    Accounts *accounts = calloc(1, sizeof(*accounts));

    if (!accounts)
        return -ENOMEM;
    *ret = accounts;
    return 0;
}

static void account_release(Account *account)
{
    free(account->groups);
    free(account->name);
    free(account->home);
    free(account->shell);
    *account = (Account){0};
}

static void place_release(Place *place)
{
    account_release(&place->account);
    free(place->key);
    *place = (Place){0};
}

void accounts_free(Accounts *accounts)
{
    for (size_t i = 0; accounts && i < ACCOUNT_PLACES; i++)
        place_release(&accounts->places[i]);
    free(accounts);
}

static int refuse(char **ret_why, const char *kind, const char *name, int error)
{
    if (asprintf(ret_why, error == -ESRCH ? "this host has no %s %s" : "the %s %s cannot be looked up", kind, name) < 0) {
        *ret_why = NULL;
        return -ENOMEM;
    }
    return -ESRCH;
}

/* Its name, home and shell, where it has an entry. */
static int account_fill_in(Account *account)
{
    _cleanup_(freep) char *buffer = malloc(ACCOUNT_ENTRY_BYTES);
    struct passwd entry, *found = NULL;

    if (!buffer)
        return -ENOMEM;
    if (getpwuid_r(account->uid, &entry, buffer, ACCOUNT_ENTRY_BYTES, &found) != 0 || !found)
        return 0;
    account->name = strdup(found->pw_name);
    account->home = strdup(found->pw_dir);
    account->shell = found->pw_shell[0] ? strdup(found->pw_shell) : NULL;
    return account->name && account->home && (account->shell || !found->pw_shell[0]) ? 0 : -ENOMEM;
}

/* The user's own supplementary groups. */
static int account_list_groups(Account *account)
{
    int count = 64;

    if (!account->name)
        return 0;
    for (;;) {
        int capacity = count;
        gid_t *groups = reallocarray(account->groups, (size_t)capacity, sizeof(*groups));
        if (!groups)
            return -ENOMEM;
        account->groups = groups;
        if (getgrouplist(account->name, account->gid, groups, &count) >= 0)
            break;
        count = count > capacity ? count : capacity * 2;
        if (count > ACCOUNT_GROUPS_MAX)
            return -E2BIG;
    }
    account->group_count = (size_t)count;
    return 0;
}

static int account_find_groups(Account *account, char *const *groups, char **ret_why)
{
    account->groups = calloc(text_list_count(groups), sizeof(*account->groups));
    if (!account->groups)
        return -ENOMEM;
    for (size_t i = 0; groups[i]; i++) {
        gid_t gid;
        int r = group_find(groups[i], &gid);
        if (r < 0)
            return refuse(ret_why, "group", groups[i], r);
        if (i == 0)
            account->gid = gid;
        account->groups[account->group_count++] = gid;
    }
    return 0;
}

static int account_find(const char *user, char *const *groups, Account *account, char **ret_why)
{
    int r = user_find(user, &account->uid, &account->gid);

    if (r < 0)
        return r == -ENOMEM ? r : refuse(ret_why, "user", user, r);
    r = account_fill_in(account);
    if (r < 0)
        return r;
    if (groups && groups[0])
        return account_find_groups(account, groups, ret_why);
    /* A number that nobody has is its own group, and no other. */
    if (account->gid == (gid_t)-1)
        account->gid = account->uid;
    return account_list_groups(account);
}

int accounts_find(Accounts *accounts, const char *user, char *const *groups, const Account **ret, char **ret_why)
{
    _cleanup_(freep) char *key = NULL;
    uint32_t hash = 2166136261u; /* FNV-1a */
    struct timespec now = {0};
    Buffer text = {0};

    buffer_append_text(&text, user);
    for (size_t i = 0; groups && groups[i]; i++) {
        buffer_append_char(&text, ':'); /* in no name */
        buffer_append_text(&text, groups[i]);
    }
    int r = buffer_take(&text, &key, NULL);
    if (r < 0)
        return r;
    for (const char *c = key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;

    Place *place = &accounts->places[hash % ACCOUNT_PLACES];
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!place->key || place->until_seconds <= now.tv_sec || strcmp(place->key, key) != 0) {
        place_release(place);
        r = account_find(user, groups, &place->account, ret_why);
        if (r < 0) {
            account_release(&place->account);
            return r;
        }
        place->key = TAKE_PTR(key);
        place->until_seconds = now.tv_sec + ACCOUNT_TRUSTED_SECONDS;
    }
    *ret = &place->account;
    return 0;
}
