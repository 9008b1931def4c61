/* SPDX-License-Identifier: Apache-2.0 */
/* Hybrid vsock: a unix socket of the VMM's, and beside it one for each port of the host's, `PATH_PORT`, or `PATH_GUID` where
 * the GUID has no port (OpenVMM). Firecracker's docs/vsock.md; FACTS. */

#include <errno.h>
#include <string.h>

#include "schema/base/text.h"
#include "schema/model/address.h"
#include "schema/model/path.h"
#include "schema/model/uri.h"

static bool parse_number(const char *text, Address *address, Refusal refusal)
{
    if (*text && text[strspn(text, "0123456789")] == '\0')
        address->has_port = uri_parse_port(text, strlen(text), &address->port, refusal);
    else if (guid_parse(text, &address->guid))
        address->has_guid = true;
    else
        return uri_refuse(refusal, "after the last colon stands neither a port nor a GUID",
                          "hybrid://PATH:PORT would be right; a colon that belongs to the path is written %3A");
    /* A GUID that is a port's and that port are one thing. */
    if (address->has_guid && guid_to_port(&address->guid, &address->port)) {
        if (address->port == UINT32_MAX)
            return uri_refuse(refusal, "this GUID is that of port 4294967295, which stands for any port",
                              "a port up to 4294967294 would be right");
        address->has_port = true;
        address->has_guid = false;
        address->guid = (Guid){0};
    }
    return address->has_port || address->has_guid;
}

static bool hybrid_parse(const char *rest, Address *address, const char **ret_reason, const char **ret_hint)
{
    Refusal refusal = {ret_reason, ret_hint};
    const char *colon = strrchr(rest, ':');

    if (colon && !parse_number(colon + 1, address, refusal))
        return false;
    return uri_parse_path(rest, colon ? (size_t)(colon - rest) : strlen(rest), &address->path, refusal);
}

static void hybrid_format(const Address *address, Buffer *text)
{
    char guid[GUID_TEXT_SIZE_BYTES];

    path_to_uri(address->path, ':', text);
    if (address->has_port) {
        buffer_append_char(text, ':');
        buffer_append_number(text, address->port);
    } else if (address->has_guid)
        buffer_printf(text, ":%s", guid_format(&address->guid, guid));
}

static int hybrid_listen_path(const Address *address, char **ret_path)
{
    char guid[GUID_TEXT_SIZE_BYTES];
    Buffer text = {0};

    if (!address->path || (!address->has_port && !address->has_guid))
        return -EINVAL;
    buffer_append_text(&text, address->path);
    if (address->has_port) {
        buffer_append_char(&text, '_');
        buffer_append_number(&text, address->port);
    } else
        buffer_printf(&text, "_%s", guid_format(&address->guid, guid));
    _cleanup_(freep) char *path = NULL;
    int r = buffer_take(&text, &path, NULL);
    if (r < 0)
        return r;
    if (!path_is_short_enough(path))
        return -EINVAL;
    *ret_path = TAKE_PTR(path);
    return 0;
}

const Transport transport_hybrid = {
    .name = "hybrid",
    .scheme = "hybrid://",
    .syntax = "hybrid://PATH[:PORT|:GUID]",
    .help = "The unix sockets of Firecracker, cloud-hypervisor, OpenVMM and others: PATH is the VMM's socket, PATH_PORT is listened on. "
            "The last colon counts; one that belongs to the path is written %3A.",
    .stream_only = true,
    .listens = true,
    .has_path = true,
    .parse = hybrid_parse,
    .format = hybrid_format,
    .listen_path = hybrid_listen_path,
};
