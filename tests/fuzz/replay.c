/* SPDX-License-Identifier: Apache-2.0 */
/* main of a fuzzer without libFuzzer: replays the files of some folders, and is silent as long as all promises hold. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/fd.h"
#include "tests/fuzz/fuzz.h"

static int replay_folder(const char *path, size_t *count)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int r = 0;

    if (!folder) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    while (r == 0 && (entry = readdir(folder))) {
        struct stat status;
        char *text;
        size_t size_bytes;
        if (fstatat(dirfd(folder), entry->d_name, &status, 0) < 0 || !S_ISREG(status.st_mode))
            continue;
        r = file_read(dirfd(folder), entry->d_name, 1 << 20, &text, &size_bytes);
        if (r < 0)
            break;
        /* exactly as large as the input, so that a sanitizer sees who reads on */
        uint8_t *data = malloc(size_bytes ? size_bytes : 1);
        PROMISED(data);
        memcpy(data, text, size_bytes);
        free(text);
        fprintf(stderr, "%s/%s\n", path, entry->d_name);
        LLVMFuzzerTestOneInput(data, size_bytes);
        free(data);
        (*count)++;
    }
    closedir(folder);
    return r;
}

int main(int argc, char *argv[])
{
    size_t count = 0;

    for (int i = 1; i < argc; i++)
        if (replay_folder(argv[i], &count) < 0)
            return 1;
    printf("%zu\n", count);
    return count > 0 ? 0 : 1;
}
