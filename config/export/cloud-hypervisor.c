/* SPDX-License-Identifier: Apache-2.0 */
/* cloud-hypervisor's --vsock, with a comment a service. Its docs/vsock.md. */

#include "config/export.h"

static int cloud_hypervisor_begin(Export *export)
{
    const char *path = export_machine_path(export, ",\"[]", "to cloud-hypervisor's --vsock commas, quotes and brackets mean something");

    if (!path)
        return 0;
    buffer_printf(&export->scratch, "cid=%u,socket=%s", export_machine_cid(export), path);
    export_option(export, "--vsock");
    return 0;
}

static int cloud_hypervisor_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    return export_machine_service(export, service, &transport_hybrid, "#");
}

const ExportTarget export_cloud_hypervisor = {
    .name = "cloud-hypervisor",
    .help = "The option --vsock of cloud-hypervisor.",
    .needs_machine = true,
    .begin = cloud_hypervisor_begin,
    .add = cloud_hypervisor_add,
};
