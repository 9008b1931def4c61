/* SPDX-License-Identifier: Apache-2.0 */
/* Simple JSON, read where it stands; a QuickTree lives for one reading. RFC 8259. */

#include <string.h>

#include "schema/base/text.h"
#include "schema/codec/value-quick.h"

typedef struct Reader {
    QuickTree *tree;
    char *at;
} Reader;

static void skip_space(Reader *reader)
{
    while (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\r' || *reader->at == '\t')
        reader->at++;
}

/* Skips space before it, too. */
static bool take(Reader *reader, char c)
{
    skip_space(reader);
    if (*reader->at != c)
        return false;
    reader->at++;
    return true;
}

/* After the opening quote: ends the text with a NUL where the closing one was. */
static bool read_text(Reader *reader, const char **ret_text)
{
    char *start = reader->at, *at = start;
    bool ascii = true;

    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20 || *at == '\\')
            return false;
        ascii &= (unsigned char)*at < 0x80;
    }
    if (!ascii && !text_is_utf8(start, (size_t)(at - start), NULL))
        return false;
    *at = '\0';
    *ret_text = start;
    reader->at = at + 1;
    return true;
}

static bool read_integer(Reader *reader, QuickNode *node)
{
    const char *start = reader->at;

    node->kind = VALUE_INTEGER;
    for (; *reader->at >= '0' && *reader->at <= '9' && reader->at - start < 18; reader->at++)
        node->integer = node->integer * 10 + (*reader->at - '0');
    return reader->at != start && (*start != '0' || reader->at - start == 1);
}

static bool read_word(Reader *reader, const char *word, ValueKind kind, int64_t integer, QuickNode *node)
{
    size_t size_bytes = strlen(word);

    if (strncmp(reader->at, word, size_bytes) != 0)
        return false;
    reader->at += size_bytes;
    node->kind = kind;
    node->integer = integer;
    return true;
}

static bool has_key(const QuickNode *object, const char *key)
{
    for (const QuickNode *member = object->first; member; member = member->next)
        if (strcmp(member->key, key) == 0)
            return true;
    return false;
}

static QuickNode *read_value(Reader *reader, unsigned depth);

/* Of an object (closed by a brace) or an array. Recursion ends at QUICK_DEPTH_MAX. */
static bool read_members(Reader *reader, QuickNode *node, char close, unsigned depth)
{
    const QuickNode **next = &node->first;

    if (depth >= QUICK_DEPTH_MAX)
        return false;
    if (take(reader, close))
        return true;
    do {
        const char *key = NULL;
        if (close == '}' &&
            (!take(reader, '"') || !read_text(reader, &key) || has_key(node, key) || !take(reader, ':')))
            return false;
        QuickNode *member = read_value(reader, depth + 1);
        if (!member)
            return false;
        member->key = key;
        *next = member;
        next = &member->next;
        node->count++;
    } while (take(reader, ','));
    return take(reader, close);
}

static QuickNode *read_value(Reader *reader, unsigned depth)
{
    QuickTree *tree = reader->tree;

    if (tree->node_count == QUICK_NODES_MAX)
        return NULL;
    QuickNode *node = &tree->nodes[tree->node_count++];
    *node = (QuickNode){.kind = VALUE_NULL};
    skip_space(reader);

    bool good;
    switch (*reader->at) {
    case '"':
        reader->at++;
        node->kind = VALUE_TEXT;
        good = read_text(reader, &node->text);
        break;
    case '{':
    case '[':
        node->kind = *reader->at == '{' ? VALUE_OBJECT : VALUE_ARRAY;
        reader->at++;
        good = read_members(reader, node, node->kind == VALUE_OBJECT ? '}' : ']', depth);
        break;
    case 't':
        good = read_word(reader, "true", VALUE_BOOLEAN, 1, node);
        break;
    case 'f':
        good = read_word(reader, "false", VALUE_BOOLEAN, 0, node);
        break;
    case 'n':
        good = read_word(reader, "null", VALUE_NULL, 0, node);
        break;
    default:
        good = read_integer(reader, node);
    }
    return good ? node : NULL;
}

bool quick_read(const char *text, size_t size_bytes, QuickTree *ret)
{
    Reader reader = {.tree = ret, .at = ret->text};

    if (size_bytes > QUICK_SIZE_MAX_BYTES || memchr(text, '\0', size_bytes))
        return false;
    memcpy(ret->text, text, size_bytes);
    ret->text[size_bytes] = '\0';
    ret->node_count = 0;
    /* The library takes objects and arrays alone for a whole text. */
    skip_space(&reader);
    if ((*reader.at != '{' && *reader.at != '[') || !read_value(&reader, 0))
        return false;
    skip_space(&reader);
    return *reader.at == '\0';
}

static ValueKind quick_kind(const void *node)
{
    return ((const QuickNode *)node)->kind;
}

static bool quick_boolean(const void *node)
{
    return ((const QuickNode *)node)->integer != 0;
}

static int64_t quick_integer(const void *node)
{
    return ((const QuickNode *)node)->integer;
}

static const char *quick_text(const void *node)
{
    return ((const QuickNode *)node)->text;
}

static size_t quick_count(const void *node)
{
    return ((const QuickNode *)node)->count;
}

static const void *quick_element(const void *node, size_t index)
{
    const QuickNode *element = ((const QuickNode *)node)->first;

    while (element && index-- > 0)
        element = element->next;
    return element;
}

static bool quick_member(const void *node, const void **iterator, const char **ret_key, const void **ret_value)
{
    const QuickNode *member = *iterator ? ((const QuickNode *)*iterator)->next : ((const QuickNode *)node)->first;

    if (!member)
        return false;
    *iterator = member;
    *ret_key = member->key;
    *ret_value = member;
    return true;
}

static const ValueOps quick_ops = {
    .kind = quick_kind,
    .boolean = quick_boolean,
    .integer = quick_integer,
    .text = quick_text,
    .count = quick_count,
    .element = quick_element,
    .member = quick_member,
};

Value value_from_quick(const QuickTree *tree)
{
    return (Value){.ops = &quick_ops, .node = &tree->nodes[0]};
}
