/* SPDX-License-Identifier: Apache-2.0 */
/* What the binders share: writing down what a try has come to. For daemon/bind alone. */
#pragma once

#include "daemon/bind/bind.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

/* State, errno and the reason for people. Where there is no memory for the reason, bind_listener answers -ENOMEM. */
void result_set(BindResult *result, BindState state, int error, const char *format, ...) _printf_(4, 5);
void result_listening(BindResult *result, int fd_consume);
/* Errors that are the same for every call: out of descriptors or memory (waiting). false: something else. */
bool result_set_resources(BindResult *result, int error);
void result_watch(BindResult *result, const char *folder);
/* Puts into result who holds these sockets: those who did at the try before where they live, else by a walk over /proc.
 */
void result_find_holders(BindResult *result, const BindRequest *request, const uint64_t *inodes, size_t inode_count);
/* `process 812 (socat)`, `processes 812 (socat) and 813 (sh)`; false: nobody is known. */
bool result_name_holders(const BindResult *result, Buffer *text);

/* SOCK_STREAM, … of SERVICE_STREAM, … */
int result_socket_type(const BindRequest *request);
