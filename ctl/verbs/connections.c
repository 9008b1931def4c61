/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl connections: who is connected to what, at this moment. */

#include <stdio.h>

#include "ctl/ctl.h"
#include "schema/model/address.h"

static void member(const json_t *connection, const char *key, Buffer *text)
{
    const char *value = json_string_value(json_object_get(connection, key));

    buffer_append_text(text, value ? value : "-");
}

static void cell_service(const json_t *connection, Buffer *text, const char **ret_colour)
{
    member(connection, "service", text);
}

static void cell_machine(const json_t *connection, Buffer *text, const char **ret_colour)
{
    member(connection, "machine", text);
}

static void cell_peer(const json_t *connection, Buffer *text, const char **ret_colour)
{
    member(connection, "peer", text);
}

/* The machine's, of `vsock:42:1029384`; other transports have none. */
static void cell_cid(const json_t *connection, Buffer *text, const char **ret_colour)
{
    const char *peer = json_string_value(json_object_get(connection, "peer"));
    unsigned cid;

    if (peer && sscanf(peer, "vsock:%u:", &cid) == 1)
        buffer_append_number(text, cid);
    else
        buffer_append_char(text, '-');
}

/* The service's, which the address has but for unix://. */
static void cell_port(const json_t *connection, Buffer *text, const char **ret_colour)
{
    const char *uri = json_string_value(json_object_get(connection, "address")), *reason = NULL, *hint = NULL;
    Address address;

    if (!uri || address_parse(uri, &address, &reason, &hint) != 0) {
        buffer_append_char(text, '-');
        return;
    }
    if (address.has_port)
        buffer_append_number(text, address.port);
    else
        buffer_append_char(text, '-');
    address_release(&address);
}

static void cell_address(const json_t *connection, Buffer *text, const char **ret_colour)
{
    member(connection, "address", text);
}

static void cell_since(const json_t *connection, Buffer *text, const char **ret_colour)
{
    member(connection, "since", text);
}

/* `sshd (812)`, as leases are shown. */
static void cell_program(const json_t *connection, Buffer *text, const char **ret_colour)
{
    const json_t *holder = json_array_get(json_object_get(connection, "holders"), 0);

    member(connection, "program", text);
    if (json_is_integer(holder))
        buffer_printf(text, " (%lld)", (long long)json_integer_value(holder));
}

static const Column column_service = {.name = "SERVICE", .help = "What it is connected to.", .cell = cell_service};
static const Column column_machine = {.name = "MACHINE", .help = "The machine, where it is known.", .cell = cell_machine};
static const Column column_cid = {.name = "CID", .help = "The machine's, on vsock.", .right = true, .cell = cell_cid};
static const Column column_port = {.name = "PORT", .help = "The service's.", .right = true, .cell = cell_port};
static const Column column_peer = {.name = "PEER", .help = "The other end: vsock:CID:PORT, or uid:UID.", .cell = cell_peer};
static const Column column_program = {
    .name = "PROGRAM", .help = "The program here that has the connection, where that can be seen.", .cell = cell_program};
static const Column column_since = {.name = "SINCE", .help = "When it was accepted; where hvsockd did not do that, now.", .cell = cell_since};
static const Column column_address = {
    .name = "ADDRESS", .help = "Where it came in.", .hidden = true, .cell = cell_address};

static const Column *const connection_columns[] = {
    &column_service, &column_machine, &column_cid, &column_port, &column_peer, &column_program, &column_since, &column_address, NULL,
};

static int connections_run(Ctl *ctl)
{
    _cleanup_(output_release) Output output = {0};
    Registry *registry;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = output_open(&ctl->output, ctl->output.json ? OUTPUT_JSON_LINES : OUTPUT_TABLE, connection_columns, NULL, NULL, &output);
    if (r < 0)
        return r;
    r = registry->ops->list_connections(registry, output_add, &output);
    return r != 0 ? ctl_refused(ctl, r, "connections") : output_close(&output);
}

const Verb verb_connections = {
    .name = "connections",
    .group = VERBS_OF_WATCHING,
    .synopsis = "[-o COLUMNS]",
    .help = "Show who is connected to what",
    .description = "What hvsockd has accepted and is still open, and of AF_VSOCK also what programs have accepted themselves, where the "
                   "kernel tells (vsock_diag). For administrators. With --json one object a line.",
    .columns = connection_columns,
    .run = connections_run,
};
