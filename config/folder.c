/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of drop-in files; they live for one load. The folders stay open, so that files are reached by name from there on. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "config/folder.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"

/* Hidden files and what editors and package managers leave behind (`x.yaml~`, `.#x.yaml`, `x.yaml.dpkg-new`) end otherwise or
 * begin with a dot. */
static bool name_is_ours(const char *name)
{
    return name[0] != '.' && text_ends_with(name, ".yaml");
}

/* What somebody takes for one of ours: it would be missed, and nobody would say why. */
static bool name_is_nearly_ours(const char *name)
{
    const char *end = strrchr(name, '.');

    return name[0] != '.' && end && (strcasecmp(end, ".yml") == 0 || strcasecmp(end, ".yaml") == 0) &&
           text_is_utf8(name, strlen(name), NULL) && text_is_printable(name);
}

static int warn_nearly(const Folder *folder, const char *name, Problems *problems)
{
    _cleanup_(freep) char *path = NULL;
    int r = folder_path(folder->path, name, &path);

    if (r < 0)
        return r;
    Problem *problem = problems_warn(problems, NULL, "give it a name that ends with .yaml", "is not read, for only *.yaml is");
    problem_locate(problem, path, 0, 0);
    return 0;
}

static int list_add(FolderList *list, const Folder *folder, const char *name)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        FolderEntry *entries = reallocarray(list->entries, capacity, sizeof(*entries));
        if (!entries)
            return -ENOMEM;
        list->entries = entries;
        list->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    list->entries[list->count++] = (FolderEntry){.name = copy, .folder = folder};
    return 0;
}

/* A name that cannot be told to people, nor be an origin. */
static void tell_bad_name(const Folder *folder, const char *name, Problems *problems)
{
    Buffer shown = {0};
    _cleanup_(freep) char *text = NULL;

    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        buffer_printf(&shown, *c > 0x20 && *c < 0x7f ? "%c" : "\\x%02x", *c);
    if (buffer_take(&shown, &text, NULL) < 0)
        problems->failed = true;
    else
        problem_locate(problems_add(problems, NULL, "rename it", "the name of the file `%s` is not text in UTF-8", text),
                       folder->path, 0, 0);
}

static int folder_read(FolderList *list, const Folder *folder, Problems *problems)
{
    int fd = fd_duplicate(folder->fd), r = 0;

    if (fd < 0)
        return fd;
    DIR *directory = fdopendir(fd);
    if (!directory) {
        fd_close(fd);
        return -errno;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) {
            r = -errno;
            break;
        }
        if (!name_is_ours(entry->d_name)) {
            r = name_is_nearly_ours(entry->d_name) ? warn_nearly(folder, entry->d_name, problems) : 0;
            if (r < 0)
                break;
            continue;
        }
        if (!text_is_utf8(entry->d_name, strlen(entry->d_name), NULL) || !text_is_printable(entry->d_name)) {
            tell_bad_name(folder, entry->d_name, problems);
            continue;
        }
        r = list_add(list, folder, entry->d_name);
        if (r < 0)
            break;
    }
    closedir(directory);
    return r;
}

static int entry_compare(const void *a, const void *b)
{
    const FolderEntry *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    return order ? order : (left->folder > right->folder) - (left->folder < right->folder);
}

int folder_list(const char *const *paths, size_t count, Problems *problems, FolderList *ret)
{
    FolderList list = {.folders = calloc(count ? count : 1, sizeof(Folder))};

    if (!list.folders)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        Folder *folder = &list.folders[list.folder_count++];
        *folder = (Folder){.path = paths[i], .fd = open(paths[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        int r = folder->fd < 0 ? -errno : folder_read(&list, folder, problems);
        if (r == -ENOMEM) {
            folder_list_release(&list);
            return r;
        }
        if (r < 0 && r != -ENOENT)
            problem_locate(problems_add(problems, NULL, r == -EACCES ? "let the user that reads it list it, with chmod or chgrp" : NULL,
                                        "the folder cannot be read: %s", strerror(-r)),
                           folder->path, 0, 0);
    }
    if (list.count > 1)
        qsort(list.entries, list.count, sizeof(*list.entries), entry_compare);
    *ret = list;
    return 0;
}

void folder_list_release(FolderList *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->entries[i].name);
    for (size_t i = 0; i < list->folder_count; i++)
        fd_close(list->folders[i].fd);
    free(list->entries);
    free(list->folders);
    *list = (FolderList){0};
}

int folder_path(const char *folder, const char *name, char **ret_path)
{
    Buffer path = {0};

    buffer_append_text(&path, folder);
    if (!text_ends_with(folder, "/"))
        buffer_append_char(&path, '/');
    buffer_append_text(&path, name);
    return buffer_take(&path, ret_path, NULL);
}
