/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that the daemon accepts and checks, for whoever takes them: the clients of Serve, one message each, or programs
 * that are started for them (activate.h). What the files serve-*.c share. A Serving is by the service's name, so that it
 * outlives a registry that is read anew; it begins with the first client or connection and ends with the service, or when
 * there is nothing left to remember. */
#pragma once

#include <bsd/sys/tree.h>
#include <sys/queue.h>

#include "daemon/access/names.h"
#include "daemon/access/peers.h"
#include "daemon/handout/connection-socket.h"
#include "daemon/manager/activate.h"
#include "daemon/manager/internal.h"

#define SERVE_CLIENTS_MAX 256        /* of one service */
#define SERVE_WAITING_MAX 64         /* connections that wait for a client, taken back from one that ended */
#define SERVE_PEERS_MAX 4096         /* that are remembered of one service, beside those that are connected */
#define SERVE_ACCEPTS_A_TURN 32
#define SERVE_LOOK_INTERVAL_US 500000 /* whether who does not read is there still; after EMFILE */
#define SERVE_TIDY_INTERVAL_US 5000000
/* So long a socket of Serve may be on its way to its client: nobody has it then, and it is not closed. */
#define SERVE_ON_ITS_WAY_NS 5000000000u
#define SERVE_LOOK_AGAIN_NS 5000000000u /* for who was seen to have it */
#define SERVE_LOG_A_SECOND 1
#define SERVE_LOG_BURST 10

typedef struct Accepted Accepted;
typedef struct ServeClient ServeClient;
typedef struct ServePeer ServePeer;
typedef struct Serving Serving;
typedef struct Waiting Waiting;

/* What peers are told apart by, for bounds and rates: the machine where it is known, else the CID or the user. */
typedef struct PeerKey {
    enum { PEER_KEY_MACHINE, PEER_KEY_CID, PEER_KEY_UID } kind;
    uint32_t number;
    const char *machine;
} PeerKey;

struct ServePeer {
    RB_ENTRY(ServePeer) by_key;
    TAILQ_ENTRY(ServePeer) by_use;
    TAILQ_HEAD(, Accepted) connections; /* the oldest first */
    size_t connection_count;
    uint64_t refused;
    uint64_t bucket_ns; /* the rate's bucket is full at this time, CLOCK_MONOTONIC; see peer_take_token */
    uint64_t next_look_ns;
    PeerKey key;
    char machine[];
};

/* A connection that was accepted. A client of Serve closes it without telling us; a program's ends with the program. */
struct Accepted {
    TAILQ_ENTRY(Accepted) of_serving;
    TAILQ_ENTRY(Accepted) of_peer;
    ServePeer *peer;
    Program *program; /* that has it; NULL: a client, or nobody yet */
    uint64_t inode;
    uint64_t client; /* ServeClient.number */
    uint64_t since_us;
    uint32_t cid, port; /* of AF_VSOCK */
    uint32_t uid;       /* of AF_UNIX */
    int family;
    bool kept;  /* the keeper knows of it; of what a program has, it does by the program */
    bool waits; /* we have it ourselves: a Waiting */
    bool gone;  /* found to be closed, to be forgotten */
    size_t size_bytes;
    char text[]; /* the Connection object, without its end */
};

struct Waiting {
    TAILQ_ENTRY(Waiting) waiting;
    Accepted *accepted; /* NULL: it is not counted any more */
    uint64_t number;
    int fd;
    size_t size_bytes;
    char text[];
};

struct ServeClient {
    TAILQ_ENTRY(ServeClient) clients;
    Serving *serving;
    ConnectionSocket socket;
    sd_event_source *source;
    uint64_t number;
    pid_t pid;
    uid_t uid;
    bool full;
    bool seen;               /* somebody had its end: where nobody has, it was closed */
    size_t unread_before;    /* at the last look */
    uint64_t made_ns, next_look_ns;
};

RB_HEAD(ServePeers, ServePeer);

struct Serving {
    RB_ENTRY(Serving) by_name;
    Manager *manager;
    TAILQ_HEAD(ServeClients, ServeClient) clients; /* whose turn it is comes first */
    size_t client_count;
    bool look_closed; /* some may be closed: to be looked for at the next look */
    uint64_t looked_ns;
    TAILQ_HEAD(, Waiting) waiting;
    size_t waiting_count;
    int epoll_fd; /* of the listeners that are watched: one switch for all of them */
    sd_event_source *source;
    bool paused;
    Taking taking; /* who takes what comes, as of the last serving_update */
    Activating activating;

    PeerRules *rules, *vsock_rules; /* NULL: to be made; vsock: with what machine: implies there */
    uint64_t rules_generation;
    uint32_t max_connections, max_connections_per_peer; /* 0: no bound */
    uint64_t rate_interval_ns, rate_burst_ns;           /* 0: no bound */

