/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets at a path, for the transports whose listeners are files. For daemon/bind alone. unix(7). */
#pragma once

#include "daemon/bind/bind.h"

/* A binder's `bind`: at the address's listen_path. */
void path_bind_address(const BindRequest *request, BindResult *result);
void path_change(const BindRequest *request, int fd, const char *path, BindResult *result);
/* Only where it still is that file. */
void path_remove(const char *path, uint64_t device, uint64_t inode);
