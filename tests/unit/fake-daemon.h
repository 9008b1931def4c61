/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon that follows a script, in a process of its own: what it sends to each call, byte for byte, with how many
 * descriptors. */
#pragma once

#include <signal.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "ctl/libhvsock/hvsock.h"
#include "tests/unit/wire-peer.h"

/* `|` parts messages, `^N` at the end of one gives it N descriptors, `$` closes, `_` waits for ever, `~` is a NUL in the
 * wrong place. Of each call a line goes into `heard`. */
typedef struct Daemon {
    char path[100];
    pid_t pid;
    int heard;
} Daemon;

static inline void daemon_answer(int fd, const char *script)
{
    char text[20000], *rest = text;

    snprintf(text, sizeof(text), "%s", script);
    for (char *message; (message = strsep(&rest, "|"));) {
        if (strcmp(message, "$") == 0) {
            shutdown(fd, SHUT_RDWR);
            _exit(0);
        }
        if (strcmp(message, "_") == 0)
            pause();
        char *caret = strchr(message, '^');
        size_t count = caret ? strtoul(caret + 1, NULL, 10) : 0;
        if (caret)
            *caret = '\0';
        size_t size = strlen(message);
        for (char *c = message; *c; c++)
            if (*c == '~')
                *c = '\0';
        bool half = rest && strcmp(rest, "$") == 0 && size > 0 && message[size - 1] == '-';
        send_raw(fd, message, half ? size - 1 : size + 1, count);
    }
}

/* One connection; script: for each call in turn. */
static inline void daemon_run(int listener, int heard, const char *const *script)
{
    Wire *wire;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), plain = dup(fd);

    assert_int_equal(wire_new_consume(fd, WIRE_MESSAGE_ADMINISTRATOR_MAX_BYTES, &wire), 0);
    for (;;) {
        char *message;
        size_t size;
        while (!wire_next(wire, &message, &size, NULL)) {
            int r = wire_read(wire);
            if (r == WIRE_AGAIN)
                wire_wait(wire, false, -1);
            else if (r != 0)
                _exit(0);
        }
        if (heard >= 0 && size < 500)
            dprintf(heard, "%s\n", message);
        fd_set_nonblocking(plain, false);
        daemon_answer(plain, *script ? *script++ : "$");
    }
}

static inline void daemon_start(Daemon *daemon, const char *const *script)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ends[2];
    char folder[] = "/tmp/test-libhvsock-XXXXXX";

    assert_non_null(mkdtemp(folder));
    snprintf(daemon->path, sizeof(daemon->path), "%s/socket", folder);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemon->path);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    daemon->heard = ends[0];
    daemon->pid = fork();
    if (daemon->pid == 0) {
        alarm(60);
        daemon_run(listener, ends[1], script);
        _exit(0);
    }
    close(ends[1]);
    close(listener);
}

static inline void daemon_stop(Daemon *daemon)
{
    kill(daemon->pid, SIGKILL);
    waitpid(daemon->pid, NULL, 0);
    close(daemon->heard);
    unlink(daemon->path);
    *strrchr(daemon->path, '/') = '\0';
    rmdir(daemon->path);
}

static inline void assert_heard(Daemon *daemon, const char *expected)
{
    char text[1000];
    ssize_t n = read(daemon->heard, text, sizeof(text) - 1);

    assert_true(n > 0);
    text[n - 1] = '\0';
    assert_string_equal(text, expected);
}

static inline hvsock *daemon_open(Daemon *daemon, const char *const *script)
{
    hvsock *client;

    daemon_start(daemon, script);
    assert_int_equal(hvsock_open(daemon->path, &client), 0);
    return client;
}
