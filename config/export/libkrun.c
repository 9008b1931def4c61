/* SPDX-License-Identifier: Apache-2.0 */
/* libkrun: a call a port, in C. krun_add_vsock_port2 with listen = false: a guest that connects to the port reaches the socket at
 * the path, where we listen. libkrun.h. */

#include <errno.h>

#include "config/export.h"

/* A string literal; `??` would begin a trigraph to some compilers. */
static void append_literal(Buffer *text, const char *value)
{
    buffer_append_char(text, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\' || *value == '?')
            buffer_append_char(text, '\\');
        buffer_append_char(text, *value);
    }
    buffer_append_char(text, '"');
}

static int libkrun_begin(Export *export)
{
    export_machine_path(export, "", NULL);
    return 0;
}

static int libkrun_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    Address address;
    _cleanup_(freep) char *path = NULL;

    int r = export_machine_address(export, service, &transport_hybrid, &address);
    if (r < 0 || !address.transport)
        return r;
    r = address.transport->listen_path(&address, &path);
    if (r == 0) {
        buffer_printf(&export->text, "krun_add_vsock_port2(ctx, %u, ", address.port);
        append_literal(&export->text, path);
        buffer_printf(&export->text, ", false); /* %s */\n", service->name);
        export->count++;
    }
    if (r == -EINVAL)
        problems_add(export->problems, NULL, "a shorter path of the machine's would be right", "its socket's path is no good path");
    address_release(&address);
    return r == -EINVAL ? 0 : r;
}

const ExportTarget export_libkrun = {
    .name = "libkrun",
    .help = "A call of libkrun's krun_add_vsock_port2 for each service, in C.",
    .needs_machine = true,
    .begin = libkrun_begin,
    .add = libkrun_add,
};
