/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl listen on Windows: waits for virtual machines that connect to a service. */

#include "ctl/windows/stream.h"

#include "ctl/windows/vm.h"

/* One connection at a time and for stdin and stdout, the first alone. */
static int listen_accept(Ctl *ctl, const StreamAddress *address, SOCKET fd)
{
    bool echo = given_has(&ctl->given, "echo");

    for (;;) {
        SOCKET peer = accept(fd, NULL, NULL);
        if (peer == INVALID_SOCKET)
            return stream_fail(address, "be accepted on");
        if (!echo) {
            closesocket(fd);
            return stream_join(ctl, peer);
        }
        stream_echo(peer);
    }
}

static int listen_run(Ctl *ctl)
{
    StreamAddress address;
    SOCKET fd;
    int r = stream_address(ctl, ctl->given.operands[0], false, &address);

    if (r == 0)
        r = stream_listen(ctl, &address, given_has(&ctl->given, "suspend"), &fd);
    return r == 0 ? listen_accept(ctl, &address, fd) : r;
}

static const Option listen_options[] = {
    {.name = "echo", .help = "Give every peer back what it sends, until this is ended; else the first peer has stdin and stdout."},
    {.name = "suspend", .help = "Keep connections while the virtual machine is suspended (HVSOCKET_CONNECTED_SUSPEND)."},
    OPTIONS_MACHINES,
    {0},
};

const Verb verb_listen = {
    .name = "listen",
    .group = VERBS_OF_USE,
    .synopsis = "SERVICE[@VM]|hvsock://[VM]/GUID|vsock://:PORT [OPTION]...",
    .help = "Wait for virtual machines that connect to a service",
    .description = "Without VM, all may connect whose configuration lets them; VM is as in hvsockctl connect, children for all of this "
                   "host's own. The service must be registered: hvsockctl register.",
    .options = listen_options,
    .operand = "SERVICE or URI",
    .operands_min = 1,
    .operands_max = 1,
    .run = listen_run,
};
