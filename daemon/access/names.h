/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by name, remembered for some seconds: handout names them, and is asked at every Acquire, where a
 * look-up would read files or ask the network. A name that the host does not know is remembered as such. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/cleanup.h"

typedef struct Names Names;

typedef enum NameKind {
    NAME_USER,
    NAME_GROUP,
} NameKind;

int names_new(Names **ret);
void names_free(Names *names);
DEFINE_CLEANUP(Names *, names_free)

/* A name, a number, or a range of numbers. false: it names nobody here. */
bool names_find(Names *names, NameKind kind, const char *text, uint32_t *ret_first, uint32_t *ret_last);
