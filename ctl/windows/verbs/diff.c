/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl diff on Windows: what apply would change. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl/changes.h"
#include "ctl/ctl.h"
#include "ctl/files.h"
#include "ctl/windows/registry.h"

static int diff_write_json(const Ctl *ctl, const Plan *plan)
{
    json_t *changes = json_array();

    for (size_t i = 0; i < plan->change_count; i++) {
        json_t *fields = json_array();
        for (size_t k = 0; plan->changes[i].fields && plan->changes[i].fields[k]; k++)
            json_array_append_new(fields, json_string(plan->changes[i].fields[k]));
        json_array_append_new(changes, json_pack("{s:s,s:s,s:s,s:o}", "kind", plan->changes[i].kind, "object", "service", "name",
                                                 plan->changes[i].name, "fields", fields));
    }
    json_t *reply = json_pack("{s:o}", "changes", changes);
    char *text = json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    if (!text)
        return -ENOMEM;
    output_json(&ctl->output, text, strlen(text));
    free(text);
    return 0;
}

static int diff_compare(Ctl *ctl, const Files *files)
{
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(host_release) Host host = {0};
    _cleanup_(plan_release) Plan plan = {0};
    Registry *registry;
    Store *store;
    size_t count;
    _cleanup_(freep) void **services = files_records(files, &record_type_ServiceContext, NULL, &count);

    if (!services)
        return -ENOMEM;
    int r = ctl_open(ctl, &registry);
    if (r == 0)
        r = registry_windows_store(registry, false, &store);
    if (r == 0)
        r = registry_windows_answer(registry, host_read(store, &host));
    if (r == 0)
        r = registry_windows_refuse_plan(
            registry, plan_make(&host, (ServiceContext **)services, given_has(&ctl->given, "prune"), &problems, &plan), &problems, &plan);
    if (r != 0)
        return ctl_refused(ctl, r, "diff");
    for (size_t i = 0; i < plan.change_count && !ctl->output.json; i++)
        change_print(&ctl->output, plan.changes[i].kind, "service", plan.changes[i].name, plan.changes[i].text);
    if (ctl->output.json)
        r = diff_write_json(ctl, &plan);
    return r < 0 ? r : plan.change_count > 0 ? EXIT_NO : EXIT_DONE;
}

static int diff_run(Ctl *ctl)
{
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(files_release) Files files = {0};

    int r = files_load(ctl, false, &problems, &files);
    if (r < 0)
        return r;
    ctl_tell_problems("diff", &problems);
    if (r == FILES_INVALID) {
        ctl_tell("diff", "mend them first", "%zu error%s in the files", problems.errors, problems.errors == 1 ? "" : "s");
        return EXIT_USAGE;
    }
    r = diff_compare(ctl, &files);
    /* As diff(1): 1 is a difference, so everything else is trouble. */
    return r > EXIT_NO ? EXIT_USAGE : r;
}

static const Option diff_options[] = {
    {.name = "prune", .help = "Also tell what apply --prune would remove."},
    {0},
};

const Verb verb_diff = {
    .name = "diff",
    .group = VERBS_OF_FILES,
    .synopsis = "FILE|DIR... [--prune]",
    .help = "Compare files with what Windows has",
    .description = "+ is in the files alone, ~ in both and differs: what Windows has -> what the files say; with --prune, - is what "
                   "hvsockctl wrote and the files do not have. Only what a key can say is compared: name, port or GUID, element name, "
                   "and whether it is enabled. Exits 0 where all is the same, 1 where something differs, 2 for every error.",
    .options = diff_options,
    .operands = COMPLETES_FILES,
    .operand = "FILE or DIR",
    .operands_min = 1,
    .operands_max = OPERANDS_MANY,
    .run = diff_run,
};
