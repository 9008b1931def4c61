/* SPDX-License-Identifier: Apache-2.0 */
/* A list of 100,000 disabled services is written as it goes: how much the daemon grows by. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define SERVICES 100000
#define SERVICES_A_CALL 1000

static void populate(const BenchDaemon *daemon)
{
    int fd = bench_connect(daemon->socket);
    size_t size_max = 256 * SERVICES_A_CALL;
    char *message = malloc(size_max);

    for (unsigned first = 0; first < SERVICES; first += SERVICES_A_CALL) {
        size_t size = (size_t)snprintf(message, size_max,
                                       "{\"method\":\"io.hvsock.Registry.Apply\",\"parameters\":{\"set\":\"bench\",\"services\":[");
        for (unsigned i = first; i < first + SERVICES_A_CALL; i++)
            size += (size_t)snprintf(message + size, size_max - size, "%s{\"name\":\"bench-%06u\",\"port\":%u,\"enabled\":false}",
                                     i > first ? "," : "", i, 0x20000000u + i);
        size += (size_t)snprintf(message + size, size_max - size, "]}}");
        for (size_t sent = 0; sent < size + 1;) {
            ssize_t n = send(fd, message + sent, size + 1 - sent, MSG_NOSIGNAL);
            if (n <= 0)
                bench_fail("send: %m");
            sent += (size_t)n;
        }
        char reply[65536];
        ssize_t n;
        bool first_part = true;
        do {
            n = recv(fd, reply, sizeof(reply) - 1, 0);
            if (n <= 0)
                bench_fail("Apply: closed");
            reply[n] = '\0';
            if (first_part && strstr(reply, "\"error\""))
                bench_fail("Apply: %s", reply);
            first_part = false;
        } while (reply[n - 1] != '\0');
    }
    free(message);
    close(fd);
}

/* Reads until the reply that has no `continues`. */
static size_t count_listed(const BenchDaemon *daemon)
{
    static const char call[] = "{\"method\":\"io.hvsock.Registry.List\",\"more\":true}";
    static char bytes[1 << 16];
    int fd = bench_connect(daemon->socket);
    size_t count = 0, matched = 0;
    bool continues = true;
    static const char word[] = "\"continues\":true";
    bool seen = false;

    if (send(fd, call, sizeof(call), MSG_NOSIGNAL) != sizeof(call))
        bench_fail("send: %m");
    while (continues) {
        ssize_t size = recv(fd, bytes, sizeof(bytes), 0);
        if (size <= 0)
            bench_fail("List: closed after %zu", count);
        for (ssize_t i = 0; i < size; i++) {
            matched = bytes[i] == word[matched] ? matched + 1 : bytes[i] == word[0] ? 1 : 0;
            if (matched == sizeof(word) - 1) {
                seen = true;
                matched = 0;
            }
            if (bytes[i] == '\0') {
                count++;
                continues = seen;
                seen = false;
            }
        }
    }
    close(fd);
    return count;
}

void bench_list(void)
{
    BenchDaemon daemon;
    char path[64], note[128];

    bench_daemon_prepare(&daemon);
    bench_daemon_start(&daemon);
    populate(&daemon);
    bench_daemon_stop(&daemon);
    bench_daemon_start(&daemon);
    long before = bench_daemon_memory(&daemon, "VmRSS");
    snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)daemon.pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "5", 1) != 1)
        bench_fail("%s: %m", path);
    close(fd);
    double start = bench_now();
    size_t count = count_listed(&daemon);
    double seconds = bench_now() - start;
    long after = bench_daemon_memory(&daemon, "VmHWM");
    bench_daemon_remove(&daemon);
    if (count != SERVICES)
        bench_fail("List gave %zu services", count);
    snprintf(note, sizeof(note), "from %ld to at most %ld KiB, %.0f ms", before, after, seconds * 1e3);
    bench_row("MiB that the daemon grows by in a list of 100,000", (double)(after - before) / 1024, false, 8, note);
}
