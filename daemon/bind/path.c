/* SPDX-License-Identifier: Apache-2.0 */
/* The file that a listener of an address is. Keeps nothing. */

#include <errno.h>
#include <string.h>

#include "daemon/bind/path.h"
#include "daemon/place/result.h"
#include "schema/model/records.h"

bool path_find(const BindRequest *request, char **ret_path, PlaceRequest *place, PlaceResult *result)
{
    const Transport *transport = request->address->transport;

    if (transport->stream_only && request->type != SERVICE_STREAM) {
        result_set(result, PLACE_FAILED, ESOCKTNOSUPPORT, "%s knows the type stream only", transport->name);
        return false;
    }
    if (request->path) {
        place->path = request->path;
        return true;
    }
    int r = transport->listen_path(request->address, ret_path);
    if (r == -ENOMEM)
        result->state = PLACE_WAITING; /* without a reason */
    else if (r < 0)
        result_set(result, PLACE_FAILED, -r, "the address makes no path to listen on: %s", strerror(-r));
    if (r == 0)
        place->path = *ret_path;
    return r == 0;
}
