/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of path-based listeners share: a folder of their own, and sockets in it. Included once, by a test. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "daemon/bind/bind.h"
#include "daemon/place/holders.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"
#include "schema/model/records.h"

#define OTHER_UID 65534 /* nobody */

static char folder[64];

static inline int setup(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/test-bind-path-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static inline int teardown(void **state)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

/* A path in the test's folder; good until thirty more were asked for. */
static inline char *in_folder(const char *name)
{
    static char paths[32][4096];
    static unsigned next;
    char *path = paths[next++ % 32];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

typedef struct Try {
    const char *user, *group, *mode;
    int type;
    const Transport *transport;
    uint32_t port;
} Try;

static inline void try_to_bind(const char *path, Try how, PlaceResult *result)
{
    char text[4096];
    Address address = {
        .transport = how.transport ? how.transport : &transport_unix, .has_port = how.port > 0, .port = how.port};
    BindRequest request = {
        .address = &address,
        .type = how.type ? how.type : SERVICE_STREAM,
        .backlog = 16,
        .user = how.user,
        .group = how.group,
        .mode = how.mode,
    };

    snprintf(text, sizeof(text), "%s", path);
    address.path = text;
    assert_int_equal(bind_listener(&request, result), 0);
    assert_int_equal(result->state == PLACE_LISTENING, result->fd >= 0);
    assert_int_equal(result->state == PLACE_LISTENING, !result->reason);
    assert_int_equal(result->state == PLACE_LISTENING, result->path != NULL);
}

static inline void assert_said(const PlaceResult *result, PlaceState state, int error, const char *words)
{
    if (result->state != state || result->error != error || !result->reason || !strstr(result->reason, words))
        fail_msg("state %d, error %d: %s; wanted %d, %d, %s", (int)result->state, result->error,
                 result->reason ? result->reason : "nothing", (int)state, error, words);
}

static inline void release(PlaceResult *result)
{
    place_release(TAKE_FD(result->fd), result->path, result->device, result->inode);
    place_result_release(result);
}

/* 0: connected, and closed again; else the errno. */
static inline int connect_to(const char *path, int type)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(strlen(path) < sizeof(name.sun_path));
    strcpy(name.sun_path, path);
    return connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ? errno : 0;
}

/* A socket of somebody else's. */
static inline int foreign_socket(const char *path, int type, bool listening)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    assert_true(strlen(path) < sizeof(name.sun_path));
    strcpy(name.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    if (listening)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static inline bool is_there(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

static inline size_t entries_in(const char *path)
{
    char command[4200];
    size_t count = 0;

    snprintf(command, sizeof(command), "ls -A '%s' | wc -l", path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%zu", &count), 1);
    pclose(pipe);
    return count;
}
