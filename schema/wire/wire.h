/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a Varlink connection: messages that end with NUL, with file descriptors beside them, over a non-blocking unix
 * stream socket. Both sides use it: hvsockd and libhvsock. It knows framing and descriptors, not JSON.
 * varlink.org, and systemd's docs for descriptors: SCM_RIGHTS on the sendmsg that carries a message's first byte. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/fd.h"

#define WIRE_MESSAGE_MAX_BYTES (64u * 1024)              /* what anybody may send */
#define WIRE_MESSAGE_ADMINISTRATOR_MAX_BYTES (64u * 1024 * 1024)
#define WIRE_FDS_MAX 253                                  /* SCM_MAX_FD, unix(7) */
#define WIRE_FDS_A_REPLY 128
#define WIRE_FDS_WAITING_MAX 1024                         /* received and not yet taken by wire_next */

typedef struct Wire Wire;

/* Owns the socket, also where it fails. The socket is made non-blocking. message_max_bytes bounds what is read. -errno. */
int wire_new_consume(int fd, size_t message_max_bytes, Wire **ret);
void wire_free(Wire *wire);
DEFINE_CLEANUP(Wire *, wire_free)

int wire_fd(const Wire *wire);
void wire_set_message_max(Wire *wire, size_t message_max_bytes);
/* How many descriptors a message that is read may bring: WIRE_FDS_MAX at first. With 0 the kernel closes whatever is sent, and
 * wire_read answers -EBADMSG: for a side to which nobody has to send any. */
void wire_set_fds_max(Wire *wire, size_t fds_max);

/* Reads what is there, once (one recvmsg). 0: got something, or a whole message waits already and there is no room for more; WIRE_AGAIN: nothing there; WIRE_END: the peer closed cleanly between
 * messages; WIRE_CUT: it closed inside of one. -EMSGSIZE: a message over the maximum; -EBADMSG: truncated control data, more descriptors than may be,
 * or some in the middle of a message; -errno. After a negative answer the connection is good for nothing but wire_free. */
enum { WIRE_AGAIN = 1, WIRE_END, WIRE_CUT };
int wire_read(Wire *wire);
/* The next whole message: a text ended by NUL that is good until the next wire_next or wire_read, and its descriptors, whose
 * owner the caller is. false: there is none. ret_fds is set, not added to; NULL: descriptors that came are closed.
 *
 * Which message descriptors belong to: one sendmsg with descriptors carries one message, or the beginning of one. The kernel
 * gives them with the first bytes of that sendmsg, after what was sent before it without any, and ends the recvmsg there. So
 * they belong to the last message that begins in the bytes of that recvmsg; where none begins there, it is -EBADMSG. */
bool wire_next(Wire *wire, char **ret_message, size_t *ret_size_bytes, FdList *ret_fds);
/* There is a whole message to be taken. */
bool wire_has_next(const Wire *wire);
/* Bytes read and not yet taken. */
size_t wire_pending_in_bytes(const Wire *wire);

/* Puts a message (without its NUL, and with none inside) into the queue. fds are taken over, and the list is empty
 * afterwards, also where it fails. -ENOMEM; -EINVAL: more than WIRE_FDS_MAX. After -ENOMEM the queue is as it was. */
int wire_write(Wire *wire, const char *message, size_t size_bytes);
int wire_write_fds_consume(Wire *wire, const char *message, size_t size_bytes, FdList *fds);
/* Sends what it can. 0: everything is out; WIRE_AGAIN: the rest when the socket can be written to; -errno (-EPIPE, …). */
int wire_flush(Wire *wire);
/* Bytes written and not yet sent. */
size_t wire_pending_out_bytes(const Wire *wire);

/* For callers that block (libhvsock): waits with poll(2). timeout_ms -1: no bound. 0; -ETIMEDOUT; -errno. */
int wire_wait(Wire *wire, bool for_writing, int timeout_ms);
