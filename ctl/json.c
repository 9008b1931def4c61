/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as text; nothing here outlives its call. What comes in is valid JSON (the daemon wrote it); what is not gives
 * nonsense, never a read beyond its end. */

#include <string.h>

#include "ctl/json.h"

/* Past one value: a text with its quotes, or an object or array with all that is in it, or a bare word. */
static const char *json_skip(const char *at, const char *end)
{
    int depth = 0;
    bool quoted = false;

    for (; at < end; at++) {
        if (quoted) {
            if (*at == '\\')
                at++;
            else if (*at == '"')
                quoted = false;
        } else if (*at == '"') {
            quoted = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']' || *at == ',') {
            if (depth == 0)
                return at;
            depth -= *at != ',';
        }
    }
    return end;
}

bool json_member(const char *json, size_t size_bytes, const char *key, const char **ret_value, size_t *ret_size_bytes)
{
    const char *at = json, *end = json + size_bytes;
    size_t key_size = strlen(key);

    if (at == end || *at++ != '{')
        return false;
    while (at < end && *at != '}') {
        at += strspn(at, " \t\r\n");
        bool found = (size_t)(end - at) > key_size + 2 && at[0] == '"' && memcmp(at + 1, key, key_size) == 0 &&
                     at[key_size + 1] == '"';
        const char *next = json_skip(at, end);
        if (found) {
            at += key_size + 2;
            at += strspn(at, " \t\r\n");
            if (at >= next || *at != ':')
                return false;
            at++;
            at += strspn(at, " \t\r\n");
            if (at > next)
                return false;
            *ret_value = at;
            *ret_size_bytes = (size_t)(next - at);
            return true;
        }
        at = next < end && *next == ',' ? next + 1 : next;
        if (at == next && (at == end || *at != '}'))
            return false;
    }
    return false;
}

static void json_newline(Buffer *text, int depth)
{
    buffer_append_char(text, '\n');
    for (int i = 0; i < depth; i++)
        buffer_append(text, "  ", 2);
}

void json_indent(const char *json, size_t size_bytes, Buffer *text)
{
    const char *end = json + size_bytes;
    int depth = 0;

    for (const char *at = json; at < end; at++) {
        if (*at == '"') {
            const char *start = at++;
            while (at < end && *at != '"')
                at += *at == '\\' ? 2 : 1;
            buffer_append(text, start, (size_t)((at < end ? at + 1 : end) - start));
        } else if (*at == '{' || *at == '[') {
            buffer_append_char(text, *at);
            const char *next = at + 1;
            while (next < end && strchr(" \t\r\n", *next) && *next)
                next++;
            if (next < end && (*next == '}' || *next == ']')) {
                buffer_append_char(text, *next);
                at = next;
            } else {
                json_newline(text, ++depth);
            }
        } else if (*at == '}' || *at == ']') {
            json_newline(text, depth > 0 ? --depth : 0);
            buffer_append_char(text, *at);
        } else if (*at == ',') {
            buffer_append_char(text, ',');
            json_newline(text, depth);
        } else if (*at == ':') {
            buffer_append(text, ": ", 2);
        } else if (*at != ' ' && *at != '\t' && *at != '\r' && *at != '\n') {
            buffer_append_char(text, *at);
        }
    }
}
