/* SPDX-License-Identifier: Apache-2.0 */
/* A record's fields as options. What is given becomes a JSON tree whose texts are read as YAML's plain scalars are: the
 * field decides, and its messages are the same as everywhere. */

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "ctl/fields.h"
#include "schema/codec/record.h"

static void json_release(json_t **json)
{
    json_decref(*json);
}

/* ---- options from fields ---- */

/* elementName -> element-name, users -> user: one of a list. */
static void field_append_option_name(const Field *field, Buffer *name)
{
    size_t size = strlen(field->name);
    bool many = field->kind == FIELD_TEXTS || field->kind == FIELD_MAP;

    if (many && size > 1 && field->name[size - 1] == 's')
        size--;
    for (size_t i = 0; i < size; i++) {
        char c = field->name[i];
        if (c >= 'A' && c <= 'Z')
            buffer_append_char(name, '-');
        buffer_append_char(name, (char)tolower((unsigned char)c));
    }
}

/* What stands for the option's argument in the help. */
static char *field_argument(const Field *field)
{
    Buffer text = {0};
    char *argument;

    if (field->kind == FIELD_NUMBER) {
        buffer_append_char(&text, 'N');
    } else if (field->kind == FIELD_MAP) {
        buffer_append_text(&text, "KEY=VALUE");
    } else if (field->kind == FIELD_WORD) {
        for (size_t i = 0; field->words[i]; i++)
            buffer_printf(&text, "%s%s", i ? "|" : "", field->words[i]);
    } else {
        field_append_option_name(field, &text);
    }
    if (buffer_take(&text, &argument, NULL) < 0)
        return NULL;
    if (field->kind != FIELD_TEXT && field->kind != FIELD_TEXTS)
        return argument;
    /* The last word says enough: --working-directory DIRECTORY. */
    const char *dash = strrchr(argument, '-');
    memmove(argument, dash ? dash + 1 : argument, strlen(dash ? dash + 1 : argument) + 1);
    for (char *c = argument; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return argument;
}

static Completes field_completes(const Field *field)
{
    if (field->kind == FIELD_WORD)
        return COMPLETES_WORDS;
    if (field->format == &format_user || field->format == &format_user_range)
        return COMPLETES_USERS;
    if (field->format == &format_group)
        return COMPLETES_GROUPS;
    if (field->format == &format_absolute_path)
        return COMPLETES_FILES;
    return COMPLETES_NOTHING;
}

static const FieldName *field_name_find(const FieldName *names, const char *path)
{
    for (; names && names->path; names++)
        if (strcmp(names->path, path) == 0)
            return names;
    return NULL;
}

static int field_add_option(const FieldName *names, const Field *field, const char *path, const char *option_prefix,
                            OptionSet *set)
{
    const FieldName *renamed = field_name_find(names, path);
    Option option = {
        .repeats = field->kind == FIELD_TEXTS || field->kind == FIELD_MAP,
        .completes = renamed && renamed->completes ? renamed->completes : field_completes(field),
        .words = field->words,
        .help = renamed && renamed->help ? renamed->help : field->help,
    };
    Buffer name = {0};
    char *name_text = NULL;

    if (renamed && !renamed->option)
        return 0;
    if (renamed) {
        option.name = renamed->option;
    } else {
        buffer_append_text(&name, option_prefix);
        field_append_option_name(field, &name);
        int r = buffer_take(&name, &name_text, NULL);
        option.name = r < 0 ? NULL : option_set_keep(set, name_text);
    }
    option.path = option_set_keep(set, strdup(path));
    if (field->kind == FIELD_CHOICE)
        option.value = renamed && renamed->value ? renamed->value : "true";
    else if (renamed && renamed->argument)
        option.argument = renamed->argument;
    else
        option.argument = option_set_keep(set, field_argument(field));
    if (!option.name || !option.path || (!option.argument && !option.value))
        return -ENOMEM;
    return option_set_add_one(set, &option);
}

static int fields_add_type(const RecordType *type, const FieldName *names, const char *path_prefix,
                           const char *option_prefix, OptionSet *set)
{
    int r = 0;

    for (size_t i = 0; i < type->field_count && r >= 0; i++) {
        const Field *field = &type->fields[i];
        _cleanup_(freep) char *path = NULL, *inner_prefix = NULL;
        Buffer text = {0}, inner = {0};
        bool is_record = field->kind == FIELD_RECORD;

        if (field->kind == FIELD_RECORDS || (path_prefix[0] == '\0' && strcmp(field->name, "name") == 0))
            continue;
        buffer_printf(&text, "%s%s%s", path_prefix, field->name, is_record ? "." : "");
        buffer_append_text(&inner, option_prefix);
        field_append_option_name(field, &inner);
        buffer_append_char(&inner, '-');
        r = buffer_take(&text, &path, NULL);
        if (r >= 0)
            r = buffer_take(&inner, &inner_prefix, NULL);
        else
            buffer_release(&inner);
        if (r >= 0)
            r = is_record ? fields_add_type(field->record, names, path, inner_prefix, set)
                          : field_add_option(names, field, path, option_prefix, set);
    }
    return r;
}

int fields_add_options(const FieldOptions *fields, OptionSet *set)
{
    return fields_add_type(fields->type, fields->names, "", "", set);
}

/* ---- a tree whose texts are plain scalars, as a Value ---- */

static ValueKind plain_kind(const void *node)
{
    return json_is_object((const json_t *)node)  ? VALUE_OBJECT
           : json_is_array((const json_t *)node) ? VALUE_ARRAY
                                                 : VALUE_PLAIN;
}

static const char *plain_text(const void *node)
{
    return json_string_value(node);
}

static size_t plain_count(const void *node)
{
    return json_is_array((const json_t *)node) ? json_array_size(node) : json_object_size(node);
}

static const void *plain_element(const void *node, size_t index)
{
    return json_array_get(node, index);
}

static bool plain_member(const void *node, const void **iterator, const char **ret_key, const void **ret_value)
{
    /* Only read; jansson's iterators have no const. */
    json_t *object = (json_t *)(uintptr_t)node;
    void *at = *iterator ? json_object_iter_next(object, (void *)(uintptr_t)*iterator) : json_object_iter(object);

    if (!at)
        return false;
    *ret_key = json_object_iter_key(at);
    *ret_value = json_object_iter_value(at);
    *iterator = at;
    return true;
}

static const ValueOps plain_ops = {
    .kind = plain_kind,
    .text = plain_text,
    .count = plain_count,
    .element = plain_element,
    .member = plain_member,
};

/* ---- given options -> tree -> record ---- */

static const Option *fields_find_option(const OptionSet *set, const char *name, const char *path, size_t path_size)
{
    for (size_t i = 0; i < set->count; i++) {
        const Option *option = &set->items[i];
        if (!option->path)
            continue;
        if (name ? strcmp(option->name, name) == 0
                 : strncmp(option->path, path, path_size) == 0 && option->path[path_size] == '\0')
            return option;
    }
    return NULL;
}

/* The object that the path's last part is a member of, made where it is not there; *path is that part afterwards. */
static json_t *tree_parent(json_t *root, const RecordType *type, const char **path, const Field **ret_field)
{
    for (const char *dot; (dot = strchr(*path, '.')); *path = dot + 1) {
        char key[64];
        size_t size = (size_t)(dot - *path);
        if (size >= sizeof(key))
            return NULL;
        memcpy(key, *path, size);
        key[size] = '\0';
        if (!json_object_get(root, key) && json_object_set_new(root, key, json_object()) < 0)
            return NULL;
        root = json_object_get(root, key);
        const Field *record = record_find_field(type, key);
        if (!record)
            return NULL;
        type = record->record;
    }
    *ret_field = record_find_field(type, *path);
    return *ret_field ? root : NULL;
}

static int tree_set(json_t *root, const RecordType *type, const Option *option, const char *value, Problems *problems)
{
    const char *key = option->path;
    const Field *field = NULL;
    json_t *parent = tree_parent(root, type, &key, &field);

    if (!parent)
        return -ENOMEM;
    if (field->kind != FIELD_TEXTS && field->kind != FIELD_MAP)
        return json_object_set_new(parent, key, json_string(value)) < 0 ? -ENOMEM : 0;

    bool is_map = field->kind == FIELD_MAP;
    if (!json_object_get(parent, key) && json_object_set_new(parent, key, is_map ? json_object() : json_array()) < 0)
        return -ENOMEM;
    json_t *many = json_object_get(parent, key);
    if (!is_map) {
        /* An empty value is the empty list: `--listen ''`. */
        if (value[0] == '\0')
            return 0;
        return json_array_append_new(many, json_string(value)) < 0 ? -ENOMEM : 0;
    }
    const char *equals = strchr(value, '=');
    if (!equals) {
        problems_add(problems, option->path, "give KEY=VALUE", "\"%s\" has no =", value);
        return FIELDS_INVALID;
    }
    _cleanup_(freep) char *map_key = strndup(value, (size_t)(equals - value));
    if (!map_key || json_object_set_new(many, map_key, json_string(equals + 1)) < 0)
        return -ENOMEM;
    return 0;
}

/* `peers.allow[1]` -> `--allow`, which is what the user typed. */
static void fields_name_options(const OptionSet *set, Problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        char *path = problems->items[i].field;
        if (!path)
            continue;
        size_t size = strcspn(path, "[");
        const Option *option = fields_find_option(set, NULL, path, size);
        /* A map's key is part of the path: `labels.team`. */
        for (; !option && size > 0; size--)
            if (path[size] == '.')
                option = fields_find_option(set, NULL, path, size);
        Buffer text = {0};
        char *name;
        if (option)
            buffer_printf(&text, "--%s", option->name);
        else
            buffer_append_text(&text, strcmp(path, "name") == 0 ? "NAME" : path);
        if (buffer_take(&text, &name, NULL) < 0) {
            problems->failed = true;
            return;
        }
        free(path);
        problems->items[i].field = name;
    }
}

