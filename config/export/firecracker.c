/* SPDX-License-Identifier: Apache-2.0 */
/* Firecracker's vsock device: a part of its --config-file. Its docs/vsock.md. */

#include "config/export.h"

static int firecracker_begin(Export *export)
{
    const char *path = export_machine_path(export, "", NULL);

    if (!path)
        return 0;
    buffer_printf(&export->text, "{\n  \"vsock\": {\n    \"guest_cid\": %u,\n    \"uds_path\": ", export_machine_cid(export));
    buffer_append_json(&export->text, path);
    buffer_append_text(&export->text, "\n  }\n}\n");
    return 0;
}

static int firecracker_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    return export_machine_service(export, service, &transport_hybrid, NULL);
}

const ExportTarget export_firecracker = {
    .name = "firecracker",
    .help = "The vsock device in Firecracker's --config-file, and the body of PUT /vsock in it.",
    .needs_machine = true,
    .begin = firecracker_begin,
    .add = firecracker_add,
};
