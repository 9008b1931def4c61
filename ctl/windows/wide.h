/* SPDX-License-Identifier: Apache-2.0 */
/* Windows' texts and ours: UTF-16 there, UTF-8 here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "schema/base/cleanup.h"

/* Owned by the caller; NULL: out of memory, or it is no UTF-8. */
wchar_t *wide_from_text(const char *text);
/* The same back, of so many units; half a pair becomes U+FFFD. */
char *wide_to_text(const wchar_t *wide, size_t units);
/* What Windows says of an error, in one line without a full stop; owned by the caller; NULL: out of memory. */
char *wide_error_text(uint32_t error);
