/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of values into a record, by the table of fields: the one way in for YAML and JSON. Everything that is wrong is
 * told, with its path; a record exists afterwards only where nothing was. A Reader lives for one read. */

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "schema/codec/complain.h"
#include "schema/codec/record.h"
#include "schema/codec/value-quick.h"

static bool read_record(Reader *reader, const Place *place, const RecordType *type, Value value, void *record);

static ValueKind kind_of(Value value)
{
    return value.ops->kind(value.node);
}

static bool out_of_memory(Reader *reader)
{
    reader->failed = true;
    return false;
}

static bool read_text(Reader *reader, const Place *place, const Field *field, const Format *format, bool bounded,
                      Value value, char **ret)
{
    ValueKind kind = kind_of(value);

    if (kind != VALUE_TEXT && kind != VALUE_PLAIN)
        return complain_kind(reader, place, field, value);
    const char *text = value.ops->text(value.node);
    if (!complain_text(reader, place, field, format, bounded, text))
        return false;
    *ret = strdup(text);
    return *ret ? true : out_of_memory(reader);
}

static bool read_number(Reader *reader, const Place *place, const Field *field, Value value, Number *ret)
{
    ValueKind kind = kind_of(value);
    uint64_t number;

    if (kind == VALUE_INTEGER) {
        int64_t integer = value.ops->integer(value.node);
        if (integer < field->min || integer > field->max)
            return complain_bound(reader, place, field, value);
        number = (uint64_t)integer;
    } else if (kind == VALUE_PLAIN) {
        if (!text_to_number(value.ops->text(value.node), UINT64_MAX, &number))
            return complain_kind(reader, place, field, value);
        if (number < (uint64_t)field->min || number > (uint64_t)field->max)
            return complain_bound(reader, place, field, value);
    } else {
        return complain_kind(reader, place, field, value);
    }
    *ret = (Number){.value = (uint32_t)number, .set = true};
    return true;
}

static bool read_choice(Reader *reader, const Place *place, const Field *field, Value value, Choice *ret)
{
    ValueKind kind = kind_of(value);

    if (kind == VALUE_BOOLEAN) {
        *ret = value.ops->boolean(value.node) ? YES : NO;
        return true;
    }
    if (kind == VALUE_PLAIN) {
        const char *text = value.ops->text(value.node);
        *ret = strcmp(text, "true") == 0 ? YES : strcmp(text, "false") == 0 ? NO : UNSET;
        if (*ret != UNSET)
            return true;
    }
    return complain_kind(reader, place, field, value);
}

static bool read_word(Reader *reader, const Place *place, const Field *field, Value value, uint8_t *ret)
{
    ValueKind kind = kind_of(value);

    if (kind == VALUE_TEXT || kind == VALUE_PLAIN) {
        const char *text = value.ops->text(value.node);
        for (size_t i = 0; field->words[i]; i++)
            if (strcmp(text, field->words[i]) == 0) {
                *ret = (uint8_t)(i + 1);
                return true;
            }
    }
    return complain_kind(reader, place, field, value);
}

/* How many there may be. */
static bool read_count(Reader *reader, const Place *place, const Field *field, Value value, size_t *ret)
{
    *ret = value.ops->count(value.node);
    if ((field->max > 0 && *ret > (uint64_t)field->max) || *ret < (uint64_t)field->min)
        return complain_bound(reader, place, field, value);
    return true;
}

static bool read_texts(Reader *reader, const Place *place, const Field *field, Value value, char ***ret)
{
    size_t count;

    if (kind_of(value) != VALUE_ARRAY)
        return complain_kind(reader, place, field, value);
    if (!read_count(reader, place, field, value, &count))
        return false;
    *ret = calloc(count + 1, sizeof(**ret));
    if (!*ret)
        return out_of_memory(reader);
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        Place here = {.parent = place, .index = i};
        Value element = {value.ops, value.ops->element(value.node, i)};
        if (read_text(reader, &here, field, field->format, false, element, &(*ret)[i]))
            continue;
        /* Something has to stand in its place, so that what is told of the others has their index. */
        good = false;
        (*ret)[i] = strdup("");
        if (!(*ret)[i])
            return out_of_memory(reader);
    }
    return good;
}

typedef struct Pair {
    char *key, *value;
} Pair;

static int pair_compare(const void *a, const void *b)
{
    return strcmp(((const Pair *)a)->key, ((const Pair *)b)->key);
}

static bool read_map(Reader *reader, const Place *place, const Field *field, Value value, char ***ret)
{
    size_t count, filled = 0;

    if (kind_of(value) != VALUE_OBJECT)
        return complain_kind(reader, place, field, value);
    if (!read_count(reader, place, field, value, &count))
        return false;
    char **texts = calloc(2 * count + 1, sizeof(*texts));
    if (!texts)
        return out_of_memory(reader);
    *ret = texts;

    const void *iterator = NULL, *node;
    const char *key;
    bool good = true;
    while (filled < 2 * count && value.ops->member(value.node, &iterator, &key, &node)) {
        Place here = {.parent = place, .key = key};
        char *text = NULL;
        good &= complain_key(reader, &here, field, key);
        if (!read_text(reader, &here, field, field->format, false, (Value){value.ops, node}, &text)) {
            good = false;
            continue;
        }
        texts[filled] = strdup(key);
        if (!texts[filled]) {
            free(text);
            return out_of_memory(reader);
        }
        texts[filled + 1] = text;
        filled += 2;
    }
    qsort(texts, filled / 2, sizeof(Pair), pair_compare);
    return good;
}

