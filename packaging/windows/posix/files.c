/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders by UTF-8 paths. A folder's descriptor is the index of its path in a table, from FOLDER_FIRST on; it
 * lives until it is closed. */

#include <errno.h>
#include <stdarg.h>
#include <wchar.h>
#include <windows.h>

#undef stat
#undef fstat
#undef open
#undef close
#undef mkdir

#define FOLDER_FIRST 0x10000
#define FOLDERS_MAX 64

static wchar_t *folders[FOLDERS_MAX];

struct PosixFolder {
    HANDLE find;
    WIN32_FIND_DATAW found;
    bool has_found;
    struct posix_dirent entry;
};

static int fail(int error)
{
    errno = error;
    return -1;
}

static int fail_windows(DWORD error)
{
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_NETPATH:
        return fail(ENOENT);
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
        return fail(EACCES);
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS:
        return fail(EEXIST);
    case ERROR_DIRECTORY:
        return fail(ENOTDIR);
    case ERROR_DISK_FULL:
        return fail(ENOSPC);
    case ERROR_NOT_ENOUGH_MEMORY:
        return fail(ENOMEM);
    default:
        return fail(EIO);
    }
}

/* Owned by the caller; NULL: errno. */
static wchar_t *wide_path(int folder, const char *path)
{
    const wchar_t *before = folder >= FOLDER_FIRST && folder < FOLDER_FIRST + FOLDERS_MAX ? folders[folder - FOLDER_FIRST] : NULL;
    size_t size_before = before ? wcslen(before) + 1 : 0;

    if (strcmp(path, "/dev/null") == 0)
        path = "NUL";
    int size = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0);
    wchar_t *wide = size > 0 ? malloc((size_before + (size_t)size) * sizeof(*wide)) : NULL;
    if (!wide) {
        errno = size > 0 ? ENOMEM : ENOENT;
        return NULL;
    }
    if (before) {
        wcscpy(wide, before);
        wide[size_before - 1] = L'/';
    }
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide + size_before, size);
    return wide;
}

/* path: taken over. */
static int folder_keep(wchar_t *path)
{
    for (int i = 0; i < FOLDERS_MAX; i++)
        if (!folders[i]) {
            folders[i] = path;
            return FOLDER_FIRST + i;
        }
    free(path);
    return fail(EMFILE);
}

static wchar_t **folder_of(int fd)
{
    return fd >= FOLDER_FIRST && fd < FOLDER_FIRST + FOLDERS_MAX && folders[fd - FOLDER_FIRST] ? &folders[fd - FOLDER_FIRST]
                                                                                              : NULL;
}

static int open_path(int folder, const char *path, int flags, int mode)
{
    wchar_t *wide = wide_path(folder, path);

    if (!wide)
        return -1;
    if (flags & O_DIRECTORY) {
        DWORD attributes = GetFileAttributesW(wide);
        if (attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_DIRECTORY)
            return folder_keep(wide);
        free(wide);
        return attributes == INVALID_FILE_ATTRIBUTES ? fail_windows(GetLastError()) : fail(ENOTDIR);
    }
    int fd = _wopen(wide, (flags & ~(O_DIRECTORY | O_NONBLOCK)) | O_BINARY, mode & 0200 ? _S_IREAD | _S_IWRITE : _S_IREAD);
    free(wide);
    return fd;
}

int posix_open(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return open_path(AT_FDCWD, path, flags, mode);
}

int posix_openat(int folder, const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return open_path(folder, path, flags, mode);
}

int posix_close(int fd)
{
    wchar_t **folder = folder_of(fd);

    if (!folder)
        return _close(fd);
    free(*folder);
    *folder = NULL;
    return 0;
}

int posix_fcntl(int fd, int command, ...)
{
    wchar_t **folder = folder_of(fd);

    if (command == F_DUPFD_CLOEXEC && folder)
        return folder_keep(_wcsdup(*folder));
    if (command == F_DUPFD_CLOEXEC)
        return _dup(fd);
    return _get_osfhandle(fd) == -1 ? fail(EBADF) : 0;
}

