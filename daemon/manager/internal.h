/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of daemon/manager share; nobody else includes this. */
#pragma once

#include "config/load.h"
#include "daemon/bind/bind.h"
#include "daemon/handout/lease.h"
#include "daemon/hold/hold.h"
#include "daemon/manager/manager.h"
#include "daemon/manager/registry.h"
#include "daemon/journal/journal.h"
#include "daemon/metrics/metrics.h"
#include "daemon/place/place.h"

#define EVENTS_MAX 4096 /* kept for watchers; a power of two */
#define AUTO_PORT_FIRST 0x10000000u
#define AUTO_PORT_LAST 0x1000ffffu
#define AUTO_PORT_TRIES_MAX 1000000 /* in one search for a free port */
#define RETRY_INTERVAL_US 2000000
#define RETRY_BATCH 512 /* waiting listeners tried in one turn */
#define LOST_REST_US 250000 /* a folder in which nothing of ours was removed for so long has come to rest, on a busy machine, too; */
#define LOST_MAX_US 3000000 /* no longer is waited for that */

TAILQ_HEAD(ListenerQueue, Listener);

typedef struct Activate Activate;
typedef struct Folder Folder;
typedef struct Serve Serve;
typedef struct Folders Folders;

typedef struct Change Change;

struct Manager {
    sd_event *event;
    char *config_path;  /* NULL: the system's folders */
    char *state_path;
    char *runtime_path;
    ManagerObserver observer;

    Store *store;
    char *store_refuses;  /* why no change can be kept (a newer or read-only registry.db), or NULL */
    Registry registry;
    Settings *settings;   /* with every limit filled in */
    Settings *settings_given; /* as they were written */
    bool default_peers;   /* the settings' peers say something */
    Access *access;
    Declared *declared;   /* the last good load of files; NULL: the declared set is the store's */
    Problems errors;      /* of the last load, for Status */
    Leases *leases;
    Metrics *metrics;
    Journal *journal;
    char *metrics_trouble; /* why counters are not kept; or NULL */
    char *journal_trouble; /* why entries are lost at present; or NULL */
    uint64_t refused_bucket_ns, refused_unlogged;
    sd_event_source *log_timer; /* writes what was added later; NULL: nothing was */
    Serve *serve; /* serve.h */
    Activate *activate; /* activate.h */
    Hold *hold;   /* kept.h; NULL: nothing outlives us */
    bool keep;
    char *keeper_program; /* NULL: somebody else starts it */
    uint64_t keeper_files_soft;
    bool keeper_is_fresh; /* we have started it: it holds nothing */
    LIST_HEAD(, Listener) unkept; /* to be put there */
    Buffer kept_value;
    uint64_t started_at_us;

    bool booting; /* boot's plan has not run yet */
    bool loaded_ties;       /* of what was loaded, something ends with a process: manager_tie_again */
    bool loaded_lost_ports; /* or has autoPort, and no port */
    struct Passed *passed; /* until then: listeners that were passed to us; adopt.c */
    size_t passed_count;
    bool staged;
    Buffer effects;                  /* of what is staged; effects.c */
    bool forgets_ephemeral;          /* what ends now is of a service that ended with a process */
    char *lost;                      /* why what was staged in this turn is lost; told when it settles */
    struct ListenerQueue planned;    /* to be bound or changed when the changes settle */
    struct ListenerQueue closing;    /* to be let go of then; out of the registry */
    struct ListenerQueue left_over;  /* of the start: not wanted any more, nor held; a path may have stayed; out of the registry */
    struct ListenerQueue waiting;    /* to be tried again */
    struct ListenerQueue draining;   /* closed here, held elsewhere; out of the registry */
    bool retry_all;                  /* by the next retry_timer: not only the first of them */
    sd_event_source *retry_timer;
    sd_event_source *lost_timer;
    uint64_t lost_since_us; /* CLOCK_MONOTONIC; while lost_timer runs */
    Folders *folders;                /* watched, for waiting listeners; retry.c */
    uint32_t auto_port_next;
    Change *spare_changes; /* of the last change set, for the next */
    size_t spare_change_count;

    Event *events; /* ring of EVENTS_MAX */
    uint64_t event_next;
    bool events_told;
    Buffer event_text; /* for writing one */
    Buffer scratch; /* for rendering */
};

