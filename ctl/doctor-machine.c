/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl doctor: machines, and the folders where their sockets are. */

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/doctor.h"
#include "schema/base/text.h"
#include "schema/base/user.h"
#include "schema/model/guid.h"

static int doctor_look_at_stranger(Doctor *doctor, const char *what, const char *path, const char *number)
{
    _cleanup_(freep) char *mend = NULL;
    char whose[64];

    switch (doctor_look_at_socket(doctor, path)) {
    case PATH_STALE:
        mend = doctor_mend("rm", path);
        return !mend ? -ENOMEM
                     : doctor_find(doctor, what, mend, "%s is stale: nobody listens on it, and no service is for it", path);
    case PATH_SERVED:
        if (!number || json_object_get(doctor->numbers, number))
            return 0;
        doctor_name_server(doctor, path, whose);
        mend = doctor_register(whose, strchr(number, '-') ? "guid" : "port", number);
        return !mend ? -ENOMEM : doctor_find(doctor, what, mend, "%s is listened on%s, and no service is for it", path, whose);
    case PATH_ABSENT:
    case PATH_OTHER:
        break;
    }
    return 0;
}

/* What guests would call: P_99 or P_GUID beside a hybrid socket, 00000002.00000063 in a hyperkit folder. number: room for it. */
static const char *number_of_path(const char *path, size_t prefix_size, bool hyperkit, char number[static 40])
{
    const char *text = path + prefix_size;
    uint64_t port;
    Guid guid;

    if (hyperkit) {
        if (strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8)
            return NULL;
        snprintf(number, 40, "%lu", strtoul(text, NULL, 16));
    } else if (text_to_number(text, UINT32_MAX - 1, &port) || guid_parse(text, &guid)) {
        snprintf(number, 40, "%s", text);
    } else {
        return NULL;
    }
    return number;
}

/* Sockets in a machine's folder that the daemon does not know. */
static int doctor_look_for_strangers(Doctor *doctor, const char *what, const char *prefix, bool hyperkit)
{
    _cleanup_(freep) char *pattern = NULL;
    glob_t found = {0};
    char number[40];
    int r = 0;

    /* A path with a pattern in it is somebody's joke: the listeners' own looks cover it. */
    if (strpbrk(prefix, "*?[\\"))
        return 0;
    if (asprintf(&pattern, "%s*", prefix) < 0)
        return -ENOMEM;
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc && r >= 0; i++) {
        const char *path = found.gl_pathv[i];
        if (!json_object_get(doctor->paths, path))
            r = doctor_look_at_stranger(doctor, what, path, number_of_path(path, strlen(prefix), hyperkit, number));
    }
    globfree(&found);
    return r;
}

/* Whoever may rename a folder on the way may put another in its place. */
static int doctor_look_above(Doctor *doctor, const char *what, const char *folder)
{
    _cleanup_(freep) char *path = strdup(folder);
    struct stat status;

    if (!path)
        return -ENOMEM;
    for (char *slash; (slash = strrchr(path, '/')) && slash > path;) {
        *slash = '\0';
        if (slash[1] == '\0' || stat(path, &status) < 0 || !(status.st_mode & 0002) || status.st_mode & S_ISVTX)
            continue;
        _cleanup_(freep) char *mend = NULL;
        if (!(mend = doctor_mend("chmod +t", path)))
            return -ENOMEM;
        return doctor_find(doctor, what, mend,
                           "every user can put another folder in the place of %s: %s is to be written to by all (mode %04o)", folder,
                           path, (unsigned)(status.st_mode & 07777));
    }
    return 0;
}

/* One that a file declares is not removed, and its VMM may not have been started yet. */
static int doctor_tell_no_folder(Doctor *doctor, const char *what, const json_t *machine, const json_t *context, const char *folder)
{
    const char *user = doctor_member(context, "user");
    bool declared = strncmp(doctor_member(machine, "origin"), "file:", 5) == 0;
    _cleanup_(freep) char *command = NULL, *mend = NULL;
    int r = declared ? asprintf(&command, user[0] ? "install -d -o %s" : "install -d", user)
                     : asprintf(&mend, "hvsockctl machine remove %s", doctor_member(context, "name"));

    if (r < 0 || (declared && !(mend = doctor_mend(command, folder))))
        return -ENOMEM;
    return doctor_find(doctor, what, mend, "its folder %s is not there (any more)", folder);
}

/* Where everybody may write and nobody may remove others' files, as in /tmp, the folder is as it should be, and the machine is not. */
static int doctor_tell_open_folder(Doctor *doctor, const char *what, const json_t *context, const char *folder, mode_t mode)
{
    _cleanup_(freep) char *mend = mode & S_ISVTX ? doctor_mend("hvsockctl machine remove", doctor_member(context, "name"))
                                                 : doctor_mend("chmod o-w", folder);

    return !mend ? -ENOMEM
                 : doctor_find(doctor, what, mend,
                               "every user can write to its folder %s (mode %04o), bind there and connect as this machine%s", folder,
                               (unsigned)(mode & 07777), mode & S_ISVTX ? "; it needs a folder of its own" : "");
}

