/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of characters, for format*.c alone. */
#pragma once

#include <stdbool.h>
#include <string.h>

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static inline bool consists_of(const char *text, const char *set)
{
    return text[strspn(text, set)] == '\0';
}
