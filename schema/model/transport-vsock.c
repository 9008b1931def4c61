/* SPDX-License-Identifier: Apache-2.0 */
/* AF_VSOCK: `vsock://[CID]:PORT`, and systemd's `vsock:CID:PORT`. vsock(7), systemd.socket(5). */

#include <string.h>

#include "schema/base/text.h"
#include "schema/model/address.h"
#include "schema/model/uri.h"

static bool parse_cid(const char *text, size_t size, uint32_t *ret, Refusal refusal)
{
    static const struct {
        const char *word;
        uint32_t cid;
    } words[] = {
        {"", VSOCK_CID_ANY},           {"any", VSOCK_CID_ANY},   {"hypervisor", VSOCK_CID_HYPERVISOR},
        {"local", VSOCK_CID_LOCAL},    {"host", VSOCK_CID_HOST},
    };
    uint64_t cid;

    for (size_t i = 0; i < ELEMENTS_OF(words); i++)
        if (strlen(words[i].word) == size && memcmp(words[i].word, text, size) == 0) {
            *ret = words[i].cid;
            return true;
        }
    if (!text_to_number_sized(text, size, UINT32_MAX, &cid))
        return uri_refuse(refusal, "the CID is neither a plain decimal number up to 4294967295 nor a word for one",
                          "a number, nothing (any), any, local (1), host (2) or hypervisor (0) would be right");
    *ret = (uint32_t)cid;
    return true;
}

static bool vsock_parse(const char *rest, Address *address, const char **ret_reason, const char **ret_hint)
{
    Refusal refusal = {ret_reason, ret_hint};
    bool uri = text_starts_with(rest, "//");
    const char *text = uri ? rest + 2 : rest;
    const char *colon = strchr(text, ':');

    if (!colon)
        return uri_refuse(refusal, "there is no colon before the port",
                          "vsock://:PORT, vsock://CID:PORT or vsock:CID:PORT would be right");
    size_t size = strlen(colon + 1);
    if (uri && size > 0 && colon[size] == '/')
        size--;
    if (!parse_cid(text, (size_t)(colon - text), &address->cid, refusal) ||
        !uri_parse_port(colon + 1, size, &address->port, refusal))
        return false;
    address->has_port = true;
    return true;
}

static void vsock_format(const Address *address, Buffer *text)
{
    buffer_append(text, "//", 2);
    if (address->cid != VSOCK_CID_ANY)
        buffer_append_number(text, address->cid);
    buffer_append_char(text, ':');
    buffer_append_number(text, address->port);
}

const Transport transport_vsock = {
    .name = "vsock",
    .scheme = "vsock:",
    .syntax = "vsock://[CID]:PORT",
    .help = "AF_VSOCK of this host. Without a CID it listens on all of the host's own. CID: a number, any, local, host; also vsock:CID:PORT.",
    .listens = true,
    .parse = vsock_parse,
    .format = vsock_format,
};
