/* SPDX-License-Identifier: Apache-2.0 */
/* hybrid://PATH: `PATH_PORT` or `PATH_GUID`, which the VMM connects to when its guest calls. */

#include "daemon/bind/path.h"

extern const Binder binder_hybrid;
const Binder binder_hybrid = {.transport = "hybrid", .find = path_find};
