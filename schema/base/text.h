/* SPDX-License-Identifier: Apache-2.0 */
/* Strict readings of text, lists of texts, times. Nothing here depends on the locale. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/cleanup.h"

/* A list of texts, ended by NULL, each owned. A map is a list of key, value, key, value. NULL = absent. */
typedef char **TextList;

/* Plain decimal: digits only, no sign, no leading zero, no more than max. false leaves *ret as it is. */
bool text_to_number(const char *text, uint64_t max, uint64_t *ret);
/* The same of a part of a text. */
bool text_to_number_sized(const char *text, size_t size_bytes, uint64_t max, uint64_t *ret);
/* `A-B` or `A`, plain decimal or 0x…; A at most B. */
bool text_to_range(const char *text, uint32_t *ret_first, uint32_t *ret_last);
/* Well-formed UTF-8 (RFC 3629) without NUL; where not, *ret_offset is the first bad byte. */
bool text_is_utf8(const char *text, size_t size_bytes, size_t *ret_offset);
/* No C0 or C1 control character, no DEL, and none of U+2028, U+2029. text is UTF-8. */
bool text_is_printable(const char *text);
bool text_equal(const char *a, const char *b); /* NULL equals NULL only */
bool text_starts_with(const char *text, const char *prefix);
bool text_ends_with(const char *text, const char *suffix);
int text_compare(const char *a, const char *b); /* for qsort and trees: by bytes */

size_t text_list_count(char *const *list);
void text_list_free(char **list);
DEFINE_CLEANUP(TextList, text_list_free)
int text_list_copy(char *const *list, char ***ret);
bool text_list_equal(char *const *a, char *const *b);
bool text_list_contains(char *const *list, const char *text);
/* Appends a copy; -ENOMEM leaves the list as it was. */
int text_list_append(char ***list, const char *text);

/* Microseconds since 1970. */
uint64_t time_now_us(void);
/* RFC 3339 in UTC with milliseconds, `2026-11-20T23:59:00.123Z`. */
#define TIME_TEXT_SIZE_BYTES 32
char *time_format(uint64_t time_us, char text[static TIME_TEXT_SIZE_BYTES]);
bool time_parse(const char *text, uint64_t *ret_time_us);
