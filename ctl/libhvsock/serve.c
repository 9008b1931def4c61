/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that the daemon accepts: the socket of Serve, and its messages. unix(7), cmsg(3). */

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/socket.h>

#include "ctl/libhvsock/client.h"
#include "schema/base/fd.h"

#define MESSAGE_MAX_BYTES 65536

int hvsock_serve(hvsock *client, const char *name, int *ret_socket_fd)
{
    _cleanup_(json_decrefp) json_t *parameters = json_pack("{s:s}", "name", name);
    _cleanup_(freep) char *text = parameters ? json_dumps(parameters, JSON_COMPACT) : NULL;
    _cleanup_(reply_release) Reply reply = {0};

    if (!text)
        return -EINVAL; /* a name that is not UTF-8 */
    int r = client_send(client, "Serve", text, false);
    if (r == 0)
        r = client_receive(client, &reply);
    if (r != 0)
        return r;
    const json_t *index = json_object_get(reply.parameters, "connectionSocketFileDescriptor");
    int fd = json_is_integer(index) && json_integer_value(index) >= 0 && reply.fds.count == 1 && !reply.continues
                 ? fd_list_take(&reply.fds, (size_t)json_integer_value(index))
                 : -1;
    if (fd < 0) {
        client->broken = true;
        return -EBADMSG;
    }
    *ret_socket_fd = fd;
    return 0;
}

void hvsock_connection_release(hvsock_connection *connection)
{
    free(connection->service);
    free(connection->machine);
    free(connection->address);
    free(connection->peer);
    fd_close(connection->fd);
    *connection = (hvsock_connection){.fd = -1};
}

/* *ret is NULL where it is absent; -EBADMSG where it is no text. */
static int copy_member(const json_t *object, const char *key, bool required, char **ret)
{
    const json_t *member = json_object_get(object, key);

    if (!member || json_is_null(member))
        return required ? -EBADMSG : 0;
    if (!json_is_string(member))
        return -EBADMSG;
    *ret = strdup(json_string_value(member));
    return *ret ? 0 : -ENOMEM;
}

static int connection_read(const char *text, size_t size_bytes, hvsock_connection *connection)
{
    _cleanup_(json_decrefp) json_t *object = json_loadb(text, size_bytes, 0, NULL);
    const json_t *pid = json_object_get(object, "processId");

    if (!json_is_object(object))
        return -EBADMSG;
    int r = copy_member(object, "service", true, &connection->service);
    if (r == 0)
        r = copy_member(object, "machine", false, &connection->machine);
    if (r == 0)
        r = copy_member(object, "address", true, &connection->address);
    if (r == 0)
        r = copy_member(object, "peer", true, &connection->peer);
    if (json_is_integer(pid) && json_integer_value(pid) > 0 && json_integer_value(pid) <= INT32_MAX)
        connection->process_id = (pid_t)json_integer_value(pid);
    return r;
}

/* All descriptors of a message, which should be one. */
static int take_descriptor(struct msghdr *message)
{
    int fd = -1;
    size_t count = 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= header->cmsg_len; at += sizeof(int)) {
            fd_close(fd);
            memcpy(&fd, (const char *)header + at, sizeof(fd));
            count++;
        }
    }
    if (count == 1 && !(message->msg_flags & (MSG_CTRUNC | MSG_TRUNC)))
        return fd;
    fd_close(fd);
    return count == 0 && message->msg_flags & MSG_CTRUNC ? -EMFILE : -EBADMSG;
}

int hvsock_accept(int socket_fd, hvsock_connection *ret)
{
    union {
        struct cmsghdr header; /* for the alignment */
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    _cleanup_(hvsock_connection_release) hvsock_connection connection = {.fd = -1};
    _cleanup_(freep) char *text = malloc(MESSAGE_MAX_BYTES);
    struct iovec part = {.iov_base = text, .iov_len = MESSAGE_MAX_BYTES};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    if (!text)
        return -ENOMEM;
    ssize_t size_bytes = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    if (size_bytes < 0)
        return -errno;
    if (size_bytes == 0)
        return -ECONNRESET;
    connection.fd = take_descriptor(&message);
    if (connection.fd < 0)
        return connection.fd;
    int r = connection_read(text, (size_t)size_bytes, &connection);
    if (r < 0)
        return r;
    *ret = connection;
    connection = (hvsock_connection){.fd = -1};
    return 0;
}
