/* SPDX-License-Identifier: Apache-2.0 */
/* The seam between verbs and what keeps the services: hvsockd here, Windows' own registry there. Verbs know nothing
 * below it. What is asked for is records (schema/model); what comes back is the API's own objects as JSON text, so that
 * --json can write them as they come, unread. io.hvsock.Registry.varlink says what they hold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"
#include "schema/model/records.h"

typedef struct Registry Registry;
typedef struct RegistryOps RegistryOps;
typedef struct RegistryQuery RegistryQuery;
typedef struct RegistryListener RegistryListener;

/* Positive answers of all of these; the second sets registry_refusal. Negative: -errno. */
enum {
    REGISTRY_ABSENT = 1, /* nobody is there to answer, or went away */
    REGISTRY_REFUSED,
};

/* One or more of these, all of which must fit. */
struct RegistryQuery {
    const char *name;
    const uint32_t *port;
    const char *guid;
    const char *address;
    const char *machine;
};

/* A listening socket that was handed out; fd is the caller's. */
struct RegistryListener {
    char *service;
    char *machine; /* or NULL */
    int fd;
};

/* Called for each object; the text is good until it returns. Anything but 0 ends the sequence and is passed on. */
typedef int (*RegistryVisitor)(const char *json, size_t size_bytes, void *userdata);

struct RegistryOps {
    const char *name;
    /* where: what --socket says, or NULL. timeout_ms: of this, and then as with set_timeout. */
    int (*open)(const char *where, int timeout_ms, Registry **ret);
    void (*close)(Registry *registry);
    /* How long an answer may take from here on, -1: as long as it does; then it is -ETIMEDOUT. NULL: it never takes long. */
    void (*set_timeout)(Registry *registry, int timeout_ms);

    /* Service objects, by name. */
    int (*list)(Registry *registry, RegistryVisitor on_service, void *userdata);
    int (*lookup)(Registry *registry, const RegistryQuery *query, RegistryVisitor on_service, void *userdata);
    int (*list_machines)(Registry *registry, RegistryVisitor on_machine, void *userdata);
    /* One object, or none. */
    int (*find_machine)(Registry *registry, const char *name, RegistryVisitor on_machine, void *userdata);
    int (*watch)(Registry *registry, RegistryVisitor on_event, void *userdata);
    /* since, name: may be NULL. follow: also what is done from now on, until it is interrupted. */
    int (*read_log)(Registry *registry, const char *since, const char *name, bool follow, RegistryVisitor on_entry,
                    void *userdata);
    int (*list_connections)(Registry *registry, RegistryVisitor on_connection, void *userdata);

    /* The API's reply, an object; owned by the caller. */
    int (*describe)(Registry *registry, const char *name, char **ret_reply);
    /* Also of what others have put there, to be shown; NULL: there is nothing of others. */
    int (*describe_any)(Registry *registry, const char *name, char **ret_reply);
    int (*status)(Registry *registry, char **ret_reply);
    int (*metrics)(Registry *registry, char **ret_reply);
    int (*add_service)(Registry *registry, const ServiceContext *service, pid_t ephemeral_pid, char **ret_reply);
    int (*remove_service)(Registry *registry, const char *name, char **ret_reply);
    int (*set_enabled)(Registry *registry, const char *name, bool enabled, char **ret_reply);
    int (*add_machine)(Registry *registry, const MachineContext *machine, pid_t ephemeral_pid, char **ret_reply);
    int (*remove_machine)(Registry *registry, const char *name, char **ret_reply);
    int (*apply)(Registry *registry, const Document *document, const char *set, bool prune, bool dry_run,
                 char **ret_reply);
    int (*reload)(Registry *registry, char **ret_reply);

    /* All names or none; names ended by NULL. *ret: for registry_listeners_free. */
    int (*acquire)(Registry *registry, char *const *names, RegistryListener **ret, size_t *ret_count);
    /* *ret_socket_fd: for hvsock_accept; the caller's. */
    int (*serve)(Registry *registry, const char *name, int *ret_socket_fd);
};

/* What every implementation begins with. */
struct Registry {
    const RegistryOps *ops;
    char *where; /* the socket's path, for messages */
    /* Of the last REGISTRY_REFUSED: the error without its interface ("Conflict"), its parameters (a JSON object), and
     * both in one sentence. Good until the next call. */
    const char *refusal, *refusal_parameters, *refusal_text;
};

static inline void registry_close(Registry *registry)
{
    if (registry)
        registry->ops->close(registry);
}
DEFINE_CLEANUP(Registry *, registry_close)

void registry_listeners_free(RegistryListener *listeners, size_t count);

extern const RegistryOps registry_daemon;
/* The one that this build speaks to: whose file defines it is the Makefile's choice. */
extern const RegistryOps *const registry_of_host;
