/* SPDX-License-Identifier: Apache-2.0 */
/* What this host knows, in memory: services, machines, their origins and listeners, and the trees to find them by. Pure
 * bookkeeping: it opens nothing and decides nothing. Everything is owned by the Registry. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/plan/plan.h"
#include "daemon/store/store.h"
#include "schema/base/tree.h"
#include "schema/model/service.h"

#define RENDERED_MAX_BYTES (4u * 1024 * 1024)

typedef struct AutoPort AutoPort;
typedef struct Listener Listener;
typedef struct Machine Machine;
typedef struct MachineKey MachineKey;
typedef struct Origin Origin;
typedef struct Registry Registry;
typedef struct Service Service;

/* A file, a set or a user, and everything that came from it. Lives as long as something does. */
struct Origin {
    RB_ENTRY(Origin) by_identity;
    StoredOrigin kind;
    char *source; /* path or set; NULL for users */
    uid_t uid;    /* of files 0 */
    LIST_HEAD(, Service) services;
    LIST_HEAD(, Machine) machines;
    size_t service_count;
    size_t machine_count;
};

typedef enum ListenerState {
    LISTENER_PENDING, /* planned, not yet tried: only between a change and its settling */
    LISTENER_LISTENING,
    LISTENER_WAITING,
    LISTENER_FAILED,
    LISTENER_DRAINING, /* our copy is closed, other processes hold the socket */
} ListenerState;

/* A bound socket that is held, or wanted, for one address of one service. */
struct Listener {
    RB_ENTRY(Listener) by_key;
    Listener *next;             /* of its service, in the order of its addresses */
    Listener **previous;        /* what points to it there */
    LIST_ENTRY(Listener) of_machine;
    Machine *on_machine;        /* whose it is, where it is a machine's that is known */
    TAILQ_ENTRY(Listener) queue; /* in one of the manager's queues, by state */
    Service *service;     /* NULL: taken out, see former_service */
    char *former_service; /* whose it was; NULL where memory ran out */
    char *uri;
    char *key;
    char *machine; /* or NULL */
    char *user, *group, *mode; /* wanted of a path; NULL: default */
    char *reason;  /* of waiting and failed */
    char *watch_path;        /* the folder that a waiting one waits for, or that a listening one's path is in */
    LIST_ENTRY(Listener) of_folder; /* where folder is there */
    LIST_ENTRY(Listener) of_unkept; /* where it is unkept */
    struct Folder *folder;   /* watched; see retry.c */
    pid_t *holders;
    size_t holder_count;
    char *path; /* of the socket file that is ours */
    uint64_t device, inode;
    uint64_t socket_inode; /* of draining ones */
    uint32_t backlog;
    int fd;
    uint8_t type;
    uint8_t state;
    bool wildcard;
    bool planned;    /* in the manager's queue of what is to be bound or changed */
    bool unkept;     /* hvsock-keeper does not have it yet, or as it was before; see kept.c */
    bool lost;       /* waiting: its path was removed, and it is bound anew when the folder has come to rest (retry.c) */
    bool handed_out; /* somebody may hold a copy */
    bool adopted;    /* passed to us at the start: who did holds it too */
    int accept_fd;   /* the epoll(7) that it is watched in for connections (serve.h); -1: not watched */
};

struct Service {
    RB_ENTRY(Service) by_name;
    RB_ENTRY(Service) by_guid;
    LIST_ENTRY(Service) of_origin;
    LIST_ENTRY(Service) of_machines; /* where it has machine: addresses */
    LIST_ENTRY(Service) of_activated; /* where it has activate */
    TAILQ_ENTRY(Service) of_rendered; /* where rendered is there */
    ServiceContext *context;         /* as given */
    Origin *origin;
    uint64_t registered_at_us;
    Listener *listeners;
    Listener **listeners_end;        /* where the next is put */
    char *rendered; /* for those who see no secrets; NULL: to be made */
    size_t rendered_size_bytes;
    uint64_t rendered_until_us; /* CLOCK_MONOTONIC; it tells of processes, whose names change: UINT64_MAX where it does not */
    sd_event_source *ephemeral_source;
    uint64_t ephemeral_start_time_ticks;
    pid_t ephemeral_pid; /* 0: not ephemeral */
    Guid guid;
    uint32_t port;
    uint32_t line, column; /* of declared ones */
    bool has_port;
    bool has_guid;
    bool has_machines; /* in of_machines */
    bool is_activated; /* in of_activated */
    Choice override;   /* of enabled */
};

/* What two machines cannot both be known by. */
typedef enum MachineKeyKind {
    MACHINE_CID,
    MACHINE_HYBRID,
    MACHINE_HYPERKIT,
    MACHINE_VM_ID,
    MACHINE_KEYS,
} MachineKeyKind;

struct MachineKey {
    RB_ENTRY(MachineKey) by_value;
    MachineKeyKind kind;
    Machine *machine;
    const MachineContext *context; /* the machine's */
};

struct Machine {
    RB_ENTRY(Machine) by_name;
    MachineKey keys[MACHINE_KEYS]; /* those that it has are in the tree */
    LIST_ENTRY(Machine) of_origin;
    LIST_HEAD(, Listener) listeners; /* on its own transport */
    MachineContext *context;
    Origin *origin;
    uint64_t registered_at_us;
    sd_event_source *ephemeral_source;
    uint64_t ephemeral_start_time_ticks;
    pid_t ephemeral_pid;
    uint32_t line, column;
};

/* A port that autoPort chose; it stays with the name, also when the service is gone. */
struct AutoPort {
    RB_ENTRY(AutoPort) by_name;
    RB_ENTRY(AutoPort) by_port;
    char *name;
    uint32_t port;
};

