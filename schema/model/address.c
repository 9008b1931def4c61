/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as values: the transports' table does the work, this finds the one whose URI it is. */

#include <errno.h>
#include <string.h>

#include "schema/base/text.h"
#include "schema/model/address.h"

const Transport *transport_find(const char *name)
{
    for (size_t i = 0; transports[i]; i++)
        if (strcmp(transports[i]->name, name) == 0)
            return transports[i];
    return NULL;
}

const Transport *transport_of(const char *uri)
{
    for (size_t i = 0; transports[i]; i++)
        if (text_starts_with(uri, transports[i]->scheme))
            return transports[i];
    return NULL;
}

int address_parse(const char *uri, Address *ret, const char **ret_reason, const char **ret_hint)
{
    Address address = {.transport = transport_of(uri), .cid = VSOCK_CID_ANY};
    const char *reason = NULL, *hint = NULL;

    if (!address.transport) {
        *ret_reason = "no transport has URIs that begin so";
        *ret_hint = "a URI as vsock://:5140, hybrid:///run/v.sock or unix:///run/x.sock, or machine:NAME, would be right";
        return ADDRESS_REFUSED;
    }
    if (address.transport->parse(uri + strlen(address.transport->scheme), &address, &reason, &hint)) {
        *ret = address;
        return 0;
    }
    address_release(&address);
    if (!reason)
        return -ENOMEM;
    *ret_reason = reason;
    *ret_hint = hint;
    return ADDRESS_REFUSED;
}

void address_format(const Address *address, Buffer *text)
{
    buffer_append_text(text, address->transport->scheme);
    address->transport->format(address, text);
}

int address_to_text(const Address *address, char **ret_uri)
{
    Buffer text = {0};

    address_format(address, &text);
    return buffer_take(&text, ret_uri, NULL);
}

int address_copy(const Address *address, Address *ret)
{
    Address copy = *address;

    copy.path = address->path ? strdup(address->path) : NULL;
    copy.machine = address->machine ? strdup(address->machine) : NULL;
    if ((address->path && !copy.path) || (address->machine && !copy.machine)) {
        address_release(&copy);
        return -ENOMEM;
    }
    *ret = copy;
    return 0;
}

void address_release(Address *address)
{
    free(address->path);
    free(address->machine);
    *address = (Address){0};
}

bool address_equal(const Address *a, const Address *b)
{
    return a->transport == b->transport && a->cid == b->cid && a->has_port == b->has_port && a->has_guid == b->has_guid &&
           (!a->has_port || a->port == b->port) && (!a->has_guid || guid_compare(&a->guid, &b->guid) == 0) &&
           guid_compare(&a->vm_id, &b->vm_id) == 0 && text_equal(a->path, b->path) && text_equal(a->machine, b->machine);
}

int address_key(const Address *address, char **ret_key)
{
    const Transport *transport = address->transport;

    /* machine:NAME is no place of its own, but that machine's. */
    if (!transport || !transport->listens || address->machine)
        return -EINVAL;
    if (transport->has_path)
        return transport->listen_path(address, ret_key);
    if (!address->has_port)
        return -EINVAL;
    Buffer key = {0};
    buffer_append_text(&key, transport->name);
    buffer_append_char(&key, ':');
    buffer_append_number(&key, address->port);
    return buffer_take(&key, ret_key, NULL);
}
