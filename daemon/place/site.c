/* SPDX-License-Identifier: Apache-2.0 */
/* The way to a folder, part by part as long as it is ours, and from there on in one call. See the header. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/place/site.h"
#include "daemon/place/result.h"
#include "schema/base/fd.h"

#define LINKS_MAX 40 /* as the kernel's */

static int open_without_links(const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    return fd < 0 ? -errno : fd;
}

static bool is_ours(const struct stat *status, uid_t us)
{
    if (status->st_uid != 0 && status->st_uid != us)
        return false;
    return (status->st_mode & (S_IWGRP | S_IWOTH)) == 0 || (status->st_mode & S_ISVTX);
}

/* The nearest folder that is there, above one that is not. It is only watched; what it leads to is looked at anew then.
 */
static void watch_nearest(const Site *site, PlaceResult *result)
{
    char path[PATH_MAX];
    struct stat status;

    memcpy(path, site->folder, sizeof(path));
    do {
        char *slash = strrchr(path, '/');
        if (!slash || slash == path) {
            strcpy(path, "/");
            break;
        }
        *slash = '\0';
    } while (lstat(path, &status) < 0 || !S_ISDIR(status.st_mode));
    result_watch(result, path);
}

static bool folder_failed(const Site *site, int error, PlaceResult *result)
{
    if (result_set_resources(result, error))
        return false;
    switch (error) {
    case ENOENT:
        result_set(result, PLACE_WAITING, error, "the folder %s is not there", site->folder);
        watch_nearest(site, result);
        break;
    case ENOTDIR:
        result_set(result, PLACE_WAITING, error, "%s, or a part of it, is not a folder", site->folder);
        watch_nearest(site, result);
        break;
    case ELOOP:
        result_set(
            result, PLACE_FAILED, error,
            "%s has a symbolic link in it that belongs to neither root nor uid %u, or lies in a folder that others can "
            "write to; such a link is not followed: name the folder itself",
            site->folder, (unsigned)geteuid());
        break;
    case EACCES:
    case EPERM:
        result_set(result, PLACE_FAILED, error,
                   "uid %u may not reach the folder %s; it needs search permission (x) on all of it",
                   (unsigned)geteuid(), site->folder);
        break;
    case ENAMETOOLONG:
        result_set(result, PLACE_FAILED, error, "the path is too long: %u bytes at most, 255 a part", PATH_MAX - 1);
        break;
    case ENOSYS:
        result_set(result, PLACE_FAILED, error,
                   "the folder %s is not root's, which needs openat2(2), Linux 5.6 or later", site->folder);
        break;
    default:
        result_set(result, PLACE_FAILED, error, "the folder %s cannot be opened: %s", site->folder, strerror(error));
    }
    return false;
}

static bool folder_append(Site *site, const char *part, size_t part_length)
{
    size_t length = strlen(site->folder);

    if (length + 1 + part_length >= sizeof(site->folder))
        return false;
    site->folder[length] = '/';
    memcpy(site->folder + length + 1, part, part_length);
    site->folder[length + 1 + part_length] = '\0';
    return true;
}

/* What is not walked yet, too: for the message, or for openat2. */
static bool folder_complete(Site *site, const char *rest)
{
    rest += strspn(rest, "/");
    return !*rest || folder_append(site, rest, strlen(rest));
}

static bool has_parent_part(const char *path)
{
    for (const char *part = path; *part; part += strspn(part, "/")) {
        size_t length = strcspn(part, "/");
        if (length == 2 && part[0] == '.' && part[1] == '.')
            return true;
        part += length;
    }
    return false;
}

/* From here on it is somebody else's: in one call, without any link. `..` would lead out of what was looked at. */
static bool open_rest(Site *site, const char *rest, PlaceResult *result)
{
    struct stat status;

    if (!folder_complete(site, rest))
        return folder_failed(site, ENAMETOOLONG, result);
    if (has_parent_part(rest)) {
        result_set(
            result, PLACE_FAILED, EINVAL,
            "%s has .. in it below a folder that is neither root's nor that of uid %u; write the path without it",
            site->folder, (unsigned)geteuid());
        return false;
    }
    site->fd = open_without_links(*site->folder ? site->folder : "/");
    if (site->fd < 0)
        return folder_failed(site, -site->fd, result);
    if (fstat(site->fd, &status) < 0)
        return folder_failed(site, errno, result);
    site->uid = status.st_uid;
    site->gid = status.st_gid;
    site->is_ours = false;
    site->name = site->path + site->folder_length + 1;
    return true;
}

/* A link that is root's or ours, in a folder that is ours: its text takes its place before what is not walked yet. */
static int follow_link(Site *site, size_t parent_length, char text[static PATH_MAX], const char **rest)
{
    char target[PATH_MAX];
    size_t rest_length = strlen(*rest);
    ssize_t size = readlink(site->folder, target, sizeof(target));

    if (size < 0)
        return -errno;
    if ((size_t)size + rest_length >= PATH_MAX)
        return -ENAMETOOLONG;
    memmove(text + size, *rest, rest_length + 1); /* begins with a slash, or is empty */
    memcpy(text, target, (size_t)size);
    *rest = text;
    site->folder[*target == '/' ? 0 : parent_length] = '\0';
    return 0;
}

static int look(const Site *site, struct stat *status)
{
    return lstat(*site->folder ? site->folder : "/", status) < 0 ? -errno : 0;
}

/* Walks from the root on, part by part. What site->folder holds was walked, and is ours; rest is what is not walked
 * yet. */
