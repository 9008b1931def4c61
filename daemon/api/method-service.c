/* SPDX-License-Identifier: Apache-2.0 */
/* org.varlink.service: introspection. */

#include <string.h>

#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"

int method_get_info(Call *call, Buffer *reply)
{
    buffer_append_text(reply, "{\"vendor\":\"hvsockd\",\"product\":\"hvsockd\",\"version\":\"" HVSOCK_VERSION
                              "\",\"url\":\"\",\"interfaces\":[");
    for (const Interface *interface = interfaces; interface->name; interface++) {
        if (interface != interfaces)
            buffer_append_char(reply, ',');
        buffer_append_json(reply, interface->name);
    }
    buffer_append_text(reply, "]}");
    return 0;
}

int method_get_interface_description(Call *call, Buffer *reply)
{
    const InterfaceParameters *arguments = call->arguments;

    for (const Interface *interface = interfaces; interface->name; interface++) {
        if (strcmp(interface->name, arguments->interface) != 0)
            continue;
        buffer_append_text(reply, "{\"description\":");
        buffer_append_json(reply, interface->description);
        buffer_append_char(reply, '}');
        return 0;
    }
    return failure_method(&call->failure, FAILURE_INTERFACE_NOT_FOUND, arguments->interface);
}
