/* SPDX-License-Identifier: Apache-2.0 */
/* A server of daemon/api with a fake manager, in a folder of its own, and clients that speak to it over real sockets.
 * All of it is one thread: the loop turns only where a test says so. */
#pragma once

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "daemon/api/server.h"
#include "daemon/api/turn.h"
#include "tests/unit/fake-manager.h"

typedef struct Fixture {
    sd_event *event;
    Manager manager;
    Server *server;
    char folder[64];
    unsigned told; /* times that something was said to have changed */
} Fixture;

typedef struct Client {
    int fd;
    Buffer received;
    size_t taken;
    FdList fds;
    bool ended; /* the server closed; clean */
    int error;  /* of reading */
} Client;

/* Stands still, however long the machine takes: turns end for what they hold. A test puts it on. */
static uint64_t fixture_now_us = 1000000000;

uint64_t turn_now_us(void)
{
    return fixture_now_us;
}

static void fixture_on_events(void *userdata)
{
    Fixture *fixture = userdata;

    fixture->told++;
}

static void fixture_start(Fixture *fixture)
{
    const ServerOptions options = {
        .runtime_path = fixture->folder, .on_events = fixture_on_events, .userdata = fixture};

    assert_int_equal(server_new(fixture->event, &fixture->manager, &options, &fixture->server), 0);
    assert_int_equal(server_listen(fixture->server), 0);
    server_sweep(fixture->server);
}

static int fixture_setup(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    strcpy(fixture->folder, "/tmp/test-api.XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    assert_int_equal(chmod(fixture->folder, 0755), 0);
    assert_int_equal(sd_event_new(&fixture->event), 0);
    fake_init(&fixture->manager);
    fixture_start(fixture);
    *state = fixture;
    return 0;
}

static void folder_empty(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *file;

    while (folder && (file = readdir(folder)))
        if (file->d_name[0] != '.')
            unlinkat(dirfd(folder), file->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(path);
}

static int fixture_teardown(void **state)
{
    Fixture *fixture = *state;
    char path[128];

    server_free(fixture->server);
    fake_release(&fixture->manager);
    sd_event_unref(fixture->event);
    snprintf(path, sizeof(path), "%s/handout", fixture->folder);
    folder_empty(path);
    folder_empty(fixture->folder);
    free(fixture);
    return 0;
}

/* Turns the loop until nobody has anything to do. */
static _unused_ void pump(Fixture *fixture)
{
    int r;

    while ((r = sd_event_run(fixture->event, 0)) > 0)
        ;
    assert_int_equal(r, 0);
}

static Client client_connect(const Fixture *fixture, const char *entry)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    Client client = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", fixture->folder, entry);
    assert_true(client.fd >= 0);
    assert_int_equal(connect(client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return client;
}

static _unused_ Client client_open(const Fixture *fixture)
{
    return client_connect(fixture, "io.hvsock.Registry");
}

static void client_close(Client *client)
{
    client->fd = fd_close(client->fd);
    buffer_release(&client->received);
    fd_list_clear(&client->fds);
}

/* As much as the socket takes. */
static ssize_t client_send_bytes(Client *client, const void *bytes, size_t size_bytes)
{
    return send(client->fd, bytes, size_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One message, with its NUL. */
static _unused_ void client_send(Client *client, const char *message)
{
    assert_int_equal(client_send_bytes(client, message, strlen(message) + 1), strlen(message) + 1);
}

/* Everything that is there. */
static void client_read(Client *client)
{
    char bytes[65536];
    union {
        char bytes[CMSG_SPACE(253 * sizeof(int))];
        struct cmsghdr header;
    } control;

    for (;;) {
        struct iovec vector = {bytes, sizeof(bytes)};
        struct msghdr header = {
            .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(client->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n <= 0) {
            client->ended = n == 0;
            client->error = n < 0 && errno != EAGAIN ? errno : 0;
            return;
        }
        buffer_append(&client->received, bytes, (size_t)n);
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
            assert_int_equal(c->cmsg_type, SCM_RIGHTS);
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
                assert_int_equal(fd_list_add_consume(&client->fds, fd), 0);
            }
        }
    }
}

/* The next message that has come; NULL: none. Good until the next call. */
static const char *client_next(Client *client)
{
    client_read(client);
    if (client->received.size_bytes == client->taken)
        return NULL;
    const char *from = client->received.data + client->taken;
    const char *nul = memchr(from, '\0', client->received.size_bytes - client->taken);
    if (!nul)
        return NULL;
    client->taken += (size_t)(nul - from) + 1;
    return from;
}

/* A call and its reply. */
static _unused_ const char *ask(Fixture *fixture, Client *client, const char *message)
{
    client_send(client, message);
    pump(fixture);
    const char *reply = client_next(client);
    return reply ? reply : "(nothing)";
}

#define CALL(method_, parameters_) "{\"method\":\"io.hvsock.Registry." method_ "\",\"parameters\":" parameters_ "}"
#define CALL_WITH(method_, parameters_, flag_)                                                                         \
    "{\"method\":\"io.hvsock.Registry." method_ "\",\"parameters\":" parameters_ ",\"" flag_ "\":true}"
#define ERROR(name_, parameters_) "{\"error\":\"" name_ "\",\"parameters\":" parameters_ "}"
#define OURS "io.hvsock.Registry."
#define VARLINK "org.varlink.service."

static inline size_t count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}
