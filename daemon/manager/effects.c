/* SPDX-License-Identifier: Apache-2.0 */
/* What a staged change brings about outside of memory and store, and what cannot be taken back: who is told, whose leases end,
 * which entries come and go. It waits here until the change is committed, and is forgotten where that fails. Lives for one
 * turn of writes. */

#include <errno.h>
#include <string.h>

#include "daemon/manager/internal.h"

typedef struct Telling {
    const char *kind; /* of an event */
    const char *verb;
    bool machine;
} Telling;

static const Telling tellings[] = {
    [EFFECT_REGISTERED] = {.kind = "registered", .verb = "registered"},
    [EFFECT_CHANGED] = {.kind = "changed", .verb = "changed"},
    [EFFECT_UNREGISTERED] = {.kind = "unregistered", .verb = "gone"},
    [EFFECT_ENABLED] = {.kind = "enabled", .verb = "enabled"},
    [EFFECT_DISABLED] = {.kind = "disabled", .verb = "disabled"},
    [EFFECT_MACHINE_ADDED] = {.kind = "machine-added", .verb = "added", .machine = true},
    [EFFECT_MACHINE_CHANGED] = {.kind = "machine-added", .verb = "changed", .machine = true},
    [EFFECT_MACHINE_REMOVED] = {.kind = "machine-removed", .verb = "gone", .machine = true},
};

int manager_effect(Manager *manager, EffectKind kind, const char *name)
{
    Buffer *effects = &manager->effects;

    buffer_append_char(effects, (char)kind);
    buffer_append(effects, name, strlen(name) + 1);
    return effects->failed ? -ENOMEM : 0;
}

static void effect_tell(Manager *manager, const Telling *telling, const char *name)
{
    manager_event(manager, telling->kind, telling->machine ? NULL : name, telling->machine ? name : NULL, "%s%s is %s",
                  telling->machine ? "machine " : "", name, telling->verb);
}

static void effect_forget(Manager *manager, const char *name, bool ephemeral)
{
    manager->forgets_ephemeral = ephemeral;
    manager_serve_forget(manager, name);
    leases_drop_service(manager->leases, name);
    metrics_forget(manager->metrics, name);
    manager->forgets_ephemeral = false;
}

static void effect_happen(Manager *manager, EffectKind kind, const char *name)
{
    switch (kind) {
    case EFFECT_REGISTERED:
    case EFFECT_CHANGED:
    case EFFECT_UNREGISTERED:
    case EFFECT_ENABLED:
    case EFFECT_DISABLED:
    case EFFECT_MACHINE_ADDED:
    case EFFECT_MACHINE_CHANGED:
    case EFFECT_MACHINE_REMOVED:
        effect_tell(manager, &tellings[kind], name);
        break;
    case EFFECT_RELOADED:
        manager_event(manager, "reloaded", NULL, NULL, "the files were read again");
        break;
    case EFFECT_STOP:
        manager_serve_stop(manager, name);
        leases_drop_service(manager->leases, name);
        break;
    case EFFECT_FORGET:
    case EFFECT_FORGET_EPHEMERAL:
        effect_forget(manager, name, kind == EFFECT_FORGET_EPHEMERAL);
        break;
    case EFFECT_ENTRY_OPEN:
    case EFFECT_ENTRY_CLOSE:
        if (manager->observer.on_handout_socket)
            manager->observer.on_handout_socket(name, kind == EFFECT_ENTRY_OPEN, manager->observer.userdata);
        break;
    }
}

void manager_effects_happen(Manager *manager)
{
    _cleanup_(buffer_release) Buffer effects = manager->effects;

    manager->effects = (Buffer){0};
    for (const char *at = effects.data, *end = at ? at + effects.size_bytes : NULL; at < end; at += strlen(at) + 1)
        effect_happen(manager, (EffectKind)at[0], at + 1);
}

void manager_effects_forget(Manager *manager)
{
    buffer_release(&manager->effects);
}
