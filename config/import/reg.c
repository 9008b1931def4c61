/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a .reg file -> lines: encodings, pieces that end anywhere, lines without an end. A RegReader lives as long as one file
 * is read. */

#include <errno.h>
#include <string.h>

#include "config/import/reg.h"
#include "config/utf16.h"
#include "schema/base/text.h"

#define REG_PIECE_BYTES (32u * 1024)
#define REG_MARK_BYTES 4 /* what must be there to tell the encoding */

struct RegReader {
    RegLines lines;
    enum { REG_UNKNOWN, REG_UTF8, REG_UTF16 } encoding;
    uint8_t held[REG_MARK_BYTES]; /* not decoded yet: the file's begin, or a part of a pair */
    size_t held_bytes;
    Buffer text;    /* decoded, from the begin of a line on */
    bool skipping;  /* the line was too long, and goes on */
    bool lost;      /* something in the line could not be decoded */
    bool refused;
};

static const char hint_cut[] = "export it again: regedit writes UTF-16 with its mark";

int reg_reader_new(const char *file, RegOnKey on_key, void *userdata, Problems *problems, RegReader **ret)
{
    RegReader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return -ENOMEM;
    reader->lines = (RegLines){.file = file, .on_key = on_key, .userdata = userdata, .problems = problems, .line = 1};
    *ret = reader;
    return 0;
}

void reg_reader_free(RegReader *reader)
{
    if (!reader)
        return;
    reg_lines_release(&reader->lines);
    buffer_release(&reader->text);
    free(reader);
}

/* One line, without its newline. */
static int reader_on_line(RegReader *reader, const char *text, size_t size_bytes)
{
    bool lost = reader->lost, skipped = reader->skipping;
    size_t bad;
    int r = 0;

    reader->lost = reader->skipping = false;
    if (size_bytes > 0 && text[size_bytes - 1] == '\r')
        size_bytes--;
    if (skipped)
        r = 0; /* told already */
    else if (size_bytes > REG_LINE_MAX_BYTES)
        reg_line_lost(&reader->lines, "a shorter line would be right", "it is longer than 65536 bytes");
    else if (lost)
        reg_line_lost(&reader->lines, hint_cut, "half of a surrogate pair stands there alone");
    else if (memchr(text, '\0', size_bytes))
        reg_line_lost(&reader->lines, hint_cut, "a NUL stands there");
    else if (reader->encoding == REG_UTF8 && !text_is_utf8(text, size_bytes, &bad))
        reg_line_lost(&reader->lines, "save it as Unicode (UTF-16) or UTF-8", "it is not UTF-8");
    else
        r = reg_line(&reader->lines, text, size_bytes);
    reader->lines.line++;
    return reader->lines.problems->failed ? -ENOMEM : r;
}

/* All whole lines of what was decoded. */
static int reader_take_lines(RegReader *reader)
{
    Buffer *text = &reader->text;
    const char *at = text->data, *end = at + text->size_bytes, *newline;
    int r = 0;

    if (text->failed)
        return -ENOMEM;
    while (r == 0 && at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
        r = reader_on_line(reader, at, (size_t)(newline - at));
        at = newline + 1;
    }
    if (at < end && (size_t)(end - at) > REG_LINE_MAX_BYTES && !reader->skipping) {
        reg_line_lost(&reader->lines, "a shorter line would be right", "it is longer than 65536 bytes");
        reader->skipping = true;
    }
    text->size_bytes = 0;
    if (at < end && !reader->skipping) {
        text->size_bytes = (size_t)(end - at);
        memmove(text->data, at, text->size_bytes);
    }
    return r;
}

/* Decodes what it can; the rest, three bytes at most, is held. */
static int reader_decode(RegReader *reader, const uint8_t *bytes, size_t size_bytes, bool last)
{
    int r = 0;

    while (r == 0 && size_bytes > 0) {
        bool broken = false;
        size_t taken = size_bytes;
        if (reader->encoding == REG_UTF8)
            buffer_append(&reader->text, bytes, size_bytes);
        else
            taken = utf16_decode(bytes, size_bytes, last, &reader->text, &broken);
        r = reader_take_lines(reader);
        if (broken) {
            reader->lost = true;
            taken += 2;
        }
        bytes += taken;
        size_bytes -= taken;
        if (!broken)
            break;
    }
    if (size_bytes > 0 && size_bytes <= sizeof(reader->held)) {
        memcpy(reader->held, bytes, size_bytes);
        reader->held_bytes = size_bytes;
    }
    return r;
}

/* The size of the mark. */
static size_t reader_tell_encoding(RegReader *reader, const uint8_t *bytes, size_t size_bytes)
{
    reader->encoding = REG_UTF8;
    if (size_bytes >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        return 3;
    if (size_bytes < 2)
        return 0;
    if (bytes[0] == 0xfe && bytes[1] == 0xff) {
        reg_line_lost(&reader->lines, hint_cut, "it is UTF-16 in big-endian order, which Windows does not read");
        reader->refused = true;
        return 0;
    }
    if (bytes[0] == 0xff && bytes[1] == 0xfe) {
        reader->encoding = REG_UTF16;
        return 2;
    }
    if (bytes[0] != 0 && bytes[1] == 0)
        reader->encoding = REG_UTF16;
    return 0;
}

/* With what was held before it. */
static int reader_piece(RegReader *reader, const uint8_t *bytes, size_t size_bytes, bool last)
{
    uint8_t piece[REG_PIECE_BYTES + REG_MARK_BYTES];
    size_t skip = 0;

    memcpy(piece, reader->held, reader->held_bytes);
    if (size_bytes > 0)
        memcpy(piece + reader->held_bytes, bytes, size_bytes);
    size_bytes += reader->held_bytes;
    reader->held_bytes = 0;
    if (reader->encoding == REG_UNKNOWN) {
        if (size_bytes < REG_MARK_BYTES && !last) {
            memcpy(reader->held, piece, size_bytes);
            reader->held_bytes = size_bytes;
            return 0;
        }
        skip = reader_tell_encoding(reader, piece, size_bytes);
    }
    return reader->refused ? 0 : reader_decode(reader, piece + skip, size_bytes - skip, last);
}

int reg_reader_feed(RegReader *reader, const void *bytes, size_t size_bytes)
{
    const uint8_t *at = bytes;
    int r = 0;

    while (r == 0 && size_bytes > 0 && !reader->refused) {
        size_t size = size_bytes < REG_PIECE_BYTES ? size_bytes : REG_PIECE_BYTES;
        r = reader_piece(reader, at, size, false);
        at += size;
        size_bytes -= size;
    }
    return r;
}

int reg_reader_finish(RegReader *reader)
{
    if (reader->refused)
        return 0;
    int r = reader_piece(reader, NULL, 0, true);

    if (r == 0 && reader->held_bytes > 0) {
        reg_line_lost(&reader->lines, hint_cut, "it ends in the middle of a character");
        reader->skipping = true;
    }
    reader->lines.last = true;
    if (r == 0 && (reader->text.size_bytes > 0 || reader->lost || reader->skipping))
        r = reader_on_line(reader, reader->text.data ? reader->text.data : "", reader->text.size_bytes);
    return r < 0 ? r : reg_lines_finish(&reader->lines);
}
