/* SPDX-License-Identifier: Apache-2.0 */
/* What people are shown of services and machines: the columns of tables, and all there is of one. */
#pragma once

#include "ctl/output.h"

extern const Column *const service_columns[]; /* ended by NULL */
extern const Column *const machine_columns[];

/* Everything of one service (the API's Service), in lines: fields, state and why, listeners, leases. -EBADMSG, -ENOMEM.
 */
int service_show(const OutputOptions *options, const char *json, size_t size_bytes);
/* One line of what has become of it: `guest-log: listening, port 5140`. whose: also who has it, and where it comes
 * from. */
int service_tell(const char *json, size_t size_bytes, bool whose);
/* What a state looks like in a table; NULL: plain. */
const char *state_colour(const char *state);
