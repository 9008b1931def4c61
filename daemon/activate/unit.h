/* SPDX-License-Identifier: Apache-2.0 */
/* Starting units of systemd's: asked for over the bus (root has one of its own to systemd), answered when the job is over.
 * sd-bus(3), org.freedesktop.systemd1(5). */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "schema/base/cleanup.h"

typedef struct Units Units;

/* why NULL: the unit has started; else what went wrong. refused: systemd was not reached, or does not let us, and may let
 * another. Never called from within units_start. */
typedef void (*UnitStarted)(const char *service, const char *why, bool refused, void *userdata);

int units_new(sd_event *event, UnitStarted on_started, void *userdata, Units **ret);
void units_free(Units *units);
DEFINE_CLEANUP(Units *, units_free)

/* on_started is called once for it. -errno: systemd is not reached, and *ret_why, the caller's, says why (NULL: no memory). */
int units_start(Units *units, const char *unit, const char *service, char **ret_why);
/* Nobody waits for that any more: on_started is not called. */
void units_forget(Units *units, const char *service);
