/* SPDX-License-Identifier: Apache-2.0 */
/* The plan at work: listeners are planned when a change is staged, and when it has settled they are made, changed (run.c)
 * and let go of. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/place/holders.h"
#include "daemon/log.h"
#include "daemon/manager/kept.h"

#define DRAINING_HOLDERS_MAX 64

void manager_dequeue_listener(Manager *manager, Listener *listener)
{
    manager_unwatch_listener(listener);
    if (listener->planned)
        TAILQ_REMOVE(&manager->planned, listener, queue);
    else if (listener->state == LISTENER_WAITING)
        TAILQ_REMOVE(&manager->waiting, listener, queue);
    listener->planned = listener->lost = false;
}

static void listener_plan(Manager *manager, Listener *listener)
{
    if (listener->planned)
        return;
    manager_dequeue_listener(manager, listener);
    listener->planned = true;
    TAILQ_INSERT_TAIL(&manager->planned, listener, queue);
}

/* Out of its service at once; what it holds is let go of when the change has settled. */
static void listener_plan_close(Manager *manager, Listener *listener)
{
    Service *service = listener->service;

    manager_dequeue_listener(manager, listener);
    registry_remove_listener(&manager->registry, listener);
    registry_touch(&manager->registry, service);
    const Transport *transport = transport_of(listener->uri);
    if (listener->fd >= 0)
        TAILQ_INSERT_TAIL(&manager->closing, listener, queue);
    else if (manager->booting && listener->state == LISTENER_PENDING && transport && transport->has_path)
        TAILQ_INSERT_TAIL(&manager->left_over, listener, queue);
    else
        listener_free(listener);
}

void manager_plan_close_all(Manager *manager, Service *service)
{
    while (service->listeners)
        listener_plan_close(manager, service->listeners);
}

void manager_plan_close_machine(Manager *manager, Machine *machine)
{
    while (!LIST_EMPTY(&machine->listeners))
        listener_plan_close(manager, LIST_FIRST(&machine->listeners));
}

