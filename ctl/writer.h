/* SPDX-License-Identifier: Apache-2.0 */
/* What a verb writes, all or nothing: to stdout once all of it is there, or to a file or a folder's files that take the place of
 * what was there, never in part. What is written waits in memory, and where it is more than a little, in a file without a name. */
#pragma once

#include <stdio.h>

#include "schema/base/buffer.h"
#include "schema/base/text.h"

typedef struct Writer Writer;

struct Writer {
    const char *path; /* NULL: stdout */
    bool folder;
    FILE *file;       /* written so far; NULL: it is in text */
    Buffer text;
    TextList made;    /* of a folder and of a file that is replaced: new file, its place, … */
};

/* path: NULL for stdout. folder: path is one, and is made where it is not there. 0; -errno. */
int writer_open(const char *path, bool folder, Writer *ret);
/* Both have an ExportSink's form; userdata: the Writer. */
int writer_write(const void *bytes, size_t size_bytes, void *writer);
int writer_file(const char *name, void *writer);
/* Now it is there, on the disk too. */
int writer_commit(Writer *writer);
/* What was not committed leaves nothing behind. */
void writer_release(Writer *writer);
