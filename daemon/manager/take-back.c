/* SPDX-License-Identifier: Apache-2.0 */
/* Taking from hvsock-keeper what another hvsockd left there, at the start: after the registry was read, and before anything
 * is planned. What the plan does not want is let go of as ever. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/log.h"
#include "daemon/manager/kept.h"
#include "daemon/place/place.h"

typedef struct TakeBack {
    Manager *manager;
    size_t listeners, leases, gone;
    PlaceHeld *unwanted; /* their paths are owned; let go of when all is listed, for the keeper may have to be asked then */
    size_t unwanted_count;
} TakeBack;

/* ---- values ---- */

void kept_value_release(KeptValue *value)
{
    for (size_t i = 0; i < KEPT_TAGS; i++)
        free(value->texts[i]);
}

static bool is_text(uint16_t tag)
{
    return tag == KEPT_CLAIM || tag == KEPT_USER || tag == KEPT_GROUP || tag == KEPT_MODE || tag == KEPT_PATH ||
           tag == KEPT_TEXT || tag == KEPT_PEER_MACHINE || tag == KEPT_FAILED || tag == KEPT_TROUBLE_TEXT;
}

int kept_value_read(FrameFields fields, KeptValue *value)
{
    FrameField field;
    int r = 0;

    while (r == 0 && frame_next(&fields, &field)) {
        if (field.tag >= KEPT_TAGS)
            continue; /* a newer one's */
        if (is_text(field.tag)) {
            free(value->texts[field.tag]);
            value->texts[field.tag] = NULL;
            r = frame_field_text(&field, &value->texts[field.tag]);
        } else {
            r = frame_field_number(&field, &value->numbers[field.tag]);
        }
    }
    return r;
}

/* ---- listeners ---- */

/* The path may have gone meanwhile, or be somebody else's: then nobody can come by it any more. Where we may not look, that
 * comes out later. */
static bool path_is_there(const KeptValue *value)
{
    const char *path = value->texts[KEPT_PATH];

    return !path || !place_is_gone(path, value->numbers[KEPT_DEVICE], value->numbers[KEPT_INODE]);
}

/* -ENOMEM: the descriptor is still the caller's. */
static int add_unwanted(TakeBack *back, int fd_consume, char *path_consume, uint64_t device, uint64_t inode)
{
    PlaceHeld *more = reallocarray(back->unwanted, back->unwanted_count + 1, sizeof(*more));

    if (!more)
        return -ENOMEM;
    back->unwanted = more;
    more[back->unwanted_count++] = (PlaceHeld){fd_consume, path_consume, device, inode};
    back->gone++;
    return 0;
}

static void release_unwanted(TakeBack *back)
{
    manager_release_places(back->manager, back->unwanted, back->unwanted_count);
    for (size_t i = 0; i < back->unwanted_count; i++)
        free((void *)(uintptr_t)back->unwanted[i].path);
    free(back->unwanted);
}

static int lose_listener(TakeBack *back, Listener *listener)
{
    Manager *manager = back->manager;

    manager_forget_listener(manager, listener);
    int r = add_unwanted(back, listener->fd, listener->path, listener->device, listener->inode);
    if (r < 0)
        return r;
    listener->fd = -1;
    listener->path = NULL;
    registry_remove_listener(&manager->registry, listener);
    listener_free(listener);
    back->listeners--;
    return 0;
}

/* Those whose folders only the keeper may look into are looked for; who is there is watched. */
static int look_for_paths(TakeBack *back)
{
    Manager *manager = back->manager;
    bool asks = hold_is_privileged(manager->hold);
    Listener *listener, *next;
    int r = 0;

    for (Service *service = registry_next_service(&manager->registry, NULL); service && r == 0;
         service = registry_service_after(service))
        for (listener = service->listeners; listener && r == 0; listener = next) {
            next = listener->next;
            if (listener->fd < 0 || !listener->path)
                continue;
            if (asks && manager_place_is_gone(manager, listener->path, listener->device, listener->inode))
                r = lose_listener(back, listener);
            else
                manager_watch_listener(manager, listener);
        }
    return r;
}

