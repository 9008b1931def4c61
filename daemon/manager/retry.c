/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners that wait are tried again: when something comes into the folder that they wait for, or goes (inotify(7)),
 * and by a timer for what nobody tells of (AF_VSOCK addresses, descriptors). The timer runs only while something waits
 * or drains. */

#include <bsd/sys/tree.h>
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "daemon/place/holders.h"
#include "daemon/log.h"
#include "daemon/manager/kept.h"

/* A folder that is watched for as long as a listener names it: one that waits for something to come there, or one that
 * listens there, and must know when its path is gone. One that is gone itself is in no tree: another of its path is another
 * folder. */
struct Folder {
    RB_ENTRY(Folder) by_path;
    RB_ENTRY(Folder) by_watch; /* two paths can lead to one folder, which has one watch */
    TAILQ_ENTRY(Folder) queue; /* of those that nobody names any more, to be forgotten */
    Folder *next_changed;
    Folders *folders;
    char *path;
    int watch;    /* -1: it is gone */
    bool changed; /* something came or went; told in one go */
    bool idle;    /* in the queue */
    LIST_HEAD(, Listener) listeners;
};

RB_HEAD(FoldersByPath, Folder);
RB_HEAD(FoldersByWatch, Folder);

/* All that are watched; as long as the manager, from the first on. */
struct Folders {
    int fd; /* inotify */
    sd_event_source *source;
    struct FoldersByPath by_path;
    struct FoldersByWatch by_watch;
    TAILQ_HEAD(, Folder) idle;
    Folder *last; /* that a path was found to be in */
};

static int folder_compare_paths(const Folder *a, const Folder *b)
{
    return strcmp(a->path, b->path);
}

static int folder_compare_watches(const Folder *a, const Folder *b)
{
    int order = (a->watch > b->watch) - (a->watch < b->watch);

    return order ? order : strcmp(a->path, b->path);
}

RB_GENERATE_INTERNAL(FoldersByPath, Folder, by_path, folder_compare_paths, _unused_ static)
RB_GENERATE_INTERNAL(FoldersByWatch, Folder, by_watch, folder_compare_watches, _unused_ static)

static void retry_listener(Manager *manager, Listener *listener)
{
    TAILQ_REMOVE(&manager->waiting, listener, queue);
    manager_unwatch_listener(listener);
    listener->lost = false;
    listener->planned = true;
    TAILQ_INSERT_TAIL(&manager->planned, listener, queue);
}

/* ---- folders ---- */

/* The first that has this watch, or a later one of the same watch. */
static Folder *folder_of_watch(Folders *folders, int watch, Folder *after)
{
    Folder key = {.watch = watch, .path = (char *)(uintptr_t)""};
    Folder *folder = after ? FoldersByWatch_RB_NEXT(after) : RB_NFIND(FoldersByWatch, &folders->by_watch, &key);

    return folder && folder->watch == watch ? folder : NULL;
}

/* No more of it is told. removes: the kernel would go on. */
static void folder_end_watch(Folder *folder, bool removes)
{
    Folders *folders = folder->folders;
    int watch = folder->watch;

    if (watch < 0)
        return;
    if (folders->last == folder)
        folders->last = NULL;
    RB_REMOVE(FoldersByPath, &folders->by_path, folder);
    RB_REMOVE(FoldersByWatch, &folders->by_watch, folder);
    folder->watch = -1;
    if (removes && !folder_of_watch(folders, watch, NULL))
        inotify_rm_watch(folders->fd, watch);
}

static void folder_set_idle(Folder *folder, bool idle)
{
    if (folder->idle == idle)
        return;
    folder->idle = idle;
    if (idle)
        TAILQ_INSERT_TAIL(&folder->folders->idle, folder, queue);
    else
        TAILQ_REMOVE(&folder->folders->idle, folder, queue);
}

/* Forgets the folders that nobody names any more. */
static void folders_sweep(Folders *folders)
{
    Folder *folder;

    while (folders && (folder = TAILQ_FIRST(&folders->idle))) {
        folder_set_idle(folder, false);
        folder_end_watch(folder, true);
        free(folder->path);
        free(folder);
    }
}

/* Is the socket file still the one that it bound? */
static bool listener_is_there(Manager *manager, const Listener *listener)
{
    return !manager_place_is_gone(manager, listener->path, listener->device, listener->inode);
}

