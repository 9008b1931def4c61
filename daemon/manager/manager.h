/* SPDX-License-Identifier: Apache-2.0 */
/* The manager: every service and machine that this host knows, what each holds, and every change to them. Look-ups are
 * answered from memory. A change is staged: checked, put into memory and into the store's open transaction; manager_settle
 * commits all that was staged, then plans and binds for the services it touched. Only then may it be answered as done.
 * Should the commit fail, memory is read anew from the store, and everything staged is answered with StorageFailed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "daemon/access/access.h"
#include "daemon/handout/lease.h"
#include "daemon/manager/failure.h"
#include "schema/base/fd.h"
#include "schema/model/service.h"

typedef struct Manager Manager;
typedef struct ManagerOptions ManagerOptions;
typedef struct ManagerObserver ManagerObserver;
typedef struct Service Service; /* daemon/manager/registry.h */
typedef struct Machine Machine;
typedef struct Caller Caller;
typedef struct Event Event;
typedef struct Changes Changes;
typedef struct Lookup Lookup;
typedef struct Journal Journal; /* daemon/journal/journal.h */

struct ManagerOptions {
    const char *config_path;  /* NULL: the system's folders */
    const char *state_path;
    const char *runtime_path;
    bool keep;                  /* hvsock-keeper holds what we hold */
    const char *keeper_program; /* to be started where none runs; NULL: somebody else does that */
    uint64_t keeper_files_soft; /* RLIMIT_NOFILE's soft limit that it is started with; 0: as ours */
};

/* Who calls: the kernel's credentials, and how to name them in logs. */
struct Caller {
    Credentials *credentials;
    const char *only_service; /* of an entry under RUNTIME/handout: the one service it is to; else NULL */
};

struct Event {
    uint64_t sequence;
    uint64_t time_us;
    const char *kind;    /* static: registered, unregistered, changed, enabled, disabled, listening, waiting, failed,
                            draining, acquired, released, refused, started, ended, machine-added, machine-removed, reloaded, error */
    const char *service; /* these three are in block */
    const char *machine;
    const char *text;
    char *block;
    size_t block_size_bytes;
};

struct ManagerObserver {
    /* There are new events (see manager_next_event). */
    void (*on_events)(void *userdata);
    /* handout.socket of a service has come, changed or gone (service NULL: gone). */
    void (*on_handout_socket)(const char *name, bool wanted, void *userdata);
    /* Listeners were added to or withdrawn from a service, for Acquire with follow. */
    void (*on_listeners)(const char *service, void *userdata);
    void *userdata;
};

int manager_new(sd_event *event, const ManagerOptions *options, Manager **ret);
void manager_free(Manager *manager);
DEFINE_CLEANUP(Manager *, manager_free)
void manager_observe(Manager *manager, const ManagerObserver *observer);

/* A socket that was passed to us at our start under a service's name, or NAME@MACHINE: before manager_start, which makes it that
 * service's listener, or tells why not and closes it. -ENOMEM. */
int manager_adopt_consume(Manager *manager, const char *name, int fd);
/* Opens the store, loads files, plans and binds: boot's plan. 0; a positive answer: cannot start (it was logged). -errno. */
int manager_start(Manager *manager);
/* Lets go of every listener and removes our paths, and ends the keeper (SIGTERM in a private folder). */
void manager_stop(Manager *manager);

/* After a start that failed: a keeper that was started for it ends. */
void manager_abandon(Manager *manager);

const Access *manager_access(const Manager *manager);
const Settings *manager_settings(const Manager *manager); /* limits etc. filled in with their defaults */

/* ---- changes; each 0 = staged, positive = *failure is set and nothing was changed, negative = fatal ---- */
/* service, machine, the arrays' elements: taken over, also on failure. */
int manager_register(Manager *manager, const Caller *caller, ServiceContext *service_consume, pid_t ephemeral_pid, Failure *failure);
int manager_unregister(Manager *manager, const Caller *caller, const char *name, Failure *failure);
int manager_set_enabled(Manager *manager, const Caller *caller, const char *name, bool enabled, Failure *failure);
int manager_add_machine(Manager *manager, const Caller *caller, MachineContext *machine_consume, pid_t ephemeral_pid, Failure *failure);
int manager_remove_machine(Manager *manager, const Caller *caller, const char *name, Failure *failure);
/* All or nothing. *ret_changes: what it is about, rendered: a JSON array of Change, owned by the caller. machines NULL: not
 * spoken of. */