/* Another hvsockd's mistake is not to be ours. */
static bool is_socket_of_type(int fd, uint64_t type)
{
    static const int types[] = {[SERVICE_STREAM] = SOCK_STREAM, [SERVICE_SEQPACKET] = SOCK_SEQPACKET, [SERVICE_DGRAM] = SOCK_DGRAM};
    int found;
    socklen_t size_bytes = sizeof(found);

    return type > 0 && type < ELEMENTS_OF(types) && getsockopt(fd, SOL_SOCKET, SO_TYPE, &found, &size_bytes) == 0 &&
           found == types[type];
}

static int add_listener(Manager *manager, Service *service, const KeptKey *key, KeptValue *value, int *fd)
{
    const PlanListener wanted = {
        .service = service->context->name,
        .machine = kept_key_part(key, 2),
        .uri = kept_key_part(key, 1),
        .key = value->texts[KEPT_CLAIM],
        .type = (int)value->numbers[KEPT_TYPE],
        .backlog = (uint32_t)value->numbers[KEPT_BACKLOG],
        .user = value->texts[KEPT_USER],
        .group = value->texts[KEPT_GROUP],
        .mode = value->texts[KEPT_MODE],
        .wildcard = value->numbers[KEPT_FLAGS] & KEPT_WILDCARD,
    };
    Listener *listener = registry_add_listener(&manager->registry, service, &wanted);

    if (!listener)
        return -ENOMEM;
    listener->fd = TAKE_FD(*fd);
    listener->state = LISTENER_LISTENING;
    listener->path = TAKE_PTR(value->texts[KEPT_PATH]);
    listener->device = value->numbers[KEPT_DEVICE];
    listener->inode = value->numbers[KEPT_INODE];
    listener->handed_out = value->numbers[KEPT_FLAGS] & KEPT_HANDED_OUT;
    listener->adopted = value->numbers[KEPT_FLAGS] & KEPT_ADOPTED;
    return 0;
}

static int take_listener(TakeBack *back, const KeptKey *key, KeptValue *value, FdList *fds)
{
    Manager *manager = back->manager;
    const char *name = kept_key_part(key, 0);
    Service *service = name ? registry_find_service(&manager->registry, name) : NULL;
    _cleanup_(fd_closep) int fd = fd_list_take(fds, 0);

    if (fd < 0 || !name || !kept_key_part(key, 1) || !value->texts[KEPT_CLAIM] ||
        !is_socket_of_type(fd, value->numbers[KEPT_TYPE]))
        return -EBADMSG;
    if (service && path_is_there(value)) {
        back->listeners++;
        return add_listener(manager, service, key, value, &fd);
    }
    /* It is bound anew where it is wanted still. */
    int r = add_unwanted(back, fd, value->texts[KEPT_PATH], value->numbers[KEPT_DEVICE], value->numbers[KEPT_INODE]);
    if (r < 0)
        return r;
    fd = -1;
    value->texts[KEPT_PATH] = NULL;
    hold_delete(manager->hold, key->text, key->size_bytes);
    return 0;
}

/* ---- leases ---- */

static int take_lease(TakeBack *back, const KeptKey *key, const KeptValue *value, FdList *fds)
{
    Manager *manager = back->manager;
    const char *name = kept_key_part(key, 0), *number = kept_key_part(key, 1);
    uint64_t pid;

    if (!name || !number || !text_to_number(number, INT32_MAX, &pid))
        return -EBADMSG;
    const Lease lease = {
        .service = (char *)(uintptr_t)name,
        .pid = (pid_t)pid,
        .uid = (uid_t)value->numbers[KEPT_UID],
        .start_time_ticks = value->numbers[KEPT_START_TIME_TICKS],
        .since_us = value->numbers[KEPT_SINCE_US],
        .kinds = (unsigned)value->numbers[KEPT_FLAGS],
    };
    int r = registry_find_service(&manager->registry, name) ? leases_restore_consume(manager->leases, &lease, fd_list_take(fds, 0))
                                                            : -ESRCH;
    if (r == 0)
        back->leases++;
    if (r == -ESRCH) {
        hold_delete(manager->hold, key->text, key->size_bytes);
        r = 0;
    }
    return r;
}

