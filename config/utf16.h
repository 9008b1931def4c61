/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 to UTF-16LE and back, as .reg files need it. Between files of this room. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"

/* text is well-formed UTF-8. */
void utf16_append(Buffer *text16, const char *text, size_t size_bytes);

/* Units -> UTF-8, as far as they go: at most size_bytes/2 units, never half a pair. The bytes taken; *ret_broken: at them
 * stands a half of a pair that has no other half. */
size_t utf16_decode(const uint8_t *bytes, size_t size_bytes, bool last, Buffer *text, bool *ret_broken);
