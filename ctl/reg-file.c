/* SPDX-License-Identifier: Apache-2.0 */
/* .reg files: the bytes of one, in pieces, to their reader. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/reg-file.h"

int reg_file_read(const char *path, RegOnKey on_key, void *userdata, Problems *problems)
{
    _cleanup_(reg_reader_freep) RegReader *reader = NULL;
    bool is_stdin = strcmp(path, "-") == 0;
    static char bytes[1 << 16];
    size_t size;

    int r = reg_reader_new(is_stdin ? "stdin" : path, on_key, userdata, problems, &reader);
    if (r < 0)
        return r;
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    if (!file)
        return -errno;
    setvbuf(file, NULL, _IONBF, 0);
    while (r == 0 && (errno = 0, size = fread(bytes, 1, sizeof(bytes), file)) > 0)
        r = reg_reader_feed(reader, bytes, size);
    if (r == 0 && ferror(file))
        r = errno ? -errno : -EIO;
    if (r == 0)
        r = reg_reader_finish(reader);
    if (!is_stdin)
        fclose(file);
    return r;
}

static int on_key(const WindowsKey *key, void *userdata)
{
    return windows_keys_add(userdata, key);
}

int reg_file_keys(const char *path, Problems *problems, WindowsKeys *ret)
{
    return reg_file_read(path, on_key, ret, problems);
}
