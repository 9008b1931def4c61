/* SPDX-License-Identifier: Apache-2.0 */
/* For the transports whose listeners are files. For daemon/bind alone. */
#pragma once

#include "daemon/bind/bind.h"

/* A binder's `find`: the address's listen_path. */
bool path_find(const BindRequest *request, char **ret_path, PlaceRequest *place, PlaceResult *result);
