/* SPDX-License-Identifier: Apache-2.0 */
/* hyperkit's virtio-sock device, with a comment a service. hyperkit(1), -s. */

#include <string.h>

#include "config/export.h"

static int hyperkit_begin(Export *export)
{
    const MachineContext *machine = export->options.machine;

    if (!machine->hyperkit) {
        problems_add(export->problems, "hyperkit", "its hyperkit field, the folder of its sockets, would be right",
                     "the machine %s has no hyperkit folder", machine->name);
        return 0;
    }
    if (strchr(machine->hyperkit, ',')) {
        problems_add(export->problems, "hyperkit", "another folder would be right", "to hyperkit's -s commas mean something");
        return 0;
    }
    /* The slot is the administrator's to choose; 7 is what its own documents have. */
    buffer_printf(&export->scratch, "7,virtio-sock,guest_cid=%u,path=%s", export_machine_cid(export), machine->hyperkit);
    export_option(export, "-s");
    return 0;
}

static int hyperkit_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    return export_machine_service(export, service, &transport_hyperkit, "#");
}

const ExportTarget export_hyperkit = {
    .name = "hyperkit",
    .help = "The option -s of hyperkit, for virtio-sock.",
    .needs_machine = true,
    .begin = hyperkit_begin,
    .add = hyperkit_add,
};