/* What was lost is bound anew. */
static int lost_on_time(sd_event_source *source, uint64_t time_us, void *userdata)
{
    Manager *manager = userdata;
    Listener *listener, *next;

    manager->lost_timer = sd_event_source_disable_unref(manager->lost_timer);
    for (listener = TAILQ_FIRST(&manager->waiting); listener; listener = next) {
        next = TAILQ_NEXT(listener, queue);
        if (listener->lost)
            retry_listener(manager, listener);
    }
    manager_run_plan_between(manager);
    manager_events_flush(manager);
    return 0;
}

static void lost_wait(Manager *manager)
{
    uint64_t now_us = 0;

    sd_event_now(manager->event, CLOCK_MONOTONIC, &now_us);
    if (!manager->lost_timer) {
        manager->lost_since_us = now_us;
        /* Without one the retry timer comes later. */
        sd_event_add_time(manager->event, &manager->lost_timer, CLOCK_MONOTONIC, now_us + LOST_REST_US, 0, lost_on_time, manager);
        return;
    }
    uint64_t until_us = now_us + LOST_REST_US, last_us = manager->lost_since_us + LOST_MAX_US;
    sd_event_source_set_time(manager->lost_timer, until_us < last_us ? until_us : last_us);
}

/* The file of that name is gone from the folder (NULL: the folder is). */
static void folder_lost(Manager *manager, Folder *folder, const char *name)
{
    Listener *listener, *next;
    bool any = false;

    for (listener = LIST_FIRST(&folder->listeners); listener; listener = next) {
        next = LIST_NEXT(listener, of_folder);
        if (listener->state != LISTENER_LISTENING || !listener->path ||
            (name && strcmp(strrchr(listener->path, '/') + 1, name) != 0) || listener_is_there(manager, listener))
            continue;
        manager_lose_listener(manager, listener);
        any = true;
    }
    if (any)
        lost_wait(manager);
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

static void folder_on_event(Manager *manager, Folder *folder, const struct inotify_event *event)
{
    static const uint32_t gone = IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT;
    Listener *listener, *next;

    if (event->mask & (gone | IN_Q_OVERFLOW))
        folder_lost(manager, folder, NULL);
    else if (event->mask & (IN_DELETE | IN_MOVED_FROM) && event->len > 0)
        folder_lost(manager, folder, event->name);
    if (!(event->mask & gone))
        return;
    /* Where the folder itself is gone, so is the watch: another of that name is another folder. */
    folder_end_watch(folder, event->mask & IN_MOVE_SELF);
    for (listener = LIST_FIRST(&folder->listeners); listener; listener = next) {
        next = LIST_NEXT(listener, of_folder);
        if (listener->state == LISTENER_LISTENING)
            manager_watch_listener(manager, listener);
    }
}

static void folder_has_changed(Folder *folder, Folder **changed)
{
    if (folder->changed)
        return;
    folder->changed = true;
    folder->next_changed = *changed;
    *changed = folder;
}

static int folders_on_event(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Manager *manager = userdata;
    Folders *folders = manager->folders;
    Folder *folder, *next, *changed = NULL;
    _uninitialized_ _Alignas(struct inotify_event) char bytes[16384];
    ssize_t size = read(fd, bytes, sizeof(bytes));
    bool any = false;

    for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= size;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(bytes + at);
        bool all = event->wd == -1; /* anything may have happened */
        at += (ssize_t)(sizeof(*event) + event->len);
        folder = all ? RB_MIN(FoldersByPath, &folders->by_path) : folder_of_watch(folders, event->wd, NULL);
        for (; folder; folder = next) {
            next = all ? FoldersByPath_RB_NEXT(folder) : folder_of_watch(folders, event->wd, folder);
            folder_has_changed(folder, &changed);
            folder_on_event(manager, folder, event);
        }
    }
    while ((folder = changed)) {
        changed = folder->next_changed;
        folder->changed = false;
        any |= folder_retry(manager, folder);
    }
    if (any)
        manager_run_plan_between(manager);
    manager_events_flush(manager);
    folders_sweep(folders);
    return 0;
}

static Folders *folders_new(Manager *manager)
{
    Folders *folders = calloc(1, sizeof(*folders));

    if (!folders)
        return NULL;
    RB_INIT(&folders->by_path);
    RB_INIT(&folders->by_watch);
    TAILQ_INIT(&folders->idle);
    folders->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (folders->fd < 0 ||
        sd_event_add_io(manager->event, &folders->source, folders->fd, EPOLLIN, folders_on_event, manager) < 0) {
        fd_close(folders->fd);
        free(folders);
        return NULL;
    }
    return folders;
}