int fields_read(const FieldOptions *fields, const OptionSet *set, const char *name, const Given *given,
                Problems *problems, void **ret_record)
{
    _cleanup_(json_release) json_t *root = json_object();
    int r = 0;

    /* json_string refuses what is not UTF-8; telling which one it was is the user's gain. */
    if (!text_is_utf8(name, strlen(name), NULL)) {
        problems_add(problems, "NAME", "use UTF-8", "is not UTF-8");
        return FIELDS_INVALID;
    }
    if (json_object_set_new(root, "name", json_string(name)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < given->option_count && r >= 0; i++) {
        const Option *option = fields_find_option(set, given->options[i].name, NULL, 0);
        if (!option)
            continue;
        const char *value = option->value ? option->value : given->options[i].value;
        if (!text_is_utf8(value, strlen(value), NULL)) {
            problems_add(problems, option->path, "use UTF-8", "is not UTF-8");
            continue;
        }
        r = tree_set(root, fields->type, option, value, problems);
    }
    if (r >= 0 && problems->errors == 0)
        r = record_read(fields->type, (Value){.ops = &plain_ops, .node = root}, problems, ret_record);
    if (r < 0)
        return r;
    fields_name_options(set, problems);
    if (problems->failed)
        return -ENOMEM;
    return problems->errors > 0 ? FIELDS_INVALID : 0;
}
