/* SPDX-License-Identifier: Apache-2.0 */
/* A unix socket at a path of its own (libkrun's krun_add_vsock_port2, any local client): `unix://PATH`. unix(7). */

#include <errno.h>
#include <string.h>

#include "schema/model/address.h"
#include "schema/model/path.h"
#include "schema/model/uri.h"

static bool unix_parse(const char *rest, Address *address, const char **ret_reason, const char **ret_hint)
{
    if (*rest == '@')
        return uri_refuse((Refusal){ret_reason, ret_hint}, "abstract unix sockets have no path, and anybody may take their names",
                          "unix:///PATH would be right");
    return uri_parse_path(rest, strlen(rest), &address->path, (Refusal){ret_reason, ret_hint});
}

static void unix_format(const Address *address, Buffer *text)
{
    path_to_uri(address->path, '\0', text);
}

static int unix_listen_path(const Address *address, char **ret_path)
{
    if (!address->path)
        return -EINVAL;
    char *path = strdup(address->path);
    if (!path)
        return -ENOMEM;
    *ret_path = path;
    return 0;
}

const Transport transport_unix = {
    .name = "unix",
    .scheme = "unix://",
    .syntax = "unix://PATH",
    .help = "A unix socket at this very path, as libkrun and local clients use it. It needs neither port nor GUID.",
    .listens = true,
    .has_path = true,
    .numberless = true,
    .parse = unix_parse,
    .format = unix_format,
    .listen_path = unix_listen_path,
};
