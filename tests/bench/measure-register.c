/* SPDX-License-Identifier: Apache-2.0 */
/* Durable registers from 64 clients, each of which sends its next when the last was answered, beside SQLite alone that
 * writes such rows in transactions of 64, as durably (WAL, synchronous=FULL, same file system). */

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define CLIENTS 64
#define ROUNDS 3

static void append_register(Buffer *call, unsigned number)
{
    buffer_printf(call,
                  "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":{\"name\":\"bench-%u\",\"elementName\":\"Bench %u\","
                  "\"port\":%u,\"enabled\":false,\"labels\":{\"team\":\"bench\"}}}}",
                  number, number, 100000 + number);
    buffer_append_char(call, '\0');
}

static double round_registers(const char *socket, unsigned first, unsigned each)
{
    struct pollfd clients[CLIENTS];
    unsigned left[CLIENTS], next = first;
    Buffer call = {0}, reply = {0};

    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct pollfd){.fd = client_connect(socket), .events = POLLIN};
        left[i] = each;
    }
    double began = now_s();
    for (unsigned i = 0; i < CLIENTS; i++) {
        buffer_clear(&call);
        append_register(&call, next++);
        client_send(clients[i].fd, call.data, call.size_bytes);
    }
    for (unsigned open = CLIENTS; open > 0;) {
        if (poll(clients, CLIENTS, 60000) <= 0)
            die("no register was answered in a minute");
        for (unsigned i = 0; i < CLIENTS; i++) {
            if (clients[i].fd < 0 || !clients[i].revents)
                continue;
            client_receive(clients[i].fd, &reply);
            if (strstr(reply.data, "\"error\""))
                die("Register: %.300s", reply.data);
            if (--left[i] == 0) {
                close(clients[i].fd);
                clients[i].fd = -1;
                open--;
                continue;
            }
            buffer_clear(&call);
            append_register(&call, next++);
            client_send(clients[i].fd, call.data, call.size_bytes);
        }
    }
    double took_s = now_s() - began;
    buffer_release(&call);
    buffer_release(&reply);
    return CLIENTS * each / took_s;
}

static void sql(sqlite3 *database, const char *text)
{
    if (sqlite3_exec(database, text, NULL, NULL, NULL) != SQLITE_OK)
        die("%s: %s", text, sqlite3_errmsg(database));
}

static double round_bare(sqlite3 *database, unsigned first, unsigned each)
{
    sqlite3_stmt *insert;
    char name[32], context[512];

    if (sqlite3_prepare_v2(database, "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?)", -1, &insert, NULL) != SQLITE_OK)
        die("%s", sqlite3_errmsg(database));
    double began = now_s();
    for (unsigned i = 0; i < each; i++) {
        sql(database, "BEGIN IMMEDIATE");
        for (unsigned k = 0; k < CLIENTS; k++) {
            unsigned number = first + i * CLIENTS + k;
            snprintf(name, sizeof(name), "bench-%u", number);
            snprintf(context, sizeof(context),
                     "{\"name\":\"bench-%u\",\"elementName\":\"Bench %u\",\"port\":%u,\"enabled\":false,\"labels\":{\"team\":\"bench\"}}", number,
                     number, 100000 + number);
            sqlite3_bind_text(insert, 1, name, -1, SQLITE_STATIC);
            sqlite3_bind_text(insert, 2, "user:0", -1, SQLITE_STATIC);
            sqlite3_bind_int64(insert, 3, 0);
            sqlite3_bind_int64(insert, 4, 1700000000000000 + number);
            sqlite3_bind_text(insert, 5, context, -1, SQLITE_STATIC);
            sqlite3_bind_null(insert, 6);
            if (sqlite3_step(insert) != SQLITE_DONE)
                die("%s", sqlite3_errmsg(database));
            sqlite3_reset(insert);
        }
        sql(database, "COMMIT");
    }
    double took_s = now_s() - began;
    sqlite3_finalize(insert);
    return CLIENTS * each / took_s;
}

static void run(const Bench *bench)
{
    Daemon daemon;
    sqlite3 *database;
    char path[128];
    double ratios[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    unsigned each = bench->quick ? 10 : 100;

    daemon_prepare(&daemon);
    daemon_start(bench, &daemon);
    snprintf(path, sizeof(path), "%s/bare.db", daemon.folder);
    if (sqlite3_open(path, &database) != SQLITE_OK)
        die("%s", sqlite3_errmsg(database));
    sql(database, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                  "CREATE TABLE row (name TEXT PRIMARY KEY, origin TEXT, owner INTEGER, at INTEGER, context TEXT, pid INTEGER) WITHOUT ROWID");
    for (unsigned i = 0; i < ROUNDS; i++) {
        bare[i] = round_bare(database, i * CLIENTS * each, each);
        ours[i] = round_registers(daemon.socket, i * CLIENTS * each, each);
        ratios[i] = ours[i] / bare[i];
    }
    sqlite3_close(database);
    report("register", "durable registers a second from 64 clients / SQLite alone, 64 such rows a transaction", median(ratios, ROUNDS), AT_LEAST,
           0.5, "%.0f a second; bare %.0f", median(ours, ROUNDS), median(bare, ROUNDS));
    daemon_stop(&daemon);
    daemon_remove(&daemon);
}

const Measurement measure_register = {"register", run};
