/* SPDX-License-Identifier: Apache-2.0 */
/* unix://PATH: one socket file, of any type. */

#include "daemon/bind/path.h"

extern const Binder binder_unix;
const Binder binder_unix = {.transport = "unix", .find = path_find};
