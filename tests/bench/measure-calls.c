/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on one connection, with and without a descriptor, and a connection for each call; each beside a bare server that
 * answers with the same bytes. Rounds of both alternate, and the median of their ratios counts. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define ROUNDS 9

typedef double Round(const char *path, const char *call, size_t count);

static double round_lookup(const char *path, const char *call, size_t count)
{
    Buffer reply = {0};
    size_t size_bytes = strlen(call) + 1;
    int fd = client_connect(path);
    double began = now_s();

    for (size_t i = 0; i < count; i++) {
        client_send(fd, call, size_bytes);
        client_receive(fd, &reply);
    }
    double took_s = now_s() - began;
    close(fd);
    buffer_release(&reply);
    return (double)count / took_s;
}

static double round_acquire(const char *path, const char *call, size_t count)
{
    Buffer reply = {0};
    size_t size_bytes = strlen(call) + 1;
    int fd = client_connect(path);
    double began = now_s();

    for (size_t i = 0; i < count; i++) {
        client_send(fd, call, size_bytes);
        client_receive_fd(fd, &reply);
    }
    double took_s = now_s() - began;
    close(fd);
    buffer_release(&reply);
    return (double)count / took_s;
}

static double round_connect(const char *path, const char *call, size_t count)
{
    Buffer reply = {0};
    size_t size_bytes = strlen(call) + 1;
    double began = now_s();

    for (size_t i = 0; i < count; i++) {
        int fd = client_connect(path);
        client_send(fd, call, size_bytes);
        client_receive(fd, &reply);
        close(fd);
    }
    double took_s = now_s() - began;
    buffer_release(&reply);
    return (double)count / took_s;
}

static void compare(const Bench *bench, const Daemon *daemon, const char *name, const char *what, double target, const char *call,
                    BareMode mode, Round *round)
{
    char path[128];
    Buffer reply = {0};
    double ratios[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    size_t count = bench->quick ? 2000 : 10000;
    int fd = client_connect(daemon->socket);

    client_call(fd, call, &reply);
    close(fd);
    snprintf(path, sizeof(path), "%s/bare-%s", daemon->folder, name);
    pid_t pid = bare_start(path, reply.data, reply.size_bytes, mode);
    for (size_t i = 0; i < ROUNDS; i++) {
        bare[i] = round(path, call, count);
        ours[i] = round(daemon->socket, call, count);
        ratios[i] = ours[i] / bare[i];
    }
    bare_stop(pid);
    report(name, what, median(ratios, ROUNDS), AT_LEAST, target, "%.0f a second; bare %.0f; %zu bytes a reply", median(ours, ROUNDS),
           median(bare, ROUNDS), reply.size_bytes);
    buffer_release(&reply);
}

static void run(const Bench *bench)
{
    Daemon daemon;
    Buffer file = {0};
    char path[128];

    daemon_prepare(&daemon);
    buffer_append_text(&file, "services:\n");
    for (unsigned i = 0; i < 100; i++)
        buffer_printf(&file, "  - {name: bench-%u, port: %u, listen: [\"unix://%s/run/%u.sock\"]}\n", i, 5000 + i, daemon.folder, i);
    snprintf(path, sizeof(path), "%s/etc/services.d/bench.yaml", daemon.folder);
    file_write(path, file.data);
    buffer_release(&file);
    daemon_start(bench, &daemon);

    compare(bench, &daemon, "lookup", "Lookup on one connection / raw ping-pong of the same bytes", 0.50,
            "{\"method\":\"io.hvsock.Registry.Lookup\",\"parameters\":{\"name\":\"bench-7\"}}", BARE_STREAM, round_lookup);
    compare(bench, &daemon, "acquire", "Acquire with one descriptor / raw ping-pong with one", 0.50,
            "{\"method\":\"io.hvsock.Registry.Acquire\",\"parameters\":{\"names\":[\"bench-8\"]}}", BARE_FD, round_acquire);
    compare(bench, &daemon, "connect", "connect + Lookup + close / the same raw", 0.65,
            "{\"method\":\"io.hvsock.Registry.Lookup\",\"parameters\":{\"name\":\"bench-7\"}}", BARE_STREAM, round_connect);
    daemon_stop(&daemon);
    daemon_remove(&daemon);
}

const Measurement measure_calls = {"calls", run};