static Folder *folder_get(Manager *manager, const char *path)
{
    if (!manager->folders && !(manager->folders = folders_new(manager)))
        return NULL;
    Folders *folders = manager->folders;
    Folder key = {.path = (char *)(uintptr_t)path};
    Folder *folder = RB_FIND(FoldersByPath, &folders->by_path, &key);
    if (folder)
        return folder;
    folder = calloc(1, sizeof(*folder));
    char *copy = strdup(path);
    int watch = folder && copy ? manager_watch_place(manager, folders->fd, path) : -ENOMEM;
    if (watch < 0) {
        free(folder);
        free(copy);
        return NULL;
    }
    *folder = (Folder){.folders = folders, .path = copy, .watch = watch};
    LIST_INIT(&folder->listeners);
    RB_INSERT(FoldersByPath, &folders->by_path, folder);
    RB_INSERT(FoldersByWatch, &folders->by_watch, folder);
    return folder;
}

/* The one that a path is in: which mostly is the one that was asked for before. */
static Folder *folder_of_path(Manager *manager, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    Folder *last = manager->folders ? manager->folders->last : NULL;

    if (last && strncmp(last->path, path, length) == 0 && last->path[length] == '\0')
        return last;
    _cleanup_(freep) char *parent = strndup(path, length);
    Folder *folder = parent ? folder_get(manager, parent) : NULL;
    if (folder)
        manager->folders->last = folder;
    return folder;
}

void manager_watch_listener(Manager *manager, Listener *listener)
{
    Folder *folder = NULL;

    if (listener->state == LISTENER_WAITING && listener->watch_path)
        folder = folder_get(manager, listener->watch_path);
    else if (listener->state == LISTENER_LISTENING && listener->path)
        folder = folder_of_path(manager, listener->path);
    manager_unwatch_listener(listener);
    if (!folder)
        return; /* the timer tries what waits again all the same */
    listener->folder = folder;
    folder_set_idle(folder, false);
    LIST_INSERT_HEAD(&folder->listeners, listener, of_folder);
}

void manager_unwatch_listener(Listener *listener)
{
    Folder *folder = TAKE_PTR(listener->folder);

    if (!folder)
        return;
    LIST_REMOVE(listener, of_folder);
    folder_set_idle(folder, LIST_EMPTY(&folder->listeners));
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
        if (manager_find_holders(manager, &listener->socket_inode, 1, 64, &holders, &count) < 0)
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
        if (!listener->lost)
            retry_listener(manager, listener);
    }
}

static int retry_on_time(sd_event_source *source, uint64_t time_us, void *userdata)
{
    Manager *manager = userdata;
    Listener *listener = TAILQ_FIRST(&manager->waiting);

    size_t most = manager->retry_all ? SIZE_MAX : RETRY_BATCH;

    manager->retry_timer = sd_event_source_disable_unref(manager->retry_timer);
    manager->retry_all = false;
    for (size_t i = 0; i < most && listener; i++) {
        Listener *next = TAILQ_NEXT(listener, queue);
        if (!listener->lost || !manager->lost_timer)
            retry_listener(manager, listener);
        listener = next;
    }
    manager_check_draining(manager);
    manager_run_plan_between(manager);
    folders_sweep(manager->folders);
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

void manager_retry_soon(Manager *manager)
{
    manager->retry_all = true;
    if (manager->retry_timer && sd_event_source_set_time_relative(manager->retry_timer, 0) < 0)
        log_error("what waits is tried again later: no timer can be set");
}

void manager_retry_release(Manager *manager)
{
    Folders *folders = TAKE_PTR(manager->folders);
    Folder *folder;

    manager->retry_timer = sd_event_source_disable_unref(manager->retry_timer);
    manager->lost_timer = sd_event_source_disable_unref(manager->lost_timer);
    if (!folders)
        return;
    while ((folder = RB_ROOT(&folders->by_path))) {
        while (!LIST_EMPTY(&folder->listeners))
            manager_unwatch_listener(LIST_FIRST(&folder->listeners));
        folder_set_idle(folder, true);
        folder_end_watch(folder, false);
    }
    folders_sweep(folders);
    sd_event_source_disable_unref(folders->source);
    fd_close(folders->fd);
    free(folders);
}
