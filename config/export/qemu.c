/* SPDX-License-Identifier: Apache-2.0 */
/* qemu's vhost-vsock-pci: the guest is on the host's own AF_VSOCK, by its CID. */

#include "config/export.h"

static int qemu_begin(Export *export)
{
    const MachineContext *machine = export->options.machine;

    if (!machine->cid.set) {
        problems_add(export->problems, "cid", "a CID of its own, as cid: 42, would be right",
                     "the machine %s has no CID, by which vhost-vsock tells guests apart", machine->name);
        return 0;
    }
    buffer_printf(&export->scratch, "vhost-vsock-pci,guest-cid=%u", machine->cid.value);
    export_option(export, "-device");
    return 0;
}

static int qemu_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    return export_machine_service(export, service, &transport_vsock, "#");
}

const ExportTarget export_qemu = {
    .name = "qemu",
    .help = "The option -device of qemu, for vhost-vsock.",
    .needs_machine = true,
    .begin = qemu_begin,
    .add = qemu_add,
};
