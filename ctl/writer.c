/* SPDX-License-Identifier: Apache-2.0 */
/* Output that is there as a whole or not at all; a Writer lives as long as its verb runs. rename(2), fsync(2). */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/writer.h"

#define WRITER_TEXT_BYTES (1u << 20)

/* What is there is replaced: not devices and pipes, which are written to. */
static bool writer_replaces(const char *path)
{
    struct stat status;

    return stat(path, &status) < 0 || S_ISREG(status.st_mode);
}

/* A new file beside the one that it will be. */
static int writer_make(Writer *writer, const char *path)
{
    _cleanup_(freep) char *made = NULL, *real = realpath(path, NULL);
    const char *place = real ? real : path;
    struct stat status;
    mode_t mask = umask(0);

    umask(mask);
    if (asprintf(&made, "%s.XXXXXX", place) < 0)
        return -ENOMEM;
    int fd = mkostemp(made, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* As the file that it replaces, else as any new file. */
    mode_t mode = stat(place, &status) == 0 ? status.st_mode & 0777 : 0666 & ~mask;
    int r = fchmod(fd, mode) < 0 ? -errno : 0;
    if (r == 0)
        r = text_list_append(&writer->made, made);
    if (r == 0) {
        r = text_list_append(&writer->made, place);
        writer->file = r == 0 ? fdopen(fd, "wb") : NULL;
    } else {
        unlink(made);
    }
    if (!writer->file) {
        close(fd);
        return r < 0 ? r : -ENOMEM;
    }
    return 0;
}

int writer_open(const char *path, bool folder, Writer *ret)
{
    Writer writer = {.path = path, .folder = folder};
    struct stat status;
    int r = 0;

    if (folder) {
        if (mkdir(path, 0777) < 0 && errno != EEXIST)
            return -errno;
        if (stat(path, &status) < 0)
            return -errno;
        if (!S_ISDIR(status.st_mode))
            return -ENOTDIR;
    } else if (path && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        return -EISDIR;
    } else if (path && writer_replaces(path)) {
        r = writer_make(&writer, path);
    }
    if (r < 0) {
        writer_release(&writer);
        return r;
    }
    *ret = writer;
    return 0;
}

int writer_write(const void *bytes, size_t size_bytes, void *userdata)
{
    Writer *writer = userdata;

    if (!writer->file && writer->text.size_bytes + size_bytes > WRITER_TEXT_BYTES) {
        writer->file = tmpfile();
        if (!writer->file)
            return -errno;
        if (writer->text.size_bytes > 0 &&
            fwrite(writer->text.data, 1, writer->text.size_bytes, writer->file) != writer->text.size_bytes)
            return -errno;
        buffer_release(&writer->text);
    }
    if (!writer->file) {
        buffer_append(&writer->text, bytes, size_bytes);
        return writer->text.failed ? -ENOMEM : 0;
    }
    return fwrite(bytes, 1, size_bytes, writer->file) != size_bytes ? -errno : 0;
}

/* The file that was written is on the disk, under its new name. */
static int writer_close_file(Writer *writer)
{
    FILE *file = TAKE_PTR(writer->file);

    if (!file)
        return 0;
    int r = fflush(file) == EOF || fsync(fileno(file)) < 0 ? -errno : 0;
    if (fclose(file) == EOF && r == 0)
        r = -errno;
    return r;
}

int writer_file(const char *name, void *userdata)
{
    Writer *writer = userdata;
    _cleanup_(freep) char *path = NULL;

    if (!writer->folder)
        return 0;
    int r = writer_close_file(writer);
    if (r < 0)
        return r;
    if (asprintf(&path, "%s/%s", writer->path, name) < 0)
        return -ENOMEM;
    return writer_make(writer, path);
}

static int copy_to(Writer *writer, FILE *to)
{
    char bytes[1 << 16];
    size_t size;

    if (!writer->file)
        return writer->text.size_bytes > 0 && fwrite(writer->text.data, 1, writer->text.size_bytes, to) != writer->text.size_bytes
                   ? -errno
                   : 0;
    rewind(writer->file);
    while ((size = fread(bytes, 1, sizeof(bytes), writer->file)) > 0)
        if (fwrite(bytes, 1, size, to) != size)
            return -errno;
    return ferror(writer->file) ? -EIO : 0;
}

static void sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_(freep) char *folder = !slash ? strdup(".") : strndup(path, slash > path ? (size_t)(slash - path) : 1);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

int writer_commit(Writer *writer)
{
    if (!writer->folder && !writer->made) {
        FILE *to = writer->path ? fopen(writer->path, "wbe") : stdout;
        int r = to ? copy_to(writer, to) : -errno;
        if (to && to != stdout && fclose(to) == EOF && r == 0)
            r = -errno;
        return r;
    }
    int r = writer_close_file(writer);
    for (size_t i = 0; r == 0 && writer->made && writer->made[i]; i += 2) {
        if (rename(writer->made[i], writer->made[i + 1]) < 0)
            r = -errno;
        else
            writer->made[i][0] = '\0';
        if (r == 0 && !writer->made[i + 2])
            sync_folder_of(writer->made[i + 1]);
    }
    return r;
}

void writer_release(Writer *writer)
{
    if (writer->file)
        fclose(writer->file);
    for (size_t i = 0; writer->made && writer->made[i] && writer->made[i + 1]; i += 2)
        if (writer->made[i][0])
            unlink(writer->made[i]);
    text_list_free(writer->made);
    buffer_release(&writer->text);
    *writer = (Writer){0};
}
