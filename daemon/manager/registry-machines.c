/* SPDX-License-Identifier: Apache-2.0 */
/* What machines are known by beside their names, so that two that claim one thing are found without a look at all. */

#include <string.h>

#include "daemon/manager/registry.h"

static const char *key_text(MachineKeyKind kind, const MachineContext *context)
{
    switch (kind) {
    case MACHINE_HYBRID:
        return context->hybrid;
    case MACHINE_HYPERKIT:
        return context->hyperkit;
    case MACHINE_VM_ID:
        return context->vm_id;
    case MACHINE_CID:
    case MACHINE_KEYS:
        break;
    }
    return NULL;
}

static bool key_is_there(MachineKeyKind kind, const MachineContext *context)
{
    return kind == MACHINE_CID ? context->cid.set : key_text(kind, context) != NULL;
}

static int key_compare(const MachineKey *a, const MachineKey *b)
{
    int order = (a->kind > b->kind) - (a->kind < b->kind);

    if (order)
        return order;
    if (a->kind == MACHINE_CID)
        order = (a->context->cid.value > b->context->cid.value) - (a->context->cid.value < b->context->cid.value);
    else
        order = strcmp(key_text(a->kind, a->context), key_text(b->kind, b->context));
    /* In the middle of a set of changes two may have one; NULL, in searches, comes first. */
    return order ? order : (a->machine > b->machine) - (a->machine < b->machine);
}

RB_GENERATE_INTERNAL(MachinesByKey, MachineKey, by_value, key_compare, _unused_ static)

void registry_index_machine(Registry *registry, Machine *machine)
{
    for (MachineKeyKind kind = 0; kind < MACHINE_KEYS; kind++) {
        MachineKey *key = &machine->keys[kind];
        *key = (MachineKey){.kind = kind, .machine = machine, .context = machine->context};
        if (key_is_there(kind, machine->context))
            RB_INSERT(MachinesByKey, &registry->machines_by_key, key);
    }
}

void registry_unindex_machine(Registry *registry, Machine *machine)
{
    for (MachineKeyKind kind = 0; kind < MACHINE_KEYS; kind++)
        if (key_is_there(kind, machine->context))
            RB_REMOVE(MachinesByKey, &registry->machines_by_key, &machine->keys[kind]);
}

Machine *registry_next_of_key(Registry *registry, MachineKeyKind kind, const MachineContext *context, Machine *after)
{
    MachineKey wanted = {.kind = kind, .context = context};

    if (!key_is_there(kind, context))
        return NULL;
    MachineKey *found = after ? MachinesByKey_RB_NEXT(&after->keys[kind])
                              : RB_NFIND(MachinesByKey, &registry->machines_by_key, &wanted);
    if (!found)
        return NULL;
    wanted.machine = found->machine;
    return key_compare(found, &wanted) == 0 ? found->machine : NULL;
}

Machine *registry_find_machine_by_cid(Registry *registry, uint32_t cid)
{
    MachineContext context = {.cid = {.value = cid, .set = true}};
    Machine *machine = registry_next_of_key(registry, MACHINE_CID, &context, NULL);

    return machine && !registry_next_of_key(registry, MACHINE_CID, &context, machine) ? machine : NULL;
}
