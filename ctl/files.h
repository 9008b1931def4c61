/* SPDX-License-Identifier: Apache-2.0 */
/* Which files a verb is about, read: those that were named, else the folders of the daemon that answers, else the
 * system's. */
#pragma once

#include "config/load.h"
#include "ctl/ctl.h"

typedef struct Files Files;

/* {0} is empty; see files_release. */
struct Files {
    Declared *declared; /* NULL where there were errors */
    bool named;         /* on the command line */
};

/* Reads the operands' files and folders. A folder that holds a services.d is a configuration folder, and stands for
 * that. check: also settings are read, from the folder's hvsockd.yaml and from files that are called so, and what files
 * name and this host does not have is warned of. Problems are sorted and not told. 0; FILES_INVALID: there are errors;
 * -errno. */
enum { FILES_INVALID = 1 };
int files_load(Ctl *ctl, bool check, Problems *problems, Files *ret);
/* The same of paths that are no operands. */
int files_load_paths(char *const *paths, Problems *problems, Files *ret);
void files_release(Files *files);

/* The user whose hvsock-keeper starts programs, for load_check_host: as the daemon says that answers. */
uid_t files_start_as(Ctl *ctl);

/* All records of one type, in the files' order; ended by NULL. The array is the caller's, the records are the files'.
 * NULL: out of memory. ret_places: where each is from; or NULL. */
typedef struct FilePlace {
    const DeclaredFile *file;
    const DeclaredRecord *record;
} FilePlace;
void **files_records(const Files *files, const RecordType *type, FilePlace **ret_places, size_t *ret_count);
