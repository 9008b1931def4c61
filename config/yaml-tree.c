/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of one YAML text. It lives from reading a file until its records are read. A container's children are kept aside
 * until it ends, then put side by side: so any child is found at once, and an alias is a copy of 16 bytes. While the blocks grow
 * and move, nodes know offsets in them; once the tree is done, how far from themselves their text or children are. */

#include <errno.h>
#include <search.h>
#include <string.h>

#include "config/yaml-tree.h"
#include "schema/codec/place.h"

typedef struct YamlAnchor YamlAnchor;

struct YamlAnchor {
    char *name;
    YamlNode node;
    uint64_t expanded;
    unsigned height;
    bool open; /* what it names is not at its end yet */
};

static void anchor_free(void *userdata)
{
    YamlAnchor *anchor = userdata;

    if (anchor)
        free(anchor->name);
    free(anchor);
}

static int anchor_compare(const void *a, const void *b)
{
    const YamlAnchor *left = a, *right = b;

    return strcmp(left->name, right->name);
}

/* Room for `more` items behind `count`; NULL: out of memory, and items is still its owner's. */
static void *make_room(void *items, size_t *capacity, size_t count, size_t more, size_t item_size_bytes)
{
    if (items && *capacity - count >= more)
        return items;

    size_t wanted = *capacity + *capacity / 2;
    if (wanted < count + more)
        wanted = count + more;
    if (wanted < 64)
        wanted = 64;
    void *larger = reallocarray(items, wanted, item_size_bytes);
    if (larger)
        *capacity = wanted;
    return larger;
}

/* The path of what is being read, or of a member of it: `services[2].peers`. */
static void builder_path(const YamlBuilder *builder, const char *member, Buffer *path)
{
    Place places[YAML_DEPTH_MAX + 2] = {0};
    unsigned count = 1;

    for (unsigned i = 0; i < builder->depth; i++) {
        const YamlFrame *frame = &builder->frames[i];
        size_t end = i + 1 < builder->depth ? builder->frames[i + 1].first : builder->pending_count;
        places[count].parent = &places[count - 1];
        if (frame->kind == VALUE_ARRAY) {
            places[count++].index = end - frame->first;
        } else if ((end - frame->first) % 2 == 1) {
            const YamlNode *key = &builder->pending[end - 1];
            places[count++].key = key->kind >= VALUE_ARRAY ? "?" : yaml_builder_text(builder, key);
        }
    }
    if (member) {
        places[count] = (Place){.parent = &places[count - 1], .key = member};
        count++;
    }
    place_format(&places[count - 1], path);
}

void yaml_builder_problem(YamlBuilder *builder, YamlPlace place, const char *member, const char *hint,
                          const char *reason_format, ...)
{
    Buffer path = {0}, buffer = {0};
    _cleanup_(freep) char *field = NULL;
    _cleanup_(freep) char *reason = NULL;
    va_list arguments;

    builder_path(builder, member, &path);
    va_start(arguments, reason_format);
    buffer_vprintf(&buffer, reason_format, arguments);
    va_end(arguments);
    int r = buffer_take(&path, &field, NULL), s = buffer_take(&buffer, &reason, NULL);
    if (r < 0 || s < 0) {
        builder->problems->failed = true;
        return;
    }
    Problem *problem = problems_add(builder->problems, field[0] ? field : NULL, hint, "%s", reason);
    problem_locate(problem, builder->file, place.line, place.column);
}

/* A value is complete: where it stands, it goes. */
static int builder_put(YamlBuilder *builder, YamlNode node, uint64_t expanded, unsigned height)
{
    YamlTree *tree = builder->tree;

    if (builder->depth == 0) {
        YamlNode *documents = make_room(tree->documents, &tree->document_capacity, tree->document_count, 1, sizeof(node));
        if (!documents)
            return -ENOMEM;
        tree->documents = documents;
        tree->documents[tree->document_count++] = node;
        return 0;
    }

    YamlFrame *frame = &builder->frames[builder->depth - 1];
    frame->expanded += expanded;
    if (frame->height < height + 1)
        frame->height = height + 1;
    if (frame->kind == VALUE_OBJECT) {
        node.member = (builder->pending_count - frame->first) % 2;
        if (!node.member) {
            frame->drop = !yaml_keys_check(builder, &node);
            builder->broken |= frame->drop;
        }
    }

    YamlNode *pending = make_room(builder->pending, &builder->pending_capacity, builder->pending_count, 1, sizeof(node));
    if (!pending)
        return -ENOMEM;
    builder->pending = pending;
    if (frame->drop && node.member)
        builder->pending_count--; /* the key goes, too */
    else
        builder->pending[builder->pending_count++] = node;
    return 0;
}