/* ---- changeset.c: a set of changes that is checked as a whole, and then applied as a whole ---- */

typedef enum ChangeKind {
    CHANGE_ADD,
    CHANGE_REPLACE,
    CHANGE_REMOVE,
    CHANGE_REPLAN, /* the record stays, what it listens on may not: a machine or an override has changed */
} ChangeKind;

typedef struct ChangeSet ChangeSet;
typedef struct ChangeConflict ChangeConflict;

struct Change {
    ChangeKind kind;
    StoredKind object;
    const char *name;         /* into the record */
    ServiceContext *service;  /* new; owned until applied */
    MachineContext *machine;
    Service *old_service;
    Machine *old_machine;
    StoredOrigin origin;
    const char *source;       /* borrowed from the caller until applied */
    uid_t uid;
    uint32_t line, column;
    pid_t ephemeral_pid;
    int ephemeral_pidfd;      /* where it has a pid; owned until applied, so that nothing can come between */
    uint64_t ephemeral_start_time_ticks;
    bool has_port;
    bool new_auto_port;
    uint32_t port;
    Number port_before;       /* that autoPort had chosen for the name, and to whom that of now was */
    char *displaced;
    bool has_guid;
    Guid guid;
    Choice override;          /* what it will be */
    PlanWanted wanted;
    bool scoped;              /* REPLAN: only what it has on the machines that change */
    unsigned index;           /* in its array, for `services[2]` */
    const DeclaredFile *file; /* where it was declared, for messages */
    const DeclaredRecord *record;
};

/* Why a change cannot be. Texts are owned. */
struct ChangeConflict {
    size_t change; /* its place in items, which move where more are added */
    const char *field; /* static */
    char *value;
    char *holder;
    char *origin;
    uint64_t since_us;
};

struct ChangeSet {
    Problems invalid;  /* what the changes would make of machines and services that go ill together */
    const Change **invalid_changes; /* of each of them, whose it is */
    Manager *manager;
    const Caller *caller; /* whose rights bound what autoPort may choose; NULL: nobody's */
    Change *items;
    size_t count;
    size_t capacity;
    Change **by_name;  /* sorted by object and name, once it is being checked */
    size_t indexed;
    size_t first_machine; /* in by_name */
    Change **by_guid;  /* services that are or will be, sorted by GUID */
    size_t by_guid_count;
    ChangeConflict *conflicts;
    size_t conflict_count;
    bool machines_change;
    const Caller *actor; /* who does it, for the log; NULL: hvsockd itself */
    const char *why;     /* what the log says of it beside that; or NULL */
    size_t logged;
    bool of_many; /* the call gave an array: fields are told with their place in it */
    bool applied;
};

void changeset_init(ChangeSet *set, Manager *manager);
void changeset_release(ChangeSet *set);
/* The record is taken over, also on failure. source is borrowed until changeset_release. NULL: no memory. The returned change
 * is good until the next is added. */
Change *changeset_put_service(ChangeSet *set, ServiceContext *service_consume, StoredOrigin origin, const char *source, uid_t uid);
Change *changeset_put_machine(ChangeSet *set, MachineContext *machine_consume, StoredOrigin origin, const char *source, uid_t uid);
Change *changeset_remove_service(ChangeSet *set, Service *service);
Change *changeset_remove_machine(ChangeSet *set, Machine *machine);
Change *changeset_replan_service(ChangeSet *set, Service *service, Choice override);
enum { CHANGESET_CONFLICTS = 1, CHANGESET_NO_PORT, CHANGESET_INVALID };
/* Chooses ports, works out what every touched service will hold, finds every conflict. */
int changeset_check(ChangeSet *set);
/* Into memory and the store's transaction; plans the listeners. -errno: the store or memory failed; the caller abandons
 * everything that is staged. */
int changeset_apply(ChangeSet *set);
/* A JSON array of Change. */
int changeset_render(const ChangeSet *set, Buffer *text);
/* check's answer as a failure of the call. */
int changeset_failure(ChangeSet *set, int answer, Failure *failure);

