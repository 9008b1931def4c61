/* SPDX-License-Identifier: Apache-2.0 */
/* The wording of everything that can be wrong with a field; Place and Value become text only here. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schema/codec/complain.h"
#include "schema/codec/nearest.h"

#define PLAIN_MAX_BYTES 64

/* Takes reason and hint over, in any state. */
static bool complain(Reader *reader, const Place *place, bool at_key, Buffer *reason, Buffer *hint)
{
    Buffer path = {0};
    char *field = NULL, *why = NULL, *right = NULL;

    place_format(place, &path);
    if (buffer_take(&path, &field, NULL) < 0 || buffer_take(reason, &why, NULL) < 0 || buffer_take(hint, &right, NULL) < 0) {
        reader->failed = true;
    } else {
        Problem *problem = problems_add(reader->problems, field[0] ? field : NULL, right[0] ? right : NULL, "%s", why);
        if (problem)
            problem->at_key = at_key;
        reader->failed |= reader->problems->failed;
    }
    free(field);
    free(why);
    free(right);
    buffer_release(reason);
    buffer_release(hint);
    return false;
}

static bool complain_texts(Reader *reader, const Place *place, bool at_key, const char *reason, const char *hint)
{
    Buffer why = {0}, right = {0};

    buffer_append_text(&why, reason);
    if (hint)
        buffer_append_text(&right, hint);
    return complain(reader, place, at_key, &why, &right);
}

static void append_found(Buffer *text, Value value)
{
    switch (value.ops->kind(value.node)) {
    case VALUE_NULL:
        buffer_append_text(text, "null");
        break;
    case VALUE_BOOLEAN:
        buffer_append_text(text, value.ops->boolean(value.node) ? "true" : "false");
        break;
    case VALUE_INTEGER:
        buffer_printf(text, "%" PRId64, value.ops->integer(value.node));
        break;
    case VALUE_REAL:
        buffer_append_text(text, "a number with a fraction or an exponent");
        break;
    case VALUE_PLAIN: {
        const char *plain = value.ops->text(value.node);
        if (*plain && strlen(plain) <= PLAIN_MAX_BYTES && text_is_printable(plain))
            buffer_append_text(text, plain);
        else
            buffer_append_quoted(text, plain);
        break;
    }
    case VALUE_TEXT:
        buffer_append_quoted(text, value.ops->text(value.node));
        break;
    case VALUE_ARRAY:
        buffer_append_text(text, "a list");
        break;
    case VALUE_OBJECT:
        buffer_append_text(text, "a mapping");
        break;
    }
}

static void append_example(Buffer *text, const Field *field)
{
    if (field->example)
        buffer_printf(text, ", as in `%s: %s`", field->name, field->example);
}

/* ---- wrong kinds ---- */

static void say_number(const Field *field, Value value, Buffer *reason, Buffer *hint)
{
    ValueKind kind = value.ops->kind(value.node);
    const char *text = kind == VALUE_TEXT || kind == VALUE_PLAIN ? value.ops->text(value.node) : "";
    size_t size = strlen(text);
    uint64_t number;
    unsigned long long hex;
    char after;

    append_found(reason, value);
    buffer_printf(hint, "a plain decimal number from %" PRId64 " to %" PRId64 " would be right", field->min, field->max);
    if (kind == VALUE_TEXT && text_to_number(text, UINT64_MAX, &number)) {
        buffer_append_text(reason, " is text");
        buffer_printf(hint, ": %s without quotes", text);
    } else if (size > 2 && size <= 10 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X') &&
               strspn(text + 2, "0123456789abcdefABCDEF") == size - 2 && sscanf(text + 2, "%llx%c", &hex, &after) == 1) {
        buffer_append_text(reason, " is no plain decimal number");
        buffer_printf(hint, ": %llu", hex);
    } else if (size > 1 && text[0] == '0' && strspn(text, "0123456789") == size) {
        buffer_append_text(reason, " has a leading zero");
    } else if (size > (*text == '-') && strspn(text + (*text == '-'), "0123456789") == size - (*text == '-')) {
        buffer_append_text(reason, " is out of bounds");
    } else if (kind == VALUE_REAL) {
        buffer_append_text(reason, " is no whole number");
    } else {
        buffer_append_text(reason, " is no number");
    }
}

