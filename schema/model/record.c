/* SPDX-License-Identifier: Apache-2.0 */
/* Records of any RecordType: making, freeing, copying and comparing them, field by field of the table. */

#include <errno.h>
#include <string.h>

#include "schema/model/record.h"

void *record_new(const RecordType *type)
{
    return calloc(1, type->size_bytes);
}

static void field_release(const Field *field, void *member)
{
    switch (field->kind) {
    case FIELD_TEXT:
        free(*(char **)member);
        break;
    case FIELD_TEXTS:
    case FIELD_MAP:
        text_list_free(*(char ***)member);
        break;
    case FIELD_RECORD:
        record_free(field->record, *(void **)member);
        break;
    case FIELD_RECORDS: {
        void **records = *(void ***)member;
        for (size_t i = 0; records && records[i]; i++)
            record_free(field->record, records[i]);
        free(records);
        break;
    }
    case FIELD_NUMBER:
    case FIELD_CHOICE:
    case FIELD_WORD:
        break;
    }
}

void record_free(const RecordType *type, void *record)
{
    if (!record)
        return;
    for (size_t i = 0; i < type->field_count; i++)
        field_release(&type->fields[i], field_in(&type->fields[i], record));
    free(record);
}

static int records_copy(const RecordType *type, void *const *records, void ***ret)
{
    size_t count = 0;

    while (records[count])
        count++;
    void **copy = calloc(count + 1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *ret = copy; /* the record that it becomes a part of frees it, also half built */
    for (size_t i = 0; i < count; i++) {
        int r = record_copy(type, records[i], &copy[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* target is absent; what was copied when it fails belongs to the target all the same. */
static int field_copy(const Field *field, const void *member, void *target)
{
    switch (field->kind) {
    case FIELD_TEXT: {
        const char *text = *(char *const *)member;
        if (!text)
            return 0;
        *(char **)target = strdup(text);
        return *(char **)target ? 0 : -ENOMEM;
    }
    case FIELD_NUMBER:
        *(Number *)target = *(const Number *)member;
        return 0;
    case FIELD_CHOICE:
    case FIELD_WORD:
        *(uint8_t *)target = *(const uint8_t *)member;
        return 0;
    case FIELD_TEXTS:
    case FIELD_MAP:
        return text_list_copy(*(char **const *)member, target);
    case FIELD_RECORD: {
        const void *record = *(void *const *)member;
        return record ? record_copy(field->record, record, target) : 0;
    }
    case FIELD_RECORDS: {
        void *const *records = *(void **const *)member;
        return records ? records_copy(field->record, records, target) : 0;
    }
    }
    return 0;
}

int record_copy(const RecordType *type, const void *record, void **ret)
{
    void *copy = record_new(type);

    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        int r = field_copy(field, field_of(field, record), field_in(field, copy));
        if (r < 0) {
            record_free(type, copy);
            return r;
        }
    }
    *ret = copy;
    return 0;
}

static bool records_equal(const RecordType *type, void *const *a, void *const *b)
{
    if (!a || !b)
        return a == b;
    for (size_t i = 0;; i++) {
        if (!a[i] || !b[i])
            return a[i] == b[i];
        if (!record_equal(type, a[i], b[i]))
            return false;
    }
}

static bool field_equal(const Field *field, const void *a, const void *b)
{
    switch (field->kind) {
    case FIELD_TEXT:
        return text_equal(*(char *const *)a, *(char *const *)b);
    case FIELD_NUMBER: {
        const Number *x = a, *y = b;
        return x->set == y->set && (!x->set || x->value == y->value);
    }
    case FIELD_CHOICE:
    case FIELD_WORD:
        return *(const uint8_t *)a == *(const uint8_t *)b;
    case FIELD_TEXTS:
    case FIELD_MAP:
        return text_list_equal(*(char **const *)a, *(char **const *)b);
    case FIELD_RECORD: {
        const void *x = *(void *const *)a, *y = *(void *const *)b;
        return x && y ? record_equal(field->record, x, y) : x == y;
    }
    case FIELD_RECORDS:
        return records_equal(field->record, *(void **const *)a, *(void **const *)b);
    }
    return false;
}

bool record_equal(const RecordType *type, const void *a, const void *b)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        if (!field_equal(field, field_of(field, a), field_of(field, b)))
            return false;
    }
    return true;
}

int record_differences(const RecordType *type, const void *a, const void *b, char ***ret_fields)
{
    _cleanup_(text_list_freep) char **fields = calloc(1, sizeof(*fields));

    if (!fields)
        return -ENOMEM;
    for (size_t i = 0; i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        if (field_equal(field, field_of(field, a), field_of(field, b)))
            continue;
        int r = text_list_append(&fields, field->name);
        if (r < 0)
            return r;
    }
    *ret_fields = TAKE_PTR(fields);
    return 0;
}

bool field_is_absent(const Field *field, const void *record)
{
    const void *member = field_of(field, record);

    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_TEXTS:
    case FIELD_MAP:
    case FIELD_RECORD:
    case FIELD_RECORDS:
        return *(void *const *)member == NULL;
    case FIELD_NUMBER:
        return !((const Number *)member)->set;
    case FIELD_CHOICE:
    case FIELD_WORD:
        return *(const uint8_t *)member == 0;
    }
    return true;
}

const Field *record_find_field(const RecordType *type, const char *name)
{
    for (size_t i = 0; i < type->field_count; i++)
        if (strcmp(type->fields[i].name, name) == 0)
            return &type->fields[i];
    return NULL;
}
