/* SPDX-License-Identifier: Apache-2.0 */
/* How config/yaml*.c keep a tree: nodes of 16 bytes and all texts behind them in one block, the children of a node side by
 * side. Between files of this room only. */
#pragma once

#include "config/yaml.h"

typedef struct YamlNode YamlNode;
typedef struct YamlPlace YamlPlace;
typedef struct YamlFrame YamlFrame;
typedef struct YamlBuilder YamlBuilder;

struct YamlNode {
    int32_t at;           /* while the tree grows: in its texts, or in its nodes; then: in bytes from this node on */
    uint32_t count;       /* children; of an object: key, value, key, value, … */
    uint64_t line : 27;   /* a file has 2^26 bytes */
    uint64_t column : 27;
    uint64_t kind : 4;    /* ValueKind */
    uint64_t member : 1;  /* the node before it is its key */
};

struct YamlTree {
    YamlNode *nodes;      /* once it is done, the documents' roots are the last of them */
    char *texts;          /* while it grows */
    YamlNode *documents;  /* while it grows */
    size_t node_count, node_capacity;
    size_t texts_bytes, texts_capacity;
    size_t document_count, document_capacity;
};

/* Of a tree that is done. */
static inline const char *yaml_node_text(const YamlNode *node)
{
    return (const char *)node + node->at;
}
static inline const YamlNode *yaml_node_children(const YamlNode *node)
{
    return (const YamlNode *)(const void *)((const char *)node + node->at);
}

struct YamlPlace {
    unsigned line, column; /* from 1 */
};

/* An array or object that is not at its end yet. */
struct YamlFrame {
    ValueKind kind;
    YamlPlace place;
    char *anchor;
    size_t first;        /* its children so far: builder->pending from here on */
    uint64_t expanded;   /* nodes in it, aliases counted as often as they stand for something */
    unsigned height;     /* levels below it */
    bool drop;           /* the member whose value comes next was refused */
};

struct YamlBuilder {
    const char *file;
    Problems *problems;
    YamlTree *tree;
    YamlNode *pending;
    size_t pending_count, pending_capacity;
    YamlFrame frames[YAML_DEPTH_MAX];
    unsigned depth;
    uint64_t expanded;
    bool broken;         /* something was left out of the tree, and what misses it would be told as well: no tree */
    void *anchors;       /* of this document, by name: tsearch(3) */
};

/* Each answers 0; YAML_INVALID: a bound is passed, and it was told; -ENOMEM. anchor may be NULL. */
int yaml_builder_scalar(YamlBuilder *builder, ValueKind kind, const char *text, size_t size_bytes, const char *anchor,
                        YamlPlace place);
int yaml_builder_begin(YamlBuilder *builder, ValueKind kind, const char *anchor, YamlPlace place);
int yaml_builder_end(YamlBuilder *builder);
int yaml_builder_alias(YamlBuilder *builder, const char *name, YamlPlace place);
void yaml_builder_end_document(YamlBuilder *builder);
/* Tells a problem with the path of what is being read, or of a member of it, as its field. */
void yaml_builder_problem(YamlBuilder *builder, YamlPlace place, const char *member, const char *hint,
                          const char *reason_format, ...) _printf_(5, 6);
static inline const char *yaml_builder_text(const YamlBuilder *builder, const YamlNode *node)
{
    return builder->tree->texts + node->at;
}
/* Hands out the tree, as one block; -ENOMEM. The caller releases the builder in any case. */
int yaml_builder_take(YamlBuilder *builder, YamlTree **ret);
void yaml_builder_release(YamlBuilder *builder);

/* ---- yaml-keys.c ---- */

/* Makes a node that stands where a key does into one. false: it cannot be one, and that was told. */
bool yaml_keys_check(YamlBuilder *builder, YamlNode *node);
/* Tells keys of the object at its end, which is the innermost frame, that are given twice, and leaves the first of each. -ENOMEM. */
int yaml_keys_check_duplicates(YamlBuilder *builder, YamlFrame *frame);

/* ---- yaml-text.c: what can be said of a text before libyaml sees it ---- */

typedef struct YamlText YamlText;

struct YamlText {
    const char *text;      /* without its byte order mark */
    size_t size_bytes;
    bool ascii;            /* so that an offset in characters is one in bytes */
    size_t characters, bytes; /* where yaml_text_at looked last */
};

/* UTF-8 without control characters and not too big; else YAML_INVALID, and it was told. */
int yaml_text_check(const char *file, const char *text, size_t size_bytes, Problems *problems, YamlText *ret);
/* The text from an offset in characters on; offsets must not go back. */
const char *yaml_text_at(YamlText *text, size_t characters);

/* ---- yaml-problem.c: libyaml's words and ours ---- */

struct yaml_parser_s;
void yaml_problem_add(const char *file, const struct yaml_parser_s *parser, YamlText *text, Problems *problems);