static int replace_text(char **text, const char *with)
{
    char *copy = NULL;

    if (text_equal(*text, with))
        return 0;
    if (with && !(copy = strdup(with)))
        return -ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

static int listener_plan_change(Manager *manager, Listener *listener, const PlanListener *wanted)
{
    int r = replace_text(&listener->user, wanted->user);

    if (r == 0)
        r = replace_text(&listener->group, wanted->group);
    if (r == 0)
        r = replace_text(&listener->mode, wanted->mode);
    if (r < 0)
        return r;
    listener->backlog = wanted->backlog;
    listener_plan(manager, listener);
    return 0;
}

/* What a service holds, as the plan compares it. */
typedef struct Held {
    PlanListener *many; /* where few are not enough */
    size_t count;
    size_t capacity;
    PlanListener few[8]; /* as many as count are filled in */
} Held;

static int held_add(Held *held, Manager *manager, Listener *listener)
{
    PlanListener *listeners = held->many ? held->many : held->few;

    if (held->count == held->capacity) {
        size_t capacity = held->capacity ? held->capacity * 2 : ELEMENTS_OF(held->few);
        if (held->capacity > 0) {
            PlanListener *many = reallocarray(held->many, capacity, sizeof(*many));
            if (!many)
                return -ENOMEM;
            if (!held->many)
                memcpy(many, held->few, sizeof(held->few));
            listeners = held->many = many;
        }
        held->capacity = capacity;
    }
    /* A change is a reason to try again what had failed for good. */
    if (listener->state == LISTENER_FAILED)
        listener_plan(manager, listener);
    listeners[held->count++] = (PlanListener){
        .service = listener->service->context->name,
        .machine = listener->machine,
        .uri = listener->uri,
        .key = listener->key,
        .type = listener->type,
        .backlog = listener->backlog,
        .user = listener->user,
        .group = listener->group,
        .mode = listener->mode,
        .userdata = listener,
    };
    return 0;
}

static int held_collect(Held *held, Manager *manager, Service *service, const ChangeSet *machines_of)
{
    Listener *listener;
    int r = 0;

    for (listener = service->listeners; !machines_of && listener && r == 0; listener = listener->next)
        r = held_add(held, manager, listener);
    for (size_t i = 0; machines_of && i < machines_of->count; i++) {
        const Change *change = &machines_of->items[i];
        Machine *machine = change->object == STORED_MACHINE && change->kind != CHANGE_REMOVE
                               ? registry_find_machine(&manager->registry, change->name)
                               : NULL;
        if (machine)
            LIST_FOREACH(listener, &machine->listeners, of_machine)
                if (listener->service == service && (r = held_add(held, manager, listener)) < 0)
                    return r;
    }
    return r;
}

static int listener_plan_bind(Manager *manager, Service *service, const PlanListener *wanted)
{
    Listener *listener = registry_add_listener(&manager->registry, service, wanted);

    if (!listener)
        return -ENOMEM;
    listener_plan(manager, listener);
    return 0;
}

/* It holds nothing of what is planned, so there is nothing to be compared: as where a machine comes. */
static int plan_all(Manager *manager, Service *service, const PlanWanted *wanted)
{
    int r = 0;

    for (size_t i = 0; i < wanted->count && r == 0; i++)
        r = listener_plan_bind(manager, service, &wanted->listeners[i]);
    registry_touch(&manager->registry, service);
    return r;
}

int manager_plan_service(Manager *manager, Service *service, const PlanWanted *wanted, const ChangeSet *machines_of)
{
    Held held;
    Plan plan;

    held.many = NULL;
    held.count = held.capacity = 0;
    int r = held_collect(&held, manager, service, machines_of);

    if (r == 0 && held.count == 0)
        return plan_all(manager, service, wanted);
    if (r == 0)
        r = plan_make(wanted->listeners, wanted->count, held.many ? held.many : held.few, held.count, &plan);
    if (r < 0) {
        free(held.many);
        return r;
    }
    for (size_t i = 0; i < plan.count && r == 0; i++) {
        const PlanStep *step = &plan.steps[i];
        switch (step->kind) {
        case PLAN_CLOSE:
            listener_plan_close(manager, step->held->userdata);
            break;
        case PLAN_CHANGE:
            r = listener_plan_change(manager, step->held->userdata, step->wanted);
            break;
        case PLAN_BIND:
            r = listener_plan_bind(manager, service, step->wanted);
            break;
        }
    }
    if (r == 0 && plan.count > 0 && wanted->count > 1 && !machines_of)
        registry_order_listeners(&manager->registry, service, wanted);
    plan_release(&plan);
    free(held.many);
    registry_touch(&manager->registry, service);
    return r;
}

void manager_plan_failed(Manager *manager)
{
    for (Service *service = registry_next_service(&manager->registry, NULL); service;
         service = registry_service_after(service))
        for (Listener *listener = service->listeners; listener; listener = listener->next)
            if (listener->state == LISTENER_FAILED)
                listener_plan(manager, listener);
}

/* ---- settling ---- */

void manager_listener_closed(Manager *manager, Listener *listener, uint64_t inode)
{
    if (manager->observer.on_listeners && listener->former_service)
        manager->observer.on_listeners(listener->former_service, manager->observer.userdata);
    if (inode > 0)
        manager_find_holders(manager, &inode, 1, DRAINING_HOLDERS_MAX, &listener->holders, &listener->holder_count);
    if (listener->holder_count == 0) {
        listener_free(listener);
        return;
    }
    listener->socket_inode = inode;
    listener->state = LISTENER_DRAINING;
    TAILQ_INSERT_TAIL(&manager->draining, listener, queue);
    manager_event(manager, "draining", listener->former_service, listener->machine,
                  "%s is closed here, and still held by process %d", listener->uri, (int)listener->holders[0]);
    log_notice("%s: %s is closed here, and still held by process %d%s",
               listener->former_service ? listener->former_service : "?", listener->uri, (int)listener->holders[0],
               listener->adopted ? ", which passed it at the start; stop the unit of that to free the address"
                                 : "; end it to free the address");
}

/* Told when it is news: at the start nobody watches yet, and what listens as it should is none. */
void manager_listener_told(Manager *manager, Listener *listener)
{
    if (manager->booting && listener->state == LISTENER_LISTENING)
        return;

    const char *name = listener->service->context->name;

    switch ((ListenerState)listener->state) {
    case LISTENER_LISTENING:
        log_debug("%s: listening on %s", name, listener->uri);
        manager_event_listening(manager, name, listener->machine, listener->uri);
        if (manager->observer.on_listeners)
            manager->observer.on_listeners(name, manager->observer.userdata);
        break;
    case LISTENER_WAITING:
        log_notice("%s: %s waits: %s", name, listener->uri, listener->reason);
        manager_event(manager, "waiting", name, listener->machine, "%s waits for %s: %s", name, listener->uri,
                      listener->reason);
        break;
    case LISTENER_FAILED:
        log_warning("%s: cannot listen on %s: %s", name, listener->uri, listener->reason);
        manager_event(manager, "failed", name, listener->machine, "%s cannot listen on %s: %s", name, listener->uri,
                      listener->reason);
        break;
    case LISTENER_PENDING:
    case LISTENER_DRAINING:
        break;
    }
}

/* It waits for one of our own that is draining: whose holders we know. */
static void listener_name_drained(Manager *manager, Listener *listener)
{
    const Listener *drained;
    char program[64] = "?";

    TAILQ_FOREACH(drained, &manager->draining, queue)
        if (strcmp(drained->key, listener->key) == 0)
            break;
    if (!drained || drained->holder_count == 0)
        return;
    pid_t *holders = reallocarray(NULL, drained->holder_count, sizeof(*holders));
    if (!holders)
        return;
    memcpy(holders, drained->holders, drained->holder_count * sizeof(*holders));
    listener->holders = holders;
    listener->holder_count = drained->holder_count;
    process_name(holders[0], program, sizeof(program));
    char *reason = NULL;
    if (asprintf(&reason, drained->adopted ? "%s is still held by process %d (%s), which passed it for %s at the start; stop its "
                                             "unit to free it, or restart hvsockd to have it passed again"
                                           : "%s is still held by process %d (%s), which took it from %s; end that to free it",
                 listener->uri, (int)holders[0], program,
                 drained->former_service ? drained->former_service : "a service that is gone") >= 0) {
        free(listener->reason);
        listener->reason = reason;
    }
}

/* What a try has come to. The listener is in no queue before. */
void manager_take_result(Manager *manager, Listener *listener, PlaceResult *result)
{
    static const ListenerState states[] = {
        [PLACE_LISTENING] = LISTENER_LISTENING, [PLACE_WAITING] = LISTENER_WAITING, [PLACE_FAILED] = LISTENER_FAILED};
    ListenerState before = (ListenerState)listener->state;
    _cleanup_(freep) char *reason_before = listener->reason;

    listener->state = (uint8_t)states[result->state];
    listener->reason = TAKE_PTR(result->reason);
    free(listener->watch_path);
    listener->watch_path = TAKE_PTR(result->watch_path);
    free(listener->holders);
    listener->holders = TAKE_PTR(result->holders);
    listener->holder_count = result->holder_count;
    if (listener->state == LISTENER_WAITING && result->error == EADDRINUSE && listener->holder_count == 0)
        listener_name_drained(manager, listener);
    if (result->fd >= 0) {
        listener_stop_watch(listener);
        fd_close(listener->fd);
        listener->fd = TAKE_FD(result->fd);
        free(listener->path);
        listener->path = TAKE_PTR(result->path);
        listener->device = result->device;
        listener->inode = result->inode;
    }
    manager_keep_listener(manager, listener);
    if (listener->state == LISTENER_WAITING)
        TAILQ_INSERT_TAIL(&manager->waiting, listener, queue);
    manager_serve_listener(manager, listener);
    manager_watch_listener(manager, listener);
    if (before != listener->state || !text_equal(listener->reason, reason_before)) {
        registry_touch(&manager->registry, listener->service);
        manager_listener_told(manager, listener);
    }
}

/* Its path is gone, and with it everybody who could have come. */
static void listener_let_go(Manager *manager, Listener *listener)
{
    manager_dequeue_listener(manager, listener);
    listener_stop_watch(listener);
    manager_forget_listener(manager, listener);
    manager_release_place(manager, TAKE_FD(listener->fd), listener->path, listener->device, listener->inode);
    free(listener->path);
    listener->path = NULL;
    listener->adopted = false;
    registry_touch(&manager->registry, listener->service);
}

void manager_replace_listener(Manager *manager, Listener *listener)
{
    listener_let_go(manager, listener);
    listener->state = LISTENER_PENDING;
    listener_plan(manager, listener);
}

void manager_lose_listener(Manager *manager, Listener *listener)
{
    listener_let_go(manager, listener);
    free(listener->reason);
    listener->reason = strdup("its path was removed; it listens anew as soon as the folder has come to rest");
    listener->state = LISTENER_WAITING;
    listener->lost = true;
    TAILQ_INSERT_TAIL(&manager->waiting, listener, queue);
    manager_serve_listener(manager, listener);
    manager_listener_told(manager, listener);
}
