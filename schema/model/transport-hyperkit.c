/* SPDX-License-Identifier: Apache-2.0 */
/* hyperkit: a folder with `connect`, and a unix socket for each port of the host's, `00000002.PPPPPPPP`. FACTS; ocaml-hvsock's URIs. */

#include <errno.h>
#include <string.h>

#include "schema/base/text.h"
#include "schema/model/address.h"
#include "schema/model/path.h"
#include "schema/model/uri.h"

static bool hyperkit_parse(const char *rest, Address *address, const char **ret_reason, const char **ret_hint)
{
    Refusal refusal = {ret_reason, ret_hint};
    const char *path = rest;

    if (*rest == ':') {
        path = rest + 1 + strcspn(rest + 1, "/");
        if (!uri_parse_port(rest + 1, (size_t)(path - rest - 1), &address->port, refusal))
            return false;
        address->has_port = true;
    }
    if (*path != '/')
        return uri_refuse(refusal, "the folder is missing or not absolute",
                          "hyperkit:///DIR or hyperkit://:PORT/DIR would be right, with /./DIR for a relative folder");
    if (text_starts_with(path, "/./") || strcmp(path, "/.") == 0)
        path += path[2] ? 3 : 1;
    return path_from_uri(path, strlen(path), &address->path, ret_reason, ret_hint);
}

static void hyperkit_format(const Address *address, Buffer *text)
{
    if (address->has_port) {
        buffer_append_char(text, ':');
        buffer_append_number(text, address->port);
    }
    if (address->path[0] != '/')
        buffer_append(text, "/./", 3);
    path_to_uri(address->path, '\0', text);
}

static int hyperkit_listen_path(const Address *address, char **ret_path)
{
    Buffer text = {0};

    if (!address->path || !address->has_port)
        return -EINVAL;
    buffer_append_text(&text, strcmp(address->path, "/") == 0 ? "" : address->path);
    buffer_printf(&text, "/00000002.%08x", address->port);
    _cleanup_(freep) char *path = NULL;
    int r = buffer_take(&text, &path, NULL);
    if (r < 0)
        return r;
    if (path_check(path))
        return -EINVAL;
    *ret_path = TAKE_PTR(path);
    return 0;
}

const Transport transport_hyperkit = {
    .name = "hyperkit",
    .scheme = "hyperkit://",
    .syntax = "hyperkit://[:PORT]/DIR",
    .help = "The unix sockets of hyperkit: DIR/00000002.PPPPPPPP is listened on, the port in hex. /./DIR is a relative folder.",
    .stream_only = true,
    .listens = true,
    .has_path = true,
    .ports_only = true,
    .parse = hyperkit_parse,
    .format = hyperkit_format,
    .listen_path = hyperkit_listen_path,
};
