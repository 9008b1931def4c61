/* SPDX-License-Identifier: Apache-2.0 */
/* What can be done with any record by its RecordType: free, copy, compare. */
#pragma once

#include <stdbool.h>

#include "schema/base/cleanup.h"
#include "schema/model/records.h"

/* Zeroed: every field absent. */
void *record_new(const RecordType *type);
/* Takes NULL and half-built records. */
void record_free(const RecordType *type, void *record);
int record_copy(const RecordType *type, const void *record, void **ret);
bool record_equal(const RecordType *type, const void *a, const void *b);
/* The names of the fields that differ, as a TextList (empty where none). -ENOMEM. */
int record_differences(const RecordType *type, const void *a, const void *b, char ***ret_fields);

static inline void *field_in(const Field *field, void *record)
{
    return (char *)record + field->offset;
}
static inline const void *field_of(const Field *field, const void *record)
{
    return (const char *)record + field->offset;
}
bool field_is_absent(const Field *field, const void *record);
const Field *record_find_field(const RecordType *type, const char *name);

/* service_context_free and the like, for _cleanup_. */
#define DEFINE_RECORD_FREE(type_, prefix_)                                                                             \
    static inline void prefix_##_free(type_ *record)                                                                   \
    {                                                                                                                  \
        record_free(&record_type_##type_, record);                                                                     \
    }                                                                                                                  \
    static inline void prefix_##_freep(type_ **record)                                                                 \
    {                                                                                                                  \
        record_free(&record_type_##type_, *record);                                                                    \
    }

DEFINE_RECORD_FREE(ServiceContext, service_context)
DEFINE_RECORD_FREE(MachineContext, machine_context)
DEFINE_RECORD_FREE(Document, document)
DEFINE_RECORD_FREE(Settings, settings)
