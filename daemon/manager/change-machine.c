/* SPDX-License-Identifier: Apache-2.0 */
/* AddMachine, RemoveMachine: machines are for administrators; each is one ChangeSet with whatever listens there. */

#include <errno.h>

#include "daemon/manager/internal.h"

static int check_administrator(Manager *manager, const Caller *caller, const char *name, Failure *failure)
{
    if (caller->only_service || !access_is_administrator(manager->access, caller->credentials))
        return failure_not_allowed(failure, name, "machines are for administrators (see hvsockd.yaml(5), administrators)");
    return manager_check_storage(manager, failure);
}

int manager_check_machine_limit(Manager *manager, const Caller *caller, size_t more, Failure *failure)
{
    const Limits *limits = manager->settings->limits;

    if (more == 0)
        return 0;
    if (manager->registry.machine_count + more > limits->machines.value)
        return failure_limit_reached(failure, "machines", limits->machines.value);
    return registry_count_of_user(&manager->registry, caller->credentials->uid).machines + more > limits->machines_per_user.value
               ? failure_limit_reached(failure, "machinesPerUser", limits->machines_per_user.value)
               : 0;
}

int manager_add_machine(Manager *manager, const Caller *caller, MachineContext *machine_consume, pid_t ephemeral_pid,
                        Failure *failure)
{
    _cleanup_(machine_context_freep) MachineContext *context = machine_consume;
    Problems problems = {0};
    int r = machine_validate(context, &problems);

    if (r == 0 && problems.errors > 0)
        r = failure_invalid_field(failure, &problems);
    problems_release(&problems);
    if (r == 0)
        r = check_administrator(manager, caller, context->name, failure);
    if (r != 0)
        return r;

    Machine *old = registry_find_machine(&manager->registry, context->name);
    if (old && (old->origin->kind != STORED_USER || old->origin->uid != caller->credentials->uid))
        return manager_refuse_machine(failure, old);
    if (old && old->ephemeral_pid == ephemeral_pid && record_equal(&record_type_MachineContext, old->context, context))
        return 0;
    r = manager_check_machine_limit(manager, caller, old ? 0 : 1, failure);
    if (r != 0)
        return r;

    ChangeSet set;
    changeset_init(&set, manager);
    set.actor = caller;
    Change *change = changeset_put_machine(&set, TAKE_PTR(context), STORED_USER, NULL, caller->credentials->uid);
    r = changeset_run_tied(&set, change, ephemeral_pid, failure);
    changeset_release(&set);
    return r;
}

int manager_remove_machine(Manager *manager, const Caller *caller, const char *name, Failure *failure)
{
    Machine *machine = registry_find_machine(&manager->registry, name);
    ChangeSet set;
    int r;

    if (!machine)
        return failure_no_such_machine(failure, name);
    if (machine->origin->kind == STORED_FILE)
        return manager_refuse_machine(failure, machine);
    r = check_administrator(manager, caller, name, failure);
    if (r != 0)
        return r;
    changeset_init(&set, manager);
    set.actor = caller;
    r = changeset_remove_machine(&set, machine) ? changeset_run(&set, failure) : -ENOMEM;
    changeset_release(&set);
    return r;
}
