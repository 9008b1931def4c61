/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of mappings: what may be one, and that each is given once. A part of building a tree. */

#include <errno.h>
#include <string.h>

#include "config/yaml-tree.h"

/* What a key may be. true: it is one. */
bool yaml_keys_check(YamlBuilder *builder, YamlNode *node)
{
    YamlPlace place = {node->line, node->column};

    if (node->kind == VALUE_ARRAY || node->kind == VALUE_OBJECT) {
        yaml_builder_problem(builder, place, NULL, "write the key as plain text; what begins with [ or { needs quotes",
                             "a list or a mapping cannot be a key");
        return false;
    }
    const char *text = yaml_builder_text(builder, node);
    if (node->kind != VALUE_TEXT && text[0] == '\0') {
        yaml_builder_problem(builder, place, NULL, "write `key: value`", "there is no key before the colon");
        return false;
    }
    if (strlen(text) > YAML_KEY_MAX_BYTES) {
        yaml_builder_problem(builder, place, NULL, "choose a shorter one", "the key has more than %d bytes", YAML_KEY_MAX_BYTES);
        return false;
    }
    if (node->kind == VALUE_PLAIN && strcmp(text, "<<") == 0) {
        yaml_builder_problem(builder, place, text, "write the fields out, or let an alias stand for a whole value",
                             "YAML's merge key is not taken");
        return false;
    }
    node->kind = VALUE_TEXT;
    return true;
}

/* Pairs by their keys' text, those of one text in the order of the file. */
static int key_compare(const void *a, const void *b, void *userdata)
{
    const YamlBuilder *builder = userdata;
    const YamlFrame *frame = &builder->frames[builder->depth - 1];
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = strcmp(yaml_builder_text(builder, &builder->pending[frame->first + 2 * (size_t)left]),
                       yaml_builder_text(builder, &builder->pending[frame->first + 2 * (size_t)right]));

    return order ? order : (left > right) - (left < right);
}

/* Marks each key that was there before: kind VALUE_NULL, and count is the pair that was first. */
static int keys_mark_duplicates(YamlBuilder *builder, YamlNode *members, uint32_t count, bool *ret_any)
{
    bool any = false;

    if (count <= 16) {
        for (uint32_t i = 1; i < count; i++)
            for (uint32_t k = 0; k < i && members[2 * i].kind != VALUE_NULL; k++)
                if (members[2 * k].kind != VALUE_NULL &&
                    strcmp(yaml_builder_text(builder, &members[2 * i]), yaml_builder_text(builder, &members[2 * k])) == 0) {
                    members[2 * i].kind = VALUE_NULL;
                    members[2 * i].count = k;
                    any = true;
                }
        *ret_any = any;
        return 0;
    }

    _cleanup_(freep) uint32_t *order = reallocarray(NULL, count, sizeof(*order));
    if (!order)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, count, sizeof(*order), key_compare, builder);
    for (uint32_t i = 1, first = order[0]; i < count; i++) {
        YamlNode *key = &members[2 * (size_t)order[i]];
        if (strcmp(yaml_builder_text(builder, key), yaml_builder_text(builder, &members[2 * (size_t)first])) != 0) {
            first = order[i];
            continue;
        }
        key->kind = VALUE_NULL;
        key->count = first;
        any = true;
    }
    *ret_any = any;
    return 0;
}

/* Tells keys that are given twice, and leaves the first of each. */
int yaml_keys_check_duplicates(YamlBuilder *builder, YamlFrame *frame)
{
    YamlNode *members = builder->pending ? builder->pending + frame->first : NULL;
    size_t kept = 0, count = (builder->pending_count - frame->first) / 2;
    bool any = false;

    if (count < 2)
        return 0;
    int r = keys_mark_duplicates(builder, members, (uint32_t)count, &any);
    if (r < 0 || !any)
        return r;
    for (size_t i = 0; i < count; i++) {
        YamlNode key = members[2 * i];
        if (key.kind != VALUE_NULL)
            continue;
        yaml_builder_problem(builder, (YamlPlace){key.line, key.column}, yaml_builder_text(builder, &key), "keep one of them",
                             "the key is given twice, first in line %u", members[2 * (size_t)key.count].line);
    }
    for (size_t i = 0; i < count; i++)
        if (members[2 * i].kind != VALUE_NULL) {
            members[2 * kept] = members[2 * i];
            members[2 * kept + 1] = members[2 * i + 1];
            kept++;
        }
    builder->pending_count = frame->first + 2 * kept;
    return 0;
}
