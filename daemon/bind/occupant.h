/* SPDX-License-Identifier: Apache-2.0 */
/* What stands at a path where a socket shall go: a left-over that is cleared away, or something that stays. For
 * daemon/bind alone. */
#pragma once

#include "daemon/bind/place.h"

/* true: nothing is there any more, bind again. false: result says what is there and who serves it. */
bool occupant_clear(const BindRequest *request, const Place *place, BindResult *result);
