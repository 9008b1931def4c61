/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl doctor: listeners that do not listen: looks at what is in their way, for the command that takes it away. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ctl/doctor.h"
#include "schema/base/process.h"
#include "schema/base/text.h"
#include "schema/base/user.h"
#include "schema/model/address.h"

#define SPARE 8 /* descriptors that come and go */

/* One listener, while it is looked at. */
typedef struct Look {
    Doctor *doctor;
    const char *name; /* the service's */
    const json_t *runtime, *listener;
    const json_t *machine; /* the context of the one that it is on; NULL: of none */
} Look;

/* The first part of it that is there and is no folder. NULL: there is none, or no memory. */
static char *part_that_is_no_folder(const char *folder)
{
    struct stat status;

    for (const char *end = folder + 1;; end++) {
        end += strcspn(end, "/");
        _cleanup_(freep) char *part = strndup(folder, (size_t)(end - folder));
        if (!part || stat(part, &status) < 0)
            return NULL;
        if (!S_ISDIR(status.st_mode))
            return TAKE_PTR(part);
        if (!*end)
            return NULL;
    }
}

static size_t count_descriptors(pid_t pid)
{
    char path[40];
    size_t count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

/* Of those processes that are short of them: as many as they may have at most, or, for root to say, twice as many. */
static int mend_descriptors(const Doctor *doctor, char **mend)
{
    const pid_t pids[] = {doctor->pid, doctor->keeper_pid};
    Buffer text = {0};

    for (size_t i = 0; i < ELEMENTS_OF(pids); i++) {
        struct rlimit limit;
        if (pids[i] <= 0 || prlimit(pids[i], RLIMIT_NOFILE, NULL, &limit) < 0 || count_descriptors(pids[i]) + SPARE < limit.rlim_cur)
            continue;
        unsigned long long number = limit.rlim_cur < limit.rlim_max ? limit.rlim_max : limit.rlim_cur * 2;
        buffer_printf(&text, "%sprlimit --pid %d --nofile=%llu:%llu", text.size_bytes > 0 ? " && " : "", (int)pids[i], number, number);
    }
    if (text.size_bytes == 0 && !text.failed)
        return 0;
    return buffer_take(&text, mend, NULL);
}

/* Who makes the socket there: the machine's user, or else the folder's owner; without root's rights, whoever binds. */
static uid_t who_binds(const Look *look, const struct stat *folder)
{
    pid_t pid = look->doctor->keeper_pid > 0 ? look->doctor->keeper_pid : look->doctor->pid;
    uid_t binder = pid > 0 ? process_owner(pid) : 0, uid;
    const char *user = doctor_member(look->machine, "user");

    if (binder != 0 && binder != (uid_t)-1)
        return binder;
    return user[0] && user_find(user, &uid, NULL) == 0 ? uid : folder->st_uid;
}

/* The folder is there, and nothing is in it of this name. */
static int mend_folder(const Look *look, const char *folder, char **mend)
{
    char command[64];
    struct statvfs system;
    struct stat status, above;

    if (stat(folder, &status) < 0 || !S_ISDIR(status.st_mode))
        return 0;
    if (statvfs(folder, &system) == 0 && system.f_flag & ST_RDONLY) {
        _cleanup_(freep) char *point = strdup(folder);
        for (char *slash; point && (slash = strrchr(point, '/'));) {
            char *end = slash == point ? slash + 1 : slash, kept = *end;
            *end = '\0';
            if (stat(point, &above) < 0 || above.st_dev != status.st_dev) {
                *end = kept;
                break;
            }
            if (slash == point)
                break;
        }
        return !point ? -ENOMEM : doctor_mend_then("mount -o remount,rw", point, "", mend);
    }
    uid_t uid = who_binds(look, &status);
    if (uid != status.st_uid && status.st_uid != 0 && doctor_member(look->machine, "user")[0]) {
        look->doctor->left_to_machine = true;
        return 0;
    }
    if (uid != status.st_uid) {
        snprintf(command, sizeof(command), "chown %u", (unsigned)uid);
        return doctor_mend_then(command, folder, " && hvsockctl reload", mend);
    }
    return (status.st_mode & 0300) != 0300 ? doctor_mend_then("chmod u+wx", folder, " && hvsockctl reload", mend) : 0;
}

/* path: of the socket. *mend: what takes away what is in its way; untouched where that cannot be told. */
static int mend_path(const Look *look, const char *path, const char *folder, char **mend)
{
    _cleanup_(freep) char *part = NULL;
    struct stat status;
    char whose[64];
    pid_t pid;

    switch (doctor_look_at_socket(look->doctor, path)) {
    case PATH_SERVED:
        pid = doctor_name_server(look->doctor, path, whose);
        return pid > 0 && pid != look->doctor->pid && pid != look->doctor->keeper_pid
                   ? (asprintf(mend, "kill %d", (int)pid) < 0 ? -ENOMEM : 0)
                   : doctor_mend_then("ss -xlp src", path, "", mend);
    case PATH_STALE:
        return doctor_mend_then("rm", path, "", mend);
    case PATH_ABSENT:
        return mend_folder(look, folder, mend);
    case PATH_OTHER:
        break;
    }
    if (lstat(path, &status) == 0)
        return S_ISSOCK(status.st_mode) ? 0 : doctor_mend_away(path, "", mend);
    if (errno != ENOTDIR || !(part = part_that_is_no_folder(folder)))
        return 0;
    _cleanup_(freep) char *then = NULL, *makes = doctor_mend("mkdir -p", folder);
    return !makes || asprintf(&then, " && %s", makes) < 0 ? -ENOMEM : doctor_mend_away(part, then, mend);
}

static int look_at_path(const Look *look, const char *uri, const Address *address, char **mend)
{
    _cleanup_(freep) char *path = NULL, *folder = NULL;

    if (address->transport->listen_path(address, &path) < 0)
        return 0;
    const char *slash = strrchr(path, '/');
    folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : NULL;
    if (!folder)
        return -ENOMEM;
    if (access(folder, F_OK) == 0 || errno != ENOENT)
        return mend_path(look, path, folder, mend);
    if (look->machine) {
        look->doctor->left_to_machine = true;
        return 0;
    }
    int r = doctor_mend_then("mkdir -p", folder, "", mend);
    return r < 0 ? r
                 : doctor_find(look->doctor, look->name, *mend, "%s is %s: the folder %s is not there", uri,
                               doctor_member(look->listener, "state"), folder);
}

static int mend_vsock(const Address *address, char **mend)
{
    const char *command = address->cid == VSOCK_CID_HOST    ? "modprobe vhost_vsock"
                          : address->cid == VSOCK_CID_LOCAL ? "modprobe vsock_loopback"
                                                            : NULL;

    return command && !(*mend = strdup(command)) ? -ENOMEM : 0;
}

/* `kill 12 34` of a listener's holders. */
static int mend_holders(const json_t *listener, char **mend)
{
    const json_t *holders = json_object_get(listener, "holders");
    Buffer text = {0};

    if (json_array_size(holders) == 0)
        return 0;
    buffer_append_text(&text, "kill");
    for (size_t i = 0; i < json_array_size(holders); i++)
        buffer_printf(&text, " %lld", (long long)json_integer_value(json_array_get(holders, i)));
    return buffer_take(&text, mend, NULL);
}

/* Nothing of this service listens, and no command that we know makes it: then it is not to be wanted. */
static int mend_by_disabling(const Look *look, char **mend)
{
    const char *state = doctor_member(look->runtime, "state");

    if (*mend || look->machine || (strcmp(state, "waiting") != 0 && strcmp(state, "failed") != 0))
        return 0;
    return (*mend = doctor_mend("hvsockctl disable", look->name)) ? 0 : -ENOMEM;
}

static int look_at_trouble(const Look *look, const char *uri, const Address *address)
{
    const char *state = doctor_member(look->listener, "state"), *reason = doctor_member(look->listener, "reason");
    bool draining = strcmp(state, "draining") == 0;
    size_t before = look->doctor->count;
    bool others_left = look->doctor->left_to_machine;
    _cleanup_(freep) char *mend = NULL;

    int r = mend_holders(look->listener, &mend);
    if (r >= 0 && draining)
        return doctor_find(look->doctor, look->name, mend, "%s is draining: a process still holds what was handed out%s%s", uri,
                           reason[0] ? ": " : "", reason);
    look->doctor->left_to_machine = false;
    if (r >= 0 && !mend && strstr(reason, "RLIMIT_NOFILE"))
        r = mend_descriptors(look->doctor, &mend);
    if (r >= 0 && !mend)
        r = address->transport->has_path                ? look_at_path(look, uri, address, &mend)
            : address->transport == &transport_vsock ? mend_vsock(address, &mend)
                                                     : 0;
    bool left = look->doctor->left_to_machine;
    look->doctor->left_to_machine |= others_left;
    if (r < 0 || look->doctor->count > before || left)
        return r;
    r = mend_by_disabling(look, &mend);
    return r < 0 ? r : doctor_find(look->doctor, look->name, mend, "%s is %s: %s", uri, state, reason);
}

int doctor_look_at_listener(Doctor *doctor, const char *name, const json_t *runtime, const json_t *listener)
{
    const char *uri = doctor_member(listener, "address"), *state = doctor_member(listener, "state"), *why = NULL, *hint = NULL;
    _cleanup_(freep) char *path = NULL;
    Address address;
    int r = 0;

    if (strcmp(state, "draining") == 0)
        json_object_set_new(doctor->draining, uri, json_true());
    if (address_parse(uri, &address, &why, &hint) != 0)
        return 0; /* a newer daemon's */
    if (address.transport->has_path && address.transport->listen_path(&address, &path) >= 0)
        json_object_set_new(doctor->paths, path, json_true());
    bool vsock = address.transport == &transport_vsock;
    doctor->uses_vsock |= vsock;
    if (vsock && address.has_port)
        doctor_know_port(doctor, address.port);
    if (strcmp(state, "listening") != 0) {
        const json_t *machine = json_object_get(doctor->machines, doctor_member(listener, "machine"));
        const Look look = {doctor, name, runtime, listener, json_object_get(machine, "context")};
        r = look_at_trouble(&look, uri, &address);
    }
    address_release(&address);
    return r;
}
