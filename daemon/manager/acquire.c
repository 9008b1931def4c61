/* SPDX-License-Identifier: Apache-2.0 */
/* Acquire: listeners for a client, all names or none, and the leases that say who has them. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/place/holders.h"
#include "daemon/log.h"
#include "daemon/manager/kept.h"

#define ACQUIRE_NAMES_MAX 1024

void handed_release(Handed *handed)
{
    for (size_t i = 0; handed->objects && i < handed->count; i++)
        free(handed->objects[i]);
    free(handed->objects);
    fd_list_clear(&handed->fds);
    *handed = (Handed){0};
}

static int check_mode(Manager *manager, const Service *service, Failure *failure)
{
    bool implied = false;
    int r = manager_implied_peers(manager, service->context, &implied);

    if (r < 0 || service_handout_mode(service->context, implied) != HANDOUT_CONNECTIONS)
        return r;
    return failure_not_allowed(failure, service->context->name,
                               "its handout mode is connections, so that its peers are checked; use Serve");
}

/* Neither another's lease, nor a process that holds the socket otherwise: but who has it already may have given it to its children. */
static int check_exclusive(Manager *manager, const Caller *caller, const Service *service, Failure *failure)
{
    const char *name = service->context->name;

    if (!service->context->handout || service->context->handout->exclusive != YES)
        return 0;
    for (const Lease *lease = leases_of_service(manager->leases, name); lease; lease = lease->next_of_service)
        if (lease->pid != caller->credentials->pid)
            return failure_busy(failure, name, lease->pid, lease->uid, lease->since_us);
    if (leases_has_kind(manager->leases, name, LEASE_LISTENERS, caller->credentials->pid))
        return 0;
    for (const Listener *listener = service->listeners; listener; listener = listener->next) {
        _cleanup_(freep) pid_t *pids = NULL;
        size_t count = 0;
        uint64_t inode = listener->handed_out && listener->fd >= 0 ? holders_inode(listener->fd) : 0;
        if (inode == 0 || manager_find_holders(manager, &inode, 1, 8, &pids, &count) < 0)
            continue;
        for (size_t i = 0; i < count; i++)
            if (pids[i] != caller->credentials->pid)
                return failure_busy(failure, name, pids[i], process_owner(pids[i]), service->registered_at_us);
    }
    return 0;
}

static int check_listening(const Service *service, Failure *failure)
{
    const char *reason = "it holds no listener";

    if (!service_effectively_enabled(service))
        return failure_not_listening(failure, service->context->name, "it is disabled; enable it first");
    for (const Listener *listener = service->listeners; listener; listener = listener->next) {
        if (listener->state == LISTENER_LISTENING)
            return 0;
        reason = listener->reason ? listener->reason : reason;
    }
    return failure_not_listening(failure, service->context->name, reason);
}

/* It is there, and this caller may take it. */
static int check_rights(Manager *manager, const Caller *caller, const char *name, Service **ret, Failure *failure)
{
    Service *service = registry_find_service(&manager->registry, name);

    if (!service || (caller->only_service && strcmp(caller->only_service, name) != 0))
        return failure_no_such_service(failure, name);
    const char *why = access_may_take(manager->access, caller->credentials, service->context,
                                      service->has_port ? &service->port : NULL);
    if (why)
        return failure_not_allowed(failure, name, why);
    *ret = service;
    return 0;
}

static int check_service(Manager *manager, const Caller *caller, const char *name, Failure *failure)
{
    Service *service = NULL;
    int r = check_rights(manager, caller, name, &service, failure);

    if (r == 0)
        r = check_mode(manager, service, failure);
    if (r == 0)
        r = check_listening(service, failure);
    return r == 0 ? check_exclusive(manager, caller, service, failure) : r;
}

/* What only waits to listen, or for a machine, can be served already. */
int manager_check_serve(Manager *manager, const Caller *caller, const char *name, Service **ret, Failure *failure)
{
    Service *service = NULL;
    int r = check_rights(manager, caller, name, &service, failure);

    if (r != 0)
        return r;
    if (service_type(service->context) == SERVICE_DGRAM)
        return failure_not_allowed(failure, name, "datagrams have no connections that could be accepted; use Acquire");
    if (!service_effectively_enabled(service) || (!service->listeners && !service->has_machines))
        return check_listening(service, failure);
    r = check_exclusive(manager, caller, service, failure);
    if (r == 0)
        *ret = service;
    return r;
}

static int hand_out(Service *service, Handed *handed)
{
    for (Listener *listener = service->listeners; listener; listener = listener->next) {
        Buffer object = {0};
        if (listener->state != LISTENER_LISTENING)
            continue;
        buffer_append_text(&object, "{\"service\":");
        buffer_append_json(&object, service->context->name);
        if (listener->machine) {
            buffer_append_text(&object, ",\"machine\":");
            buffer_append_json(&object, listener->machine);
        }
        buffer_append_text(&object, ",\"address\":");
        buffer_append_json(&object, listener->uri);
        buffer_append_char(&object, ',');

        char **objects = reallocarray(handed->objects, handed->count + 1, sizeof(*objects));
        if (!objects) {
            buffer_release(&object);
            return -ENOMEM;
        }
        handed->objects = objects;
        int r = buffer_take(&object, &handed->objects[handed->count], NULL);
        if (r < 0)
            return r;
        handed->count++;
        /* O_NONBLOCK is shared by all copies: an earlier holder may have set it. */
        r = fd_set_nonblocking(listener->fd, false);
        if (r == 0)
            r = fd_list_add_dup(&handed->fds, listener->fd);
        if (r < 0)
            return r;
    }
    return 0;
}

