/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a .reg file. What is taken is a good service with a name of its own; it is the same in pieces as in one; and what
 * export writes of it is read again as the same. */

#include <string.h>

#include "config/export.h"
#include "config/import/import.h"
#include "config/import/reg.h"
#include "schema/base/text.h"
#include "schema/codec/record.h"
#include "tests/fuzz/fuzz.h"

typedef struct Taken {
    Buffer text;
    Export *export; /* or NULL */
} Taken;

static int on_service(const ServiceContext *service, const WindowsKey *key, void *userdata)
{
    Taken *taken = userdata;
    Problems problems = {0};
    Buffer json = {0};
    void *again;

    record_write_json(&record_type_ServiceContext, service, RECORD_WRITE_ALL, &json);
    PROMISED(!json.failed && text_is_utf8(json.data, json.size_bytes, NULL));
    PROMISED(record_read_json(&record_type_ServiceContext, json.data, json.size_bytes, &problems, &again) == 0);
    PROMISED(record_equal(&record_type_ServiceContext, service, again));
    record_free(&record_type_ServiceContext, again);
    buffer_append(&taken->text, json.data, json.size_bytes);
    buffer_append_char(&taken->text, '\n');
    buffer_release(&json);
    if (taken->export)
        PROMISED(export_add(taken->export, service) == 0);
    return 0;
}

static void read_bytes(const uint8_t *data, size_t size_bytes, size_t first_bytes, Taken *taken, Problems *problems)
{
    Import import = {.file = "fuzzed.reg", .problems = problems, .on_service = on_service, .userdata = taken};
    RegReader *reader;

    PROMISED(reg_reader_new("fuzzed.reg", import_key, &import, problems, &reader) == 0);
    PROMISED(reg_reader_feed(reader, data, first_bytes) == 0);
    PROMISED(reg_reader_feed(reader, data + first_bytes, size_bytes - first_bytes) == 0);
    PROMISED(reg_reader_finish(reader) == 0);
    reg_reader_free(reader);
    import_release(&import);
    PROMISED(!taken->text.failed && !problems->failed);
}

static void same_text(const Buffer *a, const Buffer *b)
{
    PROMISED(a->size_bytes == b->size_bytes && (a->size_bytes == 0 || memcmp(a->data, b->data, a->size_bytes) == 0));
}

static int keep(const void *bytes, size_t size_bytes, void *userdata)
{
    buffer_append(userdata, bytes, size_bytes);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    Taken whole = {0}, pieces = {0}, back = {0};
    Problems problems = {0}, in_pieces = {0}, exported = {0}, of_back = {0};
    Buffer reg = {0};
    const ExportSink sink = {.write = keep, .userdata = &reg};

    PROMISED(export_open(export_target_find("reg"), &(ExportOptions){0}, &sink, &exported, &whole.export) == 0);
    read_bytes(data, size_bytes, size_bytes, &whole, &problems);
    for (size_t i = 0; i < problems.count; i++) {
        Buffer line = {0};
        PROMISED(problems.items[i].file && problems.items[i].line > 0);
        problem_format(&problems.items[i], &line);
        PROMISED(!line.failed && text_is_utf8(line.data, line.size_bytes, NULL) && !memchr(line.data, '\n', line.size_bytes));
        buffer_release(&line);
    }
    read_bytes(data, size_bytes, size_bytes > 0 ? data[size_bytes / 2] % size_bytes : 0, &pieces, &in_pieces);
    same_text(&whole.text, &pieces.text);
    PROMISED(problems.count == in_pieces.count && problems.errors == in_pieces.errors);

    int r = export_close(whole.export);
    PROMISED(r == 0 || (r == EXPORT_INVALID && exported.errors > 0)); /* ports that Windows does not reach */
    if (r == 0) {
        read_bytes((const uint8_t *)reg.data, reg.size_bytes, 0, &back, &of_back);
        PROMISED(of_back.errors == 0);
        same_text(&whole.text, &back.text);
    }
    export_free(whole.export);
    buffer_release(&whole.text);
    buffer_release(&pieces.text);
    buffer_release(&back.text);
    buffer_release(&reg);
    problems_release(&problems);
    problems_release(&in_pieces);
    problems_release(&exported);
    problems_release(&of_back);
    return 0;
}
