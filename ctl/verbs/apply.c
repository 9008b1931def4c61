/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl apply: services and machines of files become so, all or none, as one set. */

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "ctl/changes.h"
#include "ctl/ctl.h"
#include "ctl/files.h"
#include "schema/base/text.h"
#include "schema/model/format.h"

typedef struct Applied {
    void **services, **machines;
    FilePlace *service_places, *machine_places;
    size_t service_count, machine_count;
} Applied;

static void applied_release(Applied *applied)
{
    free(applied->services);
    free(applied->machines);
    free(applied->service_places);
    free(applied->machine_places);
}

/* `services[2].port`: of the third service that was sent -> its file, and `port`. NULL: it is none of these. */
static const FilePlace *applied_find(const Applied *applied, const char *field, const char **ret_rest)
{
    bool is_machine = text_starts_with(field, "machines[");
    const FilePlace *places = is_machine ? applied->machine_places : applied->service_places;
    size_t count = is_machine ? applied->machine_count : applied->service_count;
    const char *number = strchr(field, '['), *end = number ? strchr(number, ']') : NULL;
    uint64_t index;

    if (!end || (!is_machine && !text_starts_with(field, "services[")) ||
        !text_to_number_sized(number + 1, (size_t)(end - number - 1), count, &index) || index >= count)
        return NULL;
    *ret_rest = end[1] == '.' ? end + 2 : end + 1;
    return &places[index];
}

static bool apply_add_conflict(const Applied *applied, const json_t *conflict, Problems *problems)
{
    const char *field = json_string_value(json_object_get(conflict, "field")), *rest;
    const char *value = json_string_value(json_object_get(conflict, "value"));
    const char *holder = json_string_value(json_object_get(conflict, "holder"));
    const char *origin = json_string_value(json_object_get(conflict, "origin"));
    const char *since = json_string_value(json_object_get(conflict, "since"));
    const FilePlace *place = field && value && holder && origin && since ? applied_find(applied, field, &rest) : NULL;
    size_t first = problems->count;

    if (place) {
        /* A name is held by what is disabled, too, and no machine is ever. */
        bool disabling = !text_starts_with(field, "machines[") && strcmp(rest, "name") != 0;
        problems_add(problems, rest, disabling ? "choose another, or disable one of the two" : "choose another, or remove one of the two",
                     "%s is held by %s (%s, since %s)", value, holder,
                     origin, since);
        load_locate(place->file, place->record, problems, first);
    }
    return place != NULL;
}

/* By its name: it is no matter of a field. */
static bool apply_add_declared(const Applied *applied, const json_t *declared, Problems *problems)
{
    const char *name = json_string_value(json_object_get(declared, "name"));
    const char *origin = json_string_value(json_object_get(declared, "origin"));
    bool told = false;

    for (size_t i = 0; name && origin && i < applied->service_count + applied->machine_count; i++) {
        bool is_service = i < applied->service_count;
        size_t at = is_service ? i : i - applied->service_count, first = problems->count;
        const FilePlace *place = is_service ? &applied->service_places[at] : &applied->machine_places[at];
        const char *const *record = is_service ? applied->services[at] : applied->machines[at];
        if (strcmp(*record, name) != 0) /* the first field of both is the name */
            continue;
        problems_add(problems, "name", "change it there, then `hvsockctl reload`, or leave it out here", "%s is declared in a file (%s)",
                     name, origin);
        load_locate(place->file, place->record, problems, first);
        told = true;
    }
    return told;
}

static bool apply_add_invalid(const Applied *applied, const json_t *parameters, Problems *problems)
{
    const char *field = json_string_value(json_object_get(parameters, "field")), *rest;
    const char *reason = json_string_value(json_object_get(parameters, "reason"));
    const FilePlace *place = field && reason ? applied_find(applied, field, &rest) : NULL;

    if (place) {
        problems_add(problems, rest, json_string_value(json_object_get(parameters, "hint")), "%s", reason);
        load_locate(place->file, place->record, problems, 0);
    }
    return place != NULL;
}

