/* SPDX-License-Identifier: Apache-2.0 */
/* Folders and files -> a Declared. A DeclaredFile is counted, and shared with the load before while nothing has touched the
 * file: a reload of many files of which few changed is a stat of each. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "config/document.h"
#include "config/folder.h"
#include "config/load.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"
#include "schema/model/service.h"

typedef struct Loader Loader;

struct Loader {
    Declared *declared;
    size_t capacity;
    DeclaredFile **previous; /* of the load before, by path */
    size_t previous_count;
    Problems *problems;
};

/* What became of a name. */
enum {
    FILE_GONE = 1, /* there is none */
    FILE_EMPTY,    /* nothing in it, or a link to /dev/null: it masks others of its name */
    FILE_BAD,      /* told as a problem */
};

const char *const load_system_folders[] = {
    "/etc/hvsockd/services.d",
    "/run/hvsockd/services.d",
    "/usr/local/lib/hvsockd/services.d",
    "/usr/lib/hvsockd/services.d",
    NULL,
};

static uint64_t in_ns(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* The clock that file systems take their times from: it goes in ticks. */
static uint64_t file_time_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return in_ns(now);
}

/* A file that was changed in the tick it was read in can have changed once more since, with the same times: as with git's index,
 * such a file is read again. Some file systems count in seconds, or two. */
static bool file_is_settled(const DeclaredFile *file)
{
    const uint64_t tick_ns = 20000000, coarse_tick_ns = 2000000000, second_ns = 1000000000;
    uint64_t newest_ns = file->mtime_ns > file->ctime_ns ? file->mtime_ns : file->ctime_ns;
    bool coarse = file->mtime_ns % second_ns == 0 && file->ctime_ns % second_ns == 0;

    return newest_ns + (coarse ? coarse_tick_ns : tick_ns) < file->read_at_ns;
}

static bool file_is_same(const DeclaredFile *file, const struct stat *status)
{
    return file->inode == status->st_ino && file->device == status->st_dev &&
           file->size_bytes == (uint64_t)status->st_size && file->mtime_ns == in_ns(status->st_mtim) &&
           file->ctime_ns == in_ns(status->st_ctim);
}

static void declared_file_unref(DeclaredFile *file)
{
    if (!file || --file->references > 0)
        return;
    document_records_free(file->records, file->record_count);
    free(file->path);
    free(file);
}
DEFINE_CLEANUP(DeclaredFile *, declared_file_unref)

void declared_free(Declared *declared)
{
    if (!declared)
        return;
    for (size_t i = 0; i < declared->file_count; i++)
        declared_file_unref(declared->files[i]);
    free(declared->files);
    free(declared);
}

static int file_compare(const void *a, const void *b)
{
    const DeclaredFile *const *left = a, *const *right = b;

    return strcmp((*left)->path, (*right)->path);
}

static int path_compare(const void *key, const void *item)
{
    const DeclaredFile *const *file = item;

    return strcmp(key, (*file)->path);
}

static int loader_init(Loader *loader, const Declared *previous)
{
    loader->declared = calloc(1, sizeof(*loader->declared));
    if (!loader->declared)
        return -ENOMEM;
    if (!previous || previous->file_count == 0)
        return 0;
    loader->previous = reallocarray(NULL, previous->file_count, sizeof(*loader->previous));
    if (!loader->previous)
        return -ENOMEM;
    memcpy(loader->previous, previous->files, previous->file_count * sizeof(*loader->previous));
    loader->previous_count = previous->file_count;
    qsort(loader->previous, loader->previous_count, sizeof(*loader->previous), file_compare);
    return 0;
}

static void loader_release(Loader *loader)
{
    free(loader->previous);
    declared_free(loader->declared);
}

static int loader_add_consume(Loader *loader, DeclaredFile *file)
{
    Declared *declared = loader->declared;

    if (declared->file_count == loader->capacity) {
        size_t capacity = loader->capacity ? loader->capacity * 2 : 16;
        DeclaredFile **files = reallocarray(declared->files, capacity, sizeof(DeclaredFile *));
        if (!files) {
            declared_file_unref(file);
            return -ENOMEM;
        }
        declared->files = files;
        loader->capacity = capacity;
    }
    declared->files[declared->file_count++] = file;
    return 0;
}

