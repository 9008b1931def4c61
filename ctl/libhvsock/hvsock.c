/* SPDX-License-Identifier: Apache-2.0 */
/* A client of hvsockd: one connection, one call at a time. It lives from hvsock_open to hvsock_close. varlink.org. */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "ctl/libhvsock/client.h"

void reply_release(Reply *reply)
{
    json_decref(reply->parameters);
    fd_list_clear(&reply->fds);
    *reply = (Reply){0};
}

/* ---- connecting ---- */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* unix(7): connect(2) waits for a place in the backlog for as long as sending may take; 0 is for ever. */
static int set_patience(int fd, uint64_t wait_ms)
{
    struct timeval wait = {.tv_sec = (time_t)(wait_ms / 1000), .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};

    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ? -errno : 0;
}

/* timeout_ms -1: for ever. */
static int connect_in_time(int fd, const struct sockaddr_un *address, int timeout_ms)
{
    uint64_t until_ms = timeout_ms < 0 ? UINT64_MAX : now_ms() + (uint64_t)timeout_ms, at_ms = 0;

    do {
        /* At least one try, and never 0. */
        if (timeout_ms >= 0)
            at_ms = now_ms();
        int r = timeout_ms < 0 ? 0 : set_patience(fd, at_ms < until_ms ? until_ms - at_ms : 1);
        if (r < 0)
            return r;
        if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return timeout_ms < 0 ? 0 : set_patience(fd, 0);
    } while (errno == EINTR && at_ms < until_ms);
    return errno == EAGAIN || errno == EINTR ? -ETIMEDOUT : -errno;
}

static int connect_socket(int fd, const char *path, int timeout_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_(fd_closep) int path_fd = -1;
    size_t size = strlen(path);

    if (size < sizeof(address.sun_path)) {
        memcpy(address.sun_path, path, size);
    } else {
        /* Longer than an address can be: through a descriptor of it, proc(5). */
        path_fd = open(path, O_PATH | O_CLOEXEC);
        if (path_fd < 0)
            return -errno;
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", path_fd);
    }
    return connect_in_time(fd, &address, timeout_ms);
}

int hvsock_open(const char *path, hvsock **ret)
{
    return hvsock_open_within(path, -1, ret);
}

int hvsock_open_within(const char *path, int timeout_ms, hvsock **ret)
{
    if (!path)
        path = secure_getenv("HVSOCK_SOCKET");
    if (!path || !path[0])
        path = HVSOCK_SOCKET_DEFAULT;

    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = connect_socket(fd, path, timeout_ms);
    if (r < 0)
        return r;

    _cleanup_(hvsock_closep) hvsock *client = calloc(1, sizeof(*client));
    if (!client)
        return -ENOMEM;
    hvsock_set_timeout(client, timeout_ms);
    r = wire_new_consume(TAKE_FD(fd), WIRE_MESSAGE_ADMINISTRATOR_MAX_BYTES, &client->wire);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(client);
    return 0;
}

hvsock *hvsock_close(hvsock *client)
{
    if (!client)
        return NULL;
    wire_free(client->wire);
    error_forget(client);
    free(client);
    return NULL;
}

int hvsock_fd(const hvsock *client)
{
    return wire_fd(client->wire);
}

void hvsock_set_timeout(hvsock *client, int timeout_ms)
{
    client->timeout_ms = timeout_ms < 0 ? -1 : timeout_ms;
}

/* ---- one call ---- */

static int client_break(hvsock *client, int error)
{
    client->broken = true;
    return error;
}

static int client_flush(hvsock *client)
{
    int r;

    while ((r = wire_flush(client->wire)) == WIRE_AGAIN) {
        r = wire_wait(client->wire, true, client->timeout_ms);
        if (r < 0)
            return r;
    }
    return r;
}

int client_send(hvsock *client, const char *method, const char *parameters, bool more)
{
    _cleanup_(buffer_release) Buffer call = {0};

    error_forget(client);
    if (client->broken)
        return -ENOTCONN;
    if (parameters && parameters[strspn(parameters, " \t\r\n")] != '{')
        return -EINVAL;

    buffer_append_text(&call, "{\"method\":");
    if (strchr(method, '.')) {
        buffer_append_json(&call, method);
    } else {
        buffer_append_text(&call, "\"" HVSOCK_INTERFACE ".");
        buffer_append_text(&call, method);
        buffer_append_char(&call, '"');
    }
    if (more)
        buffer_append_text(&call, ",\"more\":true");
    if (parameters) {
        buffer_append_text(&call, ",\"parameters\":");
        buffer_append_text(&call, parameters);
    }
    buffer_append_char(&call, '}');
    if (call.failed)
        return -ENOMEM;
    int r = wire_write(client->wire, call.data, call.size_bytes);
    if (r < 0)
        return r;
    r = client_flush(client);
    /* It hung up before it had heard everything: what it answered, if it did, says why. */
    if (r == -EPIPE || r == -ECONNRESET) {
        client->broken = true;
        return 0;
    }
    return r < 0 ? client_break(client, r) : 0;
}

