/* SPDX-License-Identifier: Apache-2.0 */
/* Start with 10,000 services that listen on AF_VSOCK, beside a bare program that reads the same rows and binds the same
 * ports; and what such a service costs in memory. Binds and listens only: nothing here connects an AF_VSOCK socket. */

#include <linux/vm_sockets.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define SERVICES 10000
#define ROUNDS 5

int bench_bare_start(const char *database_path, int ready_fd)
{
    sqlite3 *database;
    sqlite3_stmt *select;

    if (sqlite3_open_v2(database_path, &database, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(database, "SELECT context FROM services", -1, &select, NULL) != SQLITE_OK)
        bench_fail("%s: %s", database_path, sqlite3_errmsg(database));
    int count = 0;
    while (sqlite3_step(select) == SQLITE_ROW) {
        const char *port = strstr((const char *)sqlite3_column_text(select, 0), "\"port\":");
        struct sockaddr_vm address = {
            .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = (unsigned)strtoul(port + 7, NULL, 10)};
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
            bench_fail("port %u: %m", address.svm_port);
        count++;
    }
    if (count != SERVICES)
        bench_fail("%d rows instead of %d", count, SERVICES);
    return write(ready_fd, "R", 1) == 1 ? 0 : 1;
}

static double bare_start(const char *database_path)
{
    char number[16], self[300], byte;
    int pipe_fds[2], status;

    snprintf(self, sizeof(self), "%s/bench", bench_build);
    if (pipe(pipe_fds) < 0)
        bench_fail("pipe: %m");
    snprintf(number, sizeof(number), "%d", pipe_fds[1]);
    double start = bench_now();
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, "bare-start", database_path, number, (char *)NULL);
        _exit(127);
    }
    close(pipe_fds[1]);
    if (read(pipe_fds[0], &byte, 1) != 1)
        bench_fail("the bare program failed");
    double seconds = bench_now() - start;
    close(pipe_fds[0]);
    waitpid(pid, &status, 0);
    return seconds;
}

static void populate(const BenchDaemon *daemon)
{
    unsigned first = 0x20000000u + (unsigned)(getpid() % 4096) * 0x10000u;
    int fd = bench_connect(daemon->socket);
    char message[512];

    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(message, sizeof(message),
                 "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":{\"name\":\"bench-%05u\",\"port\":%u}}}", i,
                 first + i);
        const char *reply = bench_call_text(fd, message);
        if (strstr(reply, "\"error\"") || !strstr(reply, "\"state\":\"listening\""))
            bench_fail("Register: %s", reply);
    }
    close(fd);
}

static void look_up_all(const BenchDaemon *daemon)
{
    int fd = bench_connect(daemon->socket);
    char message[256];

    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(message, sizeof(message), "{\"method\":\"io.hvsock.Registry.Lookup\",\"parameters\":{\"name\":\"bench-%05u\"}}", i);
        bench_call_text(fd, message);
    }
    close(fd);
}

void bench_start(void)
{
    double ratios[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    char database[400], note[128];
    BenchDaemon daemon;

    bench_daemon_prepare(&daemon);
    bench_daemon_start(&daemon);
    long empty = bench_daemon_memory(&daemon, "RssAnon");
    populate(&daemon);
    bench_daemon_stop(&daemon);
    snprintf(database, sizeof(database), "%s/state/registry.db", daemon.folder);
    for (size_t i = 0; i < ROUNDS; i++) {
        bare[i] = bare_start(database);
        ours[i] = bench_daemon_start(&daemon);
        if (i + 1 < ROUNDS)
            bench_daemon_stop(&daemon);
        ratios[i] = ours[i] / bare[i];
    }
    look_up_all(&daemon);
    long full = bench_daemon_memory(&daemon, "RssAnon");
    bench_daemon_remove(&daemon);
    snprintf(note, sizeof(note), "%.0f ms, bare %.0f ms", bench_median(ours, ROUNDS) * 1e3, bench_median(bare, ROUNDS) * 1e3);
    bench_row("start with 10,000 services listening / read + bind + listen", bench_median(ratios, ROUNDS), false, 1.5, note);
    snprintf(note, sizeof(note), "%ld KiB with 10,000 that were all looked up, %ld KiB with none", full, empty);
    bench_row("KiB of user memory of an idle service, rendered reply too", (double)(full - empty) / SERVICES, false, 1.5, note);
}
