/* SPDX-License-Identifier: Apache-2.0 */
/* The registry's listeners: of their services, of machines, and by the address that they claim. */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "daemon/manager/registry.h"
#include "schema/base/fd.h"

static int listener_compare(const Listener *a, const Listener *b)
{
    int order = strcmp(a->key, b->key);

    /* The address of the object keeps several claims of one key apart; NULL, in searches, comes first. */
    return order ? order : (a->service > b->service) - (a->service < b->service) ?: (a > b) - (a < b);
}

RB_GENERATE_INTERNAL(ListenersByKey, Listener, by_key, listener_compare, _unused_ static)
TREE_APPEND_GENERATE(ListenersByKey, Listener, by_key, listener_compare)

Listener *registry_first_claim(Registry *registry, const char *key_text)
{
    Listener key = {.key = (char *)(uintptr_t)key_text};
    Listener *listener = RB_NFIND(ListenersByKey, &registry->listeners, &key);

    return listener && strcmp(listener->key, key_text) == 0 ? listener : NULL;
}

Listener *registry_next_claim(Listener *listener)
{
    Listener *next = ListenersByKey_RB_NEXT(listener);

    return next && strcmp(next->key, listener->key) == 0 ? next : NULL;
}

void listener_leave_machine(Listener *listener)
{
    if (!listener->on_machine)
        return;
    LIST_REMOVE(listener, of_machine);
    listener->on_machine = NULL;
}

static void listener_append(Service *service, Listener *listener)
{
    listener->next = NULL;
    listener->previous = service->listeners_end;
    *service->listeners_end = listener;
    service->listeners_end = &listener->next;
}

static char *copy_or_null(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        *failed = true;
    return copy;
}

Listener *registry_add_listener(Registry *registry, Service *service, const PlanListener *wanted)
{
    Listener *listener = calloc(1, sizeof(*listener));
    bool failed = false;

    if (!listener)
        return NULL;
    *listener = (Listener){
        .service = service,
        .uri = copy_or_null(wanted->uri, &failed),
        .key = copy_or_null(wanted->key, &failed),
        .machine = copy_or_null(wanted->machine, &failed),
        .user = copy_or_null(wanted->user, &failed),
        .group = copy_or_null(wanted->group, &failed),
        .mode = copy_or_null(wanted->mode, &failed),
        .backlog = wanted->backlog,
        .type = (uint8_t)wanted->type,
        .wildcard = wanted->wildcard,
        .fd = -1,
        .accept_fd = -1,
    };
    if (failed) {
        listener_free(listener);
        return NULL;
    }
    registry_take_listener(registry, service, listener);
    return listener;
}

void registry_take_listener(Registry *registry, Service *service, Listener *listener)
{
    listener_append(service, listener);
    listener->service = service;
    Machine *machine = listener->machine ? registry_find_machine(registry, listener->machine) : NULL;
    if (machine) {
        listener->on_machine = machine;
        LIST_INSERT_HEAD(&machine->listeners, listener, of_machine);
    }
    free(listener->former_service);
    listener->former_service = NULL;
    if (registry->is_filling)
        ListenersByKey_append(&registry->listeners, listener);
    else
        RB_INSERT(ListenersByKey, &registry->listeners, listener);
    registry->listener_count++;
}

void listener_stop_watch(Listener *listener)
{
    if (listener->accept_fd >= 0 && listener->fd >= 0)
        epoll_ctl(listener->accept_fd, EPOLL_CTL_DEL, listener->fd, NULL);
    listener->accept_fd = -1;
}

void registry_remove_listener(Registry *registry, Listener *listener)
{
    listener_stop_watch(listener);
    *listener->previous = listener->next;
    if (listener->next)
        listener->next->previous = listener->previous;
    else
        listener->service->listeners_end = listener->previous;
    listener_leave_machine(listener);
    RB_REMOVE(ListenersByKey, &registry->listeners, listener);
    registry->listener_count--;
    listener->next = NULL;
    listener->former_service = strdup(listener->service->context->name);
    listener->service = NULL;
}

void registry_order_listeners(Registry *registry, Service *service, const PlanWanted *wanted)
{
    service->listeners = NULL;
    service->listeners_end = &service->listeners;
    for (size_t i = 0; i < wanted->count; i++) {
        const PlanListener *want = &wanted->listeners[i];
        for (Listener *listener = registry_first_claim(registry, want->key); listener; listener = registry_next_claim(listener)) {
            if (listener->service != service || strcmp(listener->uri, want->uri) != 0 ||
                !text_equal(listener->machine, want->machine))
                continue;
            listener_append(service, listener);
            break;
        }
    }
}

void listener_free(Listener *listener)
{
    if (!listener)
        return;
    if (listener->unkept)
        LIST_REMOVE(listener, of_unkept);
    fd_close(listener->fd);
    free(listener->uri);
    free(listener->key);
    free(listener->machine);
    free(listener->user);
    free(listener->group);
    free(listener->mode);
    free(listener->reason);
    free(listener->watch_path);
    free(listener->holders);
    free(listener->path);
    free(listener->former_service);
    free(listener);
}