static void mark_handed_out(Manager *manager, Service *service)
{
    for (Listener *listener = service->listeners; listener; listener = listener->next)
        if (listener->state == LISTENER_LISTENING && !listener->handed_out) {
            listener->handed_out = true;
            manager_keep_listener(manager, listener);
        }
}

static int make_lease(Manager *manager, const Caller *caller, int process_fd, Service *service, Failure *failure)
{
    const Credentials *credentials = caller->credentials;
    uint32_t limit = manager->settings->limits->leases_per_user.value;
    int pidfd = fd_duplicate(process_fd);

    if (pidfd < 0)
        return pidfd;
    int r = leases_add_consume(manager->leases, service->context->name, pidfd, credentials->pid, credentials->uid, limit);
    if (r == LEASE_LIMIT)
        return failure_limit_reached(failure, "leasesPerUser", limit);
    if (r < 0)
        return r;
    caller->credentials->has_lease = true;
    mark_handed_out(manager, service);
    registry_touch(&manager->registry, service);
    manager_event(manager, "acquired", service->context->name, NULL, "%s is taken by process %d", service->context->name,
                  (int)credentials->pid);
    return 0;
}

static int make_leases(Manager *manager, const Caller *caller, char *const *names, Failure *failure)
{
    _cleanup_(fd_closep) int process_fd = -1;
    _cleanup_(freep) const char **new_ones = calloc(text_list_count(names) + 1, sizeof(*new_ones));
    size_t made = 0;

    if (!new_ones)
        return -ENOMEM;
    for (size_t i = 0; names[i]; i++) {
        Service *service = registry_find_service(&manager->registry, names[i]);
        bool had = leases_has_kind(manager->leases, names[i], LEASE_LISTENERS, caller->credentials->pid);
        /* A process that asks again over the connection that it asked on before has nothing to prove. */
        if (caller->credentials->has_lease && had) {
            mark_handed_out(manager, service);
            continue;
        }
        if (process_fd < 0)
            process_fd = credentials_open_pidfd(caller->credentials);
        int r = process_fd == -ESRCH ? failure_not_allowed(failure, names[i], "the process that connected has ended")
                : process_fd < 0     ? process_fd
                                     : make_lease(manager, caller, process_fd, service, failure);
        if (r != 0) {
            while (made > 0) /* all or none */
                leases_forget_kind(manager->leases, new_ones[--made], LEASE_LISTENERS, caller->credentials->pid);
            return r;
        }
        if (!had)
            new_ones[made++] = names[i];
    }
    for (size_t i = 0; i < made; i++) {
        const Service *service = registry_find_service(&manager->registry, new_ones[i]);
        if (service)
            manager_log_taken(manager, caller, service, "acquired");
    }
    for (size_t i = 0; i < made; i++)
        manager_keep_lease(manager, new_ones[i], caller->credentials->pid);
    manager_keep_flush(manager);
    return 0;
}

/* EMFILE and the like are the daemon's trouble, and are told as such; the caller may try again. */
static int refuse_resources(Failure *failure, int error)
{
    if (error == -EMFILE || error == -ENFILE)
        return failure_limit_reached(failure, "descriptors", 0);
    return error;
}

int manager_acquire(Manager *manager, const Caller *caller, char *const *names, size_t max, Handed *ret, Failure *failure)
{
    Handed handed = {0};
    size_t count = text_list_count(names);
    int r = 0;

    if (count == 0 || count > ACQUIRE_NAMES_MAX)
        return failure_invalid_parameter(failure, "names");
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            if (strcmp(names[i], names[k]) == 0)
                return failure_invalid_parameter(failure, "names");
        r = check_service(manager, caller, names[i], failure);
        if (r != 0)
            return r;
    }
    for (size_t i = 0; i < count && r == 0; i++)
        r = hand_out(registry_find_service(&manager->registry, names[i]), &handed);
    if (r == 0 && max > 0 && handed.count > max)
        r = failure_plain(failure, FAILURE_EXPECTED_MORE);
    if (r == 0)
        r = make_leases(manager, caller, names, failure);
    /* Whoever has the listeners accepts, and not we; where it came to nothing, what we watch is not to block. */
    for (size_t i = 0; i < count; i++)
        manager_serve_changed(manager, names[i]);
    if (r != 0) {
        handed_release(&handed);
        return r < 0 ? refuse_resources(failure, r) : r;
    }
    *ret = handed;
    manager_events_flush(manager);
    return 0;
}

void manager_on_lease_end(const Lease *lease, void *userdata)
{
    Manager *manager = userdata;
    Service *service = registry_find_service(&manager->registry, lease->service);

    if (service)
        registry_touch(&manager->registry, service);
    manager_forget_lease(manager, lease);
    manager_serve_lease_ended(manager, lease);
    manager_log_released(manager, lease->service, lease->pid, lease->uid, lease->since_us);
    manager_event(manager, "released", lease->service, NULL, "%s is let go of by process %d", lease->service,
                  (int)lease->pid);
    /* What was waiting for that process to let go may be had now. */
    if (!TAILQ_EMPTY(&manager->draining)) {
        manager_check_draining(manager);
        manager_run_plan_between(manager);
    }
    manager_keep_flush(manager);
    manager_events_flush(manager);
}
