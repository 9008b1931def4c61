/* SPDX-License-Identifier: Apache-2.0 */
/* AF_HYPERV, as it is written outside of Linux: `hvsock://[VMGUID|VMNAME]/SERVICEGUID`. No Linux host listens there; it can be
 * looked up and exported. FACTS; ocaml-hvsock's URIs. */

#include <string.h>

#include "schema/base/text.h"
#include "schema/model/address.h"
#include "schema/model/path.h"
#include "schema/model/uri.h"

#define VM_NAME_MAX_BYTES 255

static bool parse_vm(const char *text, size_t size, Address *address, Refusal refusal)
{
    static const char hint[] = "a VM's GUID, its name, or nothing for any would be right before the slash";

    if (size == 0)
        return true;
    if (size > 3 * VM_NAME_MAX_BYTES)
        return uri_refuse(refusal, "the VM's name is longer than 255 bytes", hint);
    char *vm;
    if (!path_from_uri(text, size, &vm, refusal.reason, refusal.hint))
        return false;
    address->machine = vm;
    if (guid_parse(vm, &address->vm_id)) {
        free(TAKE_PTR(address->machine));
        return true;
    }
    if (guid_has_shape(vm))
        return uri_refuse(refusal, "the VM's GUID is no good GUID", hint);
    if (strchr(vm, '/'))
        return uri_refuse(refusal, "the VM's name has a slash in it", hint);
    return true;
}

static bool hyperv_parse(const char *rest, Address *address, const char **ret_reason, const char **ret_hint)
{
    Refusal refusal = {ret_reason, ret_hint};
    const char *slash = strchr(rest, '/');

    if (!slash)
        return uri_refuse(refusal, "there is no service GUID after a slash", "hvsock://[VM]/SERVICEGUID would be right");
    if (!guid_parse(slash + 1, &address->guid)) {
        if (slash == rest && !guid_has_shape(slash + 1))
            return uri_refuse(refusal, "hvsock:// is followed by a path: some VMMs write their unix sockets so",
                              "hybrid://PATH:PORT would be right for a unix socket, hvsock:///SERVICEGUID for Hyper-V");
        return uri_refuse(refusal, "after the slash stands no service GUID",
                          "hvsock://[VM]/SERVICEGUID would be right; port 5140 is 00001414-facb-11e6-bd58-64006a7986d3");
    }
    address->has_guid = true;
    address->has_port = guid_to_port(&address->guid, &address->port);
    return parse_vm(rest, (size_t)(slash - rest), address, refusal);
}

static void hyperv_format(const Address *address, Buffer *text)
{
    char guid[GUID_TEXT_SIZE_BYTES];

    if (address->machine)
        path_to_uri(address->machine, '/', text);
    else if (!guid_is_zero(&address->vm_id))
        buffer_append_text(text, guid_format(&address->vm_id, guid));
    buffer_append_char(text, '/');
    buffer_append_text(text, guid_format(&address->guid, guid));
}

const Transport transport_hyperv = {
    .name = "hyperv",
    .scheme = "hvsock://",
    .syntax = "hvsock://[VM]/GUID",
    .help = "AF_HYPERV of Windows: VM is its GUID or name. No Linux host listens there.",
    .stream_only = true,
    .parse = hyperv_parse,
    .format = hyperv_format,
};
