/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that have a function of their own, and GUIDs. */

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "ctl/libhvsock/client.h"
#include "schema/model/guid.h"

int hvsock_register(hvsock *client, const char *name, uint32_t port, const char *element_name, uint32_t *ret_port)
{
    json_t *parameters = port > 0 ? json_pack("{s:{s:s, s:I, s:s*}}", "service", "name", name, "port", (json_int_t)port,
                                              "elementName", element_name)
                                  : json_pack("{s:{s:s, s:b, s:s*}}", "service", "name", name, "autoPort", 1,
                                              "elementName", element_name);
    _cleanup_(json_decrefp) json_t *reply = NULL;

    if (!parameters)
        return -EINVAL; /* a text that is not UTF-8 */
    int r = client_call_consume(client, "Register", parameters, &reply);
    if (r != 0)
        return r;
    const json_t *context = json_object_get(json_object_get(reply, "service"), "context");
    const json_t *given = json_object_get(context, "port");
    if (!json_is_integer(given) || json_integer_value(given) < 0 || json_integer_value(given) > UINT32_MAX)
        return -EBADMSG;
    if (ret_port)
        *ret_port = (uint32_t)json_integer_value(given);
    return 0;
}

int hvsock_unregister(hvsock *client, const char *name)
{
    json_t *parameters = json_pack("{s:s}", "name", name);

    return parameters ? client_call_consume(client, "Unregister", parameters, NULL) : -EINVAL;
}

int hvsock_describe(hvsock *client, const char *name, char **ret_service)
{
    json_t *parameters = json_pack("{s:s}", "name", name);
    _cleanup_(json_decrefp) json_t *reply = NULL;

    if (!parameters)
        return -EINVAL;
    int r = client_call_consume(client, "Describe", parameters, &reply);
    if (r != 0)
        return r;
    const json_t *service = json_object_get(reply, "service");
    if (!json_is_object(service))
        return -EBADMSG;
    char *text = json_dumps(service, JSON_COMPACT);
    if (!text)
        return -ENOMEM;
    *ret_service = text;
    return 0;
}

void hvsock_guid_from_port(uint32_t port, char guid[37])
{
    Guid made = guid_from_port(port);

    guid_format(&made, guid);
}

int hvsock_guid_to_port(const char *guid, uint32_t *ret_port)
{
    Guid parsed;

    return guid_parse(guid, &parsed) && guid_to_port(&parsed, ret_port) ? 0 : -EINVAL;
}