/* ---- all ---- */

static int on_item(const HoldItem *item, void *userdata)
{
    TakeBack *back = userdata;
    KeptValue value = {0};
    _uninitialized_ KeptKey key;
    int r = 0;

    if (item->key_size_bytes == 0 || item->key_size_bytes > sizeof(key.text))
        return 0;
    memcpy(key.text, item->key, item->key_size_bytes);
    key.size_bytes = item->key_size_bytes;
    switch (key.text[0]) {
    case KEEPER_KEY_LISTENER:
        r = kept_value_read(item->value, &value);
        if (r == 0)
            r = take_listener(back, &key, &value, item->fds);
        break;
    case KEEPER_KEY_LEASE:
        r = kept_value_read(item->value, &value);
        if (r == 0)
            r = take_lease(back, &key, &value, item->fds);
        break;
    case KEEPER_KEY_CLIENT:
    case KEEPER_KEY_ACCEPTED:
    case KEEPER_KEY_WAITING:
        r = kept_value_read(item->value, &value);
        if (r == 0)
            r = manager_take_back_serve(back->manager, &key, &value, item->fds);
        break;
    case KEEPER_KEY_PROGRAM:
    case KEEPER_KEY_ACTIVATION:
        r = manager_activate_take_back(back->manager, item);
        break;
    default: /* a newer hvsockd's: it may come back */
        break;
    }
    kept_value_release(&value);
    if (r == -EBADMSG) {
        log_error("hvsock-keeper holds something that cannot be read; it is let go of");
        hold_delete(back->manager->hold, key.text, key.size_bytes);
        r = 0;
    }
    return r;
}

/* Somebody held something for us, and is gone. */
static void tell_lost(Manager *manager)
{
    GlobalMetrics *held = metrics_global(manager->metrics);

    if (held->held_listeners + held->held_leases + held->held_programs > 0) {
        log_warning("what hvsock-keeper held is lost, for it has ended too: %llu listeners, which are bound anew; %llu leases; %llu "
                    "programs, which have ended with it", (unsigned long long)held->held_listeners,
                    (unsigned long long)held->held_leases, (unsigned long long)held->held_programs);
        manager_log(manager, NULL, JOURNAL_CHANGES, "lost", NULL, NULL, "what hvsock-keeper held: %llu listeners, %llu leases, %llu programs",
                    (unsigned long long)held->held_listeners, (unsigned long long)held->held_leases,
                    (unsigned long long)held->held_programs);
        manager_event(manager, "error", NULL, NULL, "what hvsock-keeper held is lost: %llu listeners, %llu leases, %llu programs",
                      (unsigned long long)held->held_listeners, (unsigned long long)held->held_leases,
                      (unsigned long long)held->held_programs);
    }
    held->held_listeners = held->held_leases = held->held_programs = 0;
}

int manager_take_back(Manager *manager)
{
    TakeBack back = {.manager = manager};

    if (!hold_is_there(manager->hold) || manager->keeper_is_fresh) {
        tell_lost(manager);
        return 0;
    }
    int r = hold_list(manager->hold, on_item, &back), looked;
    if (r != -ENOMEM && (looked = look_for_paths(&back)) < 0)
        r = looked;
    release_unwanted(&back);
    if (back.gone > 0)
        hold_flush_wait(manager->hold);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        log_error("hvsock-keeper does not give back all that it holds: %s; the rest is made anew", strerror(-r));
    if (r == 0 && back.listeners + back.leases + back.gone == 0)
        tell_lost(manager);
    if (back.listeners + back.leases + back.gone > 0)
        log_info("taken back from hvsock-keeper: %zu listeners, %zu leases; %zu are not wanted any more", back.listeners, back.leases,
                 back.gone);
    return 0;
}