static void say_choice(Value value, Buffer *reason, Buffer *hint)
{
    static const char *const words[][2] = {{"yes", "true"},  {"y", "true"},   {"on", "true"},     {"1", "true"},
                                           {"true", "true"}, {"no", "false"}, {"n", "false"},     {"off", "false"},
                                           {"0", "false"},   {"false", "false"}};
    ValueKind kind = value.ops->kind(value.node);
    const char *text = kind == VALUE_TEXT || kind == VALUE_PLAIN ? value.ops->text(value.node)
                       : kind == VALUE_INTEGER ? (value.ops->integer(value.node) == 0 ? "0" : "1")
                                               : "";
    const char *right = "true or false";

    for (size_t i = 0; i < ELEMENTS_OF(words); i++)
        if (strcasecmp(text, words[i][0]) == 0)
            right = words[i][1];
    append_found(reason, value);
    if (kind == VALUE_TEXT && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        buffer_append_text(reason, " is text");
        buffer_printf(hint, "%s without quotes would be right", right);
    } else {
        buffer_append_text(reason, " is no boolean");
        buffer_printf(hint, "%s would be right", right);
    }
}

static void say_word(const Field *field, Value value, Buffer *reason, Buffer *hint)
{
    ValueKind kind = value.ops->kind(value.node);
    const char *near = NULL;

    append_found(reason, value);
    buffer_append_text(reason, " is none of the words for it");
    if (kind == VALUE_TEXT || kind == VALUE_PLAIN) {
        Nearest nearest = nearest_to(value.ops->text(value.node));
        for (size_t i = 0; field->words[i]; i++)
            nearest_offer(&nearest, field->words[i]);
        near = nearest.best;
    }
    for (size_t i = 0; field->words[i]; i++)
        buffer_printf(hint, "%s%s", i == 0 ? "" : field->words[i + 1] ? ", " : " or ", field->words[i]);
    buffer_append_text(hint, " would be right");
    if (near)
        buffer_printf(hint, ", perhaps %s", near);
}

bool complain_kind(Reader *reader, const Place *place, const Field *field, Value value)
{
    Buffer reason = {0}, hint = {0};
    bool whole = place->key && strcmp(place->key, field->name) == 0;
    bool list = value.ops->kind(value.node) == VALUE_ARRAY || value.ops->kind(value.node) == VALUE_OBJECT;

    if (field->kind == FIELD_NUMBER) {
        say_number(field, value, &reason, &hint);
    } else if (field->kind == FIELD_CHOICE) {
        say_choice(value, &reason, &hint);
    } else if (field->kind == FIELD_WORD) {
        say_word(field, value, &reason, &hint);
    } else if (whole && field->kind == FIELD_TEXTS) {
        append_found(&reason, value);
        buffer_append_text(&reason, " is no list");
        buffer_append_text(&hint, "a list of texts would be right");
        append_example(&hint, field);
    } else if (whole && field->kind == FIELD_MAP) {
        append_found(&reason, value);
        buffer_append_text(&reason, " is no mapping");
        buffer_append_text(&hint, "a mapping of texts would be right");
        append_example(&hint, field);
    } else if (whole && field->kind == FIELD_RECORDS) {
        append_found(&reason, value);
        buffer_append_text(&reason, " is no list");
        buffer_append_text(&hint, "a list of mappings would be right");
    } else {
        append_found(&reason, value);
        buffer_append_text(&reason, " is no text");
        if (list)
            buffer_append_text(&hint, "a text would be right");
        else if (value.ops->kind(value.node) == VALUE_NULL)
            buffer_append_text(&hint, "a text would be right, \"\" where it is empty");
        else
            buffer_append_text(&hint, "a text, in quotes, would be right");
        if (whole)
            append_example(&hint, field);
    }
    return complain(reader, place, false, &reason, &hint);
}

bool complain_bound(Reader *reader, const Place *place, const Field *field, Value value)
{
    Buffer reason = {0}, hint = {0};

    if (field->kind == FIELD_NUMBER) {
        append_found(&reason, value);
        buffer_append_text(&reason, " is out of bounds");
        buffer_printf(&hint, "a number from %" PRId64 " to %" PRId64 " would be right", field->min, field->max);
    } else {
        size_t count = value.ops->count(value.node);
        if (count < (uint64_t)field->min) {
            buffer_append_text(&reason, "this list has too little in it");
            buffer_printf(&hint, "at least %" PRId64 " would be right", field->min);
        } else {
            buffer_printf(&reason, "%zu are too many", count);
            buffer_printf(&hint, "at most %" PRId64 " would be right", field->max);
        }
        append_example(&hint, field);
    }
    return complain(reader, place, false, &reason, &hint);
}