/* claims.c: who claims an address */
int changeset_find_conflicts(ChangeSet *set);
/* All services that would hand out a listener that machines on vsock share: into invalid, a problem a service. */
int changeset_check_machines(ChangeSet *set);
Change *changeset_find(const ChangeSet *set, StoredKind object, const char *name);
/* Does another service of the set spell out that port? Only while ports are chosen. */
bool changeset_spells_out(const ChangeSet *set, uint32_t port, const char *but_name);
const PlanMachines *changeset_machines(ChangeSet *set, PlanMachines *machines);
const PlanMachines *changeset_changed_machines(ChangeSet *set, PlanMachines *machines);
int changeset_add_conflict(ChangeSet *set, const Change *change, const char *field, const char *value, const char *holder,
                           const Origin *origin, uint64_t since_us);

/* ports.c */
/* What the name has already, else a free one that the set's caller may have and that nothing in the set spells out.
 * CHANGESET_NO_PORT: there is none. */
int manager_choose_port(const ChangeSet *set, const char *name, uint32_t *ret_port);
void manager_auto_port_range(const Manager *manager, uint32_t *ret_first, uint32_t *ret_last);

/* listeners.c */
/* Plans a service as a whole; or, with a set, only what it has on the machines that the set changes. */
int manager_plan_service(Manager *manager, Service *service, const PlanWanted *wanted, const ChangeSet *machines_of);
void manager_plan_close_all(Manager *manager, Service *service);
void manager_plan_close_machine(Manager *manager, Machine *machine);
/* What had failed for good is tried once more. */
void manager_plan_failed(Manager *manager);
/* What is held is let go of, and bound anew with the plan. */
void manager_replace_listener(Manager *manager, Listener *listener);
/* The same of one whose path somebody removed, when the folder has come to rest: who removes a folder with all that is in it
 * would never come to the end of that. */
void manager_lose_listener(Manager *manager, Listener *listener);
/* Out of whichever queue it is in, and no longer told of its folder. */
void manager_dequeue_listener(Manager *manager, Listener *listener);
void manager_listener_told(Manager *manager, Listener *listener);
/* What a try has come to. The listener is in no queue before. */
void manager_take_result(Manager *manager, Listener *listener, PlaceResult *result);
/* It was let go of, and is in no queue any more. inode: of its socket, where others may still have it; else 0. */
void manager_listener_closed(Manager *manager, Listener *listener, uint64_t inode);
/* places.c: as those of daemon/place, by whoever may: we, or hvsock-keeper */
BindHands manager_hands(Manager *manager);
void manager_release_places(Manager *manager, const PlaceHeld *held_consume, size_t count);
void manager_release_place(Manager *manager, int fd_consume, const char *path, uint64_t device, uint64_t inode);
/* As place_watch. */
int manager_watch_place(Manager *manager, int inotify_fd, const char *folder);
bool manager_place_is_gone(Manager *manager, const char *path, uint64_t device, uint64_t inode);
/* As holders_find and holders_of_each, without the keeper. */
int manager_find_holders(Manager *manager, const uint64_t *inodes, size_t inode_count, size_t max, pid_t **ret_pids, size_t *ret_count);
int manager_find_holders_of_each(Manager *manager, const uint64_t *inodes, size_t count, pid_t *ret_pids);
/* run.c */
void manager_run_plan(Manager *manager);
/* The same, from outside of a settling: nothing is bound or let go of for changes that are not committed yet; their
 * settling does it. */
void manager_run_plan_between(Manager *manager);
/* retry.c */
int manager_watch_waiting(Manager *manager);
/* Watches the folder that a waiting listener waits for, or that a listening one's path is in. */
void manager_watch_listener(Manager *manager, Listener *listener);
void manager_unwatch_listener(Listener *listener);
/* Everything that waits is tried again in the next turn of the loop: hvsock-keeper is there, or another reason is gone. */
void manager_retry_soon(Manager *manager);
void manager_retry_release(Manager *manager);
void manager_check_draining(Manager *manager);

/* reload.c: reads all files, and stages what has changed; the errors are for Status */
int manager_load_files(Manager *manager, const Caller *caller, const char *why, Buffer *ret_changes, Failure *failure);
/* boot.c */
int manager_plan_everything(Manager *manager);
int manager_load(Manager *manager);
/* Ephemeral records whose process has ended meanwhile go, as everything is planned; the others are tied to it again. */
int manager_tie_again(Manager *manager);
/* Everything staged is thrown away: memory is made anew from the store, and takes over what is held. */
int manager_rebuild(Manager *manager);
int manager_set_settings(Manager *manager, Settings *settings_consume);

