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

/* Validates a record; its problems get the path that it has in its document. */
static int validate_at(const RecordType *type, void *record, const char *section, size_t index, Problems *problems)
{
    char prefix[64];
    size_t first = problems->count;
    int r = record_validate(type, record, problems);

    snprintf(prefix, sizeof(prefix), "%s[%zu]", section, index);
    problems_prefix(problems, first, prefix);
    return r;
}

const char *document_section(const RecordType *type)
{
    for (size_t i = 0; i < record_type_Document.field_count; i++)
        if (record_type_Document.fields[i].record == type)
            return record_type_Document.fields[i].name;
    return "";
}

/* Takes the records of one section out of their document. */
static int take_records(DeclaredFile *file, Value root, unsigned number, const Field *field, Document *document,
                        Problems *problems)
{
    void ***section = field_in(field, document), **records = *section;
    size_t count = 0;

    if (!records)
        return 0;
    for (; records[count]; count++) {
        int r = validate_at(field->record, records[count], field->name, count, problems);
        if (r < 0)
            return r;
    }
    DeclaredRecord *larger = reallocarray(file->records, file->record_count + count + 1, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    file->records = larger;
    for (size_t i = 0; i < count; i++) {
        char path[64];
        DeclaredRecord *record = &file->records[file->record_count++];
        *record = (DeclaredRecord){.type = field->record, .record = records[i], .index = (unsigned)i, .document = number};
        snprintf(path, sizeof(path), "%s[%zu]", field->name, i);
        Value value = value_find(root, path);
        value.ops->where(value.node, false, &record->line, &record->column);
    }
    free(records);
    *section = NULL;
    return 0;
}

/* Where some fields could not be read, the records that could be are checked nevertheless: all errors in one go. */
static int validate_readable(Value section, const Field *field, Problems *problems)
{
    size_t count = section.ops->kind(section.node) == VALUE_ARRAY ? section.ops->count(section.node) : 0;

    for (size_t i = 0; i < count; i++) {
        void *record;
        Problems ignored = {0}; /* told already, when the whole document was read */
        Value value = {section.ops, section.ops->element(section.node, i)};
        int r = record_read(field->record, value, &ignored, &record);
        problems_release(&ignored);
        if (r < 0)
            return r;
        if (r > 0)
            continue;
        r = validate_at(field->record, record, field->name, i, problems);
        record_free(field->record, record);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_invalid_document(Value root, Problems *problems)
{
    const void *iterator = NULL, *value;
    const char *key;

    if (root.ops->kind(root.node) != VALUE_OBJECT)
        return 0;
    while (root.ops->member(root.node, &iterator, &key, &value)) {
        const Field *field = record_find_field(&record_type_Document, key);
        int r = field ? validate_readable((Value){root.ops, value}, field, problems) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_document(DeclaredFile *file, Value root, unsigned number, Problems *problems)
{
    size_t first = problems->count;
    void *read;

    if (root.ops->kind(root.node) == VALUE_NULL)
        return 0;
    int r = record_read(&record_type_Document, root, problems, &read);
    if (r > 0)
        r = read_invalid_document(root, problems);
    else if (r == 0) {
        _cleanup_(document_freep) Document *document = read;
        for (size_t i = 0; r == 0 && i < record_type_Document.field_count; i++) {
            const Field *field = &record_type_Document.fields[i];
            r = take_records(file, root, number, field, document, problems);
        }
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

void document_locator_release(DocumentLocator *locator)
{
    yaml_tree_free(locator->tree);
    *locator = (DocumentLocator){0};
}
