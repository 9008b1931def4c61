/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners that wait are tried again: when something comes into the folder that they wait for, or goes (inotify(7)),
 * and by a timer for what nobody tells of (AF_VSOCK addresses, descriptors). The timer runs only while something waits
 * or drains. */

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "daemon/bind/holders.h"
#include "daemon/log.h"
#include "daemon/manager/internal.h"

/* A folder that is watched for as long as a listener names it: one that waits for something to come there, or one that
 * listens there, and must know when its path is gone. */
struct Folder {
    Folder *next;
    char *path;
    int watch;    /* -1: the folder is gone */
    bool changed; /* something came or went; told in one go */
    LIST_HEAD(, Listener) listeners;
};

static void retry_listener(Manager *manager, Listener *listener)
{
    TAILQ_REMOVE(&manager->waiting, listener, queue);
    manager_unwatch_listener(listener);
    listener->planned = true;
    TAILQ_INSERT_TAIL(&manager->planned, listener, queue);
}

/* ---- folders ---- */

/* Forgets the folders that nobody names any more. */
static void folders_sweep(Manager *manager)
{
    for (Folder **at = &manager->folders; *at;) {
        Folder *folder = *at;
        if (!LIST_EMPTY(&folder->listeners)) {
            at = &folder->next;
            continue;
        }
        *at = folder->next;
        if (folder->watch >= 0)
            inotify_rm_watch(manager->folder_fd, folder->watch);
        free(folder->path);
        free(folder);
    }
}

/* Is the socket file still the one that it bound? */
static bool listener_is_there(const Listener *listener)
{
    struct stat status;

    return lstat(listener->path, &status) == 0 && status.st_dev == listener->device && status.st_ino == listener->inode;
}

/* The file of that name is gone from the folder (NULL: the folder is). */
static bool folder_lost(Manager *manager, Folder *folder, const char *name)
{
    Listener *listener, *next;
    bool any = false;

    for (listener = LIST_FIRST(&folder->listeners); listener; listener = next) {
        next = LIST_NEXT(listener, of_folder);
        if (listener->state != LISTENER_LISTENING || !listener->path ||
            (name && strcmp(strrchr(listener->path, '/') + 1, name) != 0) || listener_is_there(listener))
            continue;
        log_notice("%s: %s is gone; listening anew", listener->service->context->name, listener->path);
        manager_replace_listener(manager, listener);
        any = true;
    }
    return any;
}

static bool folder_retry(Manager *manager, Folder *folder)
{
    Listener *listener, *next;
    bool any = false;

    for (listener = LIST_FIRST(&folder->listeners); listener; listener = next) {
        next = LIST_NEXT(listener, of_folder);
        if (listener->state != LISTENER_WAITING || listener->planned)
            continue;
        retry_listener(manager, listener);
        any = true;
    }
    return any;
}

static bool folder_on_event(Manager *manager, Folder *folder, const struct inotify_event *event)
{
    static const uint32_t gone = IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_Q_OVERFLOW;

    if (event->mask & (gone | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ATTRIB))
        folder->changed = true;
    /* Where the folder itself is gone, so is the watch: another of that name is another folder. */
    if (event->mask & (gone & ~(uint32_t)IN_Q_OVERFLOW))
        folder->watch = -1;
    if (event->mask & gone)
        return folder_lost(manager, folder, NULL);
    if (event->mask & (IN_DELETE | IN_MOVED_FROM) && event->len > 0)
        return folder_lost(manager, folder, event->name);
    return false;
}

static int folders_on_event(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Manager *manager = userdata;
    _Alignas(struct inotify_event) char bytes[16384];
    ssize_t size = read(fd, bytes, sizeof(bytes));
    bool any = false;

    for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= size;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(bytes + at);
        at += (ssize_t)(sizeof(*event) + event->len);
        for (Folder *folder = manager->folders; folder; folder = folder->next)
            if (event->wd == -1 || folder->watch == event->wd) /* -1: anything may have happened */
                any |= folder_on_event(manager, folder, event);
    }
    for (Folder *folder = manager->folders; folder; folder = folder->next)
        if (folder->changed) {
            folder->changed = false;
            any |= folder_retry(manager, folder);
        }
    if (any) {
        manager_run_plan_between(manager);
        manager_events_flush(manager);
    }
    folders_sweep(manager);
    return 0;
}

