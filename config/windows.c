/* SPDX-License-Identifier: Apache-2.0 */
/* What Windows keeps of a service, and whose a key is: pure functions, for .reg files and for Windows' own registry. */

#include <errno.h>
#include <string.h>

#include "config/windows.h"
#include "schema/base/text.h"
#include "schema/model/service.h"

/* FACTS: they come with Windows. */
static const struct {
    const char *name;
    Guid guid;
} in_box[] = {
    {"VM Session Service",
     {{0x99, 0x9e, 0x53, 0xd4, 0x3d, 0x5c, 0x4c, 0x3e, 0x87, 0x79, 0xbe, 0xd0, 0x6e, 0xc0, 0x56, 0xe1}}},
    {"VM Session Service-2",
     {{0xa5, 0x20, 0x1c, 0x21, 0x27, 0x70, 0x4c, 0x11, 0xa6, 0x8e, 0xf1, 0x82, 0xed, 0xb2, 0x92, 0x20}}},
};

const char *windows_in_box(const Guid *guid)
{
    for (size_t i = 0; i < ELEMENTS_OF(in_box); i++)
        if (guid_compare(guid, &in_box[i].guid) == 0)
            return in_box[i].name;
    return NULL;
}

WindowsOwner windows_key_owner(const WindowsKey *key)
{
    Guid guid;

    if (guid_parse(key->name, &guid) && windows_in_box(&guid))
        return WINDOWS_IN_BOX;
    return text_equal(key->tool_name, WINDOWS_TOOL) ? WINDOWS_OURS : WINDOWS_OTHERS;
}

void windows_key_describe(const WindowsKey *key, Buffer *text)
{
    const char *what = key->element_name && key->element_name[0] ? key->element_name : key->purpose;

    if (key->tool_name && key->tool_name[0])
        buffer_append_quoted(text, key->tool_name);
    if (what && what[0]) {
        buffer_append_text(text, key->tool_name && key->tool_name[0] ? ", as " : "");
        buffer_append_quoted(text, what);
    }
    if (!key->tool_name || !key->tool_name[0])
        buffer_append_text(text, what && what[0] ? ", which does not say whose it is" : "somebody who does not say so");
}

static int copy_text(const char *text, char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? -ENOMEM : 0;
}

int windows_key_copy(const WindowsKey *key, WindowsKey *ret)
{
    WindowsKey copy = {.line = key->line};

    if (copy_text(key->name, &copy.name) < 0 || copy_text(key->element_name, &copy.element_name) < 0 ||
        copy_text(key->purpose, &copy.purpose) < 0 || copy_text(key->tool_name, &copy.tool_name) < 0) {
        windows_key_release(&copy);
        return -ENOMEM;
    }
    *ret = copy;
    return 0;
}

void windows_key_release(WindowsKey *key)
{
    free(key->name);
    free(key->element_name);
    free(key->purpose);
    free(key->tool_name);
    *key = (WindowsKey){0};
}

int windows_keys_add(WindowsKeys *keys, const WindowsKey *key)
{
    if ((keys->count & (keys->count - 1)) == 0) {
        WindowsKey *items = reallocarray(keys->items, keys->count ? keys->count * 2 : 1, sizeof(*items));
        if (!items)
            return -ENOMEM;
        keys->items = items;
    }
    int r = windows_key_copy(key, &keys->items[keys->count]);
    if (r < 0)
        return r;
    keys->count++;
    return 0;
}

void windows_keys_release(WindowsKeys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        windows_key_release(&keys->items[i]);
    free(keys->items);
    *keys = (WindowsKeys){0};
}

const char *windows_element_name(const ServiceContext *service)
{
    return service->element_name ? service->element_name : service->name;
}

int windows_service_guid(const ServiceContext *service, Problems *problems, Guid *ret)
{
    size_t errors = problems->errors;
    uint32_t port;
    Guid guid;

    if (!service_guid(service, &guid)) {
        if (service->auto_port != YES)
            return WINDOWS_NOTHING;
        problems_add(problems, "autoPort", "ask the daemon, without --from, or give it a port or a GUID",
                     "its port is chosen by the daemon, and is not known here");
        return problems->failed ? -ENOMEM : WINDOWS_REFUSED;
    }
    const char *wildcard = guid_wildcard_name(&guid), *windows = windows_in_box(&guid);
    if (wildcard)
        problems_add(problems, "guid", "a GUID of its own would be right", "to Windows this GUID means %s", wildcard);
    if (windows)
        problems_add(problems, "guid", "a GUID of its own would be right", "this GUID is that of Windows' own \"%s\"", windows);
    if (service_port(service, &port) && port > WINDOWS_PORT_MAX)
        problems_add(problems, service->port.set ? "port" : "guid", "a port up to 2147483647 would be right",
                     "over Hyper-V nobody can reach a port from 0x80000000 on, and it is %u", port);
    if (service_type(service) != SERVICE_STREAM)
        problems_add(problems, "type", "stream would be right", "Hyper-V sockets are streams alone");
    if (!text_is_printable(windows_element_name(service)))
        problems_add(problems, "elementName", "a text without control characters would be right",
                     "a control character would make Windows lose it");
    if (problems->failed)
        return -ENOMEM;
    if (problems->errors > errors)
        return WINDOWS_REFUSED;
    *ret = guid;
    return 0;
}
