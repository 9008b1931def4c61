/* SPDX-License-Identifier: Apache-2.0 */
/* A table of fixed size, one place a hash: what comes later takes the place. Lives as long as its Access. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/access/names.h"
#include "schema/base/text.h"
#include "schema/base/user.h"

#define NAMES_PLACES 512
#define NAME_MAX_BYTES 64 /* as in the table of fields */
#define NAME_TRUSTED_SECONDS 5

typedef struct Name {
    char text[NAME_MAX_BYTES + 1];
    NameKind kind;
    bool found;
    uint32_t id;
    time_t until_seconds; /* 0: empty */
} Name;

struct Names {
    Name places[NAMES_PLACES];
};

int names_new(Names **ret)
{
    Names *names = calloc(1, sizeof(*names));

    if (!names)
        return -ENOMEM;
    *ret = names;
    return 0;
}

void names_free(Names *names)
{
    free(names);
}

static bool name_look_up(NameKind kind, const char *text, uint32_t *ret_id)
{
    uid_t uid = (uid_t)-1;
    gid_t gid = (gid_t)-1;

    if (kind == NAME_USER ? user_find(text, &uid, NULL) < 0 : group_find(text, &gid) < 0)
        return false;
    *ret_id = kind == NAME_USER ? uid : gid;
    return true;
}

bool names_find(Names *names, NameKind kind, const char *text, uint32_t *ret_first, uint32_t *ret_last)
{
    uint32_t hash = 2166136261u ^ (uint32_t)kind; /* FNV-1a */
    size_t length = strlen(text);
    struct timespec now = {0};

    if (text[0] >= '0' && text[0] <= '9' && text_to_range(text, ret_first, ret_last))
        return true;
    if (length == 0 || length > NAME_MAX_BYTES)
        return false;
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;

    Name *name = &names->places[hash % NAMES_PLACES];
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (name->until_seconds <= now.tv_sec || name->kind != kind || strcmp(name->text, text) != 0) {
        name->kind = kind;
        memcpy(name->text, text, length + 1);
        name->found = name_look_up(kind, text, &name->id);
        name->until_seconds = now.tv_sec + NAME_TRUSTED_SECONDS;
    }
    if (!name->found)
        return false;
    *ret_first = *ret_last = name->id;
    return true;
}
