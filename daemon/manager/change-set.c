/* SPDX-License-Identifier: Apache-2.0 */
/* Apply: what a set applied becomes what is given; what is not given stays, or goes with prune. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/manager/internal.h"

static const char *check_set_name(const char *set)
{
    return format_service_name.check(set);
}

/* A set belongs to the uid that made it. */
static int check_set(Manager *manager, const Caller *caller, const char *set, Failure *failure)
{
    uid_t uid = caller->credentials->uid;
    const char *why = check_set_name(set);

    if (why)
        return failure_invalid_field_text(failure, "set", why, format_service_name.hint);
    if (caller->only_service ||
        (!access_is_administrator(manager->access, caller->credentials) &&
         !access_is_delegate(manager->access, caller->credentials)))
        return failure_not_allowed(failure, set, "Apply is for administrators and delegates (see hvsockd.yaml(5))");
    Origin *origin = registry_find_set(&manager->registry, set);
    if (origin && origin->uid != uid)
        return failure_not_allowed(failure, set, "this set is another user's; choose another name with --set");
    return 0;
}

/* Validates every record, with its place in the call: `services[2].port`. */
static int validate(Document *document, Problems *problems)
{
    char prefix[32];
    int r = 0;

    for (size_t i = 0; document->services && document->services[i] && r == 0; i++) {
        size_t first = problems->count;
        r = service_validate(document->services[i], problems);
        snprintf(prefix, sizeof(prefix), "services[%zu]", i);
        problems_prefix(problems, first, prefix);
    }
    for (size_t i = 0; document->machines && document->machines[i] && r == 0; i++) {
        size_t first = problems->count;
        r = machine_validate(document->machines[i], problems);
        snprintf(prefix, sizeof(prefix), "machines[%zu]", i);
        problems_prefix(problems, first, prefix);
    }
    return r;
}

static bool is_mine(const Origin *origin, const char *set, uid_t uid)
{
    return origin->kind == STORED_APPLY && text_equal(origin->source, set) && origin->uid == uid;
}

/* What is declared in files is told of all of them, after everything else that refuses. */
static int put_services(ChangeSet *changes, const Caller *caller, Document *document, const char *set, Failure *failure)
{
    Manager *manager = changes->manager;
    uid_t uid = caller->credentials->uid;
    int refused = 0;

    for (size_t i = 0; document->services && document->services[i]; i++) {
        ServiceContext *context = document->services[i];
        Service *old = registry_find_service(&manager->registry, context->name);
        uint32_t port;
        int r = manager_check_rights(manager, caller, context, manager_wanted_port(manager, caller, context, &port), failure);
        if (r != 0)
            return r;
        if (old && old->origin->kind == STORED_FILE) {
            if ((refused = manager_refuse_service(failure, old)) < 0)
                return refused;
            continue;
        }
        bool same = false;
        if (old && is_mine(old->origin, set, uid) && (r = manager_service_is_same(manager, old, context, &same)) < 0)
            return r;
        if (same)
            continue;
        _cleanup_(service_context_freep) ServiceContext *copy = NULL;
        r = record_copy(&record_type_ServiceContext, context, (void **)&copy);
        if (r < 0)
            return r;
        Change *change = changeset_put_service(changes, TAKE_PTR(copy), STORED_APPLY, set, uid);
        if (!change)
            return -ENOMEM;
        change->index = (unsigned)i;
    }
    return refused;
}

static int put_machines(ChangeSet *changes, const Caller *caller, Document *document, const char *set, Failure *failure)
{
    Manager *manager = changes->manager;
    uid_t uid = caller->credentials->uid;
    int refused = 0;

    for (size_t i = 0; document->machines && document->machines[i]; i++) {
        MachineContext *context = document->machines[i];
        Machine *old = registry_find_machine(&manager->registry, context->name);
        if (!access_is_administrator(manager->access, caller->credentials))
            return failure_not_allowed(failure, context->name,
                                       "machines are for administrators (see hvsockd.yaml(5), administrators)");
        if (old && old->origin->kind == STORED_FILE) {
            if ((refused = manager_refuse_machine(failure, old)) < 0)
                return refused;
            continue;
        }
        if (old && is_mine(old->origin, set, uid) && record_equal(&record_type_MachineContext, old->context, context))
            continue;
        _cleanup_(machine_context_freep) MachineContext *copy = NULL;
        int r = record_copy(&record_type_MachineContext, context, (void **)&copy);
        if (r < 0)
            return r;
        Change *change = changeset_put_machine(changes, TAKE_PTR(copy), STORED_APPLY, set, uid);
        if (!change)
            return -ENOMEM;
        change->index = (unsigned)i;
    }
    return refused;
}

