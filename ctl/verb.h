/* SPDX-License-Identifier: Apache-2.0 */
/* A verb of hvsockctl. ctl/verbs/NAME.c defines verb_NAME, and that is all a new verb takes: the table of all is made
 * from the file names (ctl/room.mk), and help and completion from the table. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ctl/fields.h"
#include "ctl/options.h"
#include "ctl/output.h"

typedef struct Verb Verb;
typedef struct Ctl Ctl; /* ctl/ctl.h */

/* Where it stands in `hvsockctl --help`. */
typedef enum VerbGroup {
    VERBS_OF_SERVICES,
    VERBS_OF_FILES,
    VERBS_OF_USE,
    VERBS_OF_MACHINES,
    VERBS_OF_WATCHING,
    VERBS_OF_HELP,
    VERB_GROUPS,
} VerbGroup;

#define OPERANDS_MANY ((size_t)-1)

struct Verb {
    const char *name;
    VerbGroup group;
    const char *synopsis;         /* what follows the name: `NAME [OPTION]...` */
    const char *help;             /* one line, without a full stop */
    const char *description;      /* paragraphs, separated by an empty line; lines with leading blanks stay; or NULL */
    const Option *options;        /* or NULL */
    const FieldOptions *fields;   /* options from a record's fields; or NULL */
    const Column *const *columns; /* what -o knows; or NULL */
    const Verb *const *verbs;     /* verbs below this one, ended by NULL; then there is no run */
    Completes operands;
    const char *const *operand_words;
    const char *operand; /* what one operand is, for messages: `NAME` */
    size_t operands_min, operands_max;
    bool takes_command; /* `-- COMMAND [ARG]...` */
    bool writes_yaml;
    int (*run)(Ctl *ctl); /* ExitStatus; -errno */
};

extern const Verb *const verbs[]; /* ended by NULL */

/* By name; NULL: there is none. table: ended by NULL. */
const Verb *verb_find(const Verb *const *table, const char *name);
/* The options of every verb, its own, its fields'. -ENOMEM. */
int verb_options(const Verb *verb, OptionSet *ret);
extern const Option verb_options_common[];
/* -o and --no-headings, for verbs with columns. */
extern const Option verb_options_table[];