    struct ServePeers peers;
    TAILQ_HEAD(, ServePeer) peers_by_use; /* the longest unused first */
    size_t peer_count;
    TAILQ_HEAD(, Accepted) accepted; /* the oldest first */
    size_t accepted_count;
    size_t sweep_at; /* looked through when there are so many */
    uint64_t next_look_ns;

    uint64_t log_ns;  /* as ServePeer.bucket_ns */
    uint64_t unlogged;
    char name[];
};

RB_HEAD(Servings, Serving);
RB_PROTOTYPE_INTERNAL(Servings, Serving, by_name, , _unused_)

/* The manager's part of it. */
struct Serve {
    struct Servings servings;
    size_t client_count;
    uint64_t next_client;
    uint64_t next_waiting;
    uint64_t generation; /* of machines and settings: what rules were made of */
    sd_event_source *timer;
    uint64_t timer_us; /* its interval */
    Names *names;
    int idle_fd; /* epoll(7) of listeners whose service has a program to be started, and no Serving yet: thousands cost no more */
    sd_event_source *idle;
};

/* Who has just connected, as far as the transport tells. */
typedef struct Newcomer {
    Peer peer;
    const Machine *machine;
    pid_t pid;       /* 0: not of this host */
    uint32_t port;   /* vsock */
    int family;
    bool known;
    bool wrong_user; /* of another user than its machine's */
    PeerKey key;
} Newcomer;

/* serve.c */
Serving *serving_find(Manager *manager, const char *name);
Serving *serving_next(Manager *manager, Serving *after); /* after NULL: the first */
int serving_get(Manager *manager, const char *name, Serving **ret);
/* A client that another hvsockd had; the socket is taken over. */
int serving_restore_client_consume(Serving *serving, ConnectionSocket *socket, pid_t pid, uid_t uid, uint64_t number);
void serving_free(Serving *serving);
/* Hands over what waits, as far as there is room. */
void serving_flush(Serving *serving);
/* Keeps it for whoever has room next; takes the descriptor. accepted NULL: found by the descriptor. */
void serving_keep_consume(Serving *serving, Accepted *accepted, const char *text, size_t size_bytes, int fd);
/* The client that is to get the next connection, of those that have room; NULL: none. */
ServeClient *serving_next_client(Serving *serving);
/* It got one: the others come first. */
void serving_had_turn(ServeClient *client);
/* Ends it; what it left unread goes to others. */
void serve_client_end(ServeClient *client);
bool serve_client_has_room(ServeClient *client);

/* serve-look.c */
/* Ends clients whose socket nobody has any more, as far as all who could are to be seen; at most once a second. Whether there
 * were any: a client that was looked at before may be gone. */
bool serving_end_closed_now(Serving *serving);
void serve_timer_start(Manager *manager, uint64_t in_us);
/* All of them: what they share has changed. */
void servings_update(Manager *manager);
void servings_switch(Manager *manager);

/* serve-watch.c: what is watched */
/* Works out who takes what comes; watches those listeners that are to be watched now, and no others. */
void serving_update(Serving *serving);
/* Takes what comes, or lets it wait: by whether there is room. */
void serving_switch(Serving *serving);
bool serving_has_room(Serving *serving);
/* Listeners of a service without a Serving. */
void serve_idle_update(Manager *manager, const char *name);
int serve_idle_new(Manager *manager);
void serve_idle_free(Manager *manager);

/* serve-kept.c: so that it outlives us */
void serving_keep_client(const ServeClient *client);
void serving_forget_client(const ServeClient *client);
void serving_keep_accepted(const Serving *serving, Accepted *accepted);
void serving_forget_accepted(const Serving *serving, Accepted *accepted);
void serving_keep_waiting(const Serving *serving, const Waiting *waiting);
void serving_forget_waiting(const Serving *serving, const Waiting *waiting);

/* serve-accept.c */
int serving_on_connections(sd_event_source *source, int fd, uint32_t events, void *userdata);

/* serve-peers.c: who may, and how many */
uint64_t serve_now_ns(void);
int serving_make_rules(Serving *serving, const Service *service);
void serving_forget_rules(Serving *serving);
/* NONE: *ret_peer is who it is counted as; NULL where memory ran out. */
Refusal serving_decide(Serving *serving, const Newcomer *newcomer, uint64_t now_ns, ServePeer **ret_peer);
/* An accepted connection, from now on counted. text: its Connection object without the closing brace. NULL: no memory. */
Accepted *serving_add_accepted(Serving *serving, ServePeer *peer, const Accepted *what, const char *text, size_t size_bytes);
void serving_remove_accepted(Serving *serving, Accepted *accepted);
Accepted *serving_find_accepted(const Serving *serving, uint64_t inode);
/* Forgets those that are closed; peer NULL: of all peers. */
void serving_sweep(Serving *serving, ServePeer *peer);
void serving_release_peers(Serving *serving);
ServePeer *serving_peer_get(Serving *serving, const PeerKey *key);
/* A bucket with room for burst: true, and one is taken. */
bool bucket_take(uint64_t *bucket_ns, uint64_t interval_ns, uint64_t burst_ns, uint64_t now_ns);
