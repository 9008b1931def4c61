/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces that hvsockd serves, as they stand in schema/varlink; constant. */

#include "daemon/api/methods.h"
#include "schema/base/embed.h"

EMBED(varlink_registry, "schema/varlink/io.hvsock.Registry.varlink");
EMBED(varlink_service, "schema/varlink/org.varlink.service.varlink");

const Interface interfaces[] = {
    {"io.hvsock.Registry", embedded_varlink_registry},
    {"org.varlink.service", embedded_varlink_service},
    {NULL, NULL},
};
