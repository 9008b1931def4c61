/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl machine run, one of the verbs of ctl/verbs/machine.c. */
#pragma once

#include "ctl/ctl.h"

extern const Verb machine_run;

/* A record that no guest would ever be taken for. EXIT_USAGE. */
int machine_tell_unknown(const Ctl *ctl, const char *name);