/* What the daemon found wrong in records, with the places that they came from. false: it was something else. */
static bool apply_tell_places(const Registry *registry, const Applied *applied)
{
    static const struct {
        const char *error;
        bool (*add)(const Applied *applied, const json_t *parameters, Problems *problems);
    } kinds[] = {{"Conflict", apply_add_conflict}, {"Declared", apply_add_declared}, {"InvalidField", apply_add_invalid}};
    _cleanup_(problems_release) Problems problems = {0};
    size_t kind = 0;

    while (kind < ELEMENTS_OF(kinds) && !text_equal(registry->refusal, kinds[kind].error))
        kind++;
    if (kind == ELEMENTS_OF(kinds))
        return false;
    json_t *parameters = json_loads(registry->refusal_parameters, 0, NULL);
    const json_t *others = json_object_get(parameters, "others");
    bool told = kinds[kind].add(applied, parameters, &problems);
    for (size_t i = 0; told && i < json_array_size(others); i++)
        kinds[kind].add(applied, json_array_get(others, i), &problems);
    json_decref(parameters);
    if (!told)
        return false;
    problems_sort(&problems);
    ctl_tell_problems("apply", &problems);
    ctl_tell("apply", "mend it and apply again", "the daemon refused it, nothing was changed");
    return true;
}

static int apply_send(Ctl *ctl, const Applied *applied)
{
    const Document document = {.services = (ServiceContext **)applied->services,
                               .machines = (MachineContext **)applied->machines};
    bool dry_run = given_has(&ctl->given, "dry-run");
    _cleanup_(freep) char *reply = NULL;
    Registry *registry;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = registry->ops->apply(registry, &document, given_value(&ctl->given, "set", NULL),
                             given_has(&ctl->given, "prune"), dry_run, &reply);
    if (r == REGISTRY_REFUSED && apply_tell_places(registry, applied))
        return EXIT_REFUSED;
    if (r != 0)
        return ctl_refused(ctl, r, "apply");
    if (ctl->output.json)
        return ctl_reply(ctl, reply);
    return changes_print(&ctl->output, reply, dry_run ? "nothing would change" : "nothing has changed");
}

static int apply_run(Ctl *ctl)
{
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(files_release) Files files = {0};
    _cleanup_(applied_release) Applied applied = {0};
    const char *set = given_value(&ctl->given, "set", NULL);
    const char *why = set ? format_service_name.check(set) : NULL;

    if (why)
        return ctl_usage(ctl, "--set", "a name as services have, as web-1, would be right", "\"%s\" %s", set, why);
    int r = files_load(ctl, false, &problems, &files);
    if (r < 0)
        return r;
    ctl_tell_problems("apply", &problems);
    if (r == FILES_INVALID) {
        ctl_tell("apply", "mend them and apply again", "%zu error%s, nothing was changed", problems.errors,
                 problems.errors == 1 ? "" : "s");
        return EXIT_NO;
    }
    applied.services =
        files_records(&files, &record_type_ServiceContext, &applied.service_places, &applied.service_count);
    applied.machines =
        files_records(&files, &record_type_MachineContext, &applied.machine_places, &applied.machine_count);
    if (!applied.services || !applied.machines)
        return -ENOMEM;
    return apply_send(ctl, &applied);
}

static const Option apply_options[] = {
    {.name = "set",
     .argument = "NAME",
     .help = "The set that this is, in place of default. A set belongs to the user that made it."},
    {.name = "prune", .help = "Remove what this set applied before and what is not in these files."},
    {.name = "dry-run", .help = "Only say what would change."},
    {0},
};

const Verb verb_apply = {
    .name = "apply",
    .group = VERBS_OF_FILES,
    .synopsis = "FILE|DIR... [--set NAME] [--prune] [--dry-run]",
    .help = "Make services and machines as files say, all or none",
    .description = "Each service and machine that is given is replaced whole; what is not given stays. They live in "
                   "the daemon's registry: the files are "
                   "not read again. Exits 1 where a file is bad, 3 where the daemon refuses; then nothing was changed.",
    .options = apply_options,
    .operands = COMPLETES_FILES,
    .operand = "FILE or DIR",
    .operands_min = 1,
    .operands_max = OPERANDS_MANY,
    .run = apply_run,
};
