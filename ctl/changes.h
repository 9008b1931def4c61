/* SPDX-License-Identifier: Apache-2.0 */
/* What a change is about, for people: `+ name`, `~ name: port 1 -> 2`, `- name`. */
#pragma once

#include <jansson.h>

#include "ctl/output.h"

/* Prints the changes of a reply of Apply or Reload ({changes: [Change]}). none: what to say where there are none; or
 * NULL. -EBADMSG; -ENOMEM. */
int changes_print(const OutputOptions *options, const char *reply, const char *none);

/* One Change; what: what follows the name, or NULL. */
void change_print(const OutputOptions *options, const char *kind, const char *object, const char *name,
                  const char *what);

/* Every place where two contexts differ: its path into the array paths, `port 1 -> 2` into text. */
void changes_compare(json_t *before, json_t *after, const char *prefix, json_t *paths, Buffer *text);
