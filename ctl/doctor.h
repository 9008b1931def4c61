/* SPDX-License-Identifier: Apache-2.0 */
/* What hvsockctl doctor's files share: the findings so far, and what was seen on the way. Nobody else includes this. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"

typedef struct Doctor {
    Ctl *ctl;
    Output findings; /* with --json */
    size_t count;
    json_t *paths;    /* of unix listeners that the daemon holds or wants */
    json_t *draining; /* addresses that were told of as draining, by their services */
    json_t *served;   /* paths that somebody listens on: inodes of sockets; NULL: not looked yet */
    json_t *ports;    /* of AF_VSOCK that services have */
    bool sees_processes; /* the daemon's own, so that one that it names and that is not there is gone */
    bool uses_vsock;
    bool has_cids; /* some machine is known by a CID */
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
/* A text of an object; "" where there is none. */
const char *doctor_member(const json_t *object, const char *key);
/* A record that should have ended with a process (runtime's ephemeralProcessId); removes: hvsockctl's words for that. */
int doctor_look_at_owner(Doctor *doctor, const char *what, const char *removes, const json_t *context, const json_t *runtime);
void doctor_know_port(Doctor *doctor, uint32_t port);

/* ---- doctor-host.c: looks at this host that only this program takes ---- */
PathState doctor_look_at_socket(Doctor *doctor, const char *path);
/* Who listens on a path that is PATH_SERVED: ` by process 12 (socat)`; empty where that is not to be seen. */
void doctor_name_server(Doctor *doctor, const char *path, char whose[static 64]);
/* Of AF_VSOCK, to guests. */
bool doctor_has_transport(void);
/* Who may open it may be any machine. */
int doctor_look_at_vhost(Doctor *doctor);
/* AF_VSOCK listeners that no service is for, and whose they are; nothing where the kernel does not tell. */
int doctor_look_for_others(Doctor *doctor);

/* ---- doctor-machine.c ---- */
/* A RegistryVisitor; userdata: the Doctor. */
int doctor_on_machine(const char *json, size_t size_bytes, void *userdata);
