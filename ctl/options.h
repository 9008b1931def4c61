/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the command line: tables of Option, what was given, and how the one is read by the other. Nothing is
 * printed here: what is wrong is handed back as text. getopt_long(3). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/buffer.h"

typedef struct Option Option;
typedef struct OptionSet OptionSet;
typedef struct Given Given;

/* What the shell may offer at this place. */
typedef enum Completes {
    COMPLETES_NOTHING,
    COMPLETES_WORDS, /* Option.words */
    COMPLETES_FILES,
    COMPLETES_FOLDERS,
    COMPLETES_COMMANDS,
    COMPLETES_USERS,
    COMPLETES_GROUPS,
    COMPLETES_PROCESSES,
    COMPLETES_SERVICES,
    COMPLETES_MACHINES,
} Completes;

struct Option {
    const char *name;     /* long, without dashes */
    char letter;          /* short; 0: none */
    const char *argument; /* what stands for it in the help; NULL: takes none */
    bool repeats;
    Completes completes;
    const char *const *words; /* ended by NULL */
    const char *help;         /* whole sentences */
    const char *path;         /* of options made from a record's fields: the field (ctl/fields.h) */
    const char *value;        /* … and what it is set to, for an option without argument */
};

/* Owns its items' array and its texts, not the tables that it was put together from. {0} is empty. */
struct OptionSet {
    Option *items;
    size_t count;
    char **texts;
};

/* table: ended by an Option without name; may be NULL. -ENOMEM. */
int option_set_add(OptionSet *set, const Option *table);
int option_set_add_one(OptionSet *set, const Option *option);
/* A text that lives as long as the set; NULL: out of memory. */
const char *option_set_keep(OptionSet *set, char *text_consume);
void option_set_release(OptionSet *set);

/* What a command line said. Points into argv. {0} is empty. */
struct Given {
    struct GivenOption {
        const char *name;
        const char *value; /* NULL: takes none */
    } * options;
    size_t option_count;
    char **operands; /* ended by NULL */
    size_t operand_count;
    char **command; /* what follows `--`, where that is a command of its own; else NULL */
};

typedef enum OptionFlags {
    OPTIONS_STOP_AT_OPERAND = 1 << 0, /* the rest is operands: options before the verb */
    OPTIONS_COMMAND = 1 << 1,         /* `--` ends operands and begins a command */
} OptionFlags;

/* Reads argv[1] and what follows into *given, beside what is there. 0; OPTIONS_WRONG: `what: why` is in *wrong;
 * -ENOMEM. */
enum { OPTIONS_WRONG = 1 };
int options_parse(const OptionSet *set, int argc, char **argv, OptionFlags flags, Given *given, Buffer *wrong);
void given_release(Given *given);

bool given_has(const Given *given, const char *name);
/* The last value; fallback where it was not given. */
const char *given_value(const Given *given, const char *name, const char *fallback);