/* Names that are another's. They are told with all other conflicts. */
static int find_others_names(ChangeSet *changes, const char *set, uid_t uid)
{
    int r = 0;

    for (size_t i = 0; i < changes->count && r == 0; i++) {
        const Change *change = &changes->items[i];
        const Service *service = change->old_service;
        const Machine *machine = change->old_machine;
        const Origin *origin = service ? service->origin : machine ? machine->origin : NULL;
        if (origin && !is_mine(origin, set, uid))
            r = changeset_add_conflict(changes, change, "name", change->name, change->name, origin,
                                       service ? service->registered_at_us : machine->registered_at_us);
    }
    return r;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of an array of records that begin with one, sorted; *ret_twice: one that is there twice, or NULL. */
static int sorted_names(void *const *records, const char ***ret_names, size_t *ret_count, const char **ret_twice)
{
    size_t count = 0;

    while (records && records[count])
        count++;
    const char **names = calloc(count + 1, sizeof(*names));
    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        names[i] = *(const char *const *)records[i]; /* the first field of both records is the name */
    qsort(names, count, sizeof(*names), compare_texts);
    *ret_twice = NULL;
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            *ret_twice = names[i];
    *ret_names = names;
    *ret_count = count;
    return 0;
}

_Static_assert(offsetof(ServiceContext, name) == 0 && offsetof(MachineContext, name) == 0, "the name is the first field");

static bool names_contain(const char *const *names, size_t count, const char *name)
{
    return bsearch(&name, names, count, sizeof(*names), compare_texts) != NULL;
}

static int refuse_twice(Failure *failure, const char *array, void *const *records, const char *name)
{
    char field[48];
    size_t last = 0;

    for (size_t i = 0; records[i]; i++)
        if (strcmp(*(const char *const *)records[i], name) == 0)
            last = i;
    snprintf(field, sizeof(field), "%s[%zu].name", array, last);
    return failure_invalid_field_text(failure, field, "the name is given twice", "one entry a name");
}

static int prune_set(ChangeSet *changes, Origin *origin, const char *const *services, size_t service_count,
                     const char *const *machines, size_t machine_count)
{
    Service *service;
    Machine *machine;

    LIST_FOREACH(service, &origin->services, of_origin)
        if (!names_contain(services, service_count, service->context->name) && !changeset_remove_service(changes, service))
            return -ENOMEM;
    for (machine = machines ? LIST_FIRST(&origin->machines) : NULL; machine; machine = LIST_NEXT(machine, of_origin))
        if (!names_contain(machines, machine_count, machine->context->name) && !changeset_remove_machine(changes, machine))
            return -ENOMEM;
    return 0;
}

/* How many more of them there will be; 0 where there will be fewer. */
static size_t count_more(const ChangeSet *changes, StoredKind object)
{
    size_t added = 0, removed = 0;

    for (size_t i = 0; i < changes->count; i++) {
        added += changes->items[i].object == object && changes->items[i].kind == CHANGE_ADD;
        removed += changes->items[i].object == object && changes->items[i].kind == CHANGE_REMOVE;
    }
    return added > removed ? added - removed : 0;
}

static int collect(ChangeSet *changes, const Caller *caller, Document *document, bool machines_given, const char *set, bool prune,
                   Failure *failure)
{
    Manager *manager = changes->manager;
    _cleanup_(freep) const char **services = NULL;
    _cleanup_(freep) const char **machines = NULL;
    size_t service_count = 0, machine_count = 0;
    const char *twice;
    int r;

    r = sorted_names((void *const *)document->services, &services, &service_count, &twice);
    if (r == 0 && twice)
        r = refuse_twice(failure, "services", (void *const *)document->services, twice);
    if (r == 0)
        r = sorted_names((void *const *)document->machines, &machines, &machine_count, &twice);
    if (r == 0 && twice)
        r = refuse_twice(failure, "machines", (void *const *)document->machines, twice);
    if (r == 0)
        r = put_machines(changes, caller, document, set, failure);
    if (r == 0 || r == FAILURE_DECLARED) {
        int declared = put_services(changes, caller, document, set, failure);
        r = declared != 0 ? declared : r;
    }
    if (r == 0)
        r = find_others_names(changes, set, caller->credentials->uid);
    Origin *origin = registry_find_origin(&manager->registry, STORED_APPLY, set, caller->credentials->uid);
    if (r == 0 && prune && origin)
        r = prune_set(changes, origin, services, service_count, machines_given ? machines : NULL, machine_count);
    if (r != 0)
        return r;
    r = manager_check_limits(manager, caller, count_more(changes, STORED_SERVICE), failure);
    return r == 0 ? manager_check_machine_limit(manager, caller, count_more(changes, STORED_MACHINE), failure) : r;
}

int manager_apply(Manager *manager, const Caller *caller, Document *document_consume, bool machines_given,
                  const char *set, bool prune, bool dry_run, Buffer *ret_changes, Failure *failure)
{
    _cleanup_(document_freep) Document *document = document_consume;
    Problems problems = {0};
    ChangeSet changes;
    int r;

    set = set ? set : "default";
    r = validate(document, &problems);
    if (r == 0 && problems.errors > 0)
        r = failure_invalid_field(failure, &problems);
    problems_release(&problems);
    if (r == 0)
        r = check_set(manager, caller, set, failure);
    if (r == 0)
        r = manager_check_storage(manager, failure);
    if (r != 0)
        return r;

    changeset_init(&changes, manager);
    changes.caller = caller;
    changes.actor = caller;
    changes.of_many = true;
    r = collect(&changes, caller, document, machines_given, set, prune, failure);
    if (r == 0) {
        r = changeset_check(&changes);
        if (r > 0)
            r = changeset_failure(&changes, r, failure);
    }
    if (r == 0)
        r = changeset_render(&changes, ret_changes);
    if (r == 0 && !dry_run)
        r = changeset_commit(&changes, failure);
    if (r == 0 && !dry_run && changes.count > 0)
        manager_log_set(&changes, "applied", set);
    changeset_release(&changes);
    return r;
}
