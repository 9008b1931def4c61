/* SPDX-License-Identifier: Apache-2.0 */
/* Only in hvsockctl-faults.exe: what Windows' registry answers can be made to fail. HVSOCK_FAULTS is a list, separated by blanks:
 * `write:N` the Nth write of a value is refused, `write:N+` this and all after it; `vanish:NAME` the key of that name is removed
 * between being listed and being opened; `appear:NAME` somebody makes it before we do; `rights` no place may be opened for writing;
 * `tcp:PORT` AF_HYPERV sockets are TCP ones of 127.0.0.1, and what they are asked for is told on stderr: Wine has no AF_HYPERV. */
#pragma once

#include <winsock2.h>

#include <windows.h>

LSTATUS fault_RegSetValueExW(HKEY key, LPCWSTR name, DWORD reserved, DWORD type, const BYTE *data, DWORD size_bytes);
LSTATUS fault_RegOpenKeyExW(HKEY key, LPCWSTR name, DWORD options, REGSAM rights, PHKEY ret);
LSTATUS fault_RegCreateKeyExW(HKEY key, LPCWSTR name, DWORD reserved, LPWSTR class_name, DWORD options, REGSAM rights,
                              const LPSECURITY_ATTRIBUTES security, PHKEY ret, LPDWORD ret_disposition);

SOCKET WSAAPI fault_WSASocketW(int family, int type, int protocol, LPWSAPROTOCOL_INFOW information, GROUP group, DWORD flags);
int WSAAPI fault_setsockopt(SOCKET fd, int level, int option, const char *value, int size);
int WSAAPI fault_connect(SOCKET fd, const struct sockaddr *address, int size);
int WSAAPI fault_bind(SOCKET fd, const struct sockaddr *address, int size);

#ifndef FAULTS_THEMSELVES
#define RegSetValueExW fault_RegSetValueExW
#define RegOpenKeyExW fault_RegOpenKeyExW
#define RegCreateKeyExW fault_RegCreateKeyExW
#define WSASocketW fault_WSASocketW
#define setsockopt fault_setsockopt
#define connect fault_connect
#define bind fault_bind
#endif
