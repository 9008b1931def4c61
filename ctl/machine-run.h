/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl machine run, one of the verbs of ctl/verbs/machine.c. */
#pragma once

#include "ctl/verb.h"

extern const Verb machine_run;
