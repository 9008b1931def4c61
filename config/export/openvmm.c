/* SPDX-License-Identifier: Apache-2.0 */
/* OpenVMM's --vmbus-vsock-path, with a comment a service: the one VMM on Linux where GUIDs without a port are reached. */

#include "config/export.h"

static int openvmm_begin(Export *export)
{
    const char *path = export_machine_path(export, "", NULL);

    if (!path)
        return 0;
    buffer_append_text(&export->scratch, path);
    export_option(export, "--vmbus-vsock-path");
    return 0;
}

static int openvmm_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    return export_machine_service(export, service, &transport_hybrid, "#");
}

const ExportTarget export_openvmm = {
    .name = "openvmm",
    .help = "The option --vmbus-vsock-path of OpenVMM.",
    .needs_machine = true,
    .knows_guids = true,
    .begin = openvmm_begin,
    .add = openvmm_add,
};
