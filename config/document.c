/* SPDX-License-Identifier: Apache-2.0 */
/* One file of services and machines: tree -> Document by the field table -> records, which are checked one by one. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "config/document.h"
#include "schema/base/fd.h"
#include "schema/model/service.h"

static int record_validate(const RecordType *type, void *record, Problems *problems)
{
    if (type == &record_type_ServiceContext)
        return service_validate(record, problems);
    return machine_validate(record, problems);
}

const char *document_section(const RecordType *type)
{
    for (size_t i = 0; i < record_type_Document.field_count; i++)
        if (record_type_Document.fields[i].record == type)
            return record_type_Document.fields[i].name;
    return "";
}

/* Checks one record and, where it is good, adds it to its file; takes it over in any case. */
static int file_add_consume(DeclaredFile *file, Value value, DeclaredRecord record, Problems *problems)
{
    char prefix[64];
    size_t first = problems->count, errors = problems->errors;
    int r = record_validate(record.type, record.record, problems);

    snprintf(prefix, sizeof(prefix), "%s[%u]", document_section(record.type), record.index);
    problems_prefix(problems, first, prefix);
    if (r == 0 && problems->errors == errors && (file->record_count & (file->record_count - 1)) == 0) {
        size_t capacity = file->record_count ? file->record_count * 2 : 1;
        DeclaredRecord *records = reallocarray(file->records, capacity, sizeof(*records));
        if (records)
            file->records = records;
        else
            r = -ENOMEM;
    }
    if (r < 0 || problems->errors > errors) {
        record_free(record.type, record.record);
        return r;
    }
    value.ops->where(value.node, false, &record.line, &record.column);
    file->records[file->record_count++] = record;
    return 0;
}

/* The records of `services:` or `machines:` out of a document that was read. */
static int take_section(DeclaredFile *file, Value section, const Field *field, unsigned number, Document *document,
                        Problems *problems)
{
    void ***records = field_in(field, document);
    int r = 0;

    for (size_t i = 0; *records && (*records)[i]; i++) {
        DeclaredRecord record = {.type = field->record, .record = (*records)[i], .index = (unsigned)i, .document = number};
        Value value = {section.ops, section.ops->element(section.node, i)};
        if (r == 0)
            r = file_add_consume(file, value, record, problems);
        else
            record_free(record.type, record.record);
    }
    free(*records);
    *records = NULL;
    return r;
}

/* The same where the document as a whole could not be read: those records that can be, so that all that is wrong with them
 * and between them is told in one go. */
static int read_section(DeclaredFile *file, Value section, const Field *field, unsigned number, Problems *problems)
{
    size_t count = section.ops->kind(section.node) == VALUE_ARRAY ? section.ops->count(section.node) : 0;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < count; i++) {
        DeclaredRecord record = {.type = field->record, .index = (unsigned)i, .document = number};
        Problems ignored = {0}; /* told already, when the whole document was read */
        Value value = {section.ops, section.ops->element(section.node, i)};
        r = record_read(field->record, value, &ignored, &record.record);
        problems_release(&ignored);
        if (r == 0)
            r = file_add_consume(file, value, record, problems);
    }
    return r < 0 ? r : 0;
}

static int read_document(DeclaredFile *file, Value root, unsigned number, Problems *problems)
{
    _cleanup_(document_freep) Document *document = NULL;
    size_t first = problems->count;
    const void *iterator = NULL, *section;
    const char *key;
    void *read;

    if (root.ops->kind(root.node) == VALUE_NULL)
        return 0;
    int r = record_read(&record_type_Document, root, problems, &read);
    if (r < 0)
        return r;
    if (r == 0)
        document = read;
    for (r = 0; r == 0 && root.ops->kind(root.node) == VALUE_OBJECT && root.ops->member(root.node, &iterator, &key, &section);) {
        const Field *field = record_find_field(&record_type_Document, key);
        if (field && document)
            r = take_section(file, (Value){root.ops, section}, field, number, document, problems);
        else if (field)
            r = read_section(file, (Value){root.ops, section}, field, number, problems);
    }
    yaml_locate(file->path, root, problems, first);
    return r;
}