static int tell_unreadable(Problems *problems, const char *path, int error)
{
    const char *hint = error == EACCES || error == EPERM ? "let the user that reads it do so, with chmod or chgrp"
                       : error == ELOOP                  ? "let the link point to a file"
                       : error == EISDIR                 ? "put a file there"
                       : error == EFBIG                  ? "split it into several files"
                                                         : NULL;
    const char *reason = error == EFBIG ? "the file is larger than 64 MiB" : strerror(error);

    problem_locate(problems_add(problems, NULL, hint, "cannot be read: %s", reason), path, 0, 0);
    return FILE_BAD;
}

/* 0: there is a file to be read. Else FILE_*. */
static int file_look(int directory_fd, const char *name, const char *path, Problems *problems, struct stat *ret_status)
{
    struct stat status, link;

    /* A file that goes and comes while we look is neither gone nor a link to nothing: look again, but not for ever. */
    for (unsigned attempts = 0; fstatat(directory_fd, name, &status, 0) < 0; attempts++) {
        if (errno != ENOENT)
            return tell_unreadable(problems, path, errno);
        if (fstatat(directory_fd, name, &link, AT_SYMLINK_NOFOLLOW) < 0 || attempts == 100)
            return FILE_GONE;
        if (!S_ISLNK(link.st_mode))
            continue;
        problem_locate(problems_add(problems, NULL, "remove it, or link it to /dev/null if it is to mask another file",
                                    "is a link to a file that is not there"),
                       path, 0, 0);
        return FILE_BAD;
    }
    if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3))
        return FILE_EMPTY;
    if (S_ISDIR(status.st_mode))
        return tell_unreadable(problems, path, EISDIR);
    if (!S_ISREG(status.st_mode)) {
        const char *kind = S_ISFIFO(status.st_mode) ? "pipe" : S_ISSOCK(status.st_mode) ? "socket" : "device";
        problem_locate(problems_add(problems, NULL, "put a file there", "is no file, but a %s", kind), path, 0, 0);
        return FILE_BAD;
    }
    *ret_status = status;
    return status.st_size == 0 ? FILE_EMPTY : 0;
}

/* The text of a file that was looked at. It can have gone since. */
static int file_text(int directory_fd, const char *name, const char *path, Problems *problems, char **ret_text,
                     size_t *ret_size_bytes)
{
    int r = file_read(directory_fd, name, YAML_FILE_MAX_BYTES, ret_text, ret_size_bytes);

    if (r == 0 || r == -ENOMEM)
        return r;
    return r == -ENOENT ? FILE_GONE : tell_unreadable(problems, path, -r);
}

static int loader_read(Loader *loader, int directory_fd, const char *name, const char *path, const struct stat *status,
                       uint64_t read_at_ns)
{
    _cleanup_(freep) char *text = NULL;
    size_t size_bytes;
    int r = file_text(directory_fd, name, path, loader->problems, &text, &size_bytes);

    if (r != 0)
        return r;
    _cleanup_(declared_file_unrefp) DeclaredFile *file = calloc(1, sizeof(*file));
    if (!file)
        return -ENOMEM;
    *file = (DeclaredFile){
        .path = strdup(path),
        .device = status->st_dev,
        .inode = status->st_ino,
        .size_bytes = (uint64_t)status->st_size,
        .mtime_ns = in_ns(status->st_mtim),
        .ctime_ns = in_ns(status->st_ctim),
        .read_at_ns = read_at_ns,
        .references = 1,
    };
    if (!file->path)
        return -ENOMEM;
    r = document_read(file, text, size_bytes, loader->problems);
    if (r < 0)
        return r;
    return loader_add_consume(loader, TAKE_PTR(file)); /* a bad one too: what is good in it is compared with the others */
}

