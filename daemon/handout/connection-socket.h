/* SPDX-License-Identifier: Apache-2.0 */
/* What one client of Serve gets: a socket on which each message is one JSON object (Connection) with one descriptor. The
 * socket's own small buffer is the credit. We keep a copy of the client's end too, so that what a client that has ended
 * left unread can be read back; the price is that the kernel does not tell us when the client closes its end. unix(7). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/cleanup.h"

/* A Connection object, a URI and some names, is no longer than this: what the kernel lets through with such a buffer. */
#define CONNECTION_MESSAGE_MAX_BYTES 8160

typedef struct ConnectionSocket ConnectionSocket;

struct ConnectionSocket {
    int fd;         /* ours, non-blocking: to be watched for what never should come in, and for room */
    int client_fd;  /* a copy of the client's end */
    uint64_t inode; /* of the client's end */
    int buffer_bytes;
};

int connection_socket_new(ConnectionSocket *ret);
/* One that was made by another process of ours; the descriptors are taken over, also where it fails. */
int connection_socket_restore_consume(int fd, int client_fd, ConnectionSocket *ret);
void connection_socket_close(ConnectionSocket *socket);

/* The next message finds room. */
bool connection_socket_has_room(const ConnectionSocket *socket);
/* Bytes of the kernel's memory that wait to be read; 0: everything has been. */
size_t connection_socket_unread(const ConnectionSocket *socket);

enum { CONNECTION_SOCKET_FULL = 1, CONNECTION_SOCKET_ENDED };
/* fd stays the caller's, who closes it once it is sent. FULL: not sent, for now. ENDED: the client has shut its end down.
 * -errno; -EMSGSIZE: it is longer. */
int connection_socket_send(const ConnectionSocket *socket, const char *text, size_t size_bytes, int fd);

enum { CONNECTION_SOCKET_EMPTY = 1 };
/* Takes the oldest unread message back. text has room for CONNECTION_MESSAGE_MAX_BYTES; *ret_fd is the caller's. 0; EMPTY;
 * -EMFILE: it is lost, for its descriptor found no place. -errno. */
int connection_socket_take_back(const ConnectionSocket *socket, char *text, size_t *ret_size_bytes, int *ret_fd);
