/* SPDX-License-Identifier: Apache-2.0 */
/* A pool's claims: one line a service, `PID BEGAN`, in its order; read and written whole under a lock of the file. LockFileEx,
 * GetProcessTimes (Microsoft Learn). */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>
#include <sddl.h>
#include <tlhelp32.h>

#include "ctl/windows/claims.h"
#include "ctl/windows/wide.h"
#include "schema/base/buffer.h"

#define FILE_MAX_BYTES (1 << 20)

/* Administrators own the folder, so that nobody puts a file of his own there; every user may change the file. */
static const wchar_t folder_rights[] = L"D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FRFX;;;BU)";
static const wchar_t file_rights[] = L"D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FRFW;;;BU)";

static int claims_fail(Claims *claims, const char *doing)
{
    _cleanup_(freep) char *why = wide_error_text(GetLastError());

    free(claims->error);
    claims->error = NULL;
    if (!why || asprintf(&claims->error, "%s: cannot be %s: %s", claims->path, doing, why) < 0)
        return -ENOMEM;
    return CLAIMS_FAILED;
}

/* %ProgramData%\hvsockd\pools\POOL.claims; a pool's name has no backslash. */
static char *claims_path(const char *pool, bool folder)
{
    const wchar_t *data = _wgetenv(L"ProgramData");
    _cleanup_(freep) char *base = data && data[0] ? wide_to_text(data, wcslen(data)) : strdup("C:\\ProgramData");
    char *path;

    if (!base || (folder ? asprintf(&path, "%s\\hvsockd\\pools", base) : asprintf(&path, "%s\\hvsockd\\pools\\%s.claims", base, pool)) < 0)
        return NULL;
    return path;
}

static void make_folder(const char *path, SECURITY_ATTRIBUTES *security)
{
    _cleanup_(freep) wchar_t *wide = wide_from_text(path);
    wchar_t *last = wide ? wcsrchr(wide, L'\\') : NULL;

    if (!last)
        return;
    *last = L'\0';
    CreateDirectoryW(wide, security);
    SetFileSecurityW(wide, DACL_SECURITY_INFORMATION, security->lpSecurityDescriptor);
    *last = L'\\';
    CreateDirectoryW(wide, security);
    SetFileSecurityW(wide, DACL_SECURITY_INFORMATION, security->lpSecurityDescriptor);
}

static int claims_open_file(Claims *claims, DWORD disposition, SECURITY_ATTRIBUTES *security)
{
    _cleanup_(freep) wchar_t *wide = wide_from_text(claims->path);
    OVERLAPPED from = {0};

    if (!wide)
        return -ENOMEM;
    HANDLE file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, security,
                              disposition, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return claims_fail(claims, "opened");
    claims->file = file;
    return LockFileEx(file, LOCKFILE_EXCLUSIVE_LOCK, 0, MAXDWORD, 0, &from) ? 0 : claims_fail(claims, "locked");
}

int claims_create(const char *pool, size_t count, Claims *ret)
{
    SECURITY_ATTRIBUTES folder = {.nLength = sizeof(folder)}, file = {.nLength = sizeof(file)};
    _cleanup_(freep) char *folder_path = claims_path(pool, true);
    Claims claims = {.path = claims_path(pool, false), .items = calloc(count + 1, sizeof(Claim)), .count = count};
    int r = -ENOMEM;

    if (claims.path && folder_path && claims.items &&
        ConvertStringSecurityDescriptorToSecurityDescriptorW(folder_rights, SDDL_REVISION_1, &folder.lpSecurityDescriptor, NULL) &&
        ConvertStringSecurityDescriptorToSecurityDescriptorW(file_rights, SDDL_REVISION_1, &file.lpSecurityDescriptor, NULL)) {
        make_folder(folder_path, &folder);
        claims_remove(pool);
        r = claims_open_file(&claims, CREATE_NEW, &file);
        if (r == 0)
            r = claims_write(&claims);
    }
    LocalFree(folder.lpSecurityDescriptor);
    LocalFree(file.lpSecurityDescriptor);
    *ret = claims; /* also where it fails: it says why */
    return r;
}

