/* SPDX-License-Identifier: Apache-2.0 */
/* Only in hvsockctl-faults.exe: what Windows' registry answers can be made to fail. HVSOCK_FAULTS is a list, separated by blanks:
 * `write:N` the Nth write of a value is refused, `write:N+` this and all after it; `vanish:NAME` the key of that name is removed
 * between being listed and being opened; `appear:NAME` somebody makes it before we do; `rights` no place may be opened for writing. */
#pragma once

#include <windows.h>

LSTATUS fault_RegSetValueExW(HKEY key, LPCWSTR name, DWORD reserved, DWORD type, const BYTE *data, DWORD size_bytes);
LSTATUS fault_RegOpenKeyExW(HKEY key, LPCWSTR name, DWORD options, REGSAM rights, PHKEY ret);
LSTATUS fault_RegCreateKeyExW(HKEY key, LPCWSTR name, DWORD reserved, LPWSTR class_name, DWORD options, REGSAM rights,
                              const LPSECURITY_ATTRIBUTES security, PHKEY ret, LPDWORD ret_disposition);

#ifndef FAULTS_THEMSELVES
#define RegSetValueExW fault_RegSetValueExW
#define RegOpenKeyExW fault_RegOpenKeyExW
#define RegCreateKeyExW fault_RegCreateKeyExW
#endif
