/* SPDX-License-Identifier: Apache-2.0 */
/* The counters' life, and what there is to tell beside them: how many of everything there are at this moment. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/manager/internal.h"

int manager_open_metrics(Manager *manager)
{
    _cleanup_(freep) char *path = NULL;
    _cleanup_(freep) char *trouble = NULL;

    if (asprintf(&path, "%s/" METRICS_FILE, manager->runtime_path) < 0)
        return -ENOMEM;
    int r = metrics_open(manager->metrics, path, &trouble);
    if (r < 0)
        return r;
    if (trouble)
        log_warning("%s", trouble);
    metrics_global(manager->metrics)->starts++;
    return 0;
}

static bool service_is_there(const char *name, void *userdata)
{
    Manager *manager = userdata;

    return registry_find_service(&manager->registry, name) != NULL;
}

void manager_sweep_metrics(Manager *manager)
{
    metrics_keep(manager->metrics, service_is_there, manager);
}
