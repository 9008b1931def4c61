/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders -> a set of records, or problems. Folders by precedence, drop-ins as systemd.unit(5) has them: a file name
 * in a folder of more weight replaces the whole file, order is by file name over all folders, a link to /dev/null masks.
 * A file that has not changed since the last load (device, inode, size, mtime, ctime) is not read again. */
#pragma once

#include <sys/types.h>

#include "config/yaml.h"
#include "schema/model/record.h"

typedef struct Declared Declared;
typedef struct DeclaredFile DeclaredFile;
typedef struct DeclaredRecord DeclaredRecord;

struct DeclaredRecord {
    const RecordType *type;   /* ServiceContext or MachineContext */
    void *record;             /* owned by its file */
    unsigned line, column;    /* where its mapping begins */
    unsigned index;           /* its place in `services:` or `machines:` of its document */
    unsigned document;
};

struct DeclaredFile {
    char *path;
    uint64_t device, inode, size_bytes, mtime_ns, ctime_ns;
    uint64_t read_at_ns;      /* a file as young as that may have changed again within one tick: not trusted */
    unsigned references;      /* shared between the Declared of two loads */
    bool unchanged;           /* taken over from the previous load as it was */
    DeclaredRecord *records;
    size_t record_count;
};

/* All files of one load, in order. */
struct Declared {
    DeclaredFile **files;
    size_t file_count;
};

/* The system's folders (/etc, /run, /usr/local/lib, /usr/lib + /hvsockd/services.d), ended by NULL. */
extern const char *const load_system_folders[];

/* paths: files and folders, ended by NULL. A folder gives its *.yaml; several folders given with `by_precedence` are one
 * drop-in folder with masks. previous: of the load before, or NULL. Problems of all files are told, names given twice among
 * them (with both places), and, where there were others, conflicts too: all in one go. LOAD_INVALID: there were errors, *ret
 * is not set. A folder that is not there is empty; a file that is not there is a problem. -ENOMEM. */
enum { LOAD_INVALID = 1 };
int load_paths(const char *const *paths, bool by_precedence, const Declared *previous, Problems *problems, Declared **ret);
void declared_free(Declared *declared);
DEFINE_CLEANUP(Declared *, declared_free)

/* A folder that was given by name, with services.d and hvsockd.yaml in it, has to be there itself: where it is not (a file system
 * that is not mounted, a slip of the pen), nothing that was declared in it is forgotten for that. -ENOMEM. */
int load_check_folder(const char *path, Problems *problems);
/* hvsockd.yaml; not there = all defaults. */
int load_settings(const char *path, Problems *problems, Settings **ret);

/* Names given twice, with both places: a part of load_paths. LOAD_INVALID, -ENOMEM. */
int load_check_names(const Declared *declared, Problems *problems);
/* Conflicts within the set that can be seen without a daemon: one address held by two enabled services, also where a machine
 * of the set gives it; one CID, path or VM id of two machines; a bare listener for machines of the set that share it on vsock.
 * LOAD_INVALID: there were some. -ENOMEM. */
int load_check_conflicts(const Declared *declared, Problems *problems);
/* Warnings of what this host does not have: programs, users, groups; of what cannot be executed by who it is to run as; and of
 * machines that nothing is known by. starts_as: the user whose hvsock-keeper starts programs, which becomes anybody where that is
 * root; (uid_t)-1: that is not known. 0; -ENOMEM. */
int load_check_host(const Declared *declared, uid_t starts_as, Problems *problems);
/* The same of the users and groups of hvsockd.yaml, read from path just now. */
int load_check_host_settings(const char *path, const Settings *settings, Problems *problems);

/* File, line and column of problems from index first on, whose fields are those of a record that was loaded before: reads the
 * file once more. Their fields become the file's: `port` -> `services[1].port`. */
void load_locate(const DeclaredFile *file, const DeclaredRecord *record, Problems *problems, size_t first);
