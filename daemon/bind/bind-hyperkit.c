/* SPDX-License-Identifier: Apache-2.0 */
/* hyperkit://DIR: `DIR/00000002.PPPPPPPP`, which hyperkit connects to when its guest calls. */

#include "daemon/bind/path.h"

extern const Binder binder_hyperkit;
const Binder binder_hyperkit = {.transport = "hyperkit", .find = path_find};