static int builder_count(YamlBuilder *builder, uint64_t nodes, YamlPlace place)
{
    builder->expanded += nodes;
    if (builder->expanded <= YAML_NODES_MAX)
        return 0;
    yaml_builder_problem(builder, place, NULL, "split the file, and have fewer aliases that stand for aliases",
                         "the file holds more than %d values, aliases counted as what they stand for", YAML_NODES_MAX);
    return YAML_INVALID;
}

/* The anchor of that name, a new one where there is none; what it named before is forgotten. NULL: out of memory. */
static YamlAnchor *builder_anchor(YamlBuilder *builder, const char *name)
{
    YamlAnchor *anchor = calloc(1, sizeof(*anchor));

    if (!anchor || !(anchor->name = strdup(name))) {
        anchor_free(anchor);
        return NULL;
    }
    YamlAnchor **place = tsearch(anchor, &builder->anchors, anchor_compare);
    if (!place || *place != anchor)
        anchor_free(anchor);
    return place ? *place : NULL;
}

int yaml_builder_scalar(YamlBuilder *builder, ValueKind kind, const char *text, size_t size_bytes, const char *anchor_name,
                        YamlPlace place)
{
    YamlTree *tree = builder->tree;
    YamlNode node = {.line = place.line, .column = place.column, .kind = kind};
    int r = builder_count(builder, 1, place);

    if (r != 0)
        return r;
    char *texts = make_room(tree->texts, &tree->texts_capacity, tree->texts_bytes, size_bytes + 1, 1);
    if (!texts)
        return -ENOMEM;
    tree->texts = texts;
    node.at = (int32_t)tree->texts_bytes;
    memcpy(tree->texts + tree->texts_bytes, text, size_bytes);
    tree->texts[tree->texts_bytes + size_bytes] = '\0';
    tree->texts_bytes += size_bytes + 1;

    if (anchor_name) {
        YamlAnchor *anchor = builder_anchor(builder, anchor_name);
        if (!anchor)
            return -ENOMEM;
        anchor->node = node;
        anchor->expanded = 1;
        anchor->height = 0;
        anchor->open = false;
    }
    return builder_put(builder, node, 1, 0);
}

static int builder_too_deep(YamlBuilder *builder, YamlPlace place)
{
    yaml_builder_problem(builder, place, NULL, "no field is nested that deep", "lists and mappings are nested more than %d levels deep",
                         YAML_DEPTH_MAX);
    return YAML_INVALID;
}

int yaml_builder_begin(YamlBuilder *builder, ValueKind kind, const char *anchor_name, YamlPlace place)
{
    YamlFrame frame = {.kind = kind, .place = place, .first = builder->pending_count, .expanded = 1};
    int r = builder_count(builder, 1, place);

    if (r != 0)
        return r;
    if (builder->depth == YAML_DEPTH_MAX)
        return builder_too_deep(builder, place);
    if (anchor_name) {
        YamlAnchor *anchor = builder_anchor(builder, anchor_name);
        if (!anchor || !(frame.anchor = strdup(anchor_name)))
            return -ENOMEM;
        anchor->open = true;
    }
    builder->frames[builder->depth++] = frame;
    return 0;
}

