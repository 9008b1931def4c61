/* SPDX-License-Identifier: Apache-2.0 */
/* The names and numbers that a guest needs, for its shell: HVSOCK_GUEST_LOG_PORT=5140. */

#include <errno.h>
#include <stdio.h>

#include "config/export.h"
#include "schema/model/service.h"

/* guest-log -> GUEST_LOG; a name is lower-case letters, digits, dots, dashes and underscores. */
static void env_name(const char *name, Buffer *text)
{
    buffer_clear(text);
    for (; *name; name++)
        buffer_append_char(text, *name >= 'a' && *name <= 'z'   ? (char)(*name - 'a' + 'A')
                                 : *name >= '0' && *name <= '9' ? *name
                                                                : '_');
    buffer_append_char(text, '\0');
}

static void env_append(Export *export, const char *what, const char *value)
{
    buffer_printf(&export->text, "HVSOCK_%s_%s=", export->scratch.data, what);
    export_shell_word(&export->text, value);
    buffer_append_char(&export->text, '\n');
}

static int env_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    char guid_text[GUID_TEXT_SIZE_BYTES], digits[16];
    Guid own;
    const char *other;
    uint32_t port;

    if (export->options.machine) {
        Address address;
        int r = export_machine_address(export, service, NULL, &address);
        bool reached = address.transport;
        address_release(&address);
        if (r < 0 || !reached)
            return r;
    } else if (!service_is_enabled(service)) {
        export_leave_out(export, "enabled", "hvsockctl enable would be right", "it is disabled");
        return 0;
    }
    if (!service_guid(service, &own)) {
        export_leave_out(export, service->auto_port == YES ? "autoPort" : NULL, "ask the daemon, without --from, or give it a port",
                         "%s", service->auto_port == YES ? "its port is chosen by the daemon, and is not known here"
                                                   : "it has neither port nor GUID");
        return 0;
    }
    env_name(service->name, &export->scratch);
    if (export->scratch.failed)
        return -ENOMEM;
    int r = export_take(export, export->scratch.data, export->scratch.size_bytes, service->name, &other);
    if (r == INDEX_TAKEN)
        problems_add(export->problems, "name", "another name would be right, or to export them one by one",
                     "to a shell it is called as the service %s is: HVSOCK_%s", other, export->scratch.data);
    if (r != 0)
        return r < 0 ? r : 0;
    if (service_port(service, &port)) {
        snprintf(digits, sizeof(digits), "%u", port);
        env_append(export, "PORT", digits);
    }
    env_append(export, "GUID", guid_format(&own, guid_text));
    env_append(export, "ELEMENT_NAME", windows_element_name(service));
    export->count++;
    return 0;
}

const ExportTarget export_env = {
    .name = "env",
    .help = "The ports, GUIDs and element names that a guest needs, as assignments of a shell; with --machine those that it reaches.",
    .takes_machine = true,
    .add = env_add,
};
