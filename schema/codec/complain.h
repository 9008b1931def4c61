/* SPDX-License-Identifier: Apache-2.0 */
/* What reading a record has to say about its input: where, what was found, and what would be right. Apart from read.c, so
 * that reading can be read. Every function answers whether the thing is good: most of them false,
 * always. */
#pragma once

#include <stdbool.h>

#include "schema/base/problem.h"
#include "schema/codec/place.h"
#include "schema/codec/value.h"
#include "schema/model/record.h"

typedef struct Reader Reader;

struct Reader {
    Problems *problems;
    bool failed; /* out of memory */
};

/* Not of the field's kind, or not written as it has to be. */
bool complain_kind(Reader *reader, const Place *place, const Field *field, Value value);
/* A number out of its bounds, or a list or map with too few or too many. */
bool complain_bound(Reader *reader, const Place *place, const Field *field, Value value);
/* Tells what is wrong with a text: its size where it is bounded, and its format. true: nothing. */
bool complain_text(Reader *reader, const Place *place, const Field *field, const Format *format, bool bounded, const char *text);
/* The same of a map's key. */
bool complain_key(Reader *reader, const Place *place, const Field *field, const char *key);
/* Not a mapping. */
bool complain_record(Reader *reader, const Place *place, const RecordType *type, Value value);
/* The field that was meant; NULL: none is near. */
const Field *complain_unknown(Reader *reader, const Place *place, const RecordType *type, const char *key);
bool complain_twice(Reader *reader, const Place *place);
/* Puts the place before the fields of problems that were found apart. false: out of memory. */
bool complain_place(Reader *reader, const Place *place, Problems *problems);
bool complain_missing(Reader *reader, const Place *place, const Field *field);