/* ---- texts ---- */

static bool complain_format(Reader *reader, const Place *place, bool at_key, const Format *format, const char *text)
{
    const char *why = format && format->check ? format->check(text) : NULL;

    if (!why)
        return true;
    Buffer reason = {0}, hint = {0};
    problem_say(&reason, text, why);
    const char *advice = format->advise ? format->advise(text) : NULL;
    if (advice)
        buffer_append_text(&hint, advice);
    else if (format->hint)
        buffer_printf(&hint, "%s would be right", format->hint);
    return complain(reader, place, at_key, &reason, &hint);
}

bool complain_text(Reader *reader, const Place *place, const Field *field, const Format *format, bool bounded, const char *text)
{
    size_t size = strlen(text);

    bool short_one = bounded && size < (uint64_t)field->min;
    bool long_one = bounded && field->max > 0 && size > (uint64_t)field->max;
    if (short_one || long_one) {
        Buffer reason = {0}, hint = {0};
        buffer_append_quoted(&reason, text);
        buffer_append_text(&reason, size == 0 ? " is empty" : short_one ? " is too short" : " is too long");
        buffer_printf(&hint, "%s %" PRId64 " bytes would be right", short_one ? "at least" : "at most", short_one ? field->min : field->max);
        return complain(reader, place, false, &reason, &hint);
    }
    return complain_format(reader, place, false, format, text);
}

bool complain_key(Reader *reader, const Place *place, const Field *field, const char *key)
{
    return complain_format(reader, place, true, field->key_format, key);
}

/* ---- records ---- */

bool complain_record(Reader *reader, const Place *place, const RecordType *type, Value value)
{
    Buffer reason = {0}, hint = {0};

    append_found(&reason, value);
    buffer_append_text(&reason, " is no mapping");
    buffer_append_text(&hint, "a mapping with ");
    for (size_t i = 0; i < type->field_count && i < 3; i++)
        buffer_printf(&hint, "%s%s", i > 0 ? ", " : "", type->fields[i].name);
    buffer_append_text(&hint, type->field_count > 3 ? ", … would be right" : " would be right");
    return complain(reader, place, false, &reason, &hint);
}

const Field *complain_unknown(Reader *reader, const Place *place, const RecordType *type, const char *key)
{
    Buffer reason = {0}, hint = {0};
    Nearest nearest = nearest_to(key);

    for (size_t i = 0; i < type->field_count; i++)
        nearest_offer(&nearest, type->fields[i].name);
    buffer_append_text(&reason, "there is no such field");
    if (nearest.best) {
        buffer_printf(&hint, "%s would be right", nearest.best);
    } else {
        buffer_append_text(&hint, "what there is: ");
        for (size_t i = 0; i < type->field_count; i++)
            buffer_printf(&hint, "%s%s", i > 0 ? ", " : "", type->fields[i].name);
    }
    complain(reader, place, true, &reason, &hint);
    return nearest.best ? record_find_field(type, nearest.best) : NULL;
}

bool complain_place(Reader *reader, const Place *place, Problems *problems)
{
    Buffer path = {0};
    char *prefix;

    place_format(place, &path);
    if (buffer_take(&path, &prefix, NULL) < 0) {
        reader->failed = true;
        return false;
    }
    problems_prefix(problems, 0, prefix);
    free(prefix);
    reader->failed |= problems->failed;
    return !problems->failed;
}

bool complain_twice(Reader *reader, const Place *place)
{
    return complain_texts(reader, place, true, "is given twice", "once would be right");
}

bool complain_missing(Reader *reader, const Place *place, const Field *field)
{
    Place here = {.parent = place, .key = field->name};
    Buffer reason = {0}, hint = {0};

    buffer_append_text(&reason, "is missing");
    buffer_printf(&hint, "`%s: %s` would be right", field->name, field->example ? field->example : "…");
    return complain(reader, &here, false, &reason, &hint);
}