/* adopt.c */
/* What was passed, held against what is planned: what is wrong is told and closed. -ENOMEM. */
int manager_adopt_check(Manager *manager);
/* The socket that was passed for this listener, which is the listener's from then on; -1: none was. */
int manager_adopt_take(Manager *manager, Listener *listener);
void manager_adopt_end(Manager *manager);

/* ephemeral.c */
int manager_watch_process_consume(Manager *manager, pid_t pid, int pidfd, Service *service, Machine *machine);
/* The change's record is to end with that process (0: with none), if this caller may say so. */
int manager_tie_change(Manager *manager, const Caller *caller, pid_t pid, Change *change, Failure *failure);

/* effects.c */
typedef enum EffectKind {
    EFFECT_REGISTERED = 1, /* up to EFFECT_RELOADED: it is told */
    EFFECT_CHANGED,
    EFFECT_UNREGISTERED,
    EFFECT_ENABLED,
    EFFECT_DISABLED,
    EFFECT_MACHINE_ADDED,
    EFFECT_MACHINE_CHANGED,
    EFFECT_MACHINE_REMOVED,
    EFFECT_RELOADED,
    EFFECT_STOP,             /* the service is disabled: who serves it, and its leases */
    EFFECT_FORGET,           /* it is gone: beside that, all that is remembered of it */
    EFFECT_FORGET_EPHEMERAL, /* the same, and it ended with a process */
    EFFECT_ENTRY_OPEN,       /* RUNTIME/handout/NAME */
    EFFECT_ENTRY_CLOSE,
} EffectKind;
/* To happen when what is staged is committed. -ENOMEM. */
int manager_effect(Manager *manager, EffectKind kind, const char *name);
void manager_effects_happen(Manager *manager);
void manager_effects_forget(Manager *manager);

/* events.c */
/* The commonest, without printf. */
void manager_event_listening(Manager *manager, const char *service, const char *machine, const char *uri);
void manager_event(Manager *manager, const char *kind, const char *service, const char *machine, const char *format, ...)
    _printf_(5, 6);
void manager_events_flush(Manager *manager);
void manager_events_release(Manager *manager);
/* render.c: as the API calls it */
const char *manager_service_state(const Manager *manager, const Service *service);
const char *listener_state_name(const Listener *listener);

/* metrics.c */
/* Counters go on where an earlier hvsockd left them. -ENOMEM. */
int manager_open_metrics(Manager *manager);
/* What was counted of services that are gone is forgotten. */
void manager_sweep_metrics(Manager *manager);

/* journal.c: the log. caller NULL: hvsockd itself; format NULL: there is no more to say. Of a service or machine that ends
 * with a process the book is JOURNAL_EPHEMERAL. Written with manager_events_flush. */
void manager_log(Manager *manager, const Caller *caller, JournalBook book, const char *action, const char *service,
                 const char *machine, const char *format, ...) _printf_(7, 8);
/* One call can change a hundred thousand services: the first of them are told one by one, and how many there were. */
#define LOGGED_OF_ONE_SET_MAX 1000
/* A change that is staged: told when it is committed. text: may be NULL. */
void manager_log_change(ChangeSet *set, const Change *change, const char *action, const char *text);
/* The whole of such a set, after its changes; action as `applied`. */
void manager_log_set(ChangeSet *set, const char *action, const char *name);
/* A process has a lease that it had not. */
void manager_log_taken(Manager *manager, const Caller *caller, const Service *service, const char *action);
/* Of a service's programs: hvsockd itself does it. It is written at once. connection: what a program was started for, as a
 * Connection object as far as it goes; size 0: none. */
void manager_log_program(Manager *manager, const char *service, const char *action, const char *connection, size_t size_bytes,
                         const char *format, ...) _printf_(6, 7);
int manager_open_log(Manager *manager);
/* A program of accept has ended: as many as connections, so it is written with something else, or within a second. */
void manager_log_ended(Manager *manager, const char *service, const char *connection, size_t size_bytes, const char *format, ...)
    _printf_(5, 6);
/* A lease has ended. */
void manager_log_released(Manager *manager, const char *service, pid_t pid, uid_t uid, uint64_t since_us);
void manager_log_flush(Manager *manager);

