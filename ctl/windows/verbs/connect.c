/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl connect on Windows: stdin and stdout, joined with a service in a virtual machine. */

#include "ctl/windows/stream.h"

#include "ctl/windows/vm.h"
#include "schema/base/text.h"

static int connect_run(Ctl *ctl)
{
    const char *text = given_value(&ctl->given, "timeout", "30");
    StreamAddress address;
    uint64_t seconds;
    SOCKET fd;

    if (!text_to_number(text, HYPERV_CONNECT_TIMEOUT_MAX_MS / 1000, &seconds) || seconds == 0)
        return ctl_usage(ctl, "--timeout", "seconds from 1 to 300 would be right", "\"%s\" is no such number", text);
    int r = stream_address(ctl, ctl->given.operands[0], true, &address);
    if (r == 0)
        r = stream_connect(ctl, &address, (uint32_t)seconds * 1000, given_has(&ctl->given, "suspend"), &fd);
    return r == 0 ? stream_join(ctl, fd) : r;
}

static const Option connect_options[] = {
    {.name = "timeout", .argument = "SECONDS", .help = "How long a connection may take to come about: 1 to 300, default 30."},
    {.name = "suspend", .help = "Keep the connection while the virtual machine is suspended (HVSOCKET_CONNECTED_SUSPEND)."},
    OPTIONS_MACHINES,
    {0},
};

const Verb verb_connect = {
    .name = "connect",
    .group = VERBS_OF_USE,
    .synopsis = "SERVICE@VM|hvsock://VM/GUID [OPTION]...",
    .help = "Connect stdin and stdout with a service in a virtual machine",
    .description = "SERVICE is a name that hvsockctl list shows, a port or a GUID. VM is a GUID; a machine of --machines with its vmId; "
                   "what hcsdiag list shows by id or owner; wsl; or parent, loopback, children, silohost. Exits 1 where nobody answers.",
    .options = connect_options,
    .operand = "SERVICE@VM or URI",
    .operands_min = 1,
    .operands_max = 1,
    .run = connect_run,
};
