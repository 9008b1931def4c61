/* SPDX-License-Identifier: Apache-2.0 */
/* What a field of a record is. schema/model/records.h holds the one table of all fields; from it come the C structs, and,
 * in schema/codec, reading and writing JSON and YAML, the JSON Schema, the Varlink types and the manual's reference. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/problem.h"
#include "schema/base/text.h"

typedef enum FieldKind {
    FIELD_TEXT,    /* char *; NULL: absent */
    FIELD_NUMBER,  /* Number */
    FIELD_CHOICE,  /* Choice: true or false */
    FIELD_WORD,    /* uint8_t: 0 absent, else the index in words plus one */
    FIELD_TEXTS,   /* TextList; an empty list is not the same as none */
    FIELD_MAP,     /* TextList of key, value, …, sorted by key */
    FIELD_RECORD,  /* struct *; NULL: absent */
    FIELD_RECORDS, /* struct **, ended by NULL; NULL: absent */
} FieldKind;

typedef struct Number {
    uint32_t value;
    bool set;
} Number;

/* A boolean that can be absent. */
typedef uint8_t Choice;
enum { UNSET = 0, NO = 1, YES = 2 };

typedef struct Field Field;
typedef struct Format Format;
typedef struct RecordType RecordType;

/* What a text has to look like. */
struct Format {
    const char *name;
    const char *pattern;                  /* ECMA 262, for the JSON Schema; or NULL */
    const char *hint;                     /* what would be right, for messages and the manual */
    const char *(*check)(const char *text); /* NULL: good; else why not, static text */
    const char *(*advise)(const char *text); /* may be NULL: a better hint for a text that check refused; or NULL, static */
};

struct Field {
    const char *name; /* camelCase, as in YAML, JSON and Varlink */
    FieldKind kind;
    size_t offset;
    bool required;
    bool secret;              /* for administrators only, and for who registered it */
    int64_t min, max;         /* NUMBER: the value; TEXT: bytes; TEXTS, MAP, RECORDS: how many (max 0: no bound) */
    const Format *format;     /* of a text, of each text of a list, of a map's values */
    const Format *key_format; /* of a map's keys */
    const RecordType *record; /* RECORD, RECORDS */
    const char *const *words; /* WORD: ended by NULL */
    const char *fallback;     /* what holds where it is absent, as JSON or in words; for schema and manual */
    const char *fallback_json; /* the same as a JSON value where it is one constant; for the JSON Schema's default */
    const char *example;      /* as YAML flow */
    const char *help;         /* one or more whole sentences */
};

struct RecordType {
    const char *name; /* as in the Varlink interface */
    const char *help;
    size_t size_bytes;
    const Field *fields;
    size_t field_count;
    /* What its fields have to be together; may be NULL. Called for whatever is read, also for what could be read of a record
     * with bad fields, so that all problems are told at once. Brings texts into one form. 0; -ENOMEM. */
    int (*validate)(void *record, Problems *problems);
};

/* ---- the macros that turn a table into a struct and into a RecordType ---- */

#define FIELD_C_TEXT char *
#define FIELD_C_NUMBER Number
#define FIELD_C_CHOICE Choice
#define FIELD_C_WORD(words_) uint8_t
#define FIELD_C_TEXTS TextList
#define FIELD_C_MAP TextList
#define FIELD_C_RECORD(type_) struct type_ *
#define FIELD_C_RECORDS(type_) struct type_ **

#define FIELD_KIND_TEXT .kind = FIELD_TEXT
#define FIELD_KIND_NUMBER .kind = FIELD_NUMBER
#define FIELD_KIND_CHOICE .kind = FIELD_CHOICE
#define FIELD_KIND_WORD(words_) .kind = FIELD_WORD, .words = words_
#define FIELD_KIND_TEXTS .kind = FIELD_TEXTS
#define FIELD_KIND_MAP .kind = FIELD_MAP
#define FIELD_KIND_RECORD(type_) .kind = FIELD_RECORD, .record = &record_type_##type_
#define FIELD_KIND_RECORDS(type_) .kind = FIELD_RECORDS, .record = &record_type_##type_

/* A table is a macro `X_FIELDS(F, T)` of lines `F(T, KIND, member, "name", .designated = initialisers)`. */
#define FIELD_MEMBER(type_, kind_, member_, name_, ...) FIELD_C_##kind_ member_;
#define FIELD_ENTRY(type_, kind_, member_, name_, ...)                                                                  \
    {.name = name_, FIELD_KIND_##kind_, .offset = offsetof(type_, member_), __VA_ARGS__},

/* RECORD_STRUCT(Handout, HANDOUT_FIELDS): in a header. */
#define RECORD_STRUCT(type_, fields_)                                                                                  \
    typedef struct type_ type_;                                                                                        \
    struct type_ {                                                                                                     \
        fields_(FIELD_MEMBER, type_)                                                                                   \
    };                                                                                                                 \
    extern const RecordType record_type_##type_

/* RECORD_TYPE(Handout, HANDOUT_FIELDS, "What it is.", .validate = …): once, in records.c. */
#define RECORD_TYPE(type_, fields_, help_, ...)                                                                            \
    static const Field fields_of_##type_[] = {fields_(FIELD_ENTRY, type_)};                                            \
    const RecordType record_type_##type_ = {                                                                           \
        .name = #type_,                                                                                                \
        .help = help_,                                                                                                 \
        .size_bytes = sizeof(type_),                                                                                   \
        .fields = fields_of_##type_,                                                                                   \
        .field_count = sizeof(fields_of_##type_) / sizeof(Field),                                                      \
        __VA_ARGS__                                                                                                    \
    }
