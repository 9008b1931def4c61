/* SPDX-License-Identifier: Apache-2.0 */
/* make bench: what hvsockd does as a ratio to the machine's own limit, a bare program measured in the same run, both sides
 * on one CPU, the two in turn. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_ROUNDS 7

typedef struct BenchDaemon {
    char folder[64]; /* config, state, runtime under it */
    char socket[100];
    pid_t pid;
} BenchDaemon;

/* $B, where the programs are. */
extern const char *bench_build;

double bench_now(void); /* seconds */
double bench_median(double *values, size_t count);
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A row of the table. at_least: the figure should be that or more; else that or less. */
void bench_row(const char *what, double figure, bool at_least, double target, const char *note);

/* A private folder; nothing runs yet. */
void bench_daemon_prepare(BenchDaemon *daemon);
/* Until READY=1; seconds from fork to READY. */
double bench_daemon_start(BenchDaemon *daemon);
/* SIGTERM, and waits. */
void bench_daemon_stop(BenchDaemon *daemon);
/* Stops what runs, removes the folder. */
void bench_daemon_remove(BenchDaemon *daemon);
/* From /proc/PID/status, KiB: "RssAnon", "VmHWM". */
long bench_daemon_memory(const BenchDaemon *daemon, const char *field);

int bench_connect(const char *path);
/* One message with its NUL out, one back; descriptors that come are closed. The size of the reply. */
size_t bench_call(int fd, const char *message, size_t size_bytes);
/* The same, the reply kept in a buffer of the module's. */
const char *bench_call_text(int fd, const char *message);

void bench_calls(void);     /* Lookup, Acquire, connect */
void bench_process(void);   /* hvsockctl who */
void bench_registers(void); /* durable registers */
void bench_start(void);     /* start with 10,000 services, memory of each */
void bench_list(void);      /* list of 100,000 */
void bench_export(void);    /* 100,000 services as a .reg file, and back */
void bench_reload(void);    /* 10,000 files of which one changed */
void bench_serve(void);     /* connections handed over, and who may connect */
void bench_connect_verb(void); /* hvsockctl connect */
void bench_activate(void);  /* from a connection to a program's first byte; killed and started */
void bench_machines(void);  /* a machine that comes, with what listens there */

/* The bare side of bench_start, as a program of its own: `bench bare-start DATABASE FD`. */
int bench_bare_start(const char *database, int ready_fd);
