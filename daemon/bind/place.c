/* SPDX-License-Identifier: Apache-2.0 */
/* The way to a folder, part by part as long as it is ours, and from there on in one call. See the header. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/bind/place.h"
#include "daemon/bind/result.h"
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
static void watch_nearest(const Place *place, BindResult *result)
{
    char path[PATH_MAX];
    struct stat status;

    memcpy(path, place->folder, sizeof(path));
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

static bool folder_failed(const Place *place, int error, BindResult *result)
{
    if (result_set_resources(result, error))
        return false;
    switch (error) {
    case ENOENT:
        result_set(result, BIND_WAITING, error, "the folder %s is not there", place->folder);
        watch_nearest(place, result);
        break;
    case ENOTDIR:
        result_set(result, BIND_WAITING, error, "%s, or a part of it, is not a folder", place->folder);
        watch_nearest(place, result);
        break;
    case ELOOP:
        result_set(
            result, BIND_FAILED, error,
            "%s has a symbolic link in it that belongs to neither root nor uid %u, or lies in a folder that others can "
            "write to; such a link is not followed: name the folder itself",
            place->folder, (unsigned)geteuid());
        break;
    case EACCES:
    case EPERM:
        result_set(result, BIND_FAILED, error,
                   "uid %u may not reach the folder %s; it needs search permission (x) on all of it",
                   (unsigned)geteuid(), place->folder);
        break;
    case ENAMETOOLONG:
        result_set(result, BIND_FAILED, error, "the path is too long: %u bytes at most, 255 a part", PATH_MAX - 1);
        break;
    case ENOSYS:
        result_set(result, BIND_FAILED, error,
                   "the folder %s is not root's, which needs openat2(2), Linux 5.6 or later", place->folder);
        break;
    default:
        result_set(result, BIND_FAILED, error, "the folder %s cannot be opened: %s", place->folder, strerror(error));
    }
    return false;
}

static bool folder_append(Place *place, const char *part, size_t part_length)
{
    size_t length = strlen(place->folder);

    if (length + 1 + part_length >= sizeof(place->folder))
        return false;
    place->folder[length] = '/';
    memcpy(place->folder + length + 1, part, part_length);
    place->folder[length + 1 + part_length] = '\0';
    return true;
}

/* What is not walked yet, too: for the message, or for openat2. */
static bool folder_complete(Place *place, const char *rest)
{
    rest += strspn(rest, "/");
    return !*rest || folder_append(place, rest, strlen(rest));
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
static bool open_rest(Place *place, const char *rest, BindResult *result)
{
    struct stat status;

    if (!folder_complete(place, rest))
        return folder_failed(place, ENAMETOOLONG, result);
    if (has_parent_part(rest)) {
        result_set(
            result, BIND_FAILED, EINVAL,
            "%s has .. in it below a folder that is neither root's nor that of uid %u; write the path without it",
            place->folder, (unsigned)geteuid());
        return false;
    }
    place->fd = open_without_links(*place->folder ? place->folder : "/");
    if (place->fd < 0)
        return folder_failed(place, -place->fd, result);
    if (fstat(place->fd, &status) < 0)
        return folder_failed(place, errno, result);
    place->uid = status.st_uid;
    place->gid = status.st_gid;
    place->is_ours = false;
    place->name = place->path + place->folder_length + 1;
    return true;
}

/* A link that is root's or ours, in a folder that is ours: its text takes its place before what is not walked yet. */
static int follow_link(Place *place, size_t parent_length, char text[static PATH_MAX], const char **rest)
{
    char target[PATH_MAX];
    size_t rest_length = strlen(*rest);
    ssize_t size = readlink(place->folder, target, sizeof(target));

    if (size < 0)
        return -errno;
    if ((size_t)size + rest_length >= PATH_MAX)
        return -ENAMETOOLONG;
    memmove(text + size, *rest, rest_length + 1); /* begins with a slash, or is empty */
    memcpy(text, target, (size_t)size);
    *rest = text;
    place->folder[*target == '/' ? 0 : parent_length] = '\0';
    return 0;
}

static int look(const Place *place, struct stat *status)
{
    return lstat(*place->folder ? place->folder : "/", status) < 0 ? -errno : 0;
}

/* Walks from the root on, part by part. What place->folder holds was walked, and is ours; rest is what is not walked
 * yet. */
static bool walk(Place *place, char text[static PATH_MAX], BindResult *result)
{
    const char *rest = text;
    struct stat status;
    unsigned links = 0;
    uid_t us = geteuid();

    int r = look(place, &status);
    while (r == 0 && is_ours(&status, us)) {
        place->uid = status.st_uid;
        place->gid = status.st_gid;
        rest += strspn(rest, "/");
        const char *part = rest;
        size_t part_length = strcspn(rest, "/"), parent_length = strlen(place->folder);
        rest += part_length;
        if (part_length == 0) {
            place->is_ours = true;
            place->fd = AT_FDCWD;
            place->name = place->path;
            return true;
        }
        if (part_length == 1 && part[0] == '.')
            continue;
        if (part_length == 2 && part[0] == '.' && part[1] == '.') {
            char *slash = strrchr(place->folder, '/');
            if (slash)
                *slash = '\0';
        } else if (!folder_append(place, part, part_length)) {
            return folder_failed(place, ENAMETOOLONG, result);
        }
        r = look(place, &status);
        if (r == 0 && S_ISLNK(status.st_mode)) {
            r = (status.st_uid != 0 && status.st_uid != us) || ++links > LINKS_MAX
                    ? -ELOOP
                    : follow_link(place, parent_length, text, &rest);
            if (r == 0)
                r = look(place, &status);
        } else if (r == 0 && !S_ISDIR(status.st_mode)) {
            r = -ENOTDIR;
        }
    }
    if (r == 0)
        return open_rest(place, rest, result);
    return folder_failed(place, folder_complete(place, rest) ? -r : ENAMETOOLONG, result);
}

bool place_open(const char *path, Place *ret, BindResult *result)
{
    char rest[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size_bytes = strlen(path) + 1;

    ret->fd = -1;
    ret->path = path;
    ret->folder[0] = '\0';
    if (path[0] != '/' || !slash[1] || strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0) {
        result_set(result, BIND_FAILED, EINVAL, "%s is no absolute path that ends with the socket's name", path);
        return false;
    }
    if (size_bytes > sizeof(rest))
        return folder_failed(ret, ENAMETOOLONG, result);
    ret->folder_length = (size_t)(slash - path);
    memcpy(rest, path, ret->folder_length);
    rest[ret->folder_length] = '\0';
    if (walk(ret, rest, result))
        return true;
    place_close(ret);
    return false;
}

bool place_move(Place *place, const char *path)
{
    size_t length = place->folder_length;

    if (strncmp(path, place->path, length + 1) != 0 || !path[length + 1] || strchr(path + length + 1, '/') ||
        strcmp(path + length, "/.") == 0 || strcmp(path + length, "/..") == 0)
        return false;
    place->path = path;
    place->name = place->fd == AT_FDCWD ? path : path + length + 1;
    return true;
}

void place_close(Place *place)
{
    if (place->fd >= 0)
        place->fd = fd_close(place->fd);
}

int place_hold(Place *place)
{
    if (place->fd >= 0)
        return 0;
    int fd = open_without_links(*place->folder ? place->folder : "/");
    if (fd < 0)
        return fd;
    place->fd = fd;
    place->name = place->path + place->folder_length + 1;
    return 0;
}

void place_failed(const Place *place, const char *what, int error, BindResult *result)
{
    if (result_set_resources(result, error))
        return;
    switch (error) {
    case ENOENT: /* removed since we opened it */
        result_set(result, BIND_WAITING, error, "the folder %s is not there any more", place->folder);
        watch_nearest(place, result);
        break;
    case ENOSPC:
    case EDQUOT:
        result_set(result, BIND_WAITING, error, "%s cannot be %s: the file system of %s is full (or its quota)",
                   place->path, what, place->folder);
        break;
    case EROFS: /* nobody tells when it can be written to again: looked for by time */
        result_set(result, BIND_WAITING, error,
                   "%s cannot be %s: the file system of %s is read-only; a path on another would do", place->path, what,
                   place->folder);
        break;
    case EACCES:
    case EPERM:
        result_set(
            result, BIND_FAILED, error,
            "%s cannot be %s: uid %u may not write to the folder %s (of uid %u, gid %u), or it is immutable, or a "
            "security module forbids it",
            place->path, what, (unsigned)geteuid(), place->folder, (unsigned)place->uid, (unsigned)place->gid);
        break;
    case ENAMETOOLONG:
        result_set(result, BIND_FAILED, error, "%s cannot be %s: its last part is too long", place->path, what);
        break;
    case ELOOP:
    case ENOTDIR:
        result_set(result, BIND_WAITING, error, "the folder %s was replaced while the socket was made", place->folder);
        watch_nearest(place, result);
        break;
    default:
        result_set(result, BIND_FAILED, error, "%s cannot be %s: %s", place->path, what, strerror(error));
    }
}
