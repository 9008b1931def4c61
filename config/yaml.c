/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text -> tree: libyaml's events go to the builder of yaml-tree.c, and the tree is looked at through ValueOps. */

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "config/yaml-tree.h"
#include "schema/base/text.h"

/* ---- looking at a tree ---- */

static ValueKind node_kind(const void *node)
{
    return (ValueKind)((const YamlNode *)node)->kind;
}

static bool node_boolean(const void *node)
{
    return false; /* there are none: the field reads a plain scalar */
}

static int64_t node_integer(const void *node)
{
    return 0;
}

static const char *node_text(const void *node)
{
    return yaml_node_text(node);
}

static size_t node_count(const void *userdata)
{
    const YamlNode *node = userdata;

    return node->kind == VALUE_OBJECT ? node->count / 2 : node->count;
}

static const void *node_element(const void *node, size_t index)
{
    return yaml_node_children(node) + index;
}

static bool node_member(const void *userdata, const void **iterator, const char **ret_key, const void **ret_value)
{
    const YamlNode *node = userdata, *key = *iterator;

    key = key ? key + 2 : yaml_node_children(node);
    if (key >= yaml_node_children(node) + node->count)
        return false;
    *iterator = key;
    *ret_key = yaml_node_text(key);
    *ret_value = key + 1;
    return true;
}

static void node_where(const void *userdata, bool key, unsigned *ret_line, unsigned *ret_column)
{
    const YamlNode *node = userdata;

    if (key && node->member)
        node--;
    *ret_line = node->line;
    *ret_column = node->column;
}

static const ValueOps yaml_ops = {
    .kind = node_kind,
    .boolean = node_boolean,
    .integer = node_integer,
    .text = node_text,
    .count = node_count,
    .element = node_element,
    .member = node_member,
    .where = node_where,
};

size_t yaml_tree_count(const YamlTree *tree)
{
    return tree->document_count;
}

Value yaml_tree_document(const YamlTree *tree, size_t index)
{
    return (Value){.ops = &yaml_ops, .node = &tree->nodes[tree->node_count - tree->document_count + index]};
}

void yaml_locate(const char *file, Value root, Problems *problems, size_t first)
{
    for (size_t i = first; i < problems->count; i++) {
        Problem *problem = &problems->items[i];
        unsigned line = 0, column = 0;
        if (problem->line > 0)
            continue;
        Value value = value_find(root, problem->field ? problem->field : "");
        if (value.ops && value.node)
            value.ops->where(value.node, problem->at_key, &line, &column);
        problem_locate(problem, file, line, column);
    }
}

/* ---- reading ---- */

/* YAML 1.1 and 1.2 agree on these. */
static bool scalar_is_null(const char *text, size_t size_bytes)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

    for (size_t i = 0; i < ELEMENTS_OF(nulls); i++)
        if (size_bytes == strlen(nulls[i]) && memcmp(text, nulls[i], size_bytes) == 0)
            return true;
    return false;
}

/* A tag of its own, which libyaml forgets where it is the bare `!`. */
static bool text_has_bare_tag(YamlText *text, size_t characters)
{
    const char *at = yaml_text_at(text, characters), *end = text->text + text->size_bytes;

    if (at < end && *at == '&') {
        while (at < end && !strchr(" \t\r\n", *at))
            at++;
        while (at < end && strchr(" \t\r\n", *at))
            at++;
    }
    return at < end && *at == '!';
}

static void tell_tag(YamlBuilder *builder, const char *tag, YamlPlace place)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    bool known = strncmp(tag, prefix, strlen(prefix)) == 0;

    if (!text_is_printable(tag)) /* %0A in it is a line end by now */
        tag = "!…";
    yaml_builder_problem(builder, place, NULL, "leave it out: the field says how its value is read; a text that begins with ! needs quotes",
                         "YAML's tags are not taken: `%s%s`", known ? "!!" : "", known ? tag + strlen(prefix) : tag);
}

