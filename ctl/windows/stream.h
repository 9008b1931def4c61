/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of hypervisor sockets, for connect and listen. Windows alone has threads here: its stdin is no socket, and cannot
 * be waited for together with one. */
#pragma once

#include "ctl/windows/hyperv.h"

#include "ctl/ctl.h"

typedef struct StreamAddress StreamAddress;

struct StreamAddress {
    Guid vm_id, service_id;
    char text[96]; /* hvsock://VM/SERVICE, for messages */
};

/* What a person names: hvsock://[VM]/GUID, vsock://:PORT, SERVICE@MACHINE, or, where no machine is needed, SERVICE; a service is a
 * name of the registry, a port or a GUID. 0; an ExitStatus (told). */
int stream_address(Ctl *ctl, const char *text, bool needs_vm, StreamAddress *ret);
/* 0; EXIT_NO (told). */
int stream_connect(Ctl *ctl, const StreamAddress *address, uint32_t timeout_ms, bool suspend, SOCKET *ret);
int stream_listen(Ctl *ctl, const StreamAddress *address, bool suspend, SOCKET *ret);
/* stdin to the peer and the peer to stdout, until both have ended. */
int stream_join(Ctl *ctl, SOCKET fd);
/* Gives the peer back what it sends, in a thread of its own; fd is taken over. */
void stream_echo(SOCKET fd);
/* Tells a socket's error. */
int stream_fail(const StreamAddress *address, const char *doing);
