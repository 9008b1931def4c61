/* SPDX-License-Identifier: Apache-2.0 */
/* libhvsock: the client of hvsockd, the registry of services that virtual machines reach over hypervisor sockets.
 * libhvsock(3). Every function that can fail answers a negative errno; what the daemon refused is HVSOCK_REFUSED, and
 * hvsock_error_name() says what it was. Nothing here starts a thread, logs, or changes global state. A client is used by
 * one thread at a time. When a call has failed in the middle (the daemon went away, broke the protocol, or took too long) the
 * connection is good for hvsock_close alone, and further calls answer -ENOTCONN. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hvsock hvsock;

#define HVSOCK_SOCKET_DEFAULT "/run/hvsockd/io.hvsock.Registry"
#define HVSOCK_REFUSED 1

/* Connects to the daemon's socket, waiting where it is not yet ready to accept. path NULL: $HVSOCK_SOCKET, else
 * HVSOCK_SOCKET_DEFAULT. *ret is owned by the caller, for hvsock_close. -ENOENT, -ECONNREFUSED: no daemon there; -errno of
 * connect(2). */
int hvsock_open(const char *path, hvsock **ret);
/* The same, waiting no longer than that, in milliseconds (-ETIMEDOUT; -1: for ever), which is then the client's timeout, too, see
 * hvsock_set_timeout. unix(7), SO_SNDTIMEO. */
int hvsock_open_within(const char *path, int timeout_ms, hvsock **ret);
/* Takes NULL. Returns NULL. */
hvsock *hvsock_close(hvsock *client);
/* The socket, for poll(2). */
int hvsock_fd(const hvsock *client);
/* How long a call may wait for each of its replies, in milliseconds. -1 (at first): for ever. */
void hvsock_set_timeout(hvsock *client, int timeout_ms);

/* One call and its one reply. method: a name of io.hvsock.Registry ("List"), or a full one. parameters: a JSON object, or NULL.
 * *ret_reply: the reply's parameters, a JSON object, owned by the caller (free(3)); ret_reply may be NULL. Descriptors that come
 * with it are closed: hvsock_call_more gives them, also of a call that has one reply.
 * 0; HVSOCK_REFUSED; -errno (-EINVAL: parameters are no object; -ECONNRESET: the daemon went away; -EBADMSG: it broke the
 * protocol; -ETIMEDOUT). */
int hvsock_call(hvsock *client, const char *method, const char *parameters, char **ret_reply);
/* A call with `more`: on_reply is called for each reply, with the reply's parameters and its descriptors (fds[i] is -1 for
 * what it took over by setting fds[i] to -1; the rest is closed). It answers 0 to go on; anything else ends the sequence and
 * is returned, and the connection is good for hvsock_close alone. */
typedef int (*hvsock_reply_fn)(const char *parameters, int *fds, size_t fd_count, void *userdata);
int hvsock_call_more(hvsock *client, const char *method, const char *parameters, hvsock_reply_fn on_reply, void *userdata);

/* Of the last HVSOCK_REFUSED: "io.hvsock.Registry.Conflict", its parameters (a JSON object), and both in one sentence for people,
 * UTF-8 without control characters. Owned by the client and good until its next call; NULL: the last call was not refused. */
const char *hvsock_error_name(const hvsock *client);
const char *hvsock_error_parameters(const hvsock *client);
const char *hvsock_error_text(const hvsock *client);

/* A listening socket that was handed out. */
typedef struct hvsock_listener {
    char *service;
    char *machine; /* or NULL */
    char *address; /* a URI */
    int fd;        /* listening, blocking, close-on-exec; the caller's */
} hvsock_listener;

/* Takes the listeners of these services, all or none. names: ended by NULL. *ret: *ret_count of them, for
 * hvsock_listeners_free. The lease ends with this process and not with the connection: it lives on over execve(2). */
int hvsock_acquire(hvsock *client, const char *const *names, hvsock_listener **ret, size_t *ret_count);
/* Closes what was not taken over (fd set to -1), and frees. */
void hvsock_listeners_free(hvsock_listener *listeners, size_t count);

/* A connection that the daemon has accepted and checked. */
typedef struct hvsock_connection {
    char *service;
    char *machine;    /* or NULL: none that is known */
    char *address;    /* a URI: where it came in */
    char *peer;       /* "vsock:CID:PORT" or "uid:UID" */
    pid_t process_id; /* of the peer, where it is a process of this host; else 0 */
    int fd;           /* connected, blocking, close-on-exec; the caller's */
} hvsock_connection;

/* Takes part in serving a service: *ret_socket_fd is a SOCK_SEQPACKET socket for hvsock_accept and poll(2), close-on-exec, the
 * caller's. While it is full the daemon accepts nothing; what is unread when this process ends, or nobody has the socket any
 * more, goes to the next. Nothing is ever sent on it: who does is let go of. unix(7). */
int hvsock_serve(hvsock *client, const char *name, int *ret_socket_fd);
/* The next connection, waiting for it unless the socket is non-blocking. *ret: for hvsock_connection_release. 0; -ECONNRESET:
 * there will be no more (the service is disabled or gone, or the daemon is); -EAGAIN; -EINTR; -EMFILE: one came, and was
 * closed, for no descriptor was free; -EBADMSG. */
int hvsock_accept(int socket_fd, hvsock_connection *ret);
/* Closes fd unless it was taken over (set to -1), and frees the texts. */
void hvsock_connection_release(hvsock_connection *connection);

/* Registers a service by name, port (0: the daemon chooses one, which stays with the name) and element name (NULL: the name).
 * *ret_port: its port; ret_port may be NULL. */
int hvsock_register(hvsock *client, const char *name, uint32_t port, const char *element_name, uint32_t *ret_port);
int hvsock_unregister(hvsock *client, const char *name);
/* A service by name: *ret_service is JSON (type Service), owned by the caller (free(3)). */
int hvsock_describe(hvsock *client, const char *name, char **ret_service);

/* The port's Hyper-V service GUID in the template 00000000-facb-11e6-bd58-64006a7986d3 ("Make your own integration services",
 * Microsoft Learn): 36 characters, lower case, and NUL. */
void hvsock_guid_from_port(uint32_t port, char guid[37]);
/* guid: with or without braces, in any case. 0; -EINVAL: no GUID, or outside the template. */
int hvsock_guid_to_port(const char *guid, uint32_t *ret_port);

#ifdef __cplusplus
}
#endif
