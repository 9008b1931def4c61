/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners that wait are tried again: when something comes into the folder that they wait for (inotify(7)), and by a timer
 * for what nobody tells of (AF_VSOCK addresses, descriptors). The timer runs only while something waits or drains. */

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "daemon/bind/holders.h"
#include "daemon/log.h"
#include "daemon/manager/internal.h"

/* A folder that is watched for as long as a waiting listener names it. */
struct Folder {
    Folder *next;
    char *path;
    int watch;
    bool wanted;
};

static void retry_listener(Manager *manager, Listener *listener)
{
    TAILQ_REMOVE(&manager->waiting, listener, queue);
    listener->planned = true;
    TAILQ_INSERT_TAIL(&manager->planned, listener, queue);
}

/* ---- folders ---- */

/* Forgets the folders that nobody waits for any more. */
static void folders_sweep(Manager *manager)
{
    Listener *listener;

    for (Folder *folder = manager->folders; folder; folder = folder->next)
        folder->wanted = false;
    TAILQ_FOREACH(listener, &manager->waiting, queue)
        for (Folder *folder = manager->folders; listener->watch_path && folder; folder = folder->next)
            if (strcmp(folder->path, listener->watch_path) == 0) {
                folder->wanted = true;
                break;
            }
    for (Folder **at = &manager->folders; *at;) {
        Folder *folder = *at;
        if (folder->wanted) {
            at = &folder->next;
            continue;
        }
        *at = folder->next;
        inotify_rm_watch(manager->folder_fd, folder->watch);
        free(folder->path);
        free(folder);
    }
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
        Folder *folder = manager->folders;
        while (folder && folder->watch != event->wd)
            folder = folder->next;
        Listener *listener, *next;
        for (listener = TAILQ_FIRST(&manager->waiting); listener; listener = next) {
            next = TAILQ_NEXT(listener, queue);
            /* An overflow (wd -1) says that anything may have happened. */
            if (listener->watch_path && (!folder || strcmp(folder->path, listener->watch_path) == 0)) {
                retry_listener(manager, listener);
                any = true;
            }
        }
    }
    if (any) {
        manager_run_plan_between(manager);
        folders_sweep(manager);
        manager_events_flush(manager);
    }
    return 0;
}

void manager_watch_folder(Manager *manager, const char *path)
{
    for (Folder *folder = manager->folders; folder; folder = folder->next)
        if (strcmp(folder->path, path) == 0)
            return;
    if (manager->folder_fd < 0) {
        manager->folder_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (manager->folder_fd < 0)
            return; /* the timer tries again all the same */
        if (sd_event_add_io(manager->event, &manager->folder_source, manager->folder_fd, EPOLLIN, folders_on_event,
                            manager) < 0) {
            manager->folder_fd = fd_close(manager->folder_fd);
            return;
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
        return;
    }
    *folder = (Folder){.next = manager->folders, .path = copy, .watch = watch};
    manager->folders = folder;
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
        free(folder->path);
        free(folder);
    }
    manager->retry_timer = sd_event_source_disable_unref(manager->retry_timer);
    manager->folder_source = sd_event_source_disable_unref(manager->folder_source);
    manager->folder_fd = fd_close(manager->folder_fd);
}
