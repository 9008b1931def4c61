/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as text: what can be done with an object as it came, without making a tree of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/buffer.h"

/* The text of a member's value in an object, without reading more than it must. false: it is not there. */
bool json_member(const char *json, size_t size_bytes, const char *key, const char **ret_value, size_t *ret_size_bytes);
/* Indented by two blanks a level. */
void json_indent(const char *json, size_t size_bytes, Buffer *text);
