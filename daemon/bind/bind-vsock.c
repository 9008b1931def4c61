/* SPDX-License-Identifier: Apache-2.0 */
/* vsock://[CID]:PORT. */

#include <errno.h>

#include "daemon/bind/bind.h"
#include "daemon/place/result.h"

static bool vsock_find(const BindRequest *request, char **ret_path, PlaceRequest *place, PlaceResult *result)
{
    const Address *address = request->address;

    place->cid = address->cid;
    place->port = address->port;
    if (address->has_port || (address->has_guid && guid_to_port(&address->guid, &place->port)))
        return true;
    result_set(result, PLACE_FAILED, EINVAL, "the address has no port, and AF_VSOCK knows nothing else");
    return false;
}

extern const Binder binder_vsock;
const Binder binder_vsock = {.transport = "vsock", .find = vsock_find};
