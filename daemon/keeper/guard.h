/* SPDX-License-Identifier: Apache-2.0 */
/* The guard of a keeper in a private folder: its parent, which ends what programs have started when the keeper has ended. */
#pragma once

/* Returns in the keeper, which is a child from now on; also where there can be no guard. The guard's process ends as the
 * keeper has. */
void guard_begin(char *argv[]);
