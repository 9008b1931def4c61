/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets of the API. One lives as long as the server, or as its service has handout.socket. unix(7). */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/api/entry.h"
#include "daemon/api/server.h"
#include "daemon/log.h"

#define ENTRY_CLIENTS_A_TURN 64
#define ENTRY_CLIENTS_BETWEEN_TURNS 8

/* Folders can have longer paths than a socket address takes. */
static int address_of(int directory_fd, const char *folder, const char *file, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int size = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", folder, file);
    if (size < 0 || (size_t)size >= sizeof(ret->sun_path))
        size = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", directory_fd, file);
    return size < 0 || (size_t)size >= sizeof(ret->sun_path) ? -ENAMETOOLONG : 0;
}

/* Makes room for a socket: removes one that nobody serves any more. */
static int path_clear(int directory_fd, const char *file, const struct sockaddr_un *address)
{
    struct stat status;

    if (fstatat(directory_fd, file, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode))
        return -EADDRINUSE;
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno != ECONNREFUSED)
        return -EADDRINUSE;
    return unlinkat(directory_fd, file, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int socket_bind(int directory_fd, const char *folder, const char *file, int *ret_fd)
{
    struct sockaddr_un address;

    int r = address_of(directory_fd, folder, file, &address);
    if (r < 0)
        return r;
    r = path_clear(directory_fd, file, &address);
    if (r < 0)
        return r;
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Who may do what is the credentials' to say; who gets here is the folder's. */
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        fchmodat(directory_fd, file, 0666, 0) < 0 || listen(fd, SOMAXCONN) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* false: there was none, or no room. */
static bool entry_accept(Entry *entry, bool at_once)
{
    Server *server = entry->server;

    int client_fd = accept4(entry->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client_fd < 0 && (errno == EMFILE || errno == ENFILE) && server->spare_fd >= 0) {
        server->spare_fd = fd_close(server->spare_fd);
        client_fd = accept4(entry->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        server_pause_accept(server);
    }
    if (client_fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            server_pause_accept(server);
        else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            log_error("accepting a client failed: %s", strerror(errno));
        return false;
    }
    int r = connection_new_consume(server, client_fd, entry->service, at_once);
    if (r < 0 && r != -ENOTCONN)
        log_error("a client could not be served: %s", strerror(-r));
    return !server->paused;
}

/* Others have work, which the loop does not tell of. */
static bool server_is_busy(const Server *server)
{
    return server->turn.count > 0 || server->ready_count > 0;
}

static void entry_set_crowded(Entry *entry, bool crowded)
{
    if (crowded == entry->is_crowded)
        return;
    entry->is_crowded = crowded;
    if (crowded)
        TAILQ_INSERT_TAIL(&entry->server->crowded, entry, crowded);
    else
        TAILQ_REMOVE(&entry->server->crowded, entry, crowded);
}

/* Whoever comes while nothing else is to be done is served at once, which saves a turn of the loop: but not by an entry to one
 * service, which may go with what a call settles. While there is, clients are only let in, many at a time: so none of them
 * waits behind what all before it want, and who is one too many is soon told. */
static PollOutcome entry_on_io(PollSource *source, uint32_t events)
{
    Entry *entry = (Entry *)(void *)((char *)source - offsetof(Entry, io));
    uint64_t stirred = entry->server->stirred;
    size_t left = ENTRY_CLIENTS_A_TURN;
    bool more;

    do
        more = entry_accept(entry, !entry->service && !server_is_busy(entry->server));
    while (more && --left > 0 && server_is_busy(entry->server));
    entry_set_crowded(entry, left == 0);
    return server_outcome(entry->server, stirred);
}

void entry_let_in(Server *server)
{
    Entry *entry = TAILQ_FIRST(&server->crowded);
    size_t left = ENTRY_CLIENTS_BETWEEN_TURNS;

    if (!entry)
        return;
    while (left > 0 && entry_accept(entry, false))
        left--;
    entry_set_crowded(entry, false);
    entry_set_crowded(entry, left == 0);
}

static int entry_new_consume(Server *server, int fd, Entry **ret)
{
    _cleanup_(fd_closep) int socket_fd = fd;

    _cleanup_(entry_freep) Entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    entry->server = server;
    entry->fd = TAKE_FD(socket_fd);
    entry->directory_fd = -1;
    LIST_INSERT_HEAD(&server->entries, entry, entries);
    int r = poll_add(server->poll, &entry->io, entry->fd, EPOLLIN, entry_on_io);
    if (r < 0)
        return r;
    if (server->paused) {
        r = entry_enable(entry, false);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(entry);
    return 0;
}

int entry_new(Server *server, const char *service, int directory_fd, const char *folder, const char *file, Entry **ret)
{
    struct stat status;
    int fd = -1;

    int r = socket_bind(directory_fd, folder, file, &fd);
    if (r < 0)
        return r;
    _cleanup_(entry_freep) Entry *entry = NULL;
    r = entry_new_consume(server, fd, &entry);
    if (r < 0 || fstatat(directory_fd, file, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        r = r < 0 ? r : -errno;
        unlinkat(directory_fd, file, 0);
        return r;
    }
    entry->device = status.st_dev;
    entry->inode = status.st_ino;
    entry->directory_fd = directory_fd;
    entry->file = strdup(file);
    entry->service = service ? strdup(service) : NULL;
    if (!entry->file || (service && !entry->service)) {
        unlinkat(directory_fd, file, 0);
        return -ENOMEM;
    }
    *ret = TAKE_PTR(entry);
    return 0;
}

int entry_new_adopt_consume(Server *server, int fd, Entry **ret)
{
    int r = fd_set_nonblocking(fd, true);

    if (r < 0) {
        fd_close(fd);
        return r;
    }
    return entry_new_consume(server, fd, ret);
}

void entry_free(Entry *entry)
{
    struct stat status;

    if (!entry)
        return;
    LIST_REMOVE(entry, entries);
    entry_set_crowded(entry, false);
    poll_remove(&entry->io);
    if (entry->file && fstatat(entry->directory_fd, entry->file, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_dev == entry->device && status.st_ino == entry->inode)
        unlinkat(entry->directory_fd, entry->file, 0);
    fd_close(entry->fd);
    free(entry->file);
    free(entry->service);
    free(entry);
}

int entry_enable(Entry *entry, bool enable)
{
    return poll_set_events(&entry->io, enable ? EPOLLIN : 0);
}
