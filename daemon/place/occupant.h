/* SPDX-License-Identifier: Apache-2.0 */
/* What stands at a path where a socket shall go: a left-over that is cleared away, or something that stays. For
 * daemon/place alone. */
#pragma once

#include "daemon/place/batch.h"

/* At the batch's site, and not inside. true: nothing is there any more, bind again. false: result says what is there and who serves it. */
bool occupant_clear(const PlaceRequest *request, Batch *batch, PlaceResult *result);
