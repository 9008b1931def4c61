/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a record as options: from the one table of fields, so that a new field is an option by itself.
 * `elementName` is --element-name, `handout.users` a repeatable --handout-user. */
#pragma once

#include "ctl/options.h"
#include "schema/base/problem.h"
#include "schema/model/field.h"

typedef struct FieldName FieldName;
typedef struct FieldOptions FieldOptions;

/* A field whose option is not called as its path would have it. */
struct FieldName {
    const char *path;     /* `handout.exclusive` */
    const char *option;   /* NULL: it has none */
    const char *argument; /* or NULL */
    const char *value;    /* what the option without argument sets; or NULL */
    const char *help;     /* or NULL: the field's */
    Completes completes;
};

struct FieldOptions {
    const RecordType *type;
    const FieldName *names; /* ended by one without path */
};

/* Puts an option for each field into the set; `name` is an operand and has none. -ENOMEM. */
int fields_add_options(const FieldOptions *fields, OptionSet *set);

/* Reads the record that the given options describe. 0; FIELDS_INVALID: problems has why, by the options' names;
 * -ENOMEM. */
enum { FIELDS_INVALID = 1 };
int fields_read(const FieldOptions *fields, const OptionSet *set, const char *name, const Given *given,
                Problems *problems, void **ret_record);
