/* SPDX-License-Identifier: Apache-2.0 */
/* --help, from the tables of verbs and options. */
#pragma once

#include "ctl/verb.h"

/* Of all verbs. */
int help_all(Buffer *text);
/* Of one; called: as it is typed (`machine add`). */
int help_verb(const Verb *verb, const char *called, const OptionSet *options, Buffer *text);

/* ---- ctl/words.c: what is said of the host that this build is for; ctl/windows has its own ---- */
extern const char help_begin[], help_watching[], help_end[];
