/* SPDX-License-Identifier: Apache-2.0 */
/* RUNTIME/keeper: inherited or made, looked after, removed. */
#pragma once

#include <stdbool.h>

#include "daemon/keeper/keeper.h"

/* Sets path, listener_fd and what belongs to them; errors are told. -errno. */
int socket_open(Keeper *keeper);
/* The path leads to our socket still. */
bool socket_is_ours(const Keeper *keeper);
/* Nobody can connect any more. */
void socket_close(Keeper *keeper);