/* The group is the machine's, or its user's, or its owner's own, or root's; else its members are this machine, too. */
static bool is_group_of_others(const json_t *context, const struct stat *status)
{
    const char *user = doctor_member(context, "user"), *group = doctor_member(context, "group");
    char owner[16];
    gid_t gid;

    if (!(status->st_mode & 0020) || status->st_gid == 0)
        return false;
    snprintf(owner, sizeof(owner), "%u", (unsigned)status->st_uid);
    int r = group[0] ? group_find(group, &gid) : user_find(user[0] ? user : owner, NULL, &gid);
    return r == 0 && gid != (gid_t)-1 && gid != status->st_gid;
}

/* Who can write there can bind where a service is looked for, and connect as the machine. */
static int doctor_look_at_folder(Doctor *doctor, const char *what, const json_t *machine, const json_t *context, const char *folder)
{
    _cleanup_(freep) char *mend = NULL, *command = NULL;
    const char *user = doctor_member(context, "user");
    struct stat status;

    if (stat(folder, &status) < 0) /* else not ours to look at */
        return errno == ENOENT ? doctor_tell_no_folder(doctor, what, machine, context, folder) : 0;
    if (status.st_mode & 0002)
        return doctor_tell_open_folder(doctor, what, context, folder, status.st_mode);
    if (is_group_of_others(context, &status))
        return !(mend = doctor_mend("chmod g-w", folder))
                   ? -ENOMEM
                   : doctor_find(doctor, what, mend,
                                 "the members of group %u can write to its folder %s (mode %04o), bind there and connect as this "
                                 "machine; where they may, say so as the machine's group",
                                 (unsigned)status.st_gid, folder, (unsigned)(status.st_mode & 07777));
    size_t before = doctor->count;
    int r = doctor_look_above(doctor, what, folder);
    if (r < 0 || doctor->count > before)
        return r;
    uid_t uid;
    if (!user[0] || status.st_uid == 0 || user_find(user, &uid, NULL) < 0 || status.st_uid == uid)
        return 0;
    if (asprintf(&command, "chown %s", user) < 0)
        return -ENOMEM;
    _cleanup_(freep) char *owns = doctor_mend(command, folder);
    return !owns || asprintf(&mend, "%s && hvsockctl reload", owns) < 0
               ? -ENOMEM
               : doctor_find(doctor, what, mend, "its folder %s belongs to uid %u, and not to %s, the machine's user",
                             folder, (unsigned)status.st_uid, user);
}

static int doctor_look_at_machine(Doctor *doctor, const json_t *machine)
{
    const json_t *context = json_object_get(machine, "context");
    const char *hybrid = doctor_member(context, "hybrid"), *hyperkit = doctor_member(context, "hyperkit");
    _cleanup_(freep) char *what = NULL, *folder = NULL, *prefix = NULL;
    int r = asprintf(&what, "machine %s", doctor_member(context, "name")) < 0 ? -ENOMEM : 0;

    if (r >= 0)
        r = doctor_look_at_owner(doctor, what, "machine remove", context, machine);
    if (r >= 0 && hybrid[0]) {
        const char *slash = strrchr(hybrid, '/');
        folder = strndup(hybrid, slash && slash > hybrid ? (size_t)(slash - hybrid) : 1);
        r = folder ? doctor_look_at_folder(doctor, what, machine, context, folder) : -ENOMEM;
        if (r >= 0)
            r = asprintf(&prefix, "%s_", hybrid) < 0 ? -ENOMEM : doctor_look_for_strangers(doctor, what, prefix, false);
    }
    if (r >= 0 && hyperkit[0]) {
        r = doctor_look_at_folder(doctor, what, machine, context, hyperkit);
        free(TAKE_PTR(prefix));
        if (r >= 0)
            r = asprintf(&prefix, "%s/00000002.", hyperkit) < 0 ? -ENOMEM
                                                                : doctor_look_for_strangers(doctor, what, prefix, true);
    }
    return r;
}

int doctor_know_machine(const char *json, size_t size_bytes, void *userdata)
{
    Doctor *doctor = userdata;
    json_t *machine = json_loadb(json, size_bytes, 0, NULL);
    const json_t *context = json_object_get(machine, "context");

    doctor->has_cids |= json_object_get(context, "cid") != NULL;
    return json_object_set_new(doctor->machines, doctor_member(context, "name"), machine) < 0 ? -ENOMEM : 0;
}

int doctor_look_at_machines(Doctor *doctor)
{
    const char *name;
    json_t *machine;
    int r = 0;

    json_object_foreach(doctor->machines, name, machine)
        if (r >= 0)
            r = doctor_look_at_machine(doctor, machine);
    return r;
}
