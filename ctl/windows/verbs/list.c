/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl list on Windows: all keys that there are, ours and others', by name. */

#include "ctl/ctl.h"
#include "ctl/service.h"
#include "ctl/windows/registry.h"
#include "schema/model/records.h"

static int list_run(Ctl *ctl)
{
    OutputOptions options = ctl->output;
    _cleanup_(output_release) Output output = {0};
    Registry *registry;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    if (!options.columns_wanted)
        options.columns_wanted = "NAME,PORT,GUID,STATE,ELEMENT,ORIGIN,REASON";
    r = output_open(&options, output_list_format(&options), service_columns, "services", &record_type_ServiceContext, &output);
    if (r < 0)
        return r;
    r = registry_windows_list_all(registry, output_add, &output);
    return r != 0 ? ctl_refused(ctl, r, "list") : output_close(&output);
}

const Verb verb_list = {
    .name = "list",
    .group = VERBS_OF_SERVICES,
    .synopsis = "[-o COLUMNS] [--no-headings]",
    .help = "List all services of this host, also other tools'",
    .description = "ORIGIN is tool:hvsockd for those that hvsockctl wrote, and may change; tool:NAME for another's; windows for those "
                   "that come with Windows; unknown where the key does not say. REASON is what is odd about a key: braces, no "
                   "ElementName, a GUID that is there twice, one that came back after hvsockctl had removed it.",
    .columns = service_columns,
    .writes_yaml = true,
    .run = list_run,
};