/* change-service.c, for all of change-*.c */
int manager_check_storage(Manager *manager, Failure *failure);
/* Checks a filled ChangeSet and commits it: 0; a failure; -errno. */
int changeset_run(ChangeSet *set, Failure *failure);
/* The same of one change (NULL: no memory) that ends with a process (0: with none). */
int changeset_run_tied(ChangeSet *set, Change *change, pid_t ephemeral_pid, Failure *failure);
/* Stages what was checked, or throws it away with everything else that is staged. */
int changeset_commit(ChangeSet *set, Failure *failure);
/* LimitReached where that many more are too many. */
int manager_check_limits(Manager *manager, const Caller *caller, size_t more, Failure *failure);
int manager_check_machine_limit(Manager *manager, const Caller *caller, size_t more, Failure *failure);
/* It is somebody else's: Declared, or Conflict. */
int manager_refuse_service(Failure *failure, const Service *service);
int manager_refuse_machine(Failure *failure, const Machine *machine);
/* Its own, or one that autoPort may choose for that caller; NULL: it has none. */
const uint32_t *manager_wanted_port(Manager *manager, const Caller *caller, const ServiceContext *service, uint32_t *port);
int manager_check_rights(Manager *manager, const Caller *caller, const ServiceContext *service, const uint32_t *port,
                         Failure *failure);
/* Peers that a service has without naming them: the settings' own, and machine:NAME of a machine on vsock. */
int manager_implied_peers(Manager *manager, const ServiceContext *service, bool *ret_implied);
/* Completed contexts compared. */
int manager_service_is_same(Manager *manager, const Service *service, const ServiceContext *context, bool *ret_same);
void manager_on_lease_end(const Lease *lease, void *userdata);

/* acquire.c: may this caller serve that; 0: *ret is the service */
int manager_check_serve(Manager *manager, const Caller *caller, const char *name, Service **ret, Failure *failure);
/* serve.c: what others tell it */
int manager_serve_new(Manager *manager);
void manager_serve_free(Manager *manager);
/* The service is disabled: its clients read what they have, and then the end. */
void manager_serve_stop(Manager *manager, const char *name);
/* ... and everything is forgotten: it is gone. */
void manager_serve_forget(Manager *manager, const char *name);
/* The service, or who has leases of it, is another. */
void manager_serve_changed(Manager *manager, const char *name);
/* Machines or settings have changed. */
void manager_serve_rules_changed(Manager *manager);
/* There may be room for more programs. */
void manager_serve_limits_changed(Manager *manager);
/* It listens now. */
void manager_serve_listener(Manager *manager, Listener *listener);
/* The registry was read anew. */
void manager_serve_rebuilt(Manager *manager);
void manager_serve_lease_ended(Manager *manager, const Lease *lease);

/* activate.c: what others tell it */
int manager_activate_new(Manager *manager);
void manager_activate_free(Manager *manager);
/* Starts are counted from nought again, and what was given up is tried again. */
void manager_activate_clear(Manager *manager, const char *name);
/* The change has settled: programs that nobody wants any more are stopped. */
void manager_activate_settled(Manager *manager);
/* What state it makes its service: failed, with why; active; or neither (false, NULL). */
bool manager_activate_is_active(const Manager *manager, const Service *service, const char **ret_failed, const char **ret_trouble);
size_t manager_activate_count(const Manager *manager); /* of programs */
/* `,"programs":[…]`, where there are some. */
void manager_activate_render(const Manager *manager, const Service *service, Buffer *text);
/* activate-program.c: HoldObserver's, with the manager as userdata; and what a keeper has of us at the start, item by item
 * with KEEPER_KEY_PROGRAM and KEEPER_KEY_ACTIVATION, before anything is watched. */
void manager_activate_on_started(const char *key, size_t key_size_bytes, pid_t pid, int pidfd, int error, const char *what,
                                 void *userdata);
void manager_activate_on_exited(const char *key, size_t key_size_bytes, pid_t pid, int status, void *userdata);
int manager_activate_take_back(Manager *manager, const HoldItem *item);
/* The keeper has ended, and every program with it. */
void manager_activate_lost(Manager *manager);
/* There is one (again): what it does not have is put again. */
void manager_activate_back(Manager *manager);
