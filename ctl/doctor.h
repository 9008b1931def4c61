/* SPDX-License-Identifier: Apache-2.0 */
/* What hvsockctl doctor's files share: the findings so far, and what was seen on the way. Nobody else includes this. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/ctl.h"

typedef struct Doctor {
    Ctl *ctl;
    Output findings; /* with --json */
    size_t count;
    json_t *paths;    /* of unix listeners that the daemon holds or wants */
    json_t *draining; /* addresses that were told of as draining, by their services */
    json_t *served;   /* paths that somebody listens on: inodes of sockets; NULL: not looked yet */
    json_t *ports;    /* of AF_VSOCK that services have */
    json_t *numbers;  /* ports and GUIDs of services that are served elsewhere */
    json_t *machines; /* all, by name */
    pid_t pid, keeper_pid; /* the daemon's and its keeper's; 0: there is none */
    bool left_to_machine;  /* of this service: a listener's trouble is its machine's, and told there */
    bool sees_processes; /* the daemon's own, so that one that it names and that is not there is gone */
    bool uses_vsock;
    bool has_cids; /* some machine is known by a CID, or some rule is about them */
} Doctor;

typedef enum PathState {
    PATH_ABSENT,
    PATH_SERVED, /* somebody listens there */
    PATH_STALE,  /* a socket that nobody listens on */
    PATH_OTHER,  /* no socket, or not ours to look at */
} PathState;

/* One finding. mend: a command, or NULL where there is none. */
int doctor_find(Doctor *doctor, const char *what, const char *mend, const char *why_format, ...) _printf_(4, 5);
/* A command and a path, as a shell takes it. NULL: no memory. */
char *doctor_mend(const char *command, const char *path);
/* The same, with another after it (` && …`, or empty). *ret is set on success. -ENOMEM. */
int doctor_mend_then(const char *command, const char *path, const char *then, char **ret);
/* What is in the way is moved aside, for it may be dear to somebody. */
int doctor_mend_away(const char *path, const char *then, char **ret);
/* A text of an object; "" where there is none. */
const char *doctor_member(const json_t *object, const char *key);
/* A record that should have ended with a process (runtime's ephemeralProcessId); removes: hvsockctl's words for that. */
int doctor_look_at_owner(Doctor *doctor, const char *what, const char *removes, const json_t *context, const json_t *runtime);
void doctor_know_port(Doctor *doctor, uint32_t port);

/* ---- doctor-host.c: looks at this host that only this program takes ---- */
PathState doctor_look_at_socket(Doctor *doctor, const char *path);
/* Who listens on a path that is PATH_SERVED: its process, and ` by process 12 (socat)`; 0, and empty, where that is not to be seen. */
pid_t doctor_name_server(Doctor *doctor, const char *path, char whose[static 64]);
/* `hvsockctl register socat-5140 --port 5140 --listen ''`: notes whose number it is, and holds nothing. whose: as above. kind: "port" or
 * "guid". NULL: no memory. */
char *doctor_register(const char *whose, const char *kind, const char *number);
/* Of AF_VSOCK, to guests. */
bool doctor_has_transport(void);
/* Who may open it may be any machine. */
int doctor_look_at_vhost(Doctor *doctor);
/* AF_VSOCK listeners that no service is for, and whose they are; nothing where the kernel does not tell. */
int doctor_look_for_others(Doctor *doctor);

/* ---- doctor-file.c ---- */
/* What mends an error of the daemon's; *ret is left alone where no command does, as where it is not of a file. */
int doctor_mend_file(const Doctor *doctor, const char *error, char **ret);

/* ---- doctor-listener.c ---- */
/* One that does not listen, and what would change that. runtime: its service's; NULL: that is gone. */
int doctor_look_at_listener(Doctor *doctor, const char *name, const json_t *runtime, const json_t *listener);

/* ---- doctor-machine.c ---- */
/* A RegistryVisitor; userdata: the Doctor. Before all services, for their listeners are in machines' folders. */
int doctor_know_machine(const char *json, size_t size_bytes, void *userdata);
/* After all services, for what is theirs is no stranger there. */
int doctor_look_at_machines(Doctor *doctor);
