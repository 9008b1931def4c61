/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of a hypervisor socket; it lives until both sides have ended. winsock2.h (Microsoft Learn); FACTS. */

#include "ctl/windows/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/json.h"
#include "ctl/windows/registry.h"
#include "ctl/windows/vm.h"
#include "ctl/windows/wide.h"
#include "schema/base/text.h"
#include "schema/model/address.h"

#define CHUNK_BYTES 65536

/* ---- addresses ---- */

/* The GUID in a Service. */
static int take_guid(const char *json, size_t size_bytes, void *userdata)
{
    const char *context, *guid;
    size_t context_size, size;
    char text[GUID_TEXT_SIZE_BYTES] = {0};

    if (json_member(json, size_bytes, "context", &context, &context_size) && json_member(context, context_size, "guid", &guid, &size) &&
        size == GUID_TEXT_SIZE_BYTES + 1) {
        memcpy(text, guid + 1, GUID_TEXT_SIZE_BYTES - 1);
        guid_parse(text, userdata);
    }
    return 0;
}

static int find_service(Ctl *ctl, const char *service, Guid *ret)
{
    const RegistryQuery query = {.name = service};
    Guid guid = {0};
    Registry *registry;
    uint64_t port;

    if (guid_parse(service, ret))
        return 0;
    if (text_to_number(service, UINT32_MAX, &port)) {
        *ret = guid_from_port((uint32_t)port);
        return 0;
    }
    int r = ctl_open(ctl, &registry);
    if (r == 0)
        r = registry->ops->lookup(registry, &query, take_guid, &guid);
    if (r != 0)
        return ctl_refused(ctl, r, service);
    if (guid_is_zero(&guid)) {
        ctl_tell(service, "hvsockctl list shows those there are; a port or a GUID would be right, too", "no service is called so");
        return EXIT_NO;
    }
    *ret = guid;
    return 0;
}

static int read_uri(Ctl *ctl, const char *text, bool needs_vm, StreamAddress *ret)
{
    const char *reason = NULL, *hint = NULL;
    Address address;
    int r = address_parse(text, &address, &reason, &hint);

    if (r == ADDRESS_REFUSED)
        return ctl_usage(ctl, text, hint, "%s", reason);
    if (r < 0)
        return r;
    bool is_vsock = address.transport == &transport_vsock, is_ours = is_vsock || address.transport == &transport_hyperv;
    if (!is_ours || (is_vsock && address.cid != VSOCK_CID_ANY)) {
        r = ctl_usage(ctl, text, "hvsock://VM/SERVICEGUID, SERVICE@VM or, to listen, vsock://:PORT would be right",
                      is_ours ? "on Windows a machine has no CID" : "Windows reaches no such address");
    } else {
        ret->vm_id = address.vm_id;
        ret->service_id = address.has_guid ? address.guid : guid_from_port(address.port);
        r = address.machine ? vm_find(ctl, address.machine, &ret->vm_id) : 0;
    }
    address_release(&address);
    return r;
}

int stream_address(Ctl *ctl, const char *text, bool needs_vm, StreamAddress *ret)
{
    const char *at = strrchr(text, '@');
    StreamAddress address = {0};
    char vm[GUID_TEXT_SIZE_BYTES], service[GUID_TEXT_SIZE_BYTES];
    uint32_t port;
    int r;

    if (strstr(text, "://") || text_starts_with(text, "vsock:")) {
        r = read_uri(ctl, text, needs_vm, &address);
    } else {
        _cleanup_(freep) char *name = at ? strndup(text, (size_t)(at - text)) : strdup(text);
        r = name ? find_service(ctl, name, &address.service_id) : -ENOMEM;
        if (r == 0 && at)
            r = vm_find(ctl, at + 1, &address.vm_id);
    }
    if (r != 0)
        return r;
    if (needs_vm && guid_is_zero(&address.vm_id))
        return ctl_usage(ctl, text, "SERVICE@VM or hvsock://VM/SERVICEGUID would be right; VM is a name, a GUID, loopback or parent",
                         "it does not say which virtual machine");
    if (guid_to_port(&address.service_id, &port) && port > WINDOWS_PORT_MAX)
        return ctl_usage(ctl, text, "a port up to 2147483647 would be right", "over Hyper-V nobody can reach a port from 2147483648 (0x80000000) on");
    snprintf(address.text, sizeof(address.text), "hvsock://%s/%s", guid_is_zero(&address.vm_id) ? "" : guid_format(&address.vm_id, vm),
             guid_format(&address.service_id, service));
    *ret = address;
    return 0;
}

/* ---- sockets ---- */

int stream_fail(const StreamAddress *address, const char *doing)
{
    int error = WSAGetLastError();
    _cleanup_(freep) char *why = wide_error_text((uint32_t)error);
    const char *hint = error == WSAEAFNOSUPPORT    ? "hvsockctl doctor tells what this Windows lacks"
                       : error == WSAETIMEDOUT     ? "--timeout waits longer; does the virtual machine run?"
                       : error == WSAECONNREFUSED  ? "does a program listen there?"
                       : error == WSAEACCES        ? "start it as administrator, or as a member of the group Hyper-V Administrators"
                       : error == WSAEADDRINUSE    ? "another program listens there: hvsockctl who tells whose it is"
                                                   : NULL;

    ctl_tell(address->text, hint, "cannot %s: %s (%d)", doing, why ? why : "?", error);
    return EXIT_NO;
}

