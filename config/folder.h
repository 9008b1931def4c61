/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in folders: the *.yaml of several folders as one list, by file name and then by the folders' precedence. */
#pragma once

#include "schema/base/problem.h"

typedef struct Folder Folder;
typedef struct FolderEntry FolderEntry;
typedef struct FolderList FolderList;

struct Folder {
    const char *path;
    int fd;             /* -1: it is not there */
};

struct FolderEntry {
    char *name;
    const Folder *folder;
};

struct FolderList {
    Folder *folders;
    size_t folder_count;
    FolderEntry *entries;
    size_t count, capacity;
};

/* A folder that is not there is empty; one that cannot be read is a problem, and the others are listed nevertheless. paths are
 * borrowed. -ENOMEM. The caller releases *ret. */
int folder_list(const char *const *paths, size_t count, Problems *problems, FolderList *ret);
void folder_list_release(FolderList *list);
/* `DIR/NAME` */
int folder_path(const char *folder, const char *name, char **ret_path);
