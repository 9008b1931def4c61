/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a .reg file -> keys: headers, `[KEY]`, `"Name"="value"`, hex(1) over several lines, comments. Microsoft's "How to
 * add, modify, or delete registry subkeys and values by using a .reg file"; FACTS for what Windows makes of it. */

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "config/import/reg.h"
#include "config/utf16.h"
#include "schema/base/text.h"

static const char *const value_names[] = {"ElementName", "Purpose", "ToolName"};
_Static_assert(ELEMENTS_OF(value_names) == ELEMENTS_OF(((RegLines *)NULL)->values), "one each");

static const char hint_value[] = "\"Name\"=\"value\", with \\\\ and \\\" for a backslash and a quote, would be right";
static const char hint_hex[] = "hex(1): and pairs of hex digits with commas between them would be right";

static void tell(RegLines *lines, bool warning, unsigned line, const char *hint, const char *reason)
{
    Problem *problem = warning ? problems_warn(lines->problems, NULL, hint, "%s", reason)
                               : problems_add(lines->problems, NULL, hint, "%s", reason);

    problem_locate(problem, lines->file, line, 1);
}

/* what: a part of the file, which is cut and quoted. */
static void tell_about(RegLines *lines, bool warning, const char *hint, const char *what, size_t size_bytes, const char *reason)
{
    Buffer text = {0};
    _cleanup_(freep) char *copy = strndup(what, size_bytes);

    if (copy)
        problem_say(&text, copy, reason);
    buffer_append_char(&text, '\0');
    if (!copy || text.failed)
        lines->problems->failed = true;
    else
        tell(lines, warning, lines->line, hint, text.data);
    buffer_release(&text);
}

void reg_line_lost(RegLines *lines, const char *hint, const char *reason)
{
    lines->broken = true;
    lines->continued = false;
    if (lines->state != REG_REFUSED)
        tell(lines, false, lines->line, hint, reason);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Nothing but blanks and a comment. */
static bool is_rest(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at == end || *at == ';';
}

/* ---- keys ---- */

/* The open key is over. */
static int key_close(RegLines *lines)
{
    WindowsKey key = {.line = lines->key_line};
    char **texts[] = {&key.element_name, &key.purpose, &key.tool_name};

    if (!lines->in_key)
        return 0;
    lines->in_key = false;
    if (lines->broken) {
        tell(lines, false, lines->key_line, NULL, "this key is not taken, because a line of it cannot be read");
        return 0;
    }
    for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
        if (lines->values[i].text.failed)
            return -ENOMEM;
        *texts[i] = lines->values[i].set ? lines->values[i].text.data : NULL;
    }
    if (lines->name.failed)
        return -ENOMEM;
    key.name = lines->name.data;
    return lines->on_key(&key, lines->userdata);
}

static bool take_prefix(const char **at, const char *end, const char *prefix)
{
    size_t size = strlen(prefix);

    if ((size_t)(end - *at) < size || strncasecmp(*at, prefix, size) != 0)
        return false;
    *at += size;
    return true;
}

/* Past `HKEY_LOCAL_MACHINE\…\GuestCommunicationServices`. */
static bool take_path(const char **at, const char *end)
{
    const char *path = *at;

    if (!take_prefix(&path, end, WINDOWS_ROOT "\\" WINDOWS_PATH) && !take_prefix(&path, end, "HKLM\\" WINDOWS_PATH))
        return false;
    if (path < end && *path != '\\')
        return false;
    *at = path;
    return true;
}

static void key_open(RegLines *lines, const char *name, size_t size_bytes)
{
    lines->in_key = true;
    lines->broken = false;
    lines->key_line = lines->line;
    buffer_clear(&lines->name);
    buffer_append(&lines->name, name, size_bytes);
    buffer_append_char(&lines->name, '\0');
    for (size_t i = 0; i < ELEMENTS_OF(lines->values); i++)
        lines->values[i].set = false;
}

static int line_key(RegLines *lines, const char *at, const char *end)
{
    const char *close = memrchr(at, ']', (size_t)(end - at));
    int r = key_close(lines);

    lines->broken = false;
    if (r != 0)
        return r;
    if (!close || !is_rest(close + 1, end)) {
        tell(lines, false, lines->line, "[KEY] would be right", "the key's name does not end with a bracket: the line is cut");
        return 0;
    }
    const char *path = at + 1, *name = path;
    bool removed = path < close && *path == '-';
    name += removed;
    if (!take_path(&name, close)) {
        tell_about(lines, true, NULL, path, (size_t)(close - path), "is not under GuestCommunicationServices: left out");
        return 0;
    }
    name += name < close;
    size_t size = (size_t)(close - name);
    if (removed)
        tell_about(lines, true, "hvsockctl unregister removes a service", size > 0 ? name : path, size > 0 ? size : (size_t)(close - path),
                   "is to be removed, which is not done here");
    else if (memchr(name, '\\', size))
        tell_about(lines, true, NULL, name, size, "is a key below a service's: left out");
    else if (size > 0)
        key_open(lines, name, size);
    return 0;
}