static bool walk(Site *site, char text[static PATH_MAX], PlaceResult *result)
{
    const char *rest = text;
    struct stat status;
    unsigned links = 0;
    uid_t us = geteuid();

    int r = look(site, &status);
    while (r == 0 && is_ours(&status, us)) {
        site->uid = status.st_uid;
        site->gid = status.st_gid;
        rest += strspn(rest, "/");
        const char *part = rest;
        size_t part_length = strcspn(rest, "/"), parent_length = strlen(site->folder);
        rest += part_length;
        if (part_length == 0) {
            site->is_ours = true;
            site->fd = AT_FDCWD;
            site->name = site->path;
            return true;
        }
        if (part_length == 1 && part[0] == '.')
            continue;
        if (part_length == 2 && part[0] == '.' && part[1] == '.') {
            char *slash = strrchr(site->folder, '/');
            if (slash)
                *slash = '\0';
        } else if (!folder_append(site, part, part_length)) {
            return folder_failed(site, ENAMETOOLONG, result);
        }
        r = look(site, &status);
        if (r == 0 && S_ISLNK(status.st_mode)) {
            r = (status.st_uid != 0 && status.st_uid != us) || ++links > LINKS_MAX
                    ? -ELOOP
                    : follow_link(site, parent_length, text, &rest);
            if (r == 0)
                r = look(site, &status);
        } else if (r == 0 && !S_ISDIR(status.st_mode)) {
            r = -ENOTDIR;
        }
    }
    if (r == 0)
        return open_rest(site, rest, result);
    return folder_failed(site, folder_complete(site, rest) ? -r : ENAMETOOLONG, result);
}

/* The same as a walk, in two calls: where there is no link on the way, nothing to be followed is passed by, and where the
 * folder itself is not ours, it does not matter who else's is above it. false: it has to be walked. */
static bool open_at_once(Site *site)
{
    struct stat status;

    if (has_parent_part(site->folder))
        return false;
    _cleanup_(fd_closep) int fd = open_without_links(site->folder);
    if (fd < 0 || fstat(fd, &status) < 0 || is_ours(&status, site->as_uid))
        return false;
    site->uid = status.st_uid;
    site->gid = status.st_gid;
    site->is_ours = false;
    site->fd = TAKE_FD(fd);
    site->name = site->path + site->folder_length + 1;
    return true;
}

bool site_open(const char *path, Site *ret, PlaceResult *result)
{
    char rest[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size_bytes = strlen(path) + 1;

    ret->fd = -1;
    ret->as_uid = geteuid();
    ret->path = path;
    ret->folder[0] = '\0';
    if (path[0] != '/' || !slash[1] || strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0) {
        result_set(result, PLACE_FAILED, EINVAL, "%s is no absolute path that ends with the socket's name", path);
        return false;
    }
    if (size_bytes > sizeof(rest))
        return folder_failed(ret, ENAMETOOLONG, result);
    ret->folder_length = (size_t)(slash - path);
    memcpy(rest, path, ret->folder_length);
    rest[ret->folder_length] = '\0';
    memcpy(ret->folder, rest, ret->folder_length + 1);
    if (ret->folder_length > 0 && open_at_once(ret))
        return true;
    ret->folder[0] = '\0';
    if (walk(ret, rest, result))
        return true;
    site_close(ret);
    return false;
}

bool site_move(Site *site, const char *path)
{
    size_t length = site->folder_length;

    if (strncmp(path, site->path, length + 1) != 0 || !path[length + 1] || strchr(path + length + 1, '/') ||
        strcmp(path + length, "/.") == 0 || strcmp(path + length, "/..") == 0)
        return false;
    site->path = path;
    site->name = site->fd == AT_FDCWD ? path : path + length + 1;
    return true;
}

void site_close(Site *site)
{
    if (site->fd >= 0)
        site->fd = fd_close(site->fd);
}

int site_hold(Site *site)
{
    if (site->fd >= 0)
        return 0;
    int fd = open_without_links(*site->folder ? site->folder : "/");
    if (fd < 0)
        return fd;
    site->fd = fd;
    site->name = site->path + site->folder_length + 1;
    return 0;
}

void site_failed(const Site *site, const char *what, int error, PlaceResult *result)
{
    if (result_set_resources(result, error))
        return;
    switch (error) {
    case ENOENT: /* removed since we opened it */
        result_set(result, PLACE_WAITING, error, "the folder %s is not there any more", site->folder);
        watch_nearest(site, result);
        break;
    case ENOSPC:
    case EDQUOT:
        result_set(result, PLACE_WAITING, error, "%s cannot be %s: the file system of %s is full (or its quota)",
                   site->path, what, site->folder);
        break;
    case EROFS: /* nobody tells when it can be written to again: looked for by time */
        result_set(result, PLACE_WAITING, error,
                   "%s cannot be %s: the file system of %s is read-only; a path on another would do", site->path, what,
                   site->folder);
        break;
    case EACCES:
    case EPERM:
        result_set(
            result, PLACE_FAILED, error,
            "%s cannot be %s: uid %u may not write to the folder %s (of uid %u, gid %u), or it is immutable, or a "
            "security module forbids it%s",
            site->path, what, (unsigned)site->as_uid, site->folder, (unsigned)site->uid, (unsigned)site->gid,
            site->as_uid != geteuid() && site->as_uid != site->uid
                ? "; what counts is the machine's user and group: name the group, too, if that is who may"
                : "");
        break;
    case ENAMETOOLONG:
        result_set(result, PLACE_FAILED, error, "%s cannot be %s: its last part is too long", site->path, what);
        break;
    case ELOOP:
    case ENOTDIR:
        result_set(result, PLACE_WAITING, error, "the folder %s was replaced while the socket was made", site->folder);
        watch_nearest(site, result);
        break;
    default:
        result_set(result, PLACE_FAILED, error, "%s cannot be %s: %s", site->path, what, strerror(error));
    }
}
