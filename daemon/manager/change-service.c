/* SPDX-License-Identifier: Apache-2.0 */
/* Register, Unregister, SetEnabled: who may, what it means, and then one ChangeSet. */

#include <errno.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/manager/internal.h"

int manager_check_storage(Manager *manager, Failure *failure)
{
    const char *why = manager->lost ? manager->lost : manager->store_refuses;

    return why ? failure_storage_failed(failure, why) : 0;
}

/* What was checked is staged, or thrown away with everything else that is. */
int changeset_commit(ChangeSet *set, Failure *failure)
{
    Manager *manager = set->manager;
    bool others = manager->staged;
    int r = changeset_apply(set);

    if (r < 0) {
        _cleanup_(freep) char *why = strdup(r == -ENOMEM ? strerror(ENOMEM) : store_error(manager->store));
        log_error("cannot keep a change: %s", why ? why : strerror(-r));
        int rebuilt = manager_rebuild(manager);
        if (rebuilt < 0)
            return rebuilt;
        /* Others of this turn were staged before, and are lost with it. */
        if (others && !manager->lost)
            manager->lost = strdup(why ? why : strerror(-r));
        return failure_storage_failed(failure, why ? why : strerror(-r));
    }
    return 0;
}

int changeset_run(ChangeSet *set, Failure *failure)
{
    int r = changeset_check(set);

    if (r > 0)
        return changeset_failure(set, r, failure);
    return r < 0 ? r : changeset_commit(set, failure);
}

int changeset_run_tied(ChangeSet *set, Change *change, pid_t ephemeral_pid, Failure *failure)
{
    if (!change)
        return -ENOMEM;
    int r = manager_tie_change(set->manager, set->actor, ephemeral_pid, change, failure);
    return r != 0 ? r : changeset_run(set, failure);
}

static int refuse_holder(Failure *failure, const char *name, const Origin *origin, uint64_t since_us)
{
    Buffer text = {0};
    char *origin_text;

    origin_format(origin, &text);
    if (buffer_take(&text, &origin_text, NULL) < 0)
        return -ENOMEM;
    int code = origin->kind == STORED_FILE ? failure_declared(failure, name, origin_text)
                                           : failure_conflict(failure, "name", name, name, origin_text, since_us);
    free(origin_text);
    return code;
}

int manager_refuse_service(Failure *failure, const Service *service)
{
    return refuse_holder(failure, service->context->name, service->origin, service->registered_at_us);
}

int manager_refuse_machine(Failure *failure, const Machine *machine)
{
    return refuse_holder(failure, machine->context->name, machine->origin, machine->registered_at_us);
}

const uint32_t *manager_wanted_port(Manager *manager, const Caller *caller, const ServiceContext *service, uint32_t *port)
{
    ChangeSet nothing;

    if (service_port(service, port))
        return port;
    changeset_init(&nothing, manager);
    nothing.caller = caller;
    bool chosen = service->auto_port == YES && manager_choose_port(&nothing, service->name, port) == 0;
    /* Without any that they may have: one that is refused, so that they are told why. Where all are taken they are told
     * that. */
    uint32_t any = 0;
    nothing.caller = NULL;
    if (!chosen && !access_next_port(manager->access, caller->credentials, service->name, &any))
        chosen = service->auto_port == YES && manager_choose_port(&nothing, service->name, port) == 0;
    return chosen ? port : NULL;
}

static int check_change(Manager *manager, const Caller *caller, const ServiceContext *service, const uint32_t *port,
                        bool starts, Failure *failure)
{
    const char *why;

    if (caller->only_service)
        return failure_not_allowed(failure, service->name, "this entry is for taking one service, not for changing any");
    why = access_may_change(manager->access, caller->credentials, service, port);
    if (!why && starts)
        why = access_may_activate_as(manager->access, caller->credentials, service);
    return why ? failure_not_allowed(failure, service->name, why) : 0;
}

/* May they register a service of that name and port, with that activation? */
int manager_check_rights(Manager *manager, const Caller *caller, const ServiceContext *service, const uint32_t *port,
                         Failure *failure)
{
    return check_change(manager, caller, service, port, true, failure);
}

int manager_implied_peers(Manager *manager, const ServiceContext *service, bool *ret_implied)
{
    bool implied = manager->default_peers;

    for (size_t i = 0; service->listen && service->listen[i] && !implied; i++) {
        Address address = {0};
        if (!text_starts_with(service->listen[i], "machine:"))
            continue;
        const Machine *machine = registry_find_machine(&manager->registry, service->listen[i] + strlen("machine:"));
        int r = machine ? machine_address(machine->context, service, &address) : 0;
        if (r < 0)
            return r;
        implied = address.transport == &transport_vsock;
        address_release(&address);
    }
    *ret_implied = implied;
    return 0;
}

