/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a file of services.d. What is refused was told, with a place; what is taken is written as YAML and as JSON, and
 * read again as the same. */

#include <string.h>

#include "config/document.h"
#include "tests/fuzz/fuzz.h"

static void again_as_yaml(const DeclaredRecord *record)
{
    Buffer text = {0};
    Problems problems = {0};
    YamlTree *tree;
    void *again;

    PROMISED(yaml_write_record(record->type, record->record, RECORD_WRITE_ALL, &text) == 0);
    PROMISED(yaml_read("written", text.data, text.size_bytes, &problems, &tree) == 0);
    PROMISED(yaml_tree_count(tree) == 1);
    PROMISED(record_read(record->type, yaml_tree_document(tree, 0), &problems, &again) == 0);
    PROMISED(record_equal(record->type, record->record, again));
    record_free(record->type, again);
    yaml_tree_free(tree);
    buffer_release(&text);
}

static void again_as_json(const DeclaredRecord *record)
{
    Buffer text = {0};
    Problems problems = {0};
    void *again;

    record_write_json(record->type, record->record, RECORD_WRITE_ALL, &text);
    PROMISED(!text.failed);
    PROMISED(record_read_json(record->type, text.data, text.size_bytes, &problems, &again) == 0);
    PROMISED(record_equal(record->type, record->record, again));
    record_free(record->type, again);
    buffer_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    char path[] = "fuzzed.yaml";
    DeclaredFile file = {.path = path};
    Problems problems = {0};
    int r = document_read(&file, (const char *)data, size_bytes, &problems);

    PROMISED(r == 0 || r == LOAD_INVALID);
    PROMISED((r == LOAD_INVALID) == (problems.errors > 0));
    for (size_t i = 0; i < problems.count; i++) {
        Buffer line = {0};
        PROMISED(problems.items[i].file && strcmp(problems.items[i].file, path) == 0);
        PROMISED(problems.items[i].line > 0 && problems.items[i].column > 0);
        problem_format(&problems.items[i], &line);
        PROMISED(!line.failed && text_is_utf8(line.data, line.size_bytes, NULL) && !memchr(line.data, '\n', line.size_bytes));
        buffer_release(&line);
    }
    for (size_t i = 0; i < file.record_count; i++) {
        PROMISED(file.records[i].line > 0 && file.records[i].column > 0);
        again_as_yaml(&file.records[i]);
        again_as_json(&file.records[i]);
    }
    document_records_free(file.records, file.record_count);
    problems_release(&problems);
    return 0;
}
