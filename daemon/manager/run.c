/* SPDX-License-Identifier: Apache-2.0 */
/* A run of the plan: what changes have planned is bound, changed and let go of, many at once. Lives for one call. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/bind/bind.h"
#include "daemon/log.h"
#include "daemon/manager/kept.h"
#include "daemon/place/holders.h"
#include "schema/base/fd.h"

/* So many at once share what costs: a folder, a question to the keeper. Not more, so that a start with very many goes on
 * while the first of them are told. */
#define RUN_MAX 250
#define CLOSE_MAX 64

typedef struct Run {
    size_t count, capacity;
    Listener **listeners;
    BindRequest *requests;
    Address *addresses;
    PlaceResult *results;
} Run;

static void run_free(Run *run)
{
    free(run->listeners);
    free(run->requests);
    free(run->addresses);
    free(run->results);
}

static int run_new(size_t capacity, Run *ret)
{
    Run run = {
        .capacity = capacity,
        .listeners = reallocarray(NULL, capacity, sizeof(*run.listeners)),
        .requests = reallocarray(NULL, capacity, sizeof(*run.requests)),
        .addresses = reallocarray(NULL, capacity, sizeof(*run.addresses)),
        .results = reallocarray(NULL, capacity, sizeof(*run.results)),
    };

    if (!run.listeners || !run.requests || !run.addresses || !run.results) {
        run_free(&run);
        return -ENOMEM;
    }
    *ret = run;
    return 0;
}

static void listener_failed(Manager *manager, Listener *listener, const char *reason)
{
    PlaceResult result = {.fd = -1, .state = PLACE_WAITING, .reason = strdup(reason)};

    manager_take_result(manager, listener, &result);
    place_result_release(&result);
}

/* What was passed to us at the start is as who passed it wants it: nothing is bound, and nothing changed. */
static bool run_adopted(Manager *manager, Listener *listener)
{
    PlaceResult result = {.state = PLACE_LISTENING, .fd = listener->fd < 0 ? manager_adopt_take(manager, listener) : -1};

    if (!listener->adopted)
        return false;
    manager_take_result(manager, listener, &result);
    place_result_release(&result);
    return true;
}

/* What is bound at a path is known by it: it needs not be made of the URI again. */
static int find_address(const Listener *listener, Address *address, const char **ret_reason)
{
    const Transport *transport = transport_of(listener->uri);
    const char *hint;

    if (!transport || !transport->has_path)
        return address_parse(listener->uri, address, ret_reason, &hint);
    *address = (Address){.transport = transport};
    return 0;
}

static BindRequest make_request(const Listener *listener, const Address *address)
{
    return (BindRequest){
        .address = address,
        .path = address->transport->has_path ? listener->key : NULL,
        .type = listener->type,
        .backlog = listener->backlog,
        .user = listener->user,
        .group = listener->group,
        .mode = listener->mode,
        .as_user = listener->on_machine ? listener->on_machine->context->user : NULL,
        .as_group = listener->on_machine ? listener->on_machine->context->group : NULL,
        .known_holders = listener->holders,
        .known_holder_count = listener->holder_count,
        .device = listener->device,
        .inode = listener->inode,
    };
}

/* The listener is in no queue. What is there already is changed at once; what is to be bound waits in the run. */
static void run_add(Run *run, Manager *manager, Listener *listener)
{
    Address *address = &run->addresses[run->count];
    BindRequest *request = &run->requests[run->count];
    const char *reason = NULL;

    if (run_adopted(manager, listener))
        return;
    int r = find_address(listener, address, &reason);
    if (r != 0) {
        listener_failed(manager, listener, r == -ENOMEM ? "out of memory" : reason ? reason : strerror(-r));
        return;
    }
    *request = make_request(listener, address);
    if (listener->fd < 0) {
        run->listeners[run->count++] = listener;
        return;
    }
    PlaceResult result = {.fd = -1};
    const BindHands hands = manager_hands(manager);
    if (bind_change(request, listener->fd, listener->path, &result, &hands) < 0) {
        listener_failed(manager, listener, "out of memory");
    } else {
        manager_take_result(manager, listener, &result);
        place_result_release(&result);
    }
    address_release(address);
}

