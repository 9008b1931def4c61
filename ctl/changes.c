/* SPDX-License-Identifier: Apache-2.0 */
/* Changes for people; nothing here outlives its call. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/changes.h"
#include "schema/base/text.h"

static const struct {
    const char *kind, *sign, *colour;
} change_signs[] = {
    {"add", "+", "green"},
    {"change", "~", "yellow"},
    {"remove", "-", "red"},
};

void change_print(const OutputOptions *options, const char *kind, const char *object, const char *name,
                  const char *what)
{
    const char *sign = "?", *colour = NULL;
    _cleanup_(freep) char *plain = what ? strdup(what) : NULL;

    for (size_t i = 0; i < ELEMENTS_OF(change_signs); i++)
        if (strcmp(change_signs[i].kind, kind) == 0) {
            sign = change_signs[i].sign;
            colour = change_signs[i].colour;
        }
    if (plain)
        output_defuse(plain);
    printf("%s%s %s%s%s%s%s\n", output_colour(options, colour), sign, strcmp(object, "machine") == 0 ? "machine " : "",
           name, plain ? ": " : "", plain ? plain : "", output_colour(options, colour ? "reset" : NULL));
}

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

int changes_print(const OutputOptions *options, const char *reply, const char *none)
{
    json_t *object = json_loads(reply, 0, NULL);
    const json_t *changes = json_object_get(object, "changes");

    if (!json_is_array(changes)) {
        json_decref(object);
        return -EBADMSG;
    }
    if (json_array_size(changes) == 0 && none)
        puts(none);
    for (size_t i = 0; i < json_array_size(changes); i++) {
        const json_t *change = json_array_get(changes, i), *fields = json_object_get(change, "fields");
        Buffer text = {0};
        char *what = NULL;
        for (size_t k = 0; k < json_array_size(fields); k++)
            buffer_printf(&text, "%s%s", k > 0 ? ", " : "", json_string_value(json_array_get(fields, k)));
        if (text.size_bytes > 0 && buffer_take(&text, &what, NULL) < 0) {
            json_decref(object);
            return -ENOMEM;
        }
        change_print(options, member(change, "kind"), member(change, "object"), member(change, "name"), what);
        free(what);
    }
    json_decref(object);
    return 0;
}

/* A value as a person would write it: text without its quotes, lists in brackets, what is not there as "nothing". */
static void value_write(const json_t *value, Buffer *text)
{
    if (!value) {
        buffer_append_text(text, "nothing");
    } else if (json_is_string(value)) {
        buffer_append_text(text, json_string_value(value));
    } else if (json_is_array(value)) {
        buffer_append_char(text, '[');
        for (size_t i = 0; i < json_array_size(value); i++) {
            buffer_append_text(text, i > 0 ? ", " : "");
            value_write(json_array_get(value, i), text);
        }
        buffer_append_char(text, ']');
    } else {
        char *dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        buffer_append_text(text, dump ? dump : "?");
        free(dump);
    }
}

static void changes_compare_member(const char *key, json_t *before, json_t *after, const char *prefix, json_t *paths,
                                   Buffer *text)
{
    _cleanup_(freep) char *path = NULL;
    bool deeper = json_is_object(before) && json_is_object(after);

    if (json_equal(before, after))
        return;
    if (asprintf(&path, "%s%s%s", prefix, key, deeper ? "." : "") < 0) {
        text->failed = true;
    } else if (deeper) {
        changes_compare(before, after, path, paths, text);
    } else {
        json_array_append_new(paths, json_string(path));
        buffer_printf(text, "%s%s ", text->size_bytes > 0 ? ", " : "", path);
        value_write(before, text);
        buffer_append_text(text, " -> ");
        value_write(after, text);
    }
}

void changes_compare(json_t *before, json_t *after, const char *prefix, json_t *paths, Buffer *text)
{
    const char *key;
    json_t *value;

    json_object_foreach(after, key, value)
        changes_compare_member(key, json_object_get(before, key), value, prefix, paths, text);
    json_object_foreach(before, key, value) if (!json_object_get(after, key))
        changes_compare_member(key, value, NULL, prefix, paths, text);
}