static Folder *folder_get(Manager *manager, const char *path)
{
    for (Folder *folder = manager->folders; folder; folder = folder->next)
        if (folder->watch >= 0 && strcmp(folder->path, path) == 0)
            return folder;
    if (manager->folder_fd < 0) {
        manager->folder_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (manager->folder_fd < 0)
            return NULL;
        if (sd_event_add_io(manager->event, &manager->folder_source, manager->folder_fd, EPOLLIN, folders_on_event,
                            manager) < 0) {
            manager->folder_fd = fd_close(manager->folder_fd);
            return NULL;
        }
    }
    Folder *folder = calloc(1, sizeof(*folder));
    char *copy = strdup(path);
    int watch = folder && copy ? inotify_add_watch(manager->folder_fd, path,
                                                   IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ATTRIB |
                                                       IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
                               : -1;
    if (watch < 0) {
        free(folder);
        free(copy);
        return NULL;
    }
    *folder = (Folder){.next = manager->folders, .path = copy, .watch = watch};
    LIST_INIT(&folder->listeners);
    manager->folders = folder;
    return folder;
}

void manager_watch_listener(Manager *manager, Listener *listener)
{
    _cleanup_(freep) char *parent = NULL;
    const char *path = listener->state == LISTENER_WAITING ? listener->watch_path : NULL;

    manager_unwatch_listener(listener);
    if (listener->state == LISTENER_LISTENING && listener->path) {
        const char *slash = strrchr(listener->path, '/');
        path = parent = slash == listener->path ? strdup("/") : strndup(listener->path, (size_t)(slash - listener->path));
    }
    Folder *folder = path ? folder_get(manager, path) : NULL;
    if (!folder)
        return; /* the timer tries what waits again all the same */
    listener->folder = folder;
    LIST_INSERT_HEAD(&folder->listeners, listener, of_folder);
}

void manager_unwatch_listener(Listener *listener)
{
    if (!listener->folder)
        return;
    LIST_REMOVE(listener, of_folder);
    listener->folder = NULL;
}

/* ---- the timer ---- */

/* What was closed here and held elsewhere: forgotten when nobody holds it any more. */
void manager_check_draining(Manager *manager)
{
    Listener *listener, *next;
    bool freed = false;

    for (listener = TAILQ_FIRST(&manager->draining); listener; listener = next) {
        next = TAILQ_NEXT(listener, queue);
        _cleanup_(freep) pid_t *holders = NULL;
        size_t count = 0;
        if (holders_find(&listener->socket_inode, 1, 64, &holders, &count) < 0)
            continue;
        free(listener->holders);
        listener->holders = TAKE_PTR(holders);
        listener->holder_count = count;
        Service *service = listener->former_service ? registry_find_service(&manager->registry, listener->former_service) : NULL;
        if (service)
            registry_touch(&manager->registry, service);
        if (count > 0)
            continue;
        log_info("%s: %s is free", listener->former_service ? listener->former_service : "?", listener->uri);
        manager_event(manager, "released", listener->former_service, listener->machine, "%s is free", listener->uri);
        TAILQ_REMOVE(&manager->draining, listener, queue);
        listener_free(listener);
        freed = true;
    }
    if (!freed)
        return;
    for (listener = TAILQ_FIRST(&manager->waiting); listener; listener = next) {
        next = TAILQ_NEXT(listener, queue);
        retry_listener(manager, listener);
    }
}

static int retry_on_time(sd_event_source *source, uint64_t time_us, void *userdata)
{
    Manager *manager = userdata;
    Listener *listener = TAILQ_FIRST(&manager->waiting);

    manager->retry_timer = sd_event_source_disable_unref(manager->retry_timer);
    for (size_t i = 0; i < RETRY_BATCH && listener; i++) {
        Listener *next = TAILQ_NEXT(listener, queue);
        retry_listener(manager, listener);
        listener = next;
    }
    manager_check_draining(manager);
    manager_run_plan_between(manager);
    folders_sweep(manager);
    manager_events_flush(manager);
    return 0;
}

int manager_watch_waiting(Manager *manager)
{
    bool needed = !TAILQ_EMPTY(&manager->waiting) || !TAILQ_EMPTY(&manager->draining);

    if (!needed)
        manager->retry_timer = sd_event_source_disable_unref(manager->retry_timer);
    if (!needed || manager->retry_timer)
        return 0;
    return sd_event_add_time_relative(manager->event, &manager->retry_timer, CLOCK_MONOTONIC, RETRY_INTERVAL_US, 0,
                                      retry_on_time, manager);
}

void manager_retry_release(Manager *manager)
{
    while (manager->folders) {
        Folder *folder = manager->folders;
        manager->folders = folder->next;
        while (!LIST_EMPTY(&folder->listeners))
            manager_unwatch_listener(LIST_FIRST(&folder->listeners));
        free(folder->path);
        free(folder);
    }
    manager->retry_timer = sd_event_source_disable_unref(manager->retry_timer);
    manager->folder_source = sd_event_source_disable_unref(manager->folder_source);
    manager->folder_fd = fd_close(manager->folder_fd);
}