static void run_bind(Run *run, Manager *manager)
{
    const BindHands hands = manager_hands(manager);
    int r = bind_many(run->requests, run->results, run->count, &hands);

    for (size_t i = 0; i < run->count; i++) {
        PlaceResult *result = &run->results[i];
        if (r < 0 || (result->state != PLACE_LISTENING && !result->reason)) {
            listener_failed(manager, run->listeners[i], "out of memory");
        } else {
            manager_take_result(manager, run->listeners[i], result);
        }
        if (r == 0)
            place_result_release(result);
        address_release(&run->addresses[i]);
    }
    run->count = 0;
}

static int run_planned(Manager *manager)
{
    Listener *listener;
    size_t count = 0;
    Run run;

    TAILQ_FOREACH(listener, &manager->planned, queue)
        if (++count == RUN_MAX)
            break;
    int r = run_new(count, &run);
    if (r < 0)
        return r;
    while (!TAILQ_EMPTY(&manager->planned)) {
        while (run.count < run.capacity && (listener = TAILQ_FIRST(&manager->planned))) {
            manager_dequeue_listener(manager, listener);
            run_add(&run, manager, listener);
        }
        run_bind(&run, manager);
    }
    run_free(&run);
    return 0;
}

/* The keeper lets go before we do, and before anybody is answered: a port of AF_VSOCK is free when nobody has it any more, a
 * folder's file system can be unmounted then, and who else has it is to be seen. */
static void forget_closing(Manager *manager)
{
    const Listener *listener;

    if (TAILQ_EMPTY(&manager->closing))
        return;
    TAILQ_FOREACH(listener, &manager->closing, queue)
        manager_forget_listener(manager, listener);
    manager_keep_flush_wait(manager);
}

static void close_closing(Manager *manager)
{
    Listener *listeners[CLOSE_MAX], *listener;
    PlaceHeld held[CLOSE_MAX];
    uint64_t inodes[CLOSE_MAX];
    size_t count;

    for (count = 0; (listener = TAILQ_FIRST(&manager->closing)); count = 0) {
        for (; count < CLOSE_MAX && (listener = TAILQ_FIRST(&manager->closing)); count++) {
            TAILQ_REMOVE(&manager->closing, listener, queue);
            bool elsewhere = (listener->handed_out || listener->adopted) && !listener->path;
            inodes[count] = elsewhere ? holders_inode(listener->fd) : 0;
            held[count] = (PlaceHeld){TAKE_FD(listener->fd), listener->path, listener->device, listener->inode};
            listeners[count] = listener;
        }
        manager_release_places(manager, held, count);
        for (size_t i = 0; i < count; i++)
            manager_listener_closed(manager, listeners[i], inodes[i]);
    }
}

/* What was held when both of us were killed, and is wanted no more: the socket's file has stayed. It is replaced as any that
 * nobody listens on, and removed. */
static void clear_left_over(Manager *manager, const Listener *listener)
{
    const Address address = {.transport = transport_of(listener->uri)};
    const BindRequest request = make_request(listener, &address);
    const BindHands hands = manager_hands(manager);
    PlaceResult result = {.fd = -1};
    struct stat status;

    if (lstat(listener->key, &status) < 0 ? errno != EACCES : !S_ISSOCK(status.st_mode))
        return;
    if (bind_many(&request, &result, 1, &hands) < 0)
        return;
    if (result.state == PLACE_LISTENING) {
        log_notice("%s: %s was left there, and nobody wants it any more: it is removed",
                   listener->former_service ? listener->former_service : "?", listener->uri);
        manager_release_place(manager, TAKE_FD(result.fd), result.path, result.device, result.inode);
    }
    place_result_release(&result);
}

static void clear_all_left_over(Manager *manager)
{
    Listener *listener;

    while ((listener = TAILQ_FIRST(&manager->left_over))) {
        TAILQ_REMOVE(&manager->left_over, listener, queue);
        clear_left_over(manager, listener);
        listener_free(listener);
    }
}

void manager_run_plan(Manager *manager)
{
    Listener *listener;

    forget_closing(manager);
    close_closing(manager);
    clear_all_left_over(manager);
    if (!TAILQ_EMPTY(&manager->planned) && run_planned(manager) < 0)
        while ((listener = TAILQ_FIRST(&manager->planned))) {
            manager_dequeue_listener(manager, listener);
            listener_failed(manager, listener, "out of memory");
        }
    manager_activate_settled(manager);
    manager_keep_flush(manager);
    manager_watch_waiting(manager);
}

void manager_run_plan_between(Manager *manager)
{
    if (!manager->staged)
        manager_run_plan(manager);
}
