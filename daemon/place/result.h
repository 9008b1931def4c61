/* SPDX-License-Identifier: Apache-2.0 */
/* What paths and ports share: writing down what a try has come to. For daemon/place and who prepares its requests. */
#pragma once

#include "daemon/place/place.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

/* State, errno and the reason for people. Where there is no memory for the reason, it stays NULL. */
void result_set(PlaceResult *result, PlaceState state, int error, const char *format, ...) _printf_(4, 5);
void result_listening(PlaceResult *result, int fd_consume);
/* Errors that are the same for every call: out of descriptors or memory (waiting). false: something else. */
bool result_set_resources(PlaceResult *result, int error);
void result_watch(PlaceResult *result, const char *folder);
/* Puts into result who holds these sockets: those who did at the try before where they live, else by a walk over /proc.
 */
void result_find_holders(PlaceResult *result, const PlaceRequest *request, const uint64_t *inodes, size_t inode_count);
/* `process 812 (socat)`, `processes 812 (socat) and 813 (sh)`; false: nobody is known. */
bool result_name_holders(const PlaceResult *result, Buffer *text);
