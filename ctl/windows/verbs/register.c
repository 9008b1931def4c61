/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl register on Windows: a new service, with what a key can say. */

#include "ctl/register.h"
#include "schema/model/record.h"

/* What Hyper-V does not keep has no option: it would be lost. */
static const FieldName register_names[] = {
    {.path = "port",
     .option = "port",
     .argument = "N|auto",
     .help = "The vsock port, up to 2147483647; auto: a free one from 268435456 (0x10000000) on, which then stays with the name. "
             "One of --port and --guid is needed."},
    {.path = "autoPort", .option = "auto-port", .help = "The same as --port auto."},
    {.path = "enabled", .option = "disabled", .value = "false", .help = "Only keep it aside until it is enabled."},
    {.path = "type"},
    {.path = "listen"},
    {.path = "backlog"},
    {.path = "labels"},
    {.path = "socket.user"},
    {.path = "socket.group"},
    {.path = "socket.mode"},
    {.path = "handout.users"},
    {.path = "handout.groups"},
    {.path = "handout.exclusive"},
    {.path = "handout.mode"},
    {.path = "handout.socket"},
    {.path = "peers.allow"},
    {.path = "peers.deny"},
    {.path = "peers.maxConnections"},
    {.path = "peers.maxConnectionsPerPeer"},
    {.path = "peers.rate"},
    {.path = "activate.mode"},
    {.path = "activate.exec"},
    {.path = "activate.unit"},
    {.path = "activate.user"},
    {.path = "activate.groups"},
    {.path = "activate.environment"},
    {.path = "activate.workingDirectory"},
    {.path = "activate.umask"},
    {.path = "activate.limits"},
    {.path = "activate.stopTimeoutSeconds"},
    {.path = "activate.startLimit"},
    {.path = "windows.bindSecurityDescriptor"},
    {.path = "windows.connectSecurityDescriptor"},
    {.path = "windows.allowWildcardBinds"},
    {0},
};

static const FieldOptions register_fields = {.type = &record_type_ServiceContext, .names = register_names};

const Verb verb_register = {
    .name = "register",
    .group = VERBS_OF_SERVICES,
    .synopsis = "NAME [--port N|auto] [--guid GUID] [--element-name TEXT] [--disabled]",
    .help = "Register a service, so that virtual machines reach it",
    .description = "Writes a key for all virtual machines of this host; needs the rights of an administrator, and exits 3 without "
                   "them. The same thing again succeeds and changes nothing; nothing is ever replaced.",
    .fields = &register_fields,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .run = register_service,
};
