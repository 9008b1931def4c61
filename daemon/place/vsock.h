/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of AF_VSOCK. For daemon/place alone. vsock(7). */
#pragma once

#include "daemon/place/place.h"

void vsock_bind(const PlaceRequest *request, PlaceResult *result);
