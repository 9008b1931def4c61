/* SPDX-License-Identifier: Apache-2.0 */
/* A registry that refuses, and others who change it meanwhile; see faults.h. State is the process's. */

#define FAULTS_THEMSELVES
#include "tests/windows/faults.h"

#include <stdbool.h>
#include <stdio.h>
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

/* ---- sockets ---- */

static bool fault_tcp(struct sockaddr_in *ret)
{
    wchar_t value[16];

    if (!fault_find(L"tcp:", value, 16))
        return false;
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((u_short)wcstol(value, NULL, 10))};
    ret->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return true;
}

static void fault_tell(const char *what, const void *bytes, int size)
{
    fprintf(stderr, "%s ", what);
    for (int i = 0; i < size; i++)
        fprintf(stderr, "%02x", ((const unsigned char *)bytes)[i]);
    fprintf(stderr, "\n");
    fflush(stderr);
}

SOCKET WSAAPI fault_WSASocketW(int family, int type, int protocol, LPWSAPROTOCOL_INFOW information, GROUP group, DWORD flags)
{
    struct sockaddr_in tcp;

    if (!fault_tcp(&tcp))
        return WSASocketW(family, type, protocol, information, group, flags);
    fprintf(stderr, "socket %d %d %d\n", family, type, protocol);
    return WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, flags);
}

int WSAAPI fault_setsockopt(SOCKET fd, int level, int option, const char *value, int size)
{
    struct sockaddr_in tcp;

    if (!fault_tcp(&tcp))
        return setsockopt(fd, level, option, value, size);
    fprintf(stderr, "option %d %d ", level, option);
    fault_tell("=", value, size);
    return 0;
}

int WSAAPI fault_connect(SOCKET fd, const struct sockaddr *address, int size)
{
    struct sockaddr_in tcp;

    if (!fault_tcp(&tcp))
        return connect(fd, address, size);
    fault_tell("connect", address, size);
    return connect(fd, (const struct sockaddr *)&tcp, sizeof(tcp));
}

int WSAAPI fault_bind(SOCKET fd, const struct sockaddr *address, int size)
{
    struct sockaddr_in tcp;

    if (!fault_tcp(&tcp))
        return bind(fd, address, size);
    fault_tell("bind", address, size);
    return bind(fd, (const struct sockaddr *)&tcp, sizeof(tcp));
}
