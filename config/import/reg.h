/* SPDX-License-Identifier: Apache-2.0 */
/* A .reg file, in pieces as they come -> the keys under GuestCommunicationServices. UTF-16LE or UTF-8, with or without a mark;
 * version 5 or REGEDIT4. The memory that it takes does not depend on the file. FACTS, "Windows registry". */
#pragma once

#include "config/windows.h"
#include "schema/base/problem.h"

typedef struct RegReader RegReader;

#define REG_LINE_MAX_BYTES (64u * 1024) /* as UTF-8, continuations included */

/* A key that was read whole; it is good until this returns. Anything but 0 ends the reading and is passed on. */
typedef int (*RegOnKey)(const WindowsKey *key, void *userdata);

/* file: for problems, each of which has its line: an error for what is broken (a key with a broken line in it is not given),
 * a warning for what is no service (keys elsewhere, `[-KEY]`). -ENOMEM. */
int reg_reader_new(const char *file, RegOnKey on_key, void *userdata, Problems *problems, RegReader **ret);
/* 0; -ENOMEM; what on_key answered. */
int reg_reader_feed(RegReader *reader, const void *bytes, size_t size_bytes);
/* After the last piece. */
int reg_reader_finish(RegReader *reader);
void reg_reader_free(RegReader *reader);
DEFINE_CLEANUP(RegReader *, reg_reader_free)

/* ---- between reg.c and reg-line.c ---- */

typedef struct RegLines RegLines;
typedef struct RegValue RegValue;

struct RegValue {
    Buffer text; /* with its NUL */
    bool set;
};

/* What the lines so far have said. */
struct RegLines {
    const char *file;
    Problems *problems;
    RegOnKey on_key;
    void *userdata;
    unsigned line;
    bool last;          /* … which has no newline at its end */
    enum { REG_HEADER, REG_BODY, REG_REFUSED } state; /* refused: it is no .reg file, the rest is not looked at */
    bool ansi;          /* REGEDIT4 */
    bool in_key;        /* a key of ours is open */
    bool broken;        /* … with a line that could not be read */
    unsigned key_line;
    Buffer name;        /* of the open key, with its NUL */
    RegValue values[3]; /* ElementName, Purpose, ToolName */
    bool continued;     /* the last line ended with a backslash: */
    int pending_value;  /* … it is of this value, -1: of one that is none of ours */
    bool pending_long;
    unsigned pending_line;
    Buffer pending;     /* what it had so far */
};

/* text: one line without its end, UTF-8 without NUL. */
int reg_line(RegLines *lines, const char *text, size_t size_bytes);
/* The line cannot be read; what it belongs to is lost. */
void reg_line_lost(RegLines *lines, const char *hint, const char *reason);
int reg_lines_finish(RegLines *lines);
void reg_lines_release(RegLines *lines);
