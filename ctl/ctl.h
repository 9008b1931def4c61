/* SPDX-License-Identifier: Apache-2.0 */
/* One run of hvsockctl: what was typed, how it is answered, and the registry that it speaks to. */
#pragma once

#include "ctl/registry.h"
#include "ctl/verb.h"
#include "schema/base/problem.h"
#include "schema/codec/nearest.h"

/* hvsockctl(1), "EXIT STATUS". */
typedef enum ExitStatus {
    EXIT_DONE = 0,
    EXIT_NO = 1,    /* the answer is no */
    EXIT_USAGE = 2, /* also: every error of diff, and of this program itself (memory, output) */
    EXIT_REFUSED = 3,
    EXIT_NO_DAEMON = 4,
    EXIT_NOT_EXECUTABLE = 126,
    EXIT_NOT_FOUND = 127,
} ExitStatus;

struct Ctl {
    const Verb *verb;
    char *called; /* `machine add`; NULL before it is known */
    OptionSet options;
    Given given;
    OutputOptions output;
    Registry *registry;
};

/* `hvsockctl: what: why; what to do` on stderr. what and hint may be NULL. */
void ctl_tell(const char *what, const char *hint, const char *why_format, ...) _printf_(3, 4);
/* The same for a usage error, with the verb's --help as what to do where hint is NULL; answers EXIT_USAGE. */
int ctl_usage(const Ctl *ctl, const char *what, const char *hint, const char *why_format, ...) _printf_(4, 5);
/* A usage error, too: nearest's word is no verb, column, …; it is told which was meant. */
int ctl_no_such(const Ctl *ctl, const char *what, const char *kind, const Nearest *nearest);
/* One a line, each with its place; what: before those that have no file; or NULL. */
void ctl_tell_problems(const char *what, const Problems *problems);

/* The record that was given as options, called name; the caller's. 0; EXIT_USAGE: it is no good (told). -ENOMEM. */
int ctl_read_record(Ctl *ctl, const char *name, void **ret);

/* The registry of this host, opened once and closed at the end. 0; an ExitStatus: there is none, and it was told.
 * -errno. */
int ctl_open(Ctl *ctl, Registry **ret);
/* The same, but nothing is told where there is none, or where it does not answer: opening it, and each answer from here on, may take
 * so long, -1: as long as it does. Then it is -ETIMEDOUT. */
int ctl_open_within(Ctl *ctl, int timeout_ms, Registry **ret);
/* Tells why a registry's answer was not 0, and gives the exit status for it. what: the service, or the verb. -errno. */
int ctl_refused(Ctl *ctl, int answer, const char *what);
/* Writes a reply: as it came with --json; else what has become of its service, where it has one. -errno. */
int ctl_reply(const Ctl *ctl, const char *reply);
/* Makes a call for each operand, also after one that was refused. The greatest ExitStatus; -errno. */
int ctl_each_name(Ctl *ctl, int (*call)(Registry *registry, const char *name, char **ret_reply));
/* A member of a reply; false where the daemon left it out. */
bool ctl_reply_member(const char *reply, const char *key, const char **ret_value, size_t *ret_size_bytes);

/* This process is the command from here on; an ExitStatus where it cannot be (told). */
int ctl_become(const Ctl *ctl);

/* The process that --ephemeral ties a record to, 0 without it. An ExitStatus where it makes no sense (told). */
int ctl_ephemeral_pid(const Ctl *ctl, pid_t *ret);
#define OPTIONS_EPHEMERAL                                                                                              \
    {.name = "ephemeral",                                                                                              \
     .help = "Forget it when a process ends, at the latest with this boot: --pid's, else the one that called "         \
             "hvsockctl."},                                                                                            \
    {                                                                                                                  \
        .name = "pid", .argument = "PID", .completes = COMPLETES_PROCESSES, .help = "The process of --ephemeral."      \
    }
