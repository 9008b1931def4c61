/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets at a path. For daemon/place alone. unix(7). */
#pragma once

#include "daemon/place/batch.h"
#include "daemon/place/place.h"

void path_bind(const PlaceRequest *request, Batch *batch, PlaceResult *result);
void path_change(const PlaceRequest *request, int fd, PlaceResult *result);
/* Only where it still is that file. */
void path_remove(Batch *batch, const char *path, uint64_t device, uint64_t inode);
