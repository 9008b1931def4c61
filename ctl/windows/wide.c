/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-16 and UTF-8, by Windows' own functions; nothing is kept. */

#include <stdio.h>
#include <wchar.h>
#include <windows.h>

#include "ctl/windows/wide.h"

wchar_t *wide_from_text(const char *text)
{
    int size = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *wide = size > 0 ? malloc((size_t)size * sizeof(*wide)) : NULL;

    if (wide)
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, size);
    return wide;
}

char *wide_to_text(const wchar_t *wide, size_t units)
{
    int size = units == 0 ? 0 : WideCharToMultiByte(CP_UTF8, 0, wide, (int)units, NULL, 0, NULL, NULL);
    char *text = malloc((size_t)size + 1);

    if (!text)
        return NULL;
    if (size > 0)
        WideCharToMultiByte(CP_UTF8, 0, wide, (int)units, text, size, NULL, NULL);
    text[size] = '\0';
    return text;
}

char *wide_error_text(uint32_t error)
{
    wchar_t wide[512];
    DWORD size = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, error, 0, wide,
                                ELEMENTS_OF(wide), NULL);

    while (size > 0 && wcschr(L"\r\n. ", wide[size - 1]))
        size--;
    for (DWORD i = 0; i < size; i++)
        if (wide[i] < L' ')
            wide[i] = L' ';
    if (size == 0)
        size = (DWORD)swprintf(wide, ELEMENTS_OF(wide), L"error %lu", (unsigned long)error);
    return wide_to_text(wide, size);
}