RB_HEAD(ServicesByName, Service);
RB_HEAD(ServicesByGuid, Service);
RB_HEAD(MachinesByName, Machine);
RB_HEAD(MachinesByKey, MachineKey);
RB_HEAD(OriginsByIdentity, Origin);
RB_HEAD(ListenersByKey, Listener);
RB_HEAD(AutoPortsByName, AutoPort);
RB_HEAD(AutoPortsByPort, AutoPort);

struct Registry {
    struct ServicesByName services;
    struct ServicesByGuid services_by_guid; /* guid, then name: also finds by port */
    struct MachinesByName machines;
    struct MachinesByKey machines_by_key;
    struct OriginsByIdentity origins;
    struct ListenersByKey listeners;        /* key, then service: what an address is claimed by */
    struct AutoPortsByName auto_ports;
    struct AutoPortsByPort auto_ports_by_port;
    LIST_HEAD(, Service) machine_services;  /* those with machine: addresses */
    LIST_HEAD(, Service) activated_services; /* those with activate */
    TAILQ_HEAD(, Service) rendered;         /* those whose rendering is kept, the oldest first */
    size_t rendered_bytes;
    size_t service_count;
    size_t machine_count;
    size_t listener_count;
    bool is_filling; /* by whoever fills it: what comes now comes mostly behind all that is there */
};

void registry_init(Registry *registry);
/* Frees all of it. Listeners must have been taken out before (registry_remove_listener). */
void registry_release(Registry *registry);

Service *registry_find_service(Registry *registry, const char *name);
Service *registry_next_service(Registry *registry, const char *after);
/* The same without a search: service must be in the registry. */
Service *registry_service_after(Service *service);
/* Whether a name comes after those of all services, also where there are none. */
bool registry_is_behind_all(Registry *registry, const char *name);
/* The first with this GUID after a name (NULL: the first at all). */
Service *registry_next_service_with_guid(Registry *registry, const Guid *guid, const char *after);
/* The next after that one; service must be in the registry. */
Service *registry_service_after_with_guid(Service *service);
Machine *registry_find_machine(Registry *registry, const char *name);
/* Whose CID that is now; NULL: nobody's, or more than one machine's. */
Machine *registry_find_machine_by_cid(Registry *registry, uint32_t cid);
Machine *registry_next_machine(Registry *registry, const char *after);
Origin *registry_find_origin(Registry *registry, StoredOrigin kind, const char *source, uid_t uid);
/* The first set of this name, whoever's. */
Origin *registry_find_set(Registry *registry, const char *set);
/* The first listener that claims this key; then each next. */
Listener *registry_first_claim(Registry *registry, const char *key);
Listener *registry_next_claim(Listener *listener);

/* New ones take context over, also where they fail. NULL: no memory. The name must be free. */
Service *registry_add_service(Registry *registry, ServiceContext *context_consume, const uint32_t *auto_port, StoredOrigin kind,
                              const char *source, uid_t uid);
Machine *registry_add_machine(Registry *registry, MachineContext *context_consume, StoredOrigin kind, const char *source, uid_t uid);
/* Replaces the context (taken over) and where it came from. -ENOMEM: nothing has changed. */
int registry_change_service(Registry *registry, Service *service, ServiceContext *context_consume, const uint32_t *auto_port,
                            StoredOrigin kind, const char *source, uid_t uid);
int registry_change_machine(Registry *registry, Machine *machine, MachineContext *context_consume, StoredOrigin kind, const char *source,
                            uid_t uid);
void registry_remove_service(Registry *registry, Service *service);
void registry_remove_machine(Registry *registry, Machine *machine);
/* Its keys, into the tree and out of it: around every change of its context. */
void registry_index_machine(Registry *registry, Machine *machine);
void registry_unindex_machine(Registry *registry, Machine *machine);
/* The first machine that is known by the same as this context, then each next. */
Machine *registry_next_of_key(Registry *registry, MachineKeyKind kind, const MachineContext *context, Machine *after);

/* Copies what is wanted; pending, with no descriptor. NULL: no memory. */
Listener *registry_add_listener(Registry *registry, Service *service, const PlanListener *wanted);
/* One that was taken out before comes back to a service. */
void registry_take_listener(Registry *registry, Service *service, Listener *listener);
/* Out of its service and the tree; the caller owns it, for listener_free. */
void registry_remove_listener(Registry *registry, Listener *listener);
void listener_free(Listener *listener);
/* Its machine is gone, or it is. */
void listener_leave_machine(Listener *listener);
/* Nobody is told any more that connections wait there; before its descriptor is closed, for copies of it keep a watch alive. */
void listener_stop_watch(Listener *listener);
/* Puts a service's listeners into the order of what was wanted. */
void registry_order_listeners(Registry *registry, Service *service, const PlanWanted *wanted);

/* Applied and registered by that uid. */
typedef struct UserCounts {
    size_t services;
    size_t machines;
} UserCounts;
UserCounts registry_count_of_user(Registry *registry, uid_t uid);
AutoPort *registry_find_auto_port(Registry *registry, const char *name);
AutoPort *registry_find_auto_port_by_port(Registry *registry, uint32_t port);
int registry_put_auto_port(Registry *registry, const char *name, uint32_t port);
void registry_remove_auto_port(Registry *registry, AutoPort *auto_port);

/* Something that is shown of it has changed. */
void registry_touch(Registry *registry, Service *service);
/* Keeps a copy of what it is shown as until then, or until RENDERED_MAX_BYTES of others came after it. -ENOMEM. */
int registry_keep_rendered(Registry *registry, Service *service, const char *text, size_t size_bytes);
bool service_effectively_enabled(const Service *service);
/* `file:<path>`, `apply:<set>`, `user:<uid>` */
void origin_format(const Origin *origin, Buffer *text);
