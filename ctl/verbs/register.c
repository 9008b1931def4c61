/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl register: a new service, from the fields that are given as options. */

#include "ctl/register.h"
#include "schema/model/record.h"

static const FieldName register_names[] = {
    {.path = "port",
     .option = "port",
     .argument = "N|auto",
     .help = "The vsock port; auto: a free one, which then stays with the name. One of --port and --guid is needed, "
             "unless every address is unix://."},
    {.path = "autoPort", .option = "auto-port", .help = "The same as --port auto."},
    {.path = "enabled",
     .option = "disabled",
     .value = "false",
     .help = "Only note it: hold nothing until it is enabled."},
    {.path = "listen",
     .option = "listen",
     .argument = "URI",
     .help = "Where this host listens: vsock://[CID]:PORT, hybrid://PATH, hyperkit://DIR, unix://PATH, machine:NAME, "
             "machine:*. Default: vsock://:PORT. An empty URI: nothing is held here."},
    {.path = "handout.exclusive", .option = "exclusive"},
    {.path = "peers.allow", .option = "allow", .argument = "PEER", .completes = COMPLETES_MACHINES},
    {.path = "peers.deny", .option = "deny", .argument = "PEER", .completes = COMPLETES_MACHINES},
    {.path = "activate.exec",
     .option = "activate-exec",
     .argument = "ARG",
     .help = "The program to start when a peer connects, by its absolute path; again for each of its arguments."},
    {0},
};

static const FieldOptions register_fields = {.type = &record_type_ServiceContext, .names = register_names};

static const Option register_options[] = {
    OPTIONS_EPHEMERAL,
    {0},
};

const Verb verb_register = {
    .name = "register",
    .group = VERBS_OF_SERVICES,
    .synopsis = "NAME [--port N|auto] [--guid GUID] [--listen URI]... [OPTION]...",
    .help = "Register a service, and hold its listeners",
    .description = "The daemon holds what it listens on until it is unregistered, over restarts and reboots. The same "
                   "thing from the same "
                   "user succeeds and changes nothing; nothing is ever replaced. Each option is the field of that name "
                   "in hvsockd.yaml(5).",
    .options = register_options,
    .fields = &register_fields,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .run = register_service,
};
