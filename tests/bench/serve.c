/* SPDX-License-Identifier: Apache-2.0 */
/* Serve beside a bare program that accepts and sends descriptors; and what it costs to decide who may connect, from accept to
 * hanging up, by many rules and machines beside one of each. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define BATCH 64 /* connections that wait at a time; less than the backlog */
#define BATCHES 60
#define TEXT_BYTES 170 /* of a Connection object */

typedef union Control {
    struct cmsghdr header; /* for the alignment */
    char bytes[CMSG_SPACE(sizeof(int))];
} Control;

/* One message with its descriptor; -1: none came. */
static int receive_descriptor(int fd)
{
    char text[4096];
    Control control;
    struct iovec part = {.iov_base = text, .iov_len = sizeof(text)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    int got = -1;

    ssize_t size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header)
        memcpy(&got, CMSG_DATA(header), sizeof(got));
    return got;
}

/* Accepts, sends, closes; nothing else. */
static pid_t bare_server(const char *path, int *ret_socket_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ends[2];

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 128) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        bench_fail("%s: %m", path);
    pid_t pid = fork();
    if (pid != 0) {
        close(listener);
        close(ends[0]);
        *ret_socket_fd = ends[1];
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char text[TEXT_BYTES] = {0};
    Control control = {0};
    struct iovec part = {.iov_base = text, .iov_len = sizeof(text)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    control.header =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        sendmsg(ends[0], &message, MSG_NOSIGNAL);
        close(fd);
    }
}

/* Connections a second that come on the socket. */
static double serve_rate(const char *path, int socket_fd)
{
    int clients[BATCH];
    double start = bench_now();

    for (int i = 0; i < BATCHES; i++) {
        for (int k = 0; k < BATCH; k++)
            clients[k] = bench_connect(path);
        for (int k = 0; k < BATCH; k++) {
            int fd = receive_descriptor(socket_fd);
            if (fd < 0)
                bench_fail("%s: the socket of Serve has ended", path);
            close(fd);
        }
        for (int k = 0; k < BATCH; k++)
            close(clients[k]);
    }
    return BATCHES * BATCH / (bench_now() - start);
}

/* Seconds for one that is refused. */
static double refusal_seconds(const char *path)
{
    int clients[BATCH];
    char byte;
    double start = bench_now();

    for (int i = 0; i < BATCHES; i++) {
        for (int k = 0; k < BATCH; k++)
            clients[k] = bench_connect(path);
        for (int k = 0; k < BATCH; k++) {
            if (read(clients[k], &byte, 1) > 0)
                bench_fail("%s: it was not refused", path);
            close(clients[k]);
        }
    }
    return (bench_now() - start) / (BATCHES * BATCH);
}

static void call(int fd, const char *message)
{
    const char *reply = bench_call_text(fd, message);

    if (strstr(reply, "\"error\""))
        bench_fail("%.200s: %s", message, reply);
}

static int serve(int fd, const char *name)
{
    char message[128];
    int size = snprintf(message, sizeof(message),
                        "{\"method\":\"io.hvsock.Registry.Serve\",\"parameters\":{\"name\":\"%s\"}}", name);

    if (write(fd, message, (size_t)size + 1) < 0)
        bench_fail("Serve: %m");
    int socket_fd = receive_descriptor(fd);
    if (socket_fd < 0)
        bench_fail("Serve was refused");
    return socket_fd;
}

