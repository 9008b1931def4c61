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

static char context[256];

static const char *make_context(unsigned number)
{
    snprintf(context, sizeof(context), "{\"name\":\"bench-%08u\",\"guid\":\"3ad2c7f0-5b12-4a6c-9a00-%012u\"}", number, number);
    return context;
}

static double registers_a_second(const BenchDaemon *daemon, unsigned *number)
{
    int fds[CLIENTS];
    char message[512];

    for (size_t i = 0; i < CLIENTS; i++)
        fds[i] = bench_connect(daemon->socket);
    double start = bench_now();
    for (int turn = 0; turn < TURNS; turn++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            int size = snprintf(message, sizeof(message),
                                "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":%s}}",
                                make_context((*number)++));
            if (send(fds[i], message, (size_t)size + 1, MSG_NOSIGNAL) != size + 1)
                bench_fail("send: %m");
        }
        /* The last first: it waits for all, instead of being woken for each. */
        for (size_t i = CLIENTS; i-- > 0;) {
            char reply[8192];
            ssize_t size = recv(fds[i], reply, sizeof(reply) - 1, 0);
            if (size <= 0 || strstr(reply, "\"error\""))
                bench_fail("Register: %.*s", (int)(size > 0 ? size : 0), reply);
        }
    }
    double seconds = bench_now() - start;
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    return CLIENTS * TURNS / seconds;
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
                       "INSERT INTO services (name, context, origin, uid, registered_at_us) VALUES (?, ?, 'user', ?, ?)", -1,
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
    run(database, "CREATE TABLE services (name TEXT PRIMARY KEY, context TEXT NOT NULL, origin TEXT NOT NULL, uid INTEGER, "
                  "registered_at_us INTEGER)");
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        ours[i] = registers_a_second(&daemon, &number);
        bare[i] = rows_a_second(database, &bare_number);
        ratios[i] = ours[i] / bare[i];
    }
    sqlite3_close(database);
    snprintf(note, sizeof(note), "%.0f a second, bare %.0f", bench_median(ours, BENCH_ROUNDS), bench_median(bare, BENCH_ROUNDS));
    bench_row("durable registers from 64 clients / SQLite, 64 rows each", bench_median(ratios, BENCH_ROUNDS), true, 0.5, note);
    bench_daemon_remove(&daemon);
}
