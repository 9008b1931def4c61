/* SPDX-License-Identifier: Apache-2.0 */
/* A registry that refuses, and others who change it meanwhile; see faults.h. State is the process's. */

#define FAULTS_THEMSELVES
#include "tests/windows/faults.h"

#include <wchar.h>

/* What follows `word` in HVSOCK_FAULTS; false: it is not there. */
static bool fault_find(const wchar_t *word, wchar_t *value, size_t units)
{
    const wchar_t *all = _wgetenv(L"HVSOCK_FAULTS"), *at = all ? wcsstr(all, word) : NULL;
    size_t size = 0;

    if (!at)
        return false;
    for (at += wcslen(word); *at && *at != L' ' && size + 1 < units; at++)
        value[size++] = *at;
    value[size] = L'\0';
    return true;
}

LSTATUS fault_RegSetValueExW(HKEY key, LPCWSTR name, DWORD reserved, DWORD type, const BYTE *data, DWORD size_bytes)
{
    static long count;
    wchar_t value[32], *end;

    count++;
    if (fault_find(L"write:", value, 32)) {
        long wanted = wcstol(value, &end, 10);
        if (count == wanted || (*end == L'+' && count > wanted))
            return ERROR_ACCESS_DENIED;
    }
    return RegSetValueExW(key, name, reserved, type, data, size_bytes);
}

LSTATUS fault_RegOpenKeyExW(HKEY key, LPCWSTR name, DWORD options, REGSAM rights, PHKEY ret)
{
    wchar_t value[64];

    if (fault_find(L"vanish:", value, 64) && _wcsicmp(name, value) == 0)
        RegDeleteKeyExW(key, name, KEY_WOW64_64KEY, 0);
    return RegOpenKeyExW(key, name, options, rights, ret);
}

LSTATUS fault_RegCreateKeyExW(HKEY key, LPCWSTR name, DWORD reserved, LPWSTR class_name, DWORD options, REGSAM rights,
                              const LPSECURITY_ATTRIBUTES security, PHKEY ret, LPDWORD ret_disposition)
{
    wchar_t value[64];
    HKEY made;

    if (fault_find(L"rights", value, 64) && key == HKEY_LOCAL_MACHINE)
        return ERROR_ACCESS_DENIED;
    if (fault_find(L"appear:", value, 64) && _wcsicmp(name, value) == 0 &&
        RegCreateKeyExW(key, name, 0, NULL, 0, KEY_WRITE | KEY_WOW64_64KEY, NULL, &made, NULL) == ERROR_SUCCESS) {
        RegSetValueExW(made, L"ToolName", 0, REG_SZ, (const BYTE *)L"podman", sizeof(L"podman"));
        RegCloseKey(made);
    }
    return RegCreateKeyExW(key, name, reserved, class_name, options, rights, security, ret, ret_disposition);
}