/* ---- values ---- */

static void value_set(RegLines *lines, int value, const Buffer *text)
{
    RegValue *to = &lines->values[value];

    buffer_clear(&to->text);
    if (text->size_bytes > 0)
        buffer_append(&to->text, text->data, text->size_bytes);
    buffer_append_char(&to->text, '\0');
    to->set = true;
}

static void value_wrong(RegLines *lines, int value, const char *hint, const char *reason)
{
    lines->broken = true;
    tell_about(lines, false, hint, value_names[value], strlen(value_names[value]), reason);
}

/* After the opening quote: the text without its escapes, and what stands behind its closing one. NULL: it has none. */
static const char *take_quoted(const char *at, const char *end, Buffer *text)
{
    buffer_clear(text);
    for (;;) {
        const char *plain = at;
        while (at < end && *at != '\\' && *at != '"')
            at++;
        buffer_append(text, plain, (size_t)(at - plain));
        if (at == end || (*at == '\\' && at + 1 == end))
            return NULL;
        if (*at == '"')
            return at + 1;
        /* Windows knows two escapes; before all else the backslash is one. */
        if (at[1] != '\\' && at[1] != '"')
            buffer_append_char(text, '\\');
        buffer_append_char(text, at[1]);
        at += 2;
    }
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* `77,00,65` -> bytes. Windows writes two digits for each: one alone is what a cut has left. */
static bool take_hex(const char *at, const char *end, Buffer *bytes)
{
    while (!is_rest(at, end)) {
        while (is_blank(*at))
            at++;
        int high = hex_digit(*at++);
        int low = high < 0 || at == end ? -1 : hex_digit(*at++);
        if (low < 0)
            return false;
        buffer_append_char(bytes, (char)(high << 4 | low));
        while (at < end && is_blank(*at))
            at++;
        if (at < end && *at == ',')
            at++;
        else if (!is_rest(at, end))
            return false;
    }
    return true;
}

/* What a string ends with is not of it; one that does not end was cut. */
static void value_set_bytes(RegLines *lines, int value, const Buffer *bytes)
{
    const char *data = bytes->data ? bytes->data : "";
    Buffer text = {0};
    bool broken = !lines->ansi && bytes->size_bytes % 2 != 0;

    if (lines->ansi)
        buffer_append(&text, data, bytes->size_bytes);
    else if (!broken)
        utf16_decode((const uint8_t *)data, bytes->size_bytes, true, &text, &broken);
    size_t size = text.size_bytes > 0 ? strnlen(text.data, text.size_bytes) : 0;
    bool ends = size < text.size_bytes || (bytes->size_bytes == 0 && !lines->last);
    text.size_bytes = size;
    if (text.failed)
        lines->problems->failed = true;
    else if (broken || !text_is_utf8(size > 0 ? text.data : "", size, NULL))
        value_wrong(lines, value, hint_hex, "is no text: its bytes are cut, or no UTF-16");
    else if (!ends)
        value_wrong(lines, value, hint_hex, "is cut: a string ends with a zero");
    else
        value_set(lines, value, &text);
    buffer_release(&text);
}

static void value_hex(RegLines *lines, int value, const char *at, const char *end)
{
    Buffer bytes = {0};

    if (!take_hex(at, end, &bytes))
        value_wrong(lines, value, hint_hex, "is no list of bytes");
    else
        value_set_bytes(lines, value, &bytes);
    lines->problems->failed |= bytes.failed;
    buffer_release(&bytes);
}

/* A line of a value that goes on in the next; what is of no use is not kept. */
static void value_continue(RegLines *lines, int value, const char *at, const char *end)
{
    lines->continued = true;
    if (value >= 0)
        buffer_append(&lines->pending, at, (size_t)(end - at));
    if (lines->pending.size_bytes > REG_LINE_MAX_BYTES) {
        lines->pending_long = true;
        buffer_clear(&lines->pending);
    }
}

/* The backslash that says that it goes on; NULL: it does not. */
static const char *find_continuation(const char *at, const char *end)
{
    while (end > at && is_blank(end[-1]))
        end--;
    return end > at && end[-1] == '\\' ? end - 1 : NULL;
}

static void line_hex(RegLines *lines, int value, const char *at, const char *end)
{
    const char *more = find_continuation(at, end);

    buffer_clear(&lines->pending);
    lines->pending_value = value;
    lines->pending_long = false;
    lines->pending_line = lines->line;
    if (more)
        value_continue(lines, value, at, more);
    else if (value >= 0)
        value_hex(lines, value, at, end);
}

static void line_continued(RegLines *lines, const char *at, const char *end)
{
    const char *more = find_continuation(at, end);
    int value = lines->pending_value;

    if (is_rest(at, end) && at < end && !more)
        return; /* a comment between them */
    lines->continued = false;
    value_continue(lines, value, at, more ? more : end);
    lines->continued = more != NULL;
    if (more || value < 0)
        return;
    if (lines->pending.failed)
        lines->problems->failed = true;
    else if (lines->pending_long)
        value_wrong(lines, value, "a shorter value would be right", "is longer than 65536 bytes");
    else if (lines->pending.size_bytes > 0)
        value_hex(lines, value, lines->pending.data, lines->pending.data + lines->pending.size_bytes);
}

static int find_value(const RegLines *lines, const Buffer *name)
{
    for (int i = 0; lines->in_key && i < (int)ELEMENTS_OF(value_names); i++)
        if (name->size_bytes == strlen(value_names[i]) && strncasecmp(name->data, value_names[i], name->size_bytes) == 0)
            return i;
    return -1;
}

/* What follows the `=`. */
static void line_data(RegLines *lines, int value, const char *at, const char *end)
{
    if (at < end && *at == '"') {
        const char *rest = take_quoted(at + 1, end, &lines->pending);
        if (value < 0)
            return;
        if (!rest || !is_rest(rest, end))
            value_wrong(lines, value, hint_value, "has no closing quote: the line is cut, or a quote in it is not escaped");
        else
            value_set(lines, value, &lines->pending);
    } else if (take_prefix(&at, end, "hex(1):")) {
        line_hex(lines, value, at, end);
    } else if (take_prefix(&at, end, "hex")) {
        line_hex(lines, -1, at, end);
        if (value >= 0)
            value_wrong(lines, value, "REG_SZ would be right", "is no string");
    } else if (value >= 0 && at < end && *at == '-' && is_rest(at + 1, end)) {
        tell_about(lines, true, NULL, value_names[value], strlen(value_names[value]), "is to be removed, which is not done here");
    } else if (value >= 0) {
        value_wrong(lines, value, hint_value, "is no string");
    }
}

static void line_value(RegLines *lines, const char *at, const char *end)
{
    int value = -1;

    if (*at == '@') {
        at++;
    } else {
        at = take_quoted(at + 1, end, &lines->pending);
        value = at ? find_value(lines, &lines->pending) : -1;
    }
    while (at && at < end && is_blank(*at))
        at++;
    if (!at || at == end || *at != '=') {
        if (lines->in_key)
            reg_line_lost(lines, hint_value, "this is no value: the line is cut");
        return;
    }
    at++;
    while (at < end && is_blank(*at))
        at++;
    line_data(lines, value, at, end);
}

/* ---- lines ---- */

static void line_header(RegLines *lines, const char *at, const char *end)
{
    size_t size = (size_t)(end - at);

    while (size > 0 && is_blank(at[size - 1]))
        size--;
    lines->state = REG_BODY;
    if (size == strlen("REGEDIT4") && strncasecmp(at, "REGEDIT4", size) == 0) {
        lines->ansi = true;
    } else if (size != strlen("Windows Registry Editor Version 5.00") ||
               strncasecmp(at, "Windows Registry Editor Version 5.00", size) != 0) {
        tell(lines, false, lines->line, "`Windows Registry Editor Version 5.00` or `REGEDIT4` would be right", "this is no .reg file");
        lines->state = REG_REFUSED;
    }
}

int reg_line(RegLines *lines, const char *text, size_t size_bytes)
{
    const char *at = text, *end = text + size_bytes;

    while (at < end && is_blank(*at))
        at++;
    if (lines->state == REG_REFUSED)
        return 0;
    if (lines->continued) {
        line_continued(lines, at, end);
        return 0;
    }
    if (at == end || *at == ';')
        return 0;
    if (lines->state == REG_HEADER)
        line_header(lines, at, end);
    else if (*at == '[')
        return line_key(lines, at, end);
    else if (*at == '"' || *at == '@')
        line_value(lines, at, end);
    else if (lines->in_key)
        reg_line_lost(lines, hint_value, "this is neither a key nor a value nor a comment");
    return 0;
}

int reg_lines_finish(RegLines *lines)
{
    if (lines->state == REG_HEADER)
        tell(lines, false, lines->line, NULL, "the file is empty");
    if (lines->continued) {
        lines->broken = true;
        tell(lines, false, lines->pending_line, hint_hex, "the value goes on in a line that is not there: the file is cut");
    }
    return key_close(lines);
}

void reg_lines_release(RegLines *lines)
{
    buffer_release(&lines->name);
    buffer_release(&lines->pending);
    for (size_t i = 0; i < ELEMENTS_OF(lines->values); i++)
        buffer_release(&lines->values[i].text);
}