static bool claim_holds(const Claim *claim)
{
    Claim now;

    if (claim->process_id == 0)
        return false;
    /* Another user's may not be looked at: then it lives. */
    if (!claim_of_process(claim->process_id, &now))
        return false;
    return now.began_at == 0 || now.began_at == claim->began_at;
}

static int claims_read(Claims *claims)
{
    _cleanup_(freep) char *text = malloc(FILE_MAX_BYTES + 1);
    DWORD size = 0;

    if (!text)
        return -ENOMEM;
    if (!ReadFile(claims->file, text, FILE_MAX_BYTES, &size, NULL))
        return claims_fail(claims, "read");
    text[size] = '\0';
    char *line = text;
    for (size_t i = 0; i < claims->count && line && *line; i++) {
        unsigned long process_id;
        unsigned long long began_at;
        if (sscanf(line, "%lu %llu", &process_id, &began_at) == 2)
            claims->items[i] = (Claim){.process_id = process_id, .began_at = began_at};
        if (!claim_holds(&claims->items[i]))
            claims->items[i] = (Claim){0};
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return 0;
}

int claims_open(const char *pool, size_t count, Claims *ret)
{
    Claims claims = {.path = claims_path(pool, false), .items = calloc(count + 1, sizeof(Claim)), .count = count};
    int r = claims.path && claims.items ? claims_open_file(&claims, OPEN_EXISTING, NULL) : -ENOMEM;

    if (r == 0)
        r = claims_read(&claims);
    *ret = claims;
    return r;
}

int claims_write(Claims *claims)
{
    Buffer text = {0};
    DWORD written = 0;

    for (size_t i = 0; i < claims->count; i++)
        buffer_printf(&text, "%lu %llu\n", (unsigned long)claims->items[i].process_id, (unsigned long long)claims->items[i].began_at);
    bool good = !text.failed && SetFilePointer(claims->file, 0, NULL, FILE_BEGIN) == 0 &&
                WriteFile(claims->file, text.data, (DWORD)text.size_bytes, &written, NULL) && written == text.size_bytes &&
                SetEndOfFile(claims->file);
    bool failed = text.failed;
    buffer_release(&text);
    return good ? 0 : failed ? -ENOMEM : claims_fail(claims, "written");
}

void claims_release(Claims *claims)
{
    if (claims->file)
        CloseHandle(claims->file);
    free(claims->items);
    free(claims->path);
    free(claims->error);
    *claims = (Claims){0};
}

void claims_remove(const char *pool)
{
    _cleanup_(freep) char *path = claims_path(pool, false);
    _cleanup_(freep) wchar_t *wide = path ? wide_from_text(path) : NULL;

    if (wide)
        DeleteFileW(wide);
}

bool claim_of_process(uint32_t process_id, Claim *ret)
{
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, process_id);
    FILETIME began = {0}, ended, kernel, user;
    DWORD status = STILL_ACTIVE;

    if (!process && GetLastError() != ERROR_ACCESS_DENIED)
        return false;
    if (process) {
        GetProcessTimes(process, &began, &ended, &kernel, &user);
        GetExitCodeProcess(process, &status);
        CloseHandle(process);
    }
    *ret = (Claim){.process_id = process_id, .began_at = (uint64_t)began.dwHighDateTime << 32 | began.dwLowDateTime};
    return status == STILL_ACTIVE;
}

uint32_t claim_parent_process(void)
{
    PROCESSENTRY32W entry = {.dwSize = sizeof(entry)};
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    uint32_t parent = 0;

    if (all == INVALID_HANDLE_VALUE)
        return 0;
    for (BOOL more = Process32FirstW(all, &entry); more && parent == 0; more = Process32NextW(all, &entry))
        if (entry.th32ProcessID == GetCurrentProcessId())
            parent = entry.th32ParentProcessID;
    CloseHandle(all);
    return parent;
}
