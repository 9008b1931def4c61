/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of sockets and folders, alone and in URIs: one form, so that one file has one name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/buffer.h"

#define PATH_MAX_BYTES 4095
#define PATH_COMPONENT_MAX_BYTES 255

/* Why it is no good path, static text, or NULL: empty, too long, a component too long, `..`, control characters, not UTF-8.
 * Relative paths are good here. */
const char *path_check(const char *path);
/* The lengths alone: of a path that was found good, and has got something plain at its end since. */
bool path_is_short_enough(const char *path);
/* In place: `//`, `/./` and a `/` at the end go. */
void path_normalize(char *path);

/* A path as it stands in a URI: %XX is a byte. The result is normalized and good by path_check. false: *ret_reason and
 * *ret_hint say why; both NULL: out of memory. */
bool path_from_uri(const char *text, size_t size_bytes, char **ret_path, const char **ret_reason, const char **ret_hint);
/* The reverse: % and `also` become %XX; also may be 0. */
void path_to_uri(const char *path, char also, Buffer *text);
