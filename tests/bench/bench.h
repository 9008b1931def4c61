/* SPDX-License-Identifier: Apache-2.0 */
<<<<<<< HEAD
/* make bench: what hvsockd does as a ratio to the machine's own limit, a bare program measured in the same run, both sides
 * on one CPU, the two in turn. */
=======
/* What the measurements share: a daemon in a folder of its own, blocking clients, bare servers to compare with, time and
 * memory. Whatever goes wrong ends the program: a measurement of half a thing is none. */
>>>>>>> 1df34c9 (tests/bench: the nine targets, each beside a bare program in the same run and on the same CPU)
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

<<<<<<< HEAD
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
void bench_reload(void);    /* 10,000 files of which one changed */

/* The bare side of bench_start, as a program of its own: `bench bare-start DATABASE FD`. */
int bench_bare_start(const char *database, int ready_fd);
=======
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

typedef struct Bench Bench;
typedef struct Daemon Daemon;
typedef struct Measurement Measurement;

/* What all measurements know. */
struct Bench {
    const char *programs; /* the folder with hvsockd and hvsockctl */
    bool quick;           /* fewer rounds and smaller sets: for CI, which asks whether it runs */
};

struct Daemon {
    char folder[64];
    char socket[96];
    pid_t pid;
    double start_s; /* from fork to READY */
};

struct Measurement {
    const char *name;   /* of its group: lookup, acquire, …; what `bench NAME` picks */
    void (*run)(const Bench *bench);
};

/* ---- report.c: the table and BENCH_JSON ---- */
typedef enum Bound { AT_LEAST, AT_MOST } Bound;
/* detail: the two figures that it comes from, for people. */
void report(const char *name, const char *what, double value, Bound bound, double target, const char *detail_format, ...) _printf_(6, 7);
/* 0; 1: a target is missed. json_path NULL: no file. */
int report_print(const char *json_path, bool quick);

/* ---- common.c ---- */
_Noreturn void die(const char *format, ...) _printf_(1, 2);
double now_s(void);
double median(double *values, size_t count);
/* This process and all that it starts. */
void pin_to_one_cpu(void);
void file_write(const char *path, const char *text);
void folder_remove(const char *path);
/* The program from fork to exit; it has to succeed. */
double program_run_s(const char *const *argv);

/* ---- process.c: hvsockd in a folder of its own ---- */
void daemon_prepare(Daemon *daemon);                        /* makes the folder; nothing runs yet */
void daemon_start(const Bench *bench, Daemon *daemon);      /* to READY=1 */
void daemon_stop(Daemon *daemon);
void daemon_remove(Daemon *daemon);                         /* the folder */
/* RssAnon of /proc/PID/status, and the peak of resident memory since memory_reset_peak. */
size_t memory_anonymous_bytes(pid_t pid);
size_t memory_resident_bytes(pid_t pid);
size_t memory_peak_bytes(pid_t pid);
void memory_reset_peak(pid_t pid);

/* ---- client.c: blocking, and as bare as can be ---- */
int client_connect(const char *path);
void client_send(int fd, const char *bytes, size_t size_bytes);
/* To the next NUL; what follows it must not be there yet. reply is cleared before. */
void client_receive(int fd, Buffer *reply);
/* With one descriptor, which is closed. */
void client_receive_fd(int fd, Buffer *reply);
/* A call and its reply, which must not be an error. */
void client_call(int fd, const char *call, Buffer *reply);

/* ---- bare.c: the least that a server can be: it answers what ends with NUL by always the same bytes ---- */
typedef enum BareMode { BARE_STREAM, BARE_FD } BareMode;
pid_t bare_start(const char *path, const char *reply, size_t reply_size_bytes, BareMode mode);
void bare_stop(pid_t pid);

extern const Measurement measure_calls, measure_register, measure_start, measure_list, measure_reload, measure_program;
>>>>>>> 1df34c9 (tests/bench: the nine targets, each beside a bare program in the same run and on the same CPU)
