/* SPDX-License-Identifier: Apache-2.0 */
/* Durable registers from 64 clients, beside bare SQLite transactions of 64 such rows. */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define CLIENTS 64
#define TURNS 60
#define IN_FLIGHT 8

static char context[256];

static const char *make_context(unsigned number)
{
    snprintf(context, sizeof(context), "{\"name\":\"bench-%08u\",\"guid\":\"3ad2c7f0-5b12-4a6c-9a00-%012u\"}", number, number);
    return context;
}

static void read_replies(int fd, size_t count)
{
    static char replies[1 << 16];

    while (count > 0) {
        ssize_t size = recv(fd, replies, sizeof(replies), 0);
        if (size <= 0 || memmem(replies, (size_t)size, "\"error\"", 7))
            bench_fail("Register: %.*s", (int)(size > 0 ? size : 0), replies);
        for (ssize_t i = 0; i < size; i++)
            count -= replies[i] == '\0';
    }
}

/* in_flight: how many calls each client has sent before it reads. */
static double registers_a_second(const BenchDaemon *daemon, unsigned *number, int turns, size_t in_flight)
{
    int fds[CLIENTS];
    char message[512 * IN_FLIGHT];

    for (size_t i = 0; i < CLIENTS; i++)
        fds[i] = bench_connect(daemon->socket);
    double start = bench_now();
    for (int turn = 0; turn < turns; turn++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            size_t size = 0;
            for (size_t k = 0; k < in_flight; k++)
                size += (size_t)snprintf(message + size, sizeof(message) - size,
                                         "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":%s}}",
                                         make_context((*number)++)) + 1;
            if (send(fds[i], message, size, MSG_NOSIGNAL) != (ssize_t)size)
                bench_fail("send: %m");
        }
        /* The last first: it waits for all, instead of being woken for each. */
        for (size_t i = CLIENTS; i-- > 0;)
            read_replies(fds[i], in_flight);
    }
    double seconds = bench_now() - start;
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    return (double)CLIENTS * (double)in_flight * turns / seconds;
}

static void run(sqlite3 *database, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(database, sql, NULL, NULL, &error) != SQLITE_OK)
        bench_fail("%s: %s", sql, error);
}

static double rows_a_second(sqlite3 *database, unsigned *number)
{
    sqlite3_stmt *insert;

    sqlite3_prepare_v2(database,
                       "INSERT INTO services (name, context, origin, set_name, uid, registered_at_us) VALUES (?, ?, 'user', NULL, ?, ?)", -1,
                       &insert, NULL);
    double start = bench_now();
    for (int turn = 0; turn < TURNS; turn++) {
        run(database, "BEGIN IMMEDIATE");
        for (size_t i = 0; i < CLIENTS; i++) {
            char name[32];
            snprintf(name, sizeof(name), "bench-%08u", *number);
            const char *text = make_context((*number)++);
            sqlite3_bind_text(insert, 1, name, -1, SQLITE_TRANSIENT);
            sqlite3_bind_text(insert, 2, text, -1, SQLITE_TRANSIENT);
            sqlite3_bind_int(insert, 3, 0);
            sqlite3_bind_int64(insert, 4, 1700000000000000);
            if (sqlite3_step(insert) != SQLITE_DONE)
                bench_fail("insert: %s", sqlite3_errmsg(database));
            sqlite3_reset(insert);
        }
        run(database, "COMMIT");
    }
    double seconds = bench_now() - start;
    sqlite3_finalize(insert);
    return CLIENTS * TURNS / seconds;
}

void bench_registers(void)
{
    double ratios[BENCH_ROUNDS], ours[BENCH_ROUNDS], bare[BENCH_ROUNDS];
    double pipelined[BENCH_ROUNDS], pipelined_ratios[BENCH_ROUNDS];
    unsigned number = 1, bare_number = 1;
    char path[300], note[128];
    BenchDaemon daemon;
    sqlite3 *database;

    bench_daemon_prepare(&daemon);
    bench_daemon_start(&daemon);
    snprintf(path, sizeof(path), "%s/bare.db", daemon.folder);
    if (sqlite3_open(path, &database) != SQLITE_OK)
        bench_fail("%s: %s", path, sqlite3_errmsg(database));
    run(database, "PRAGMA journal_mode = WAL");
    run(database, "PRAGMA synchronous = FULL");
    /* As schema/sql has it. */
    run(database, "CREATE TABLE services (name TEXT NOT NULL, origin TEXT NOT NULL, set_name TEXT, uid INTEGER NOT NULL, "
                  "registered_at_us INTEGER NOT NULL, context TEXT NOT NULL, PRIMARY KEY (origin, name))");
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        ours[i] = registers_a_second(&daemon, &number, TURNS, 1);
        bare[i] = rows_a_second(database, &bare_number);
        ratios[i] = ours[i] / bare[i];
        pipelined[i] = registers_a_second(&daemon, &number, TURNS / IN_FLIGHT, IN_FLIGHT);
        pipelined_ratios[i] = pipelined[i] / bare[i];
    }
    sqlite3_close(database);
    snprintf(note, sizeof(note), "%.0f a second, bare %.0f", bench_median(ours, BENCH_ROUNDS), bench_median(bare, BENCH_ROUNDS));
    bench_row("durable registers from 64 clients / SQLite, 64 rows each", bench_median(ratios, BENCH_ROUNDS), true, 0.5, note);
    snprintf(note, sizeof(note), "%.0f a second with %d calls in flight each", bench_median(pipelined, BENCH_ROUNDS), IN_FLIGHT);
    bench_row("the same from 64 clients that pipeline", bench_median(pipelined_ratios, BENCH_ROUNDS), true, 0.5, note);
    bench_daemon_remove(&daemon);
}
