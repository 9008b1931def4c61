/* SPDX-License-Identifier: Apache-2.0 */
/* AF_HYPERV sockets; Winsock is started with the first and ends with the process. */

#include "ctl/windows/hyperv.h"

#include <string.h>

HypervAddress hyperv_address(const Guid *vm_id, const Guid *service_id)
{
    HypervAddress address = {.family = HYPERV_FAMILY};

    guid_to_wire(vm_id, address.vm_id);
    guid_to_wire(service_id, address.service_id);
    return address;
}

bool hyperv_wildcard(const char *name, Guid *ret)
{
    static const struct {
        const char *name, *guid;
    } wildcards[] = {
        {"any", "00000000-0000-0000-0000-000000000000"},      {"wildcard", "00000000-0000-0000-0000-000000000000"},
        {"broadcast", "ffffffff-ffff-ffff-ffff-ffffffffffff"}, {"children", "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd"},
        {"loopback", "e0e16197-dd56-4a10-9195-5ee7a155a838"}, {"parent", "a42e7cda-d03f-480c-9cc2-a4de20abb878"},
        {"silohost", "36bd0c5c-7276-4223-88ba-7d03b654c568"},
    };

    for (size_t i = 0; i < sizeof(wildcards) / sizeof(wildcards[0]); i++)
        if (_stricmp(name, wildcards[i].name) == 0)
            return guid_parse(wildcards[i].guid, ret);
    return false;
}

SOCKET hyperv_socket(void)
{
    static bool started;
    WSADATA data;

    if (!started && WSAStartup(MAKEWORD(2, 2), &data) != 0)
        return INVALID_SOCKET;
    started = true;
    return WSASocketW(HYPERV_FAMILY, SOCK_STREAM, HYPERV_PROTOCOL_RAW, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}
