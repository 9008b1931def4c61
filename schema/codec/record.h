/* SPDX-License-Identifier: Apache-2.0 */
/* Records to and from text, all by the field table. */
#pragma once

#include "schema/base/buffer.h"
#include "schema/base/problem.h"
#include "schema/codec/value.h"
#include "schema/model/record.h"

enum { RECORD_INVALID = 1 };

/* Reads a record and validates it as its type says: every unknown field, wrong type, bound, and what the fields have to be
 * together, is a problem with its path. Where there are any, the answer is RECORD_INVALID and *ret is not set. Texts are in
 * one form afterwards (service_validate). -ENOMEM. */
int record_read(const RecordType *type, Value value, Problems *problems, void **ret);
/* The same from JSON text (API, store). Bad JSON is a problem without field. */
int record_read_json(const RecordType *type, const char *text, size_t size_bytes, Problems *problems, void **ret);

typedef enum RecordWriteFlags {
    RECORD_WRITE_ALL = 0,
    RECORD_OMIT_SECRETS = 1 << 0,
} RecordWriteFlags;

/* One JSON object, absent fields left out, fields in the table's order, maps in their keys'. */
void record_write_json(const RecordType *type, const void *record, RecordWriteFlags flags, Buffer *text);

/* JSON Schema, draft 2020-12, of a whole file: Document or Settings. */
void record_write_schema(const RecordType *type, const char *id, const char *title, Buffer *text);
/* The reference section of hvsockd.yaml(5), mdoc. */
void record_write_manual(const RecordType *type, Buffer *text);
/* `type Handout (…)` as Varlink spells it. */
void record_write_varlink(const RecordType *type, Buffer *text);
/* Indented YAML-free pretty JSON is the command line's; see ctl/output. */
