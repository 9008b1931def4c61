/* SPDX-License-Identifier: Apache-2.0 */
/* Lookup, Acquire, and connect + Lookup + close, each beside a bare server that answers the same bytes. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define CALLS 8000
#define CONNECTS 3000

static void answer(int fd, const char *reply, size_t size_bytes, int handed_fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)reply, .iov_len = size_bytes};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (handed_fd >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &handed_fd, sizeof(int));
    }
    sendmsg(fd, &header, MSG_NOSIGNAL);
}

/* A process that answers every message with size_bytes, on every connection one after the other. */
static pid_t bare_server(const char *path, size_t size_bytes, bool hands_out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    unlink(path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 128) < 0)
        bench_fail("%s: %m", path);
    pid_t pid = fork();
    if (pid != 0) {
        close(listener);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char *reply = malloc(size_bytes), message[65536];
    memset(reply, 'x', size_bytes);
    reply[size_bytes - 1] = '\0';
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        for (;;) {
            ssize_t got = read(fd, message, sizeof(message));
            if (got <= 0)
                break;
            if (message[got - 1] == '\0')
                answer(fd, reply, size_bytes, hands_out ? listener : -1);
        }
        close(fd);
    }
}

static double calls_a_second(const char *path, const char *message, size_t size_bytes)
{
    int fd = bench_connect(path);

    bench_call(fd, message, size_bytes);
    double start = bench_now();
    for (int i = 0; i < CALLS; i++)
        bench_call(fd, message, size_bytes);
    double seconds = bench_now() - start;
    close(fd);
    return CALLS / seconds;
}

static double connects_a_second(const char *path, const char *message, size_t size_bytes)
{
    double start = bench_now();

    for (int i = 0; i < CONNECTS; i++) {
        int fd = bench_connect(path);
        bench_call(fd, message, size_bytes);
        close(fd);
    }
    return CONNECTS / (bench_now() - start);
}

static void compare(const BenchDaemon *daemon, const char *what, double target, const char *message, bool hands_out,
                    double (*rate)(const char *, const char *, size_t))
{
    double ratios[BENCH_ROUNDS], ours[BENCH_ROUNDS], bare[BENCH_ROUNDS];
    char path[100], note[128];
    size_t size_bytes = strlen(message) + 1;
    int fd = bench_connect(daemon->socket);
    size_t reply_size = bench_call(fd, message, size_bytes);

    close(fd);
    snprintf(path, sizeof(path), "%s/bare", daemon->folder);
    pid_t server = bare_server(path, reply_size, hands_out);
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        ours[i] = rate(daemon->socket, message, size_bytes);
        bare[i] = rate(path, message, size_bytes);
        ratios[i] = ours[i] / bare[i];
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    snprintf(note, sizeof(note), "%.0f a second, bare %.0f; reply %zu bytes", bench_median(ours, BENCH_ROUNDS),
             bench_median(bare, BENCH_ROUNDS), reply_size);
    bench_row(what, bench_median(ratios, BENCH_ROUNDS), true, target, note);
}

void bench_calls(void)
{
    BenchDaemon daemon;
    char message[512];

    bench_daemon_prepare(&daemon);
    bench_daemon_start(&daemon);
    int fd = bench_connect(daemon.socket);
    snprintf(message, sizeof(message),
             "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":{\"name\":\"bench\",\"listen\":"
             "[\"unix://%s/bench.sock\"]}}}",
             daemon.folder);
    const char *reply = bench_call_text(fd, message);
    if (strstr(reply, "\"error\""))
        bench_fail("Register: %s", reply);
    close(fd);

    compare(&daemon, "Lookup on one connection / raw ping-pong", 0.50,
            "{\"method\":\"io.hvsock.Registry.Lookup\",\"parameters\":{\"name\":\"bench\"}}", false, calls_a_second);
    compare(&daemon, "Acquire with one fd / raw ping-pong with one fd", 0.50,
            "{\"method\":\"io.hvsock.Registry.Acquire\",\"parameters\":{\"names\":[\"bench\"]}}", true, calls_a_second);
    compare(&daemon, "connect + Lookup + close / the same raw", 0.65,
            "{\"method\":\"io.hvsock.Registry.Lookup\",\"parameters\":{\"name\":\"bench\"}}", false, connects_a_second);
    bench_daemon_remove(&daemon);
}