/* The next whole message. The text is good until the next one is read. */
static int client_read(hvsock *client, char **ret_message, size_t *ret_size_bytes, FdList *ret_fds)
{
    while (!wire_next(client->wire, ret_message, ret_size_bytes, ret_fds)) {
        int r = wire_read(client->wire);
        if (r == WIRE_AGAIN)
            r = wire_wait(client->wire, false, client->timeout_ms);
        if (r == WIRE_END || r == WIRE_CUT)
            return -ECONNRESET;
        if (r < 0)
            return r;
    }
    return 0;
}

/* What a reply says. -EBADMSG: it is none. */
static int reply_parse(const char *message, size_t size_bytes, Reply *reply, json_t **ret_error)
{
    _cleanup_(json_decrefp) json_t *json = json_loadb(message, size_bytes, JSON_REJECT_DUPLICATES, NULL);
    json_t *parameters = json_object_get(json, "parameters");
    json_t *continues = json_object_get(json, "continues");
    json_t *error = json_object_get(json, "error");

    if (!json_is_object(json) || (parameters && !json_is_object(parameters) && !json_is_null(parameters)) ||
        (continues && !json_is_boolean(continues)) || (error && !json_is_string(error) && !json_is_null(error)))
        return -EBADMSG;
    reply->parameters = json_is_object(parameters) ? json_incref(parameters) : json_object();
    if (!reply->parameters)
        return -ENOMEM;
    reply->continues = json_is_true(continues);
    *ret_error = json_is_string(error) ? json_incref(error) : NULL;
    return 0;
}

int client_receive(hvsock *client, Reply *ret)
{
    _cleanup_(reply_release) Reply reply = {0};
    _cleanup_(json_decrefp) json_t *error = NULL;
    char *message;
    size_t size;

    int r = client_read(client, &message, &size, &reply.fds);
    if (r == 0)
        r = reply_parse(message, size, &reply, &error);
    if (r < 0)
        return client_break(client, r);
    if (error) {
        if (reply.continues)
            return client_break(client, -EBADMSG);
        r = error_keep(client, json_string_value(error), reply.parameters);
        return r < 0 ? r : HVSOCK_REFUSED;
    }
    *ret = reply;
    reply = (Reply){0};
    return 0;
}

/* The one reply to a call without `more`. */
static int client_receive_one(hvsock *client, Reply *ret)
{
    int r = client_receive(client, ret);

    if (r == 0 && ret->continues) {
        reply_release(ret);
        return client_break(client, -EBADMSG);
    }
    return r;
}

int client_call_consume(hvsock *client, const char *method, json_t *parameters_consume, json_t **ret_parameters)
{
    _cleanup_(json_decrefp) json_t *parameters = parameters_consume;
    _cleanup_(freep) char *text = parameters ? json_dumps(parameters, JSON_COMPACT) : NULL;
    _cleanup_(reply_release) Reply reply = {0};

    if (!text)
        return -ENOMEM;
    int r = client_send(client, method, text, false);
    if (r == 0)
        r = client_receive_one(client, &reply);
    if (r == 0 && ret_parameters)
        *ret_parameters = TAKE_PTR(reply.parameters);
    return r;
}

int hvsock_call(hvsock *client, const char *method, const char *parameters, char **ret_reply)
{
    _cleanup_(reply_release) Reply reply = {0};

    int r = client_send(client, method, parameters, false);
    if (r == 0)
        r = client_receive_one(client, &reply);
    if (r == 0 && ret_reply) {
        char *text = json_dumps(reply.parameters, JSON_COMPACT);
        if (!text)
            return -ENOMEM;
        *ret_reply = text;
    }
    return r;
}

int hvsock_call_more(hvsock *client, const char *method, const char *parameters, hvsock_reply_fn on_reply, void *userdata)
{
    int r = client_send(client, method, parameters, true);

    for (bool continues = true; r == 0 && continues;) {
        _cleanup_(reply_release) Reply reply = {0};
        r = client_receive(client, &reply);
        if (r != 0)
            break;
        _cleanup_(freep) char *text = json_dumps(reply.parameters, JSON_COMPACT);
        if (!text)
            return client_break(client, -ENOMEM);
        continues = reply.continues;
        r = on_reply(text, reply.fds.fds, reply.fds.count, userdata);
        if (r != 0)
            client->broken = true;
    }
    return r;
}