/* One file. 0: it was taken; FILE_*. */
static int loader_file(Loader *loader, int directory_fd, const char *name, const char *path)
{
    uint64_t read_at_ns = file_time_now_ns(); /* before the look: what happens later is newer */
    struct stat status;
    int r = file_look(directory_fd, name, path, loader->problems, &status);

    if (r != 0)
        return r;
    DeclaredFile *const *found = loader->previous_count == 0 ? NULL
                                                             : bsearch(path, loader->previous, loader->previous_count,
                                                                       sizeof(*loader->previous), path_compare);
    if (found && file_is_same(*found, &status) && file_is_settled(*found)) {
        (*found)->references++;
        (*found)->unchanged = true;
        return loader_add_consume(loader, *found);
    }
    return loader_read(loader, directory_fd, name, path, &status, read_at_ns);
}

/* The drop-in files of some folders: of one name the first that is there. */
static int loader_folders(Loader *loader, const char *const *paths, size_t count)
{
    FolderList list;
    int r = folder_list(paths, count, loader->problems, &list);

    if (r < 0)
        return r;
    for (size_t i = 0; r >= 0 && i < list.count; i++) {
        const FolderEntry *entry = &list.entries[i];
        _cleanup_(freep) char *path = NULL;
        if (r != FILE_GONE && i > 0 && strcmp(entry->name, list.entries[i - 1].name) == 0)
            continue;
        r = folder_path(entry->folder->path, entry->name, &path);
        if (r == 0)
            r = loader_file(loader, entry->folder->fd, entry->name, path);
    }
    folder_list_release(&list);
    return r < 0 ? r : 0;
}

/* A file or a folder that somebody named. */
static int loader_path(Loader *loader, const char *path)
{
    size_t files = loader->declared->file_count, told = loader->problems->count;
    struct stat status;

    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        int r = loader_folders(loader, &path, 1);
        /* That of a configuration may be empty, as after the installation. */
        bool may_be_empty = text_ends_with(path, "services.d") || text_ends_with(path, "services.d/");
        if (r == 0 && !may_be_empty && loader->declared->file_count == files && loader->problems->count == told)
            problem_locate(problems_warn(loader->problems, NULL, "name another, if that is not meant", "no *.yaml is in this folder"), path,
                           0, 0);
        return r;
    }
    int r = loader_file(loader, AT_FDCWD, path, path);
    if (r == FILE_GONE)
        problem_locate(problems_add(loader->problems, NULL, "name a file, or a folder of *.yaml", "there is no such file"), path, 0, 0);
    return r < 0 ? r : 0;
}

int load_paths(const char *const *paths, bool by_precedence, const Declared *previous, Problems *problems, Declared **ret)
{
    Loader loader = {.problems = problems};
    size_t count = 0, errors = problems->errors;
    int r = loader_init(&loader, previous);

    while (paths[count])
        count++;
    if (r == 0 && by_precedence)
        r = loader_folders(&loader, paths, count);
    for (size_t i = 0; r == 0 && !by_precedence && i < count; i++)
        r = loader_path(&loader, paths[i]);
    if (r == 0)
        r = load_check_names(loader.declared, problems);
    if (r >= 0 && problems->errors > errors) /* nobody else will, as there is no Declared */
        r = load_check_conflicts(loader.declared, problems);
    if (r >= 0) {
        problems_sort(problems);
        if (problems->failed)
            r = -ENOMEM;
        else if (problems->errors > errors)
            r = LOAD_INVALID;
        else
            *ret = TAKE_PTR(loader.declared);
    }
    loader_release(&loader);
    return r;
}

int load_check_folder(const char *path, Problems *problems)
{
    struct stat status;
    const char *why = stat(path, &status) < 0 ? strerror(errno) : S_ISDIR(status.st_mode) ? NULL : "it is no folder";

    if (!why)
        return 0;
    Problem *problem = problems_add(problems, NULL, "make it, or name another", "the folder of the configuration: %s", why);
    problem_locate(problem, path, 0, 0);
    return problem ? 0 : -ENOMEM;
}

int load_settings(const char *path, Problems *problems, Settings **ret)
{
    _cleanup_(freep) char *text = NULL;
    size_t size_bytes = 0;
    struct stat status;
    int r = file_look(AT_FDCWD, path, path, problems, &status);

    if (r == 0)
        r = file_text(AT_FDCWD, path, path, problems, &text, &size_bytes);
    if (r < 0)
        return r;
    if (r == FILE_BAD)
        return LOAD_INVALID;
    return document_read_settings(path, text ? text : "", size_bytes, problems, ret);
}
