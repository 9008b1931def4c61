/* SPDX-License-Identifier: Apache-2.0 */
/* Services -> what others want to know of them: Windows, systemd, VMMs, guests. One file a target, config/export/NAME.c; the
 * table of all is made from the file names (config/room.mk). Services come one by one and go out as they come: what is kept of
 * one that was written is its GUID and its name, so that a second of either is told. */
#pragma once

#include "config/index.h"
#include "config/windows.h"
#include "schema/base/problem.h"
#include "schema/model/address.h"
#include "schema/model/records.h"

typedef struct Export Export;
typedef struct ExportOptions ExportOptions;
typedef struct ExportSink ExportSink;
typedef struct ExportTarget ExportTarget;

/* Where it goes. Both answer 0 or -errno, which ends the export and is passed on. */
struct ExportSink {
    int (*write)(const void *bytes, size_t size_bytes, void *userdata);
    /* What follows is a file of this name; only for targets with has_files. NULL: all goes into one text. */
    int (*file)(const char *name, void *userdata);
    void *userdata;
};

struct ExportOptions {
    const MachineContext *machine;         /* --machine; or NULL */
    const MachineContext *const *machines; /* all that are known, ended by NULL; or NULL */
    const WindowsKeys *previous;           /* what Windows has now (--previous); or NULL */
    bool prune;
    bool named; /* the services were asked for by name: one that has no place there is an error, else a warning */
};

/* What one is called: `reg`. All functions answer 0 or -errno; what is wrong with a service is a problem, with the record's
 * own fields. */
struct ExportTarget {
    const char *name;
    const char *help;      /* one sentence */
    bool needs_machine;    /* --machine */
    bool takes_machine;
    bool knows_guids;      /* a VMM's: services without a port are reached, too */
    bool verbatim;         /* the services as they are, so that what enable and disable say is not of them */
    bool has_files;        /* several: --output is a folder */
    bool one_guid;         /* one service a GUID, and each has one: export_guid */
    bool prunes;
    bool needs_previous;   /* … and only by --previous */
    int (*begin)(Export *export);
    /* guid: set where one_guid. Problems that it adds keep the service out. */
    int (*add)(Export *export, const ServiceContext *service, const Guid *guid);
    int (*end)(Export *export);
};

struct Export {
    const ExportTarget *target;
    ExportOptions options;
    ExportSink sink;
    Problems *problems;
    Buffer text;    /* not handed over yet */
    Buffer scratch; /* for the target: what it is about to write */
    Buffer names;   /* of the services, each with its NUL */
    Index keys;     /* GUIDs, or what else must be there once -> where in names */
    Index existing; /* previous: GUIDs -> where there */
    uint32_t *existing_next;
    size_t count;   /* services that were written */
};

extern const ExportTarget *const export_targets[]; /* ended by NULL */
extern const char *const export_target_names[];    /* the same, for the command line */
const ExportTarget *export_target_find(const char *name);

/* problems and what the options point to must live as long. -ENOMEM, or what the sink answered. */
int export_open(const ExportTarget *target, const ExportOptions *options, const ExportSink *sink, Problems *problems, Export **ret);
/* Problems of this service are problems[from count before …]. After the first error nothing more is written. */
int export_add(Export *export, const ServiceContext *service);
/* EXPORT_INVALID: there were errors, and what the sink got is to be thrown away. */
enum { EXPORT_INVALID = 1 };
int export_close(Export *export);
void export_free(Export *export);
DEFINE_CLEANUP(Export *, export_free)

/* ---- for targets ---- */

/* Notes that a key is this service's. INDEX_TAKEN: it was another's, whose name is *ret_other. -ENOMEM. */
int export_take(Export *export, const void *key, size_t size_bytes, const char *name, const char **ret_other);
/* It has no place in this target: an error where it was asked for by name, else a warning. */
void export_leave_out(Export *export, const char *field, const char *hint, const char *reason_format, ...) _printf_(4, 5);
/* Begins a file of this name (where the sink takes files). */
int export_file(Export *export, const char *name);
/* What of `previous` has this GUID, or NULL: another one than `after` and those before it, which is NULL at first. */
const WindowsKey *export_existing(const Export *export, const Guid *guid, const WindowsKey *after);

/* A word of a shell's command line, quoted where it has to be. */
void export_shell_word(Buffer *text, const char *word);
/* A line of an option and its value, which is what is in scratch. */
void export_option(Export *export, const char *option);
/* Where a service is reached on --machine's own transport (export_leave_out and no transport where it is not reached there).
 * only: the transport that the target speaks. */
int export_machine_address(Export *export, const ServiceContext *service, const Transport *only, Address *ret);
/* A service that --machine reaches so, as a line of its own: comment, name, number, and the path where we listen. comment NULL:
 * no line, but it is told where it is not reached. */
int export_machine_service(Export *export, const ServiceContext *service, const Transport *only, const char *comment);
/* hybrid of --machine, NULL and a problem where it has none, or one with a character of `bad` in it. */
const char *export_machine_path(Export *export, const char *bad, const char *why);
/* cid of --machine, or 3 where it has none: of VMMs that do not share a number space. */
uint32_t export_machine_cid(const Export *export);
