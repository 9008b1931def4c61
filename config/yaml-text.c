/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML text before libyaml reads it: its encoding, and bytes that no YAML text may have. Found here because libyaml knows no
 * line for them, and because it ends lines where no editor does. */

#include <string.h>

#include "config/yaml-tree.h"
#include "schema/base/text.h"

typedef struct YamlMark YamlMark;

struct YamlMark {
    const char *bytes;
    size_t size_bytes;
    const char *name;
};

/* UTF-32 before UTF-16: its marks begin alike. The last four have no mark, but a text in ASCII shows itself. */
static const YamlMark marks[] = {
    {"\xff\xfe\0\0", 4, "UTF-32"}, {"\0\0\xfe\xff", 4, "UTF-32"}, {"\xff\xfe", 2, "UTF-16"}, {"\xfe\xff", 2, "UTF-16"},
};

static const char *foreign_encoding(const char *text, size_t size_bytes)
{
    for (size_t i = 0; i < ELEMENTS_OF(marks); i++)
        if (size_bytes >= marks[i].size_bytes && memcmp(text, marks[i].bytes, marks[i].size_bytes) == 0)
            return marks[i].name;
    if (size_bytes >= 4 && (text[0] == '\0') + (text[1] == '\0') + (text[2] == '\0') + (text[3] == '\0') == 3)
        return "UTF-32";
    if (size_bytes >= 4 && (text[0] == '\0') != (text[1] == '\0') && (text[0] == '\0') == (text[2] == '\0') &&
        (text[1] == '\0') == (text[3] == '\0'))
        return "UTF-16";
    return NULL;
}

/* Line and column as libyaml counts: characters, and CR LF is one end of a line. */
static YamlPlace text_place(const char *text, size_t offset)
{
    YamlPlace place = {1, 1};

    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n' || (text[i] == '\r' && text[i + 1] != '\n')) {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

/* The size of the character at text, which is well-formed UTF-8, and its code. */
static size_t character_at(const unsigned char *text, uint32_t *ret_code)
{
    size_t size = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    uint32_t code = size == 1 ? text[0] : text[0] & (0xffu >> (size + 1));

    for (size_t i = 1; i < size; i++)
        code = code << 6 | (text[i] & 0x3f);
    *ret_code = code;
    return size;
}

static const char *character_hint(uint32_t code)
{
    if (code == 0x85 || code == 0x2028 || code == 0x2029)
        return "YAML ends a line there, and editors do not; remove it, or write it as \\N, \\L or \\P in double quotes";
    if (code == 0xfeff)
        return "a byte order mark stands at the beginning of a file or nowhere; remove it";
    if (code == 0)
        return "a YAML file is text; remove the byte";
    return "remove it, or write it as \\xNN in double quotes";
}

static bool character_is_good(uint32_t code)
{
    if (code < 0x20)
        return code == '\t' || code == '\n' || code == '\r';
    return code != 0xfeff && code != 0xfffe && code != 0xffff && code != 0x2028 && code != 0x2029 &&
           !(code >= 0x7f && code < 0xa0);
}

int yaml_text_check(const char *file, const char *text, size_t size_bytes, Problems *problems, YamlText *ret)
{
    bool ascii = true;

    if (size_bytes > YAML_FILE_MAX_BYTES) {
        problem_locate(problems_add(problems, NULL, "split it into several files", "the file is larger than %u MiB",
                                    YAML_FILE_MAX_BYTES >> 20), file, 0, 0);
        return YAML_INVALID;
    }
    const char *encoding = foreign_encoding(text, size_bytes);
    if (encoding) {
        problem_locate(problems_add(problems, NULL, "save it as UTF-8", "the file is %s", encoding), file, 1, 1);
        return YAML_INVALID;
    }
    if (size_bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size_bytes -= 3;
    }
    for (size_t i = 0; i < size_bytes;) {
        unsigned char c = (unsigned char)text[i];
        if ((c >= 0x20 && c < 0x7f) || c == '\n') {
            i++;
            continue;
        }
        size_t bad, left = size_bytes - i < 4 ? size_bytes - i : 4;
        uint32_t code;
        Problem *problem = NULL;
        size_t size = 1;
        bool good = c == 0 || text_is_utf8(text + i, left, &bad) || bad > 0;
        if (good) {
            size = character_at((const unsigned char *)text + i, &code);
            good = character_is_good(code);
            if (!good)
                problem = problems_add(problems, NULL, character_hint(code), "the character U+%04X cannot stand here", code);
        } else {
            problem = problems_add(problems, NULL, "save the file as UTF-8", "the byte 0x%02x is not UTF-8 here", c);
        }
        if (!good) {
            YamlPlace place = text_place(text, i);
            problem_locate(problem, file, place.line, place.column);
            return YAML_INVALID;
        }
        ascii &= size == 1;
        i += size;
    }
    *ret = (YamlText){.text = text, .size_bytes = size_bytes, .ascii = ascii};
    return 0;
}

const char *yaml_text_at(YamlText *text, size_t characters)
{
    if (text->ascii)
        return text->text + (characters < text->size_bytes ? characters : text->size_bytes);
    while (text->characters < characters && text->bytes < text->size_bytes) {
        do
            text->bytes++;
        while (text->bytes < text->size_bytes && ((unsigned char)text->text[text->bytes] & 0xc0) == 0x80);
        text->characters++;
    }
    return text->text + text->bytes;
}
