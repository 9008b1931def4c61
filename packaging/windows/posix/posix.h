/* SPDX-License-Identifier: Apache-2.0 */
/* What schema, config and ctl use of POSIX and GNU, and mingw-w64 does not have. Included before everything else
 * (packaging/windows/windows.mk), so that these rooms are the same files on Windows. Paths are UTF-8; folders have
 * descriptors of their own kind, which open, openat, fstatat, fdopendir, fcntl and close take. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <io.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* ---- files ---- */

/* In the way of a struct stat of POSIX 2008: times in nanoseconds. */
struct posix_stat {
    uint64_t st_dev, st_ino, st_size, st_rdev;
    unsigned st_mode, st_uid, st_gid;
    struct timespec st_atim, st_mtim, st_ctim;
};

#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define O_CLOEXEC O_NOINHERIT
#define O_DIRECTORY 0x1000000
#define O_NOCTTY 0
#define O_NONBLOCK 0x2000000 /* not for _wopen: taken off */
#define F_GETFD 1
#define F_GETFL 3
#define F_SETFL 4
#define F_DUPFD_CLOEXEC 1030
#define S_ISLNK(mode_) 0
#define S_ISSOCK(mode_) 0

int posix_open(const char *path, int flags, ...);
int posix_openat(int folder, const char *path, int flags, ...);
int posix_close(int fd);
int posix_fcntl(int fd, int command, ...);
int posix_stat(const char *path, struct posix_stat *ret);
int posix_fstat(int fd, struct posix_stat *ret);
int posix_fstatat(int folder, const char *path, struct posix_stat *ret, int flags);
FILE *posix_fopen(const char *path, const char *mode);
int posix_rename(const char *from, const char *to); /* replaces what is there */
int posix_unlink(const char *path);
int posix_mkdir(const char *path, unsigned mode);

typedef struct PosixFolder PosixFolder;
struct posix_dirent {
    char d_name[260 * 4];
};
PosixFolder *posix_fdopendir(int fd); /* consumes it */
struct posix_dirent *posix_readdir(PosixFolder *folder);
int posix_closedir(PosixFolder *folder);

#define stat posix_stat
#define fstat posix_fstat
#define fstatat posix_fstatat
#define open posix_open
#define openat posix_openat
#define close posix_close
#define fcntl posix_fcntl
#define fopen posix_fopen
#define rename posix_rename
#define unlink posix_unlink
#define mkdir posix_mkdir
#define DIR PosixFolder
#define dirent posix_dirent
#define fdopendir posix_fdopendir
#define readdir posix_readdir
#define closedir posix_closedir

/* ---- the rest ---- */

typedef unsigned uid_t;
typedef unsigned gid_t;

#define fwrite_unlocked fwrite
#define fflush_unlocked fflush
#define putc_unlocked putc
#define tell own_tell /* io.h's is of no use here, and its name is ours */
#define fsync _commit

static inline uid_t geteuid(void)
{
    return 0; /* rights are the registry's to say */
}
static inline pid_t getppid(void)
{
    return 0;
}
void *reallocarray(void *items, size_t count, size_t size_bytes);
char *strndup(const char *text, size_t size_bytes);
void *memrchr(const void *bytes, int c, size_t size_bytes);
int posix_clock_gettime(int clock, struct timespec *ret); /* always the time of day */
#define clock_gettime posix_clock_gettime
struct tm *gmtime_r(const time_t *time, struct tm *ret);
time_t timegm(struct tm *time);
void qsort_r(void *items, size_t count, size_t size_bytes, int (*compare)(const void *, const void *, void *), void *userdata);
void tdestroy(void *root, void (*release)(void *item));