int document_read(DeclaredFile *file, const char *text, size_t size_bytes, Problems *problems)
{
    _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;
    size_t errors = problems->errors;
    int r = yaml_read_with_problems(file->path, text, size_bytes, problems, &tree);

    if (r != 0)
        return r < 0 ? r : LOAD_INVALID;
    for (size_t i = 0; r == 0 && i < yaml_tree_count(tree); i++)
        r = read_document(file, yaml_tree_document(tree, i), (unsigned)i, problems);
    if (r < 0 || problems->failed)
        return -ENOMEM;
    return problems->errors > errors ? LOAD_INVALID : 0;
}

void document_records_free(DeclaredRecord *records, size_t count)
{
    for (size_t i = 0; i < count; i++)
        record_free(records[i].type, records[i].record);
    free(records);
}

static int read_settings(const char *path, const YamlTree *tree, Problems *problems, Settings **ret)
{
    size_t first = problems->count;
    _cleanup_(settings_freep) Settings *settings = NULL;
    void *read;
    Value root = yaml_tree_count(tree) > 0 ? yaml_tree_document(tree, 0) : (Value){0};

    if (yaml_tree_count(tree) > 1) {
        unsigned line, column;
        Value second = yaml_tree_document(tree, 1);
        second.ops->where(second.node, false, &line, &column);
        problem_locate(problems_add(problems, NULL, "write all settings in one document", "a second document (`---`) begins here"),
                       path, line, column);
    }
    if (!root.ops || root.ops->kind(root.node) == VALUE_NULL) {
        settings = record_new(&record_type_Settings);
        if (!settings)
            return -ENOMEM;
    } else {
        int r = record_read(&record_type_Settings, root, problems, &read);
        if (r == 0) {
            settings = read;
            r = settings_validate(settings, problems);
        }
        yaml_locate(path, root, problems, first);
        if (r != 0)
            return r < 0 ? r : LOAD_INVALID;
    }
    *ret = TAKE_PTR(settings);
    return 0;
}

int document_read_settings(const char *path, const char *text, size_t size_bytes, Problems *problems, Settings **ret)
{
    _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;
    _cleanup_(settings_freep) Settings *settings = NULL;
    size_t errors = problems->errors;
    int r = yaml_read_with_problems(path, text, size_bytes, problems, &tree);

    if (r == 0)
        r = read_settings(path, tree, problems, &settings);
    if (r < 0 || problems->failed)
        return -ENOMEM;
    if (r > 0 || problems->errors > errors)
        return LOAD_INVALID;
    *ret = TAKE_PTR(settings);
    return 0;
}

/* ---- places, later ---- */

static YamlTree *tree_again(const char *path)
{
    Problems ignored = {0};
    _cleanup_(freep) char *text = NULL;
    size_t size_bytes;
    YamlTree *tree = NULL;

    if (file_read(AT_FDCWD, path, YAML_FILE_MAX_BYTES, &text, &size_bytes) < 0)
        return NULL;
    if (yaml_read_with_problems(path, text, size_bytes, &ignored, &tree) != 0)
        tree = NULL;
    problems_release(&ignored);
    return tree;
}

void document_locate(DocumentLocator *locator, const DeclaredFile *file, const DeclaredRecord *record, Problems *problems,
                     size_t first)
{
    char prefix[64];

    if (locator->file != file) {
        document_locator_release(locator);
        locator->tree = tree_again(file->path);
        locator->file = file;
    }
    snprintf(prefix, sizeof(prefix), "%s[%u]", document_section(record->type), record->index);
    problems_prefix(problems, first, prefix);
    if (locator->tree && record->document < yaml_tree_count(locator->tree))
        yaml_locate(file->path, yaml_tree_document(locator->tree, record->document), problems, first);
    for (size_t i = first; i < problems->count; i++)
        if (problems->items[i].line == 0)
            problem_locate(&problems->items[i], file->path, record->line, record->column);
}

void document_locate_settings(const char *path, Problems *problems, size_t first)
{
    _cleanup_(yaml_tree_freep) YamlTree *tree = tree_again(path);

    if (tree && yaml_tree_count(tree) > 0)
        yaml_locate(path, yaml_tree_document(tree, 0), problems, first);
    for (size_t i = first; i < problems->count; i++)
        if (problems->items[i].line == 0)
            problem_locate(&problems->items[i], path, 0, 0);
}

void document_locator_release(DocumentLocator *locator)
{
    yaml_tree_free(locator->tree);
    *locator = (DocumentLocator){0};
}
