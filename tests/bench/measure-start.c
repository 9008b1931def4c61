/* SPDX-License-Identifier: Apache-2.0 */
/* A start with 10,000 registered services that all listen on AF_VSOCK, beside a program that reads the same database and
 * binds the same ports; then what one of them costs in memory, once each has been asked for. */

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "tests/bench/bench.h"

#define ROUNDS 3

static void apply_services(const Daemon *daemon, unsigned count, unsigned first_port)
{
    Buffer call = {0}, reply = {0};
    int fd = client_connect(daemon->socket);

    buffer_append_text(&call, "{\"method\":\"io.hvsock.Registry.Apply\",\"parameters\":{\"services\":[");
    for (unsigned i = 0; i < count; i++)
        buffer_printf(&call, "%s{\"name\":\"bench-%u\",\"port\":%u}", i ? "," : "", i, first_port + i);
    buffer_append_text(&call, "]}}");
    buffer_append_char(&call, '\0');
    client_call(fd, call.data, &reply);
    close(fd);
    buffer_release(&call);
    buffer_release(&reply);
}

static unsigned read_rows(sqlite3 *database, const char *query)
{
    sqlite3_stmt *rows;
    unsigned count = 0;

    if (sqlite3_prepare_v2(database, query, -1, &rows, NULL) != SQLITE_OK)
        die("%s: %s", query, sqlite3_errmsg(database));
    while (sqlite3_step(rows) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(rows); i++)
            sqlite3_column_blob(rows, i);
        count++;
    }
    sqlite3_finalize(rows);
    return count;
}

/* Every row of every table. */
static void read_database(const char *path, unsigned at_least)
{
    sqlite3 *database;
    sqlite3_stmt *tables;
    char query[256];
    unsigned count = 0;

    if (sqlite3_open(path, &database) != SQLITE_OK ||
        sqlite3_prepare_v2(database, "SELECT name FROM sqlite_master WHERE type = 'table'", -1, &tables, NULL) != SQLITE_OK)
        die("%s: %s", path, sqlite3_errmsg(database));
    while (sqlite3_step(tables) == SQLITE_ROW) {
        snprintf(query, sizeof(query), "SELECT * FROM \"%s\"", (const char *)sqlite3_column_text(tables, 0));
        count += read_rows(database, query);
    }
    sqlite3_finalize(tables);
    sqlite3_close(database);
    if (count < at_least)
        die("%s: %u rows where %u services were applied", path, count, at_least);
}

/* In a process of its own, as hvsockd is, so that its sockets are gone with it; without the time that closing them takes. */
static double round_bare(const char *path, unsigned count, unsigned first_port)
{
    int ends[2];
    double took_s;

    if (pipe(ends) < 0)
        die("pipe: %s", strerror(errno));
    double began = now_s();
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid == 0) {
        read_database(path, count);
        for (unsigned i = 0; i < count; i++) {
            struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = first_port + i};
            int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
                die("port %u: %s", first_port + i, strerror(errno));
        }
        took_s = now_s() - began;
        _exit(write(ends[1], &took_s, sizeof(took_s)) != sizeof(took_s));
    }
    close(ends[1]);
    if (read(ends[0], &took_s, sizeof(took_s)) != sizeof(took_s))
        die("the bare start failed");
    close(ends[0]);
    waitpid(pid, NULL, 0);
    return took_s;
}

static void ask_for_each(const Daemon *daemon, unsigned count)
{
    Buffer reply = {0};
    char call[160];
    int fd = client_connect(daemon->socket);

    for (unsigned i = 0; i < count; i++) {
        snprintf(call, sizeof(call), "{\"method\":\"io.hvsock.Registry.Lookup\",\"parameters\":{\"name\":\"bench-%u\"}}", i);
        client_call(fd, call, &reply);
        if (i == 0 && !strstr(reply.data, "\"state\":\"listening\""))
            die("it does not listen: %.400s", reply.data);
    }
    close(fd);
    buffer_release(&reply);
}

static void run(const Bench *bench)
{
    Daemon daemon;
    char path[128];
    double ratios[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    unsigned count = bench->quick ? 2000 : 10000;
    /* AF_VSOCK's ports are the whole machine's; a place in it of our own. */
    unsigned first_port = 0x30000000u + (unsigned)getpid() % 8192 * 16384;

    daemon_prepare(&daemon);
    daemon_start(bench, &daemon);
    size_t empty_bytes = memory_anonymous_bytes(daemon.pid);
    apply_services(&daemon, count, first_port);
    daemon_stop(&daemon);

    snprintf(path, sizeof(path), "%s/state/registry.db", daemon.folder);
    for (unsigned i = 0; i < ROUNDS; i++) {
        bare[i] = round_bare(path, count, first_port);
        daemon_start(bench, &daemon);
        ours[i] = daemon.start_s;
        ratios[i] = ours[i] / bare[i];
        if (i < ROUNDS - 1)
            daemon_stop(&daemon);
    }
    report("start", "start with 10,000 services listening / SQLite read, bind and listen of the same", median(ratios, ROUNDS), AT_MOST, 1.5,
           "%.0f ms; bare %.0f ms; %u services", median(ours, ROUNDS) * 1e3, median(bare, ROUNDS) * 1e3, count);

    ask_for_each(&daemon, count);
    size_t full_bytes = memory_anonymous_bytes(daemon.pid);
    double each_kib = (double)(full_bytes - empty_bytes) / count / 1024;
    report("memory", "user memory of an idle service that listens, rendered reply included, KiB", each_kib, AT_MOST, 1.5, "%.1f MiB with %u, %.1f without",
           (double)full_bytes / 1048576, count, (double)empty_bytes / 1048576);
    daemon_stop(&daemon);
    daemon_remove(&daemon);
}

const Measurement measure_start = {"start", run};