static struct timespec from_filetime(FILETIME time)
{
    const uint64_t epoch = 116444736000000000ull; /* 1601 to 1970 in 100 ns */
    uint64_t ticks = ((uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime);

    ticks = ticks > epoch ? ticks - epoch : 0;
    return (struct timespec){.tv_sec = (time_t)(ticks / 10000000), .tv_nsec = (long)(ticks % 10000000 * 100)};
}

int posix_clock_gettime(int clock, struct timespec *ret)
{
    FILETIME now;

    GetSystemTimePreciseAsFileTime(&now);
    *ret = from_filetime(now);
    return 0;
}

static int stat_handle(HANDLE handle, struct posix_stat *ret)
{
    BY_HANDLE_FILE_INFORMATION information;
    DWORD type = GetFileType(handle);

    *ret = (struct posix_stat){.st_mode = _S_IFCHR | 0600};
    if (type == FILE_TYPE_PIPE)
        ret->st_mode = _S_IFIFO | 0600;
    if (type != FILE_TYPE_DISK)
        return 0;
    if (!GetFileInformationByHandle(handle, &information))
        return fail_windows(GetLastError());
    *ret = (struct posix_stat){
        .st_dev = information.dwVolumeSerialNumber,
        .st_ino = (uint64_t)information.nFileIndexHigh << 32 | information.nFileIndexLow,
        .st_size = (uint64_t)information.nFileSizeHigh << 32 | information.nFileSizeLow,
        .st_mode = (information.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? _S_IFDIR : _S_IFREG) | 0755,
        .st_atim = from_filetime(information.ftLastAccessTime),
        .st_mtim = from_filetime(information.ftLastWriteTime),
        .st_ctim = from_filetime(information.ftLastWriteTime),
    };
    return 0;
}

int posix_fstatat(int folder, const char *path, struct posix_stat *ret, int flags)
{
    wchar_t *wide = wide_path(folder, path);

    if (!wide)
        return -1;
    HANDLE handle = CreateFileW(wide, FILE_READ_ATTRIBUTES, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    free(wide);
    if (handle == INVALID_HANDLE_VALUE)
        return fail_windows(GetLastError());
    int r = stat_handle(handle, ret);
    CloseHandle(handle);
    return r;
}

int posix_stat(const char *path, struct posix_stat *ret)
{
    return posix_fstatat(AT_FDCWD, path, ret, 0);
}

int posix_fstat(int fd, struct posix_stat *ret)
{
    intptr_t handle = _get_osfhandle(fd);

    return handle == -1 ? fail(EBADF) : stat_handle((HANDLE)handle, ret);
}

FILE *posix_fopen(const char *path, const char *mode)
{
    wchar_t wide_mode[8] = {0}, *wide = wide_path(AT_FDCWD, path);

    for (size_t i = 0; i < 5 && mode[i]; i++)
        wide_mode[i] = (wchar_t)(mode[i] == 'e' ? 'N' : mode[i]); /* close on exec */
    wcscat(wide_mode, L"b");
    FILE *file = wide ? _wfopen(wide, wide_mode) : NULL;
    free(wide);
    return file;
}

int posix_rename(const char *from, const char *to)
{
    wchar_t *wide_from = wide_path(AT_FDCWD, from), *wide_to = wide_path(AT_FDCWD, to);
    int r = -1;

    if (wide_from && wide_to)
        r = MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) ? 0
                                                                                                 : fail_windows(GetLastError());
    free(wide_from);
    free(wide_to);
    return r;
}

int posix_unlink(const char *path)
{
    wchar_t *wide = wide_path(AT_FDCWD, path);
    int r = wide ? _wunlink(wide) : -1;

    free(wide);
    return r;
}

int posix_mkdir(const char *path, unsigned mode)
{
    wchar_t *wide = wide_path(AT_FDCWD, path);
    int r = wide ? _wmkdir(wide) : -1;

    free(wide);
    return r;
}

PosixFolder *posix_fdopendir(int fd)
{
    wchar_t **folder = folder_of(fd);
    PosixFolder *open = folder ? calloc(1, sizeof(*open)) : NULL;
    wchar_t *pattern = open ? malloc((wcslen(*folder) + 3) * sizeof(*pattern)) : NULL;

    if (!pattern) {
        free(open);
        errno = folder ? ENOMEM : ENOTDIR;
        return NULL;
    }
    wcscpy(pattern, *folder);
    wcscat(pattern, L"/*");
    open->find = FindFirstFileW(pattern, &open->found);
    free(pattern);
    open->has_found = open->find != INVALID_HANDLE_VALUE;
    if (!open->has_found && GetLastError() != ERROR_FILE_NOT_FOUND) {
        fail_windows(GetLastError());
        free(open);
        return NULL;
    }
    posix_close(fd);
    return open;
}

struct posix_dirent *posix_readdir(PosixFolder *folder)
{
    if (!folder->has_found)
        return NULL;
    WideCharToMultiByte(CP_UTF8, 0, folder->found.cFileName, -1, folder->entry.d_name, sizeof(folder->entry.d_name), NULL, NULL);
    folder->has_found = FindNextFileW(folder->find, &folder->found);
    return &folder->entry;
}

int posix_closedir(PosixFolder *folder)
{
    if (folder->find != INVALID_HANDLE_VALUE)
        FindClose(folder->find);
    free(folder);
    return 0;
}
