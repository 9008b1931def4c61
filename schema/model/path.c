/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as values; nothing here looks at the file system. */

#include <stdio.h>
#include <string.h>

#include "schema/base/text.h"
#include "schema/model/path.h"

const char *path_check(const char *path)
{
    size_t size = strlen(path);

    if (size == 0)
        return "the path is empty";
    if (size > PATH_MAX_BYTES)
        return "the path is longer than 4095 bytes";
    if (!text_is_utf8(path, size, NULL))
        return "the path is not UTF-8";
    if (!text_is_printable(path))
        return "the path has a control character in it";
    for (const char *at = path; *at;) {
        size_t component = strcspn(at, "/");
        if (component > PATH_COMPONENT_MAX_BYTES)
            return "a name in the path is longer than 255 bytes";
        if (component == 2 && at[0] == '.' && at[1] == '.')
            return "the path has `..` in it";
        at += component;
        at += *at == '/';
    }
    return NULL;
}

bool path_is_short_enough(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t name_bytes = strlen(name);

    return name_bytes <= PATH_COMPONENT_MAX_BYTES && (size_t)(name - path) + name_bytes <= PATH_MAX_BYTES;
}

void path_normalize(char *path)
{
    bool absolute = path[0] == '/';
    char *to = path + absolute;

    for (const char *at = path; *at;) {
        size_t component = strcspn(at, "/");
        bool nothing = component == 0 || (component == 1 && at[0] == '.');
        if (!nothing) {
            if (to > path + absolute)
                *to++ = '/';
            memmove(to, at, component);
            to += component;
        }
        at += component;
        at += *at == '/';
    }
    if (to == path)
        *to++ = '.';
    *to = '\0';
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

bool path_from_uri(const char *text, size_t size_bytes, char **ret_path, const char **ret_reason, const char **ret_hint)
{
    *ret_reason = *ret_hint = NULL;
    if (size_bytes > 3 * PATH_MAX_BYTES) {
        *ret_reason = "the path is longer than 4095 bytes";
        *ret_hint = "a shorter path would be right";
        return false;
    }
    _cleanup_(freep) char *path = malloc(size_bytes + 2);
    if (!path)
        return false;

    size_t size = 0;
    for (size_t i = 0; i < size_bytes; i++) {
        if (text[i] != '%') {
            path[size++] = text[i];
            continue;
        }
        int high = size_bytes - i > 2 ? hex_digit(text[i + 1]) : -1;
        int low = high < 0 ? -1 : hex_digit(text[i + 2]);
        if (low < 0 || high + low == 0) {
            *ret_reason = "a % is not followed by the two hex digits of a byte";
            *ret_hint = "write %25 for a percent sign of the path, and %3A for a colon";
            return false;
        }
        path[size++] = (char)(high << 4 | low);
        i += 2;
    }
    path[size] = '\0';
    *ret_reason = path_check(path);
    if (*ret_reason) {
        *ret_hint = "an absolute path without `..`, as /run/vms/web1/v.sock, would be right";
        return false;
    }
    path_normalize(path);
    *ret_path = TAKE_PTR(path);
    return true;
}

void path_to_uri(const char *path, char also, Buffer *text)
{
    const char escaped[] = {'%', also, '\0'};

    while (*path) {
        size_t plain = strcspn(path, escaped);
        buffer_append(text, path, plain);
        path += plain;
        if (*path)
            buffer_printf(text, "%%%02X", (unsigned char)*path++);
    }
}