static void compare_serve(void)
{
    double ratios[BENCH_ROUNDS], ours[BENCH_ROUNDS], bare[BENCH_ROUNDS];
    char message[512], path[100], bare_path[100], note[128];
    BenchDaemon daemon;
    int bare_fd;

    bench_daemon_prepare(&daemon);
    bench_daemon_start(&daemon);
    int fd = bench_connect(daemon.socket);
    snprintf(path, sizeof(path), "%s/serve.sock", daemon.folder);
    snprintf(bare_path, sizeof(bare_path), "%s/bare.sock", daemon.folder);
    snprintf(message, sizeof(message),
             "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":{\"name\":\"bench\",\"listen\":"
             "[\"unix://%s\"],\"peers\":{\"allow\":[\"uid:%u\"]}}}}",
             path, (unsigned)geteuid());
    call(fd, message);
    int socket_fd = serve(fd, "bench");
    pid_t server = bare_server(bare_path, &bare_fd);
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        ours[i] = serve_rate(path, socket_fd);
        bare[i] = serve_rate(bare_path, bare_fd);
        ratios[i] = ours[i] / bare[i];
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    close(bare_fd);
    close(socket_fd);
    close(fd);
    bench_daemon_remove(&daemon);
    snprintf(note, sizeof(note), "%.0f connections a second, bare %.0f", bench_median(ours, BENCH_ROUNDS),
             bench_median(bare, BENCH_ROUNDS));
    bench_row("Serve: connections a second / bare accept + SCM_RIGHTS", bench_median(ratios, BENCH_ROUNDS), true, 0.6, note);
}

typedef struct Decider {
    BenchDaemon daemon;
    char path[160]; /* where the machine m0 connects */
    int fd, socket_fd;
} Decider;

/* So many machines, and a service that denies so many ranges; the last of them is m0's CID. */
static void decider_start(Decider *decider, int machines, int ranges)
{
    size_t room = (size_t)ranges * 32 + 512, used;
    char *message = malloc(room), folder[100];

    bench_daemon_prepare(&decider->daemon);
    bench_daemon_start(&decider->daemon);
    decider->fd = bench_connect(decider->daemon.socket);
    for (int i = 0; i < machines; i++) {
        snprintf(folder, sizeof(folder), "%s/m%d", decider->daemon.folder, i);
        mkdir(folder, 0755);
        snprintf(message, room,
                 "{\"method\":\"io.hvsock.Registry.AddMachine\",\"parameters\":{\"machine\":{\"name\":\"m%d\","
                 "\"cid\":%d,\"hybrid\":\"%s/v.sock\"}}}",
                 i, 900000 - i, folder);
        call(decider->fd, message);
    }
    used = (size_t)snprintf(message, room,
                            "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":{\"name\":\"bench\","
                            "\"port\":5000,\"listen\":[\"machine:*\"],\"peers\":{\"deny\":[");
    for (int i = 1; i < ranges; i++)
        used += (size_t)snprintf(message + used, room - used, "\"%d-%d\",", 1000 + i * 10, 1004 + i * 10);
    snprintf(message + used, room - used, "\"900000\"]}}}}");
    call(decider->fd, message);
    free(message);
    snprintf(decider->path, sizeof(decider->path), "%s/m0/v.sock_5000", decider->daemon.folder);
    decider->socket_fd = serve(decider->fd, "bench");
}

static void decider_stop(Decider *decider)
{
    close(decider->socket_fd);
    close(decider->fd);
    bench_daemon_remove(&decider->daemon);
}

static void compare_decisions(void)
{
    double ratios[BENCH_ROUNDS], many_seconds[BENCH_ROUNDS], one_seconds[BENCH_ROUNDS];
    Decider many, one;
    char note[128];

    decider_start(&many, 400, 1000);
    decider_start(&one, 1, 1);
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        many_seconds[i] = refusal_seconds(many.path);
        one_seconds[i] = refusal_seconds(one.path);
        ratios[i] = many_seconds[i] / one_seconds[i];
    }
    decider_stop(&many);
    decider_stop(&one);
    snprintf(note, sizeof(note), "%.1f us from connect to being hung up, with one %.1f us",
             bench_median(many_seconds, BENCH_ROUNDS) * 1e6, bench_median(one_seconds, BENCH_ROUNDS) * 1e6);
    bench_row("accept to decision, 1,000 ranges and 400 machines / with one", bench_median(ratios, BENCH_ROUNDS), false,
              1.3, note);
}

void bench_serve(void)
{
    compare_serve();
    compare_decisions();
}
