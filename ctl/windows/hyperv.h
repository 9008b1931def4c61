/* SPDX-License-Identifier: Apache-2.0 */
/* AF_HYPERV sockets: addresses and options. mingw-w64's hvsocket.h has not all of it. FACTS, "Service GUID and vsock port";
 * "Make your own integration services" (Microsoft Learn). */
#pragma once

#include <winsock2.h>

#include <stdint.h>

#include "schema/model/guid.h"

#define HYPERV_FAMILY 34
#define HYPERV_PROTOCOL_RAW 1
#define HYPERV_ADDRESS_BYTES 36
#define HYPERV_CONNECT_TIMEOUT 1 /* ms, at most 300000 */
#define HYPERV_CONNECTED_SUSPEND 4
#define HYPERV_CONNECT_TIMEOUT_MAX_MS 300000u

typedef struct HypervAddress HypervAddress;

/* SOCKADDR_HV */
struct HypervAddress {
    uint16_t family, reserved;
    uint8_t vm_id[16], service_id[16]; /* as guid_to_wire has it */
};
_Static_assert(sizeof(HypervAddress) == HYPERV_ADDRESS_BYTES, "SOCKADDR_HV has 36 bytes");

HypervAddress hyperv_address(const Guid *vm_id, const Guid *service_id);
/* A wildcard by its name (children, loopback, parent, …, any case); false: there is none of that name. */
bool hyperv_wildcard(const char *name, Guid *ret);
/* Starts Winsock, once. INVALID_SOCKET: WSAGetLastError(). */
SOCKET hyperv_socket(void);