static bool set_option(SOCKET fd, int option, uint32_t value)
{
    return setsockopt(fd, HYPERV_PROTOCOL_RAW, option, (const char *)&value, sizeof(value)) == 0;
}

/* A connect that does not hang: by the socket's own bound, and where that is not kept, by ours. */
static bool connect_in_time(SOCKET fd, const HypervAddress *to, uint32_t timeout_ms)
{
    WSANETWORKEVENTS events;
    unsigned long blocking = 0;
    WSAEVENT event = WSACreateEvent();
    bool done = false;

    if (event == WSA_INVALID_EVENT || WSAEventSelect(fd, event, FD_CONNECT) != 0)
        return false;
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0) {
        done = true;
    } else if (WSAGetLastError() == WSAEWOULDBLOCK) {
        if (WSAWaitForMultipleEvents(1, &event, TRUE, timeout_ms + 1000, FALSE) != WSA_WAIT_EVENT_0) {
            WSASetLastError(WSAETIMEDOUT);
        } else if (WSAEnumNetworkEvents(fd, event, &events) == 0) {
            WSASetLastError(events.iErrorCode[FD_CONNECT_BIT]);
            done = events.iErrorCode[FD_CONNECT_BIT] == 0;
        }
    }
    int error = WSAGetLastError();
    WSAEventSelect(fd, NULL, 0);
    ioctlsocket(fd, FIONBIO, &blocking);
    WSACloseEvent(event);
    WSASetLastError(error);
    return done;
}

int stream_connect(Ctl *ctl, const StreamAddress *address, uint32_t timeout_ms, bool suspend, SOCKET *ret)
{
    HypervAddress to = hyperv_address(&address->vm_id, &address->service_id);
    SOCKET fd = hyperv_socket();

    if (fd == INVALID_SOCKET)
        return stream_fail(address, "be connected to");
    if (!set_option(fd, HYPERV_CONNECT_TIMEOUT, timeout_ms) || (suspend && !set_option(fd, HYPERV_CONNECTED_SUSPEND, 1)) ||
        !connect_in_time(fd, &to, timeout_ms)) {
        int r = stream_fail(address, "be connected to");
        closesocket(fd);
        return r;
    }
    *ret = fd;
    return 0;
}

int stream_listen(Ctl *ctl, const StreamAddress *address, bool suspend, SOCKET *ret)
{
    HypervAddress at = hyperv_address(&address->vm_id, &address->service_id);
    SOCKET fd = hyperv_socket();

    if (fd == INVALID_SOCKET)
        return stream_fail(address, "be listened on");
    if ((suspend && !set_option(fd, HYPERV_CONNECTED_SUSPEND, 1)) || bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        int r = stream_fail(address, "be listened on");
        closesocket(fd);
        return r;
    }
    *ret = fd;
    return 0;
}

/* ---- bytes ---- */

static bool send_all(SOCKET fd, const char *bytes, int size)
{
    while (size > 0) {
        int sent = send(fd, bytes, size, 0);
        if (sent <= 0)
            return false;
        bytes += sent;
        size -= sent;
    }
    return true;
}

static DWORD WINAPI stdin_to_peer(void *userdata)
{
    SOCKET fd = (SOCKET)(uintptr_t)userdata;
    char *bytes = malloc(CHUNK_BYTES);
    HANDLE from = GetStdHandle(STD_INPUT_HANDLE);
    DWORD size;

    while (bytes && ReadFile(from, bytes, CHUNK_BYTES, &size, NULL) && size > 0 && send_all(fd, bytes, (int)size))
        ;
    shutdown(fd, SD_SEND);
    free(bytes);
    return 0;
}

int stream_join(Ctl *ctl, SOCKET fd)
{
    HANDLE thread = CreateThread(NULL, 0, stdin_to_peer, (void *)(uintptr_t)fd, 0, NULL), to = GetStdHandle(STD_OUTPUT_HANDLE);
    char *bytes = malloc(CHUNK_BYTES);
    int size = 0;

    while (thread && bytes && (size = recv(fd, bytes, CHUNK_BYTES, 0)) > 0) {
        DWORD written;
        for (DWORD at = 0; at < (DWORD)size; at += written)
            if (!WriteFile(to, bytes + at, (DWORD)size - at, &written, NULL) || written == 0) {
                size = 0;
                break;
            }
        if (size == 0)
            break;
    }
    free(bytes);
    int r = size < 0 ? EXIT_NO : EXIT_DONE;
    if (size < 0)
        ctl_tell(ctl->called, NULL, "the connection was lost (%d)", WSAGetLastError());
    /* The thread may wait for a person who types: it ends with the process. */
    closesocket(fd);
    if (thread)
        CloseHandle(thread);
    return r;
}

static DWORD WINAPI echo_peer(void *userdata)
{
    SOCKET fd = (SOCKET)(uintptr_t)userdata;
    char *bytes = malloc(CHUNK_BYTES);
    int size;

    while (bytes && (size = recv(fd, bytes, CHUNK_BYTES, 0)) > 0 && send_all(fd, bytes, size))
        ;
    free(bytes);
    closesocket(fd);
    return 0;
}

void stream_echo(SOCKET fd)
{
    HANDLE thread = CreateThread(NULL, 0, echo_peer, (void *)(uintptr_t)fd, 0, NULL);

    if (thread)
        CloseHandle(thread);
    else
        closesocket(fd);
}
