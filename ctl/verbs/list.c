/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl list: all services, by name. */

#include "ctl/ctl.h"
#include "ctl/service.h"
#include "schema/model/records.h"

static int list_run(Ctl *ctl)
{
    _cleanup_(output_release) Output output = {0};
    Registry *registry;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = output_open(&ctl->output, output_list_format(&ctl->output), service_columns, "services",
                    &record_type_ServiceContext, &output);
    if (r < 0)
        return r;
    r = registry->ops->list(registry, output_add, &output);
    return r != 0 ? ctl_refused(ctl, r, "list") : output_close(&output);
}

const Verb verb_list = {
    .name = "list",
    .group = VERBS_OF_SERVICES,
    .synopsis = "[-o COLUMNS] [--no-headings]",
    .help = "List all services",
    .description = "Sorted by name. With --json an array of Service, with --yaml what apply can read.",
    .columns = service_columns,
    .writes_yaml = true,
    .run = list_run,
};
