/* SPDX-License-Identifier: Apache-2.0 */
/* The Varlink server: its listening sockets, its clients, and the turns that they share. One object, as long as
 * hvsockd. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "daemon/api/connection.h"
#include "daemon/api/entry.h"
#include "daemon/api/methods.h"
#include "daemon/api/poll.h"
#include "daemon/api/turn.h"
#include "daemon/api/users.h"
#include "daemon/manager/manager.h"
#include "schema/base/fd.h"

typedef struct Server Server;
typedef struct ServerOptions ServerOptions;

#define SERVER_INTERFACE "io.hvsock.Registry"

struct ServerOptions {
    const char *runtime_path;
    bool link_in_registry;             /* /run/varlink/registry/io.hvsock.Registry */
    void (*on_events)(void *userdata); /* something has changed that a status line could tell; may be NULL */
    void *userdata;
};

struct Server {
    sd_event *event;
    Poll *poll;
    uint64_t stirred;        /* counts what sd_event may have to be asked about: see poll.h */
    Manager *manager;
    char *runtime_path;
    bool link_in_registry;
    void (*on_events)(void *userdata);
    void *userdata;

    int runtime_fd;
    int handout_fd;          /* RUNTIME/handout; -1: not needed yet */
    LIST_HEAD(, Entry) entries;
    TAILQ_HEAD(, Entry) crowded;
    int spare_fd;            /* given up for one client where there are no descriptors left */
    bool paused;             /* no entry accepts */
    sd_event_source *pause_timer;
    Users users;

    LIST_HEAD(, Connection) connections;
    TAILQ_HEAD(, Connection) ready; /* have work that no event of their socket tells of */
    size_t ready_count;
    int ready_fd;
    sd_event_source *ready_source;
    LIST_HEAD(, Connection) watchers; /* with an endless sequence */
    size_t watcher_count;
    Turn turn;
    Buffer text;             /* replies are rendered here */
    QuickTree quick;         /* calls are read here */
    uint64_t calls[METHODS_MAX]; /* how often each of methods[] was called */
};

/* Sockets that come by LISTEN_FDS are given with server_adopt_consume, before server_listen. The manager's observer is
 * set. */
int server_new(sd_event *event, Manager *manager, const ServerOptions *options, Server **ret);
/* What a source of the loop answers, given server->stirred as it was before. */
PollOutcome server_outcome(const Server *server, uint64_t stirred);
/* Runs until sd_event_exit; its code, or -errno. */
int server_loop(Server *server);
/* Closes everything, and removes the paths that it made. */
void server_free(Server *server);
DEFINE_CLEANUP(Server *, server_free)

/* fd is a listening AF_UNIX stream socket; taken over, also where it fails. -EINVAL: it is something else. */
int server_adopt_consume(Server *server, int fd);
/* Makes RUNTIME/io.hvsock.Registry where none was adopted. -EADDRINUSE: somebody serves that path. -errno. */
int server_listen(Server *server);
/* After the manager has started: removes what an earlier run left in RUNTIME/handout. */
void server_sweep(Server *server);

/* Commits what is staged, and answers what waited for it. 0, also where the commit failed (which is told to those who
 * wait); -errno: the loop is told to end. */
int server_settle(Server *server);

/* Has the connection run once more in this or the next turn of the loop. */
void server_make_ready(Server *server, Connection *connection);
void server_make_unready(Server *server, Connection *connection);
/* A descriptor was given back: entries that pause go on. */
void server_resume_accept(Server *server);
/* accept(2) failed for lack of descriptors or memory: entries wait for either, or for a little while. */
void server_pause_accept(Server *server);
