/* SPDX-License-Identifier: Apache-2.0 */
/* Output that is there as a whole or not at all; a Writer lives as long as its verb runs. All of it waits in memory, or, of a
 * folder's files, beside what they will be. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/writer.h"

int writer_open(const char *path, bool folder, Writer *ret)
{
    struct stat status;

    if (folder && mkdir(path, 0777) < 0 && errno != EEXIST)
        return -errno;
    bool is_folder = path && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    if (path && is_folder != folder)
        return folder ? -ENOTDIR : -EISDIR;
    *ret = (Writer){.path = path, .folder = folder};
    return 0;
}

int writer_write(const void *bytes, size_t size_bytes, void *userdata)
{
    Writer *writer = userdata;

    if (writer->file)
        return fwrite(bytes, 1, size_bytes, writer->file) != size_bytes ? -errno : 0;
    buffer_append(&writer->text, bytes, size_bytes);
    return writer->text.failed ? -ENOMEM : 0;
}

static int close_file(Writer *writer)
{
    FILE *file = TAKE_PTR(writer->file);

    if (!file)
        return 0;
    int r = fflush(file) == EOF || fsync(fileno(file)) < 0 ? -errno : 0;
    if (fclose(file) == EOF && r == 0)
        r = -errno;
    return r;
}

/* A new file beside the one that it will be. */
static int make(Writer *writer, const char *path)
{
    _cleanup_(freep) char *made = NULL;

    if (asprintf(&made, "%s.%d.new", path, getpid()) < 0)
        return -ENOMEM;
    writer->file = fopen(made, "wb");
    if (!writer->file)
        return -errno;
    int r = text_list_append(&writer->made, made);
    return r < 0 ? r : text_list_append(&writer->made, path);
}

int writer_file(const char *name, void *userdata)
{
    Writer *writer = userdata;
    _cleanup_(freep) char *path = NULL;

    if (!writer->folder)
        return 0;
    int r = close_file(writer);
    if (r < 0)
        return r;
    return asprintf(&path, "%s/%s", writer->path, name) < 0 ? -ENOMEM : make(writer, path);
}

int writer_commit(Writer *writer)
{
    const Buffer *text = &writer->text;
    int r = 0;

    if (!writer->path)
        return fwrite(text->data, 1, text->size_bytes, stdout) != text->size_bytes ? -errno : 0;
    if (!writer->folder) {
        r = make(writer, writer->path);
        if (r == 0 && fwrite(text->data, 1, text->size_bytes, writer->file) != text->size_bytes)
            r = -errno;
    }
    if (r == 0)
        r = close_file(writer);
    for (size_t i = 0; r == 0 && writer->made && writer->made[i]; i += 2) {
        if (rename(writer->made[i], writer->made[i + 1]) < 0)
            r = -errno;
        else
            writer->made[i][0] = '\0';
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