int manager_apply(Manager *manager, const Caller *caller, Document *document_consume, bool machines_given, const char *set, bool prune, bool dry_run,
                  Buffer *ret_changes, Failure *failure);
/* caller NULL: SIGHUP. */
int manager_reload(Manager *manager, const Caller *caller, Buffer *ret_changes, Failure *failure);

bool manager_has_staged(const Manager *manager);
int manager_settle(Manager *manager, Failure *failure);

/* ---- look-ups ---- */
Service *manager_find_service(Manager *manager, const char *name);
Machine *manager_find_machine(Manager *manager, const char *name);
/* In the order of names; after NULL: the first. `after` need not exist any more. */
Service *manager_next_service(Manager *manager, const char *after);
Machine *manager_next_machine(Manager *manager, const char *after);
const char *service_name(const Service *service);
const char *machine_name(const Machine *machine);

/* One or more of these, all of which must fit. */
struct Lookup {
    const char *name;
    bool has_port;
    uint32_t port;
    bool has_guid;
    Guid guid;
    const Address *address;
    const char *machine;
};
/* The next service in the order of names after `after` that fits; NULL: no more. Costs what the index of its first criterion
 * costs, never a walk over all. */
Service *manager_lookup(Manager *manager, const Lookup *lookup, const char *after);

/* `{"context":{…},"runtime":{…}}`, kept rendered until something changes. secrets: with activate.environment. The text is
 * good until the next change of the service. */
int manager_render_service(Manager *manager, Service *service, bool secrets, const char **ret_text, size_t *ret_size_bytes);
/* May this caller see its secrets? Administrators, and who registered it. */
bool manager_shows_secrets(Manager *manager, Service *service, const Caller *caller);
int manager_render_machine(Manager *manager, Machine *machine, Buffer *text);
/* The reply of Status: an object. */
int manager_render_status(Manager *manager, Buffer *text);
/* Counters, and how many of everything there are: Prometheus' text (daemon/metrics/exposition.h). */
void manager_render_metrics(Manager *manager, Buffer *text);

/* ---- handout ---- */
/* All names or none: checks rights, modes, exclusive and limits, and makes the leases. For each listener one HandedOut object
 * is appended to *ret_objects (as texts with listenerFileDescriptor left out, see below) and one descriptor to *ret_fds, in the same order.
 * max: with more listeners than that the answer is FAILURE_EXPECTED_MORE, and there are no leases; 0: no bound.
 * Each object's text ends before `"listenerFileDescriptor":N}`, which the caller appends with the index in its own reply. */
typedef struct Handed Handed;
struct Handed {
    char **objects;
    size_t count;
    FdList fds; /* as many as objects */
};
int manager_acquire(Manager *manager, const Caller *caller, char *const *names, size_t max, Handed *ret, Failure *failure);
void handed_release(Handed *handed);
/* The client's end of a socket on which each message is a Connection with its descriptor; the caller's. */
int manager_serve(Manager *manager, const Caller *caller, const char *name, int *ret_fd, Failure *failure);
/* Everybody who is connected now: Connection objects. */
int manager_list_connections(Manager *manager, char ***ret_objects);

/* ---- the log ---- */
/* A call was answered with NotAllowed. */
void manager_log_refused(Manager *manager, const Caller *caller, const char *method, const Failure *failure);
/* hvsockd ends as it was asked to; where the log has no such entry before another start, it did not. */
void manager_log_end(Manager *manager, bool lets_go);
Journal *manager_journal(Manager *manager);

/* ---- events ---- */
/* The first event with a sequence of at least `sequence`, or NULL. *ret_missed: how many before it are forgotten. */
const Event *manager_next_event(Manager *manager, uint64_t sequence, uint64_t *ret_missed);
uint64_t manager_event_sequence(const Manager *manager); /* of the next event to come */