static int read_scalar(YamlBuilder *builder, YamlText *text, const yaml_event_t *event, YamlPlace place)
{
    const char *value = (const char *)event->data.scalar.value, *tag = (const char *)event->data.scalar.tag;
    size_t size_bytes = event->data.scalar.length;
    ValueKind kind = VALUE_TEXT;

    if (!tag && text_has_bare_tag(text, event->start_mark.index))
        tag = "!";
    if (tag)
        tell_tag(builder, tag, place);
    if (memchr(value, '\0', size_bytes)) {
        yaml_builder_problem(builder, place, NULL, "remove the \\0", "no text can hold a NUL");
        builder->broken = true;
    }
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        kind = scalar_is_null(value, size_bytes) ? VALUE_NULL : VALUE_PLAIN;
    return yaml_builder_scalar(builder, kind, value, size_bytes, (const char *)event->data.scalar.anchor, place);
}

static int read_begin(YamlBuilder *builder, const yaml_event_t *event, YamlPlace place)
{
    bool array = event->type == YAML_SEQUENCE_START_EVENT;
    const yaml_char_t *tag = array ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    const yaml_char_t *anchor = array ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;

    if (tag)
        tell_tag(builder, (const char *)tag, place);
    return yaml_builder_begin(builder, array ? VALUE_ARRAY : VALUE_OBJECT, (const char *)anchor, place);
}

static int read_event(YamlBuilder *builder, YamlText *text, const yaml_event_t *event)
{
    YamlPlace place = {(unsigned)event->start_mark.line + 1, (unsigned)event->start_mark.column + 1};

    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(builder, text, event, place);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return read_begin(builder, event, place);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return yaml_builder_end(builder);
    case YAML_ALIAS_EVENT:
        return yaml_builder_alias(builder, (const char *)event->data.alias.anchor, place);
    case YAML_DOCUMENT_END_EVENT:
        yaml_builder_end_document(builder);
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
        return 0;
    }
    return 0;
}

static int read_events(YamlBuilder *builder, YamlText *text, yaml_parser_t *parser)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            if (parser->error == YAML_MEMORY_ERROR)
                return -ENOMEM;
            yaml_problem_add(builder->file, parser, text, builder->problems);
            return YAML_INVALID;
        }
        bool end = event.type == YAML_STREAM_END_EVENT;
        int r = read_event(builder, text, &event);
        yaml_event_delete(&event);
        if (r != 0 || end)
            return r;
    }
}

int yaml_read_with_problems(const char *file, const char *text, size_t size_bytes, Problems *problems, YamlTree **ret)
{
    YamlText checked;
    yaml_parser_t parser;
    int r = yaml_text_check(file, text, size_bytes, problems, &checked);

    if (r != 0)
        return r;
    YamlBuilder builder = {.file = file, .problems = problems, .tree = calloc(1, sizeof(YamlTree))};
    if (!builder.tree || !yaml_parser_initialize(&parser)) {
        yaml_builder_release(&builder);
        return -ENOMEM;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)checked.text, checked.size_bytes);
    r = read_events(&builder, &checked, &parser);
    yaml_parser_delete(&parser);
    if (r == 0 && problems->failed)
        r = -ENOMEM;
    if (r == 0 && builder.broken)
        r = YAML_INVALID;
    if (r == 0)
        r = yaml_builder_take(&builder, ret);
    yaml_builder_release(&builder);
    return r;
}

int yaml_read(const char *file, const char *text, size_t size_bytes, Problems *problems, YamlTree **ret)
{
    _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;
    size_t errors = problems->errors;
    int r = yaml_read_with_problems(file, text, size_bytes, problems, &tree);

    if (r != 0)
        return r;
    if (problems->errors > errors)
        return YAML_INVALID;
    *ret = TAKE_PTR(tree);
    return 0;
}
