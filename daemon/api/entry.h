/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket of the API: the one to everything, and those under RUNTIME/handout to one service each. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "daemon/api/poll.h"
#include "schema/base/cleanup.h"

typedef struct Entry Entry;
typedef struct Server Server;

struct Entry {
    LIST_ENTRY(Entry) entries;
    TAILQ_ENTRY(Entry) crowded;
    Server *server;
    char *service; /* the one it is to; NULL: everything */
    int fd;
    int directory_fd; /* borrowed; -1: its path is not ours */
    char *file;       /* in that folder */
    uint64_t device, inode;
    PollSource io;
    bool is_crowded; /* more clients wait than were let in */
};

/* Binds folder/file, mode 0666. A path that nobody serves any more is replaced. folder is the path of directory_fd,
 * which is borrowed. -EADDRINUSE: somebody serves it, or it is no socket. -errno. */
int entry_new(Server *server, const char *service, int directory_fd, const char *folder, const char *file, Entry **ret);
/* Of a socket that listens already; fd is taken over, also where it fails. */
int entry_new_adopt_consume(Server *server, int fd, Entry **ret);
/* Removes the path where it is still ours. */
void entry_free(Entry *entry);
DEFINE_CLEANUP(Entry *, entry_free)
/* Lets some clients in where many wait. Called before each client's turn, so that those outside do not wait for a turn
 * of everybody inside: there are bounds on how many can be inside. */
void entry_let_in(Server *server);
/* Accepts, or waits. */
int entry_enable(Entry *entry, bool enable);
