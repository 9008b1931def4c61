/* SPDX-License-Identifier: Apache-2.0 */
/* KEEPER_REEXEC and SIGHUP: the program on disk, which may be another version by now, is executed in our place and goes on
 * with everything that we hold. The process stays the same, so programs stay its children. */
#pragma once

#include "daemon/keeper/keeper.h"

/* Does not return where it succeeds. -errno: nothing has changed. */
int state_hand_over(Keeper *keeper);
/* The other side: fd is what --resume names. -errno. */
int state_resume_consume(Keeper *keeper, int fd);
