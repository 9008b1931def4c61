/* SPDX-License-Identifier: Apache-2.0 */
/* The text of one file -> its records, each good by itself, or problems with their places. Between files of this room. */
#pragma once

#include "config/load.h"

/* Fills records and record_count of file, whose path is known. LOAD_INVALID: there were problems, and the records are those that
 * are good by themselves. -ENOMEM. */
int document_read(DeclaredFile *file, const char *text, size_t size_bytes, Problems *problems);
void document_records_free(DeclaredRecord *records, size_t count);
/* The same for hvsockd.yaml. */
int document_read_settings(const char *path, const char *text, size_t size_bytes, Problems *problems, Settings **ret);
/* `services` or `machines`: where records of that type stand. */
const char *document_section(const RecordType *type);

/* Looks up places in files that were loaded before; a file is read once for all questions about it that come in a row. */
typedef struct DocumentLocator DocumentLocator;
struct DocumentLocator {
    const DeclaredFile *file;
    YamlTree *tree; /* NULL: it cannot be read any more */
};
void document_locate(DocumentLocator *locator, const DeclaredFile *file, const DeclaredRecord *record, Problems *problems,
                     size_t first);
/* The same of hvsockd.yaml, which is read once more. */
void document_locate_settings(const char *path, Problems *problems, size_t first);
void document_locator_release(DocumentLocator *locator);