static bool read_records(Reader *reader, const Place *place, const Field *field, Value value, void ***ret)
{
    size_t count;

    if (kind_of(value) != VALUE_ARRAY)
        return complain_kind(reader, place, field, value);
    if (!read_count(reader, place, field, value, &count))
        return false;
    *ret = calloc(count + 1, sizeof(**ret));
    if (!*ret)
        return out_of_memory(reader);
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        Place here = {.parent = place, .index = i};
        (*ret)[i] = record_new(field->record);
        if (!(*ret)[i])
            return out_of_memory(reader);
        good &= read_record(reader, &here, field->record, (Value){value.ops, value.ops->element(value.node, i)}, (*ret)[i]);
    }
    return good;
}

static bool read_member(Reader *reader, const Place *place, const Field *field, Value value, void *member)
{
    switch (field->kind) {
    case FIELD_TEXT:
        return read_text(reader, place, field, field->format, true, value, member);
    case FIELD_NUMBER:
        return read_number(reader, place, field, value, member);
    case FIELD_CHOICE:
        return read_choice(reader, place, field, value, member);
    case FIELD_WORD:
        return read_word(reader, place, field, value, member);
    case FIELD_TEXTS:
        return read_texts(reader, place, field, value, member);
    case FIELD_MAP:
        return read_map(reader, place, field, value, member);
    case FIELD_RECORD:
        *(void **)member = record_new(field->record);
        if (!*(void **)member)
            return out_of_memory(reader);
        return read_record(reader, place, field->record, value, *(void **)member);
    case FIELD_RECORDS:
        return read_records(reader, place, field, value, member);
    }
    return false;
}

/* Fields mostly come in the table's order, so the search begins where the last one ended. */
static const Field *find_field(const RecordType *type, const char *name, size_t *next)
{
    for (size_t n = 0, i = *next; n < type->field_count; n++, i++) {
        if (i >= type->field_count)
            i = 0;
        if (type->fields[i].name[0] == name[0] && strcmp(type->fields[i].name, name) == 0) {
            *next = i + 1;
            return &type->fields[i];
        }
    }
    return NULL;
}

/* What the fields are together. first: the record's own problems begin there; good: it has none so far. */
static bool validate_record(Reader *reader, const Place *place, const RecordType *type, void *record, size_t first, bool good)
{
    Problems found = {0};

    if (!type->validate)
        return good;
    if (type->validate(record, &found) < 0)
        good = out_of_memory(reader);
    if (found.count > 0 && place->parent && !complain_place(reader, place, &found))
        good = false;
    if (!good)
        problems_drop_following(reader->problems, first, &found);
    good &= found.errors == 0;
    problems_move(reader->problems, &found);
    return good;
}

static bool read_record(Reader *reader, const Place *place, const RecordType *type, Value value, void *record)
{
    if (kind_of(value) != VALUE_OBJECT)
        return complain_record(reader, place, type, value);

    const void *iterator = NULL, *node;
    const char *key;
    uint64_t seen = 0; /* the fields that are there, by their index; what an unknown one was meant to be counts */
    size_t next = 0, first = reader->problems->count;
    bool good = true;
    while (value.ops->member(value.node, &iterator, &key, &node)) {
        Place here = {.parent = place, .key = key};
        Value member = {value.ops, node};
        const Field *field = find_field(type, key, &next);
        if (!field) {
            const Field *meant = complain_unknown(reader, &here, type, key);
            seen |= meant ? UINT64_C(1) << (meant - type->fields) : 0;
            good = false;
            continue;
        }
        if (kind_of(member) == VALUE_NULL)
            continue;
        if (!field_is_absent(field, record)) { /* the text's reader refuses keys given twice; this one must not leak all the same */
            good = complain_twice(reader, &here);
            continue;
        }
        seen |= UINT64_C(1) << (field - type->fields);
        good &= read_member(reader, &here, field, member, field_in(field, record));
    }
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields[i].required && !(seen & UINT64_C(1) << i))
            good = complain_missing(reader, place, &type->fields[i]);
    return validate_record(reader, place, type, record, first, good);
}

int record_read(const RecordType *type, Value value, Problems *problems, void **ret)
{
    Reader reader = {.problems = problems};
    Place root = {0};
    void *record = record_new(type);

    if (!record)
        return -ENOMEM;
    bool good = read_record(&reader, &root, type, value, record);
    if (!good || reader.failed) {
        record_free(type, record);
        return reader.failed || problems->failed ? -ENOMEM : RECORD_INVALID;
    }
    *ret = record;
    return 0;
}

int record_read_json(const RecordType *type, const char *text, size_t size_bytes, Problems *problems, void **ret)
{
    json_error_t error;
    _uninitialized_ QuickTree quick;

    if (quick_read(text, size_bytes, &quick))
        return record_read(type, value_from_quick(&quick), problems, ret);
    json_t *json = json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES, &error);

    if (!json) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return -ENOMEM;
        problems_add(problems, NULL, "one JSON object would be right", "this is no good JSON: %s (line %d, column %d)",
                     error.text, error.line, error.column);
        return problems->failed ? -ENOMEM : RECORD_INVALID;
    }
    int r = record_read(type, value_from_json(json), problems, ret);
    json_decref(json);
    return r;
}