int yaml_builder_end(YamlBuilder *builder)
{
    YamlTree *tree = builder->tree;
    YamlFrame *frame = &builder->frames[builder->depth - 1];
    _cleanup_(freep) char *anchor_name = TAKE_PTR(frame->anchor);

    if (frame->kind == VALUE_OBJECT) {
        int r = yaml_keys_check_duplicates(builder, frame);
        if (r < 0)
            return r;
    }

    size_t count = builder->pending_count - frame->first;
    YamlNode *nodes = make_room(tree->nodes, &tree->node_capacity, tree->node_count, count, sizeof(*nodes));
    if (!nodes)
        return -ENOMEM;
    tree->nodes = nodes;
    YamlNode node = {
        .at = (int32_t)tree->node_count,
        .count = (uint32_t)count,
        .line = frame->place.line,
        .column = frame->place.column,
        .kind = frame->kind,
    };
    if (count > 0)
        memcpy(tree->nodes + tree->node_count, builder->pending + frame->first, count * sizeof(node));
    tree->node_count += count;
    builder->pending_count = frame->first;
    builder->depth--;

    if (anchor_name) {
        YamlAnchor *anchor = builder_anchor(builder, anchor_name);
        if (!anchor)
            return -ENOMEM;
        anchor->node = node;
        anchor->expanded = frame->expanded;
        anchor->height = frame->height;
        anchor->open = false;
    }
    return builder_put(builder, node, frame->expanded, frame->height);
}

int yaml_builder_alias(YamlBuilder *builder, const char *name, YamlPlace place)
{
    YamlAnchor wanted = {.name = strdup(name)}, *const *found;

    if (!wanted.name)
        return -ENOMEM;
    found = tfind(&wanted, &builder->anchors, anchor_compare);
    free(wanted.name);
    if (!found || (*found)->open) {
        if (found)
            yaml_builder_problem(builder, place, NULL, "name something that is complete", "`*%s` stands inside of what it stands for", name);
        else
            yaml_builder_problem(builder, place, NULL, "write `&name` before a value, then `*name`; a text that begins with * needs quotes",
                                 "`*%s` stands for nothing: there is no `&%s` before it", name, name);
        return YAML_INVALID;
    }

    const YamlAnchor *anchor = *found;
    int r = builder_count(builder, anchor->expanded, place);
    if (r != 0)
        return r;
    if (builder->depth + anchor->height + (anchor->node.kind >= VALUE_ARRAY) > YAML_DEPTH_MAX)
        return builder_too_deep(builder, place);
    YamlNode node = anchor->node;
    node.line = place.line;
    node.column = place.column;
    node.member = 0;
    return builder_put(builder, node, anchor->expanded, anchor->height);
}

void yaml_builder_end_document(YamlBuilder *builder)
{
    tdestroy(builder->anchors, anchor_free);
    builder->anchors = NULL;
}

int yaml_builder_take(YamlBuilder *builder, YamlTree **ret)
{
    YamlTree *tree = builder->tree;
    size_t count = tree->node_count + tree->document_count;
    YamlNode *nodes = realloc(tree->nodes, count * sizeof(*nodes) + tree->texts_bytes + 1);

    if (!nodes)
        return -ENOMEM;
    tree->nodes = nodes;
    char *texts = (char *)(nodes + count);
    if (tree->document_count > 0)
        memcpy(nodes + tree->node_count, tree->documents, tree->document_count * sizeof(*nodes));
    if (tree->texts_bytes > 0)
        memcpy(texts, tree->texts, tree->texts_bytes);
    for (size_t i = 0; i < count; i++) {
        const char *there = nodes[i].kind >= VALUE_ARRAY ? (const char *)(nodes + nodes[i].at) : texts + nodes[i].at;
        nodes[i].at = (int32_t)(there - (const char *)(nodes + i));
    }
    free(tree->documents);
    free(tree->texts);
    tree->documents = NULL;
    tree->texts = NULL;
    tree->node_count = count;
    *ret = TAKE_PTR(builder->tree);
    return 0;
}

void yaml_builder_release(YamlBuilder *builder)
{
    yaml_builder_end_document(builder);
    for (unsigned i = 0; i < builder->depth; i++)
        free(builder->frames[i].anchor);
    free(builder->pending);
    yaml_tree_free(builder->tree);
    *builder = (YamlBuilder){0};
}

void yaml_tree_free(YamlTree *tree)
{
    if (!tree)
        return;
    free(tree->nodes);
    free(tree->documents);
    free(tree->texts);
    free(tree);
}
