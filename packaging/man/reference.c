/* SPDX-License-Identifier: Apache-2.0 */
/* Makes hvsockd.yaml(5) while the programs are built: copies a template from stdin to stdout, and puts in the place of a
 * line `@RECORD@` the reference of that record's fields, and of `@transports@` the forms of an address. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/codec/record.h"
#include "schema/model/address.h"

static const struct {
    const char *line;
    const RecordType *type;
} references[] = {
    {"@services@\n", &record_type_Document},
    {"@settings@\n", &record_type_Settings},
};

/* mdoc wants each sentence on a line of its own. */
static void write_sentences(const char *sentences, Buffer *text)
{
    for (const char *end; (end = strstr(sentences, ". ")); sentences = end + 2) {
        buffer_append(text, sentences, (size_t)(end - sentences) + 1);
        buffer_append_char(text, '\n');
    }
    buffer_append_text(text, sentences);
    buffer_append_char(text, '\n');
}

static void write_transports(Buffer *text)
{
    for (const Transport *const *transport = transports; *transport; transport++) {
        buffer_printf(text, ".It Cm %s\n", (*transport)->syntax);
        write_sentences((*transport)->help, text);
    }
}

static void write_line(const char *line, Buffer *text)
{
    for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++)
        if (!strcmp(line, references[i].line)) {
            record_write_manual(references[i].type, text);
            return;
        }
    if (!strcmp(line, "@transports@\n"))
        write_transports(text);
    else
        buffer_append_text(text, line);
}

int main(void)
{
    Buffer text = {0};
    char *line = NULL;
    size_t capacity_bytes = 0;

    while (getline(&line, &capacity_bytes, stdin) > 0)
        write_line(line, &text);
    free(line);
    if (text.failed || fwrite(text.data, 1, text.size_bytes, stdout) != text.size_bytes || fflush(stdout)) {
        fprintf(stderr, "reference: the manual could not be written: %s\n", strerror(text.failed ? ENOMEM : errno));
        return 1;
    }
    buffer_release(&text);
    return 0;
}