int manager_service_is_same(Manager *manager, const Service *service, const ServiceContext *context, bool *ret_same)
{
    _cleanup_(service_context_freep) ServiceContext *mine = NULL, *theirs = NULL;
    const uint32_t *port = service->has_port ? &service->port : NULL;
    bool implied = false;
    int r = manager_implied_peers(manager, service->context, &implied);

    if (r == 0)
        r = service_complete(service->context, port, implied, &mine);
    if (r == 0)
        r = manager_implied_peers(manager, context, &implied);
    if (r == 0)
        r = service_complete(context, context->auto_port == YES ? port : NULL, implied, &theirs);
    if (r < 0)
        return r;
    *ret_same = record_equal(&record_type_ServiceContext, mine, theirs);
    return 0;
}

/* The limits on what one uid, and all of them, may have. */
int manager_check_limits(Manager *manager, const Caller *caller, size_t more, Failure *failure)
{
    const Limits *limits = manager->settings->limits;

    if (more == 0)
        return 0;
    if (manager->registry.service_count + more > limits->services.value)
        return failure_limit_reached(failure, "services", limits->services.value);
    if (!access_is_administrator(manager->access, caller->credentials) &&
        registry_count_of_user(&manager->registry, caller->credentials->uid).services + more > limits->services_per_user.value)
        return failure_limit_reached(failure, "servicesPerUser", limits->services_per_user.value);
    return 0;
}

int manager_register(Manager *manager, const Caller *caller, ServiceContext *service_consume, pid_t ephemeral_pid,
                     Failure *failure)
{
    _cleanup_(service_context_freep) ServiceContext *context = service_consume;
    Problems problems = {0};
    bool same = false;
    uint32_t port;
    int r;

    r = service_validate(context, &problems);
    if (r == 0 && problems.errors > 0)
        r = failure_invalid_field(failure, &problems);
    problems_release(&problems);
    if (r != 0)
        return r;

    Service *old = registry_find_service(&manager->registry, context->name);
    if (old && (r = manager_service_is_same(manager, old, context, &same)) < 0)
        return r;
    if (old && same && old->origin->kind == STORED_USER && old->origin->uid == caller->credentials->uid &&
        old->ephemeral_pid == ephemeral_pid)
        return 0;

    r = manager_check_rights(manager, caller, context, manager_wanted_port(manager, caller, context, &port), failure);
    if (r == 0)
        r = manager_check_storage(manager, failure);
    if (r == 0 && old)
        r = manager_refuse_service(failure, old);
    if (r == 0)
        r = manager_check_limits(manager, caller, 1, failure);
    if (r != 0)
        return r;

    ChangeSet set;
    changeset_init(&set, manager);
    set.caller = caller;
    set.actor = caller;
    Change *change =
        changeset_put_service(&set, TAKE_PTR(context), STORED_USER, NULL, caller->credentials->uid);
    r = changeset_run_tied(&set, change, ephemeral_pid, failure);
    changeset_release(&set);
    return r;
}

/* One's own, or an administrator's right. Programs are only spoken of where they can be started then. */
static int check_owner(Manager *manager, const Caller *caller, const Service *service, bool starts, Failure *failure)
{
    const uint32_t *port = service->has_port ? &service->port : NULL;
    int r = check_change(manager, caller, service->context, port, starts, failure);

    if (r != 0)
        return r;
    if (!access_is_administrator(manager->access, caller->credentials) &&
        (service->origin->kind == STORED_FILE || service->origin->uid != caller->credentials->uid))
        return failure_not_allowed(failure, service->context->name,
                                   "it is another's; its owner or an administrator may change it");
    return 0;
}

int manager_unregister(Manager *manager, const Caller *caller, const char *name, Failure *failure)
{
    Service *service = registry_find_service(&manager->registry, name);
    ChangeSet set;
    int r;

    if (!service)
        return failure_no_such_service(failure, name);
    if (service->origin->kind == STORED_FILE)
        return manager_refuse_service(failure, service);
    r = check_owner(manager, caller, service, false, failure);
    if (r == 0)
        r = manager_check_storage(manager, failure);
    if (r != 0)
        return r;
    changeset_init(&set, manager);
    set.actor = caller;
    r = changeset_remove_service(&set, service) ? changeset_run(&set, failure) : -ENOMEM;
    changeset_release(&set);
    return r;
}

int manager_set_enabled(Manager *manager, const Caller *caller, const char *name, bool enabled, Failure *failure)
{
    Service *service = registry_find_service(&manager->registry, name);
    ChangeSet set;
    int r;

    if (!service)
        return failure_no_such_service(failure, name);
    r = check_owner(manager, caller, service, enabled, failure);
    if (r == 0)
        r = manager_check_storage(manager, failure);
    if (r != 0)
        return r;
    /* What it says of itself needs no override. */
    Choice override = service_is_enabled(service->context) == enabled ? UNSET : enabled ? YES : NO;
    /* Enabling what is enabled has effect all the same: what failed for good is tried again. */
    changeset_init(&set, manager);
    set.actor = caller;
    r = changeset_replan_service(&set, service, override) ? changeset_run(&set, failure) : -ENOMEM;
    changeset_release(&set);
    if (r == 0 && enabled)
        manager_activate_clear(manager, name);
    return r;
}
