/* SPDX-License-Identifier: Apache-2.0 */
/* --help, from the tables of verbs and options. */
#pragma once

#include "ctl/verb.h"

/* Of all verbs. */
int help_all(Buffer *text);
/* Of one; called: as it is typed (`machine add`). */
int help_verb(const Verb *verb, const char *called, const OptionSet *options, Buffer *text);
