/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of hcsdiag.exe and wsl.exe, which Wine does not have: prints the file that lies beside it, NAME.txt. */

#include <stdio.h>
#include <string.h>
#include <windows.h>

int main(void)
{
    char path[MAX_PATH], bytes[4096];
    DWORD size = GetModuleFileNameA(NULL, path, sizeof(path));
    size_t got;

    if (size < 4 || size >= sizeof(path))
        return 1;
    memcpy(path + size - 4, ".txt", 5);
    FILE *file = (fopen)(path, "rb");
    while (file && (got = fread(bytes, 1, sizeof(bytes), file)) > 0)
        fwrite(bytes, 1, got, stdout);
    fflush(stdout);
    if (!file)
        Sleep(INFINITE); /* one that hangs */
    return 0;
}
