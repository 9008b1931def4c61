/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text -> a tree of values with line and column (and back, for --yaml). The only user of <yaml.h>. It knows YAML's traps,
 * not our fields: duplicate keys, merge keys, tags, aliases past their bounds, depth over 32 and broken text are problems here;
 * how a plain scalar is read is the field's to say (VALUE_PLAIN). yaml.org/spec/1.1, libyaml. */
#pragma once

#include "schema/base/problem.h"
#include "schema/codec/record.h"

typedef struct YamlTree YamlTree;

#define YAML_DEPTH_MAX 32
#define YAML_NODES_MAX 16000000    /* of one file, aliases counted as often as they stand for something */
#define YAML_KEY_MAX_BYTES 4096
#define YAML_FILE_MAX_BYTES (64u * 1024 * 1024)

enum { YAML_INVALID = 1 };
/* All documents of a text; problems get file, line, column. YAML_INVALID: there were problems, and *ret is not set. The tree
 * may point into nothing of text. -ENOMEM. */
int yaml_read(const char *file, const char *text, size_t size_bytes, Problems *problems, YamlTree **ret);
/* The same, but problems that leave a whole tree (a key given twice, a tag) do not keep it back, so that what is wrong with
 * its fields can be told in one go. 0: there is a tree; whether there were problems, problems->errors tells. YAML_INVALID: it
 * cannot be read, or something is missing in it. */
int yaml_read_with_problems(const char *file, const char *text, size_t size_bytes, Problems *problems, YamlTree **ret);
void yaml_tree_free(YamlTree *tree);
DEFINE_CLEANUP(YamlTree *, yaml_tree_free)
size_t yaml_tree_count(const YamlTree *tree); /* documents; an empty file has none */
Value yaml_tree_document(const YamlTree *tree, size_t index);

/* Gives problems from index first on their line and column, by looking up their fields' paths. */
void yaml_locate(const char *file, Value root, Problems *problems, size_t first);

/* A record as a block mapping, quoting what would otherwise be read as something else, by us or by other readers of YAML.
 * A file is a record of type Document or Settings. -ENOMEM. */
int yaml_write_record(const RecordType *type, const void *record, RecordWriteFlags flags, Buffer *text);
/* A text as a value on a line of its own: plain where no reader takes it for something else, else in double quotes. */
void yaml_append_text(const char *value, Buffer *text);
