/* SPDX-License-Identifier: Apache-2.0 */
/* What verbs print on stdout: lists and single objects, as a table for people, as JSON, as YAML. A verb hands over the
 * API's objects as they come; how they are written is one OutputOps a format. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "schema/base/buffer.h"
#include "schema/model/field.h"

typedef struct Column Column;
typedef struct Output Output;
typedef struct OutputOps OutputOps;
typedef struct OutputOptions OutputOptions;

typedef enum OutputFormat {
    OUTPUT_TABLE,
    OUTPUT_JSON,       /* one array */
    OUTPUT_JSON_LINES, /* one object a line */
    OUTPUT_YAML,       /* {KEY: [context]} */
} OutputFormat;

/* A column of a table: how it is called (in the heading and for -o), and what it shows of an object. */
struct Column {
    const char *name;
    const char *help;
    bool right;  /* aligned */
    bool hidden; /* only shown where -o asks for it */
    /* colour: of a cell, as libsmartcols names it ("red"); left alone: none. */
    void (*cell)(const json_t *object, Buffer *text, const char **ret_colour);
};

struct OutputOptions {
    bool json, yaml;
    bool colours;  /* already decided: a terminal, and nobody said no */
    bool terminal; /* JSON is indented */
    bool no_headings;
    const char *columns_wanted; /* of -o; or NULL */
};

struct OutputOps {
    int (*open)(Output *output);
    int (*add)(Output *output, const char *json, size_t size_bytes);
    int (*close)(Output *output);
    void (*release)(Output *output); /* or NULL */
};

struct Output {
    const OutputOptions *options;
    const OutputOps *ops;
    const Column *const *columns; /* ended by NULL; those that are shown, owned */
    size_t count;                 /* objects so far */
    const char *key;              /* YAML: what the list is called */
    const RecordType *type;       /* YAML: of each object's context */
    void *table;                  /* ctl/table.c's */
    Buffer text;
};

/* Begins a list. columns: ended by NULL. key and type: for YAML, else NULL. 0; -ENOMEM; -errno. */
int output_open(const OutputOptions *options, OutputFormat format, const Column *const *columns, const char *key,
                const RecordType *type, Output *ret);
/* A RegistryVisitor; userdata: the Output. 0; -EPIPE where nobody reads any more; -errno. */
int output_add(const char *json, size_t size_bytes, void *output);
int output_close(Output *output);
/* Takes half-built ones, and those that are closed. */
void output_release(Output *output);
/* What the options say a list is written as. */
OutputFormat output_list_format(const OutputOptions *options);

/* One object, indented on a terminal, and a newline. */
void output_json(const OutputOptions *options, const char *json, size_t size_bytes);
/* The escape sequence of a colour where colours are wanted, else nothing; "reset" ends it. */
const char *output_colour(const OutputOptions *options, const char *colour);
/* A text as a line of its own: what came from others does not steer the terminal. */
void output_line(char *text);
/* One finding of doctor, as a line and the command that mends it (or NULL), or into findings, which is open, with --json.
 * 0; -ENOMEM; what output_add answers. */
int output_finding(const OutputOptions *options, const char *what, const char *why, const char *mend, Output *findings);
/* Replaces control characters, newlines too. */
void output_defuse(char *text);
/* `{KEY: [context]}` of one object. */
int output_yaml(const char *key, const RecordType *type, const char *json, size_t size_bytes);

/* The columns that wanted names (`NAME,PORT`, `+GUID`, any case), ended by NULL; NULL: those not hidden.
 * OUTPUT_NO_COLUMN: *ret_unknown is the one that there is not, owned by the caller. -ENOMEM. */
enum { OUTPUT_NO_COLUMN = 1 };
int output_columns(const Column *const *columns, const char *wanted, const Column ***ret, char **ret_unknown);

/* ---- ctl/table.c, the only user of libsmartcols ---- */
extern const OutputOps output_table;
