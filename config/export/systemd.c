/* SPDX-License-Identifier: Apache-2.0 */
/* Units of systemd's, for those who want systemd itself to hold a service: NAME.socket, and NAME.service or NAME@.service.
 * systemd.socket(5), systemd.exec(5), systemd.service(5), systemd.syntax(7). What systemd would not keep (rules of peers) is refused,
 * not dropped. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/export.h"
#include "schema/base/text.h"
#include "schema/model/service.h"

/* ---- text of units ---- */

/* A whole value: % begins a specifier, and a backslash at the end of a line joins the next; blanks there are stripped. */
static void unit_append_value(Buffer *text, const char *key, const char *value)
{
    buffer_printf(text, "%s=", key);
    for (const char *at = value; *at; at++) {
        buffer_append_char(text, *at);
        if (*at == '%')
            buffer_append_char(text, '%');
    }
    if (text_ends_with(value, "\\"))
        buffer_append_char(text, ' ');
    buffer_append_char(text, '\n');
}

/* One word of several, in quotes: C's escapes, and % as above. */
static void unit_append_word(Buffer *text, const char *word)
{
    buffer_append_char(text, '"');
    for (const unsigned char *at = (const unsigned char *)word; *at; at++) {
        if (*at < 0x20 || *at == 0x7f) {
            buffer_printf(text, "\\x%02x", *at);
            continue;
        }
        if (*at == '"' || *at == '\\')
            buffer_append_char(text, '\\');
        buffer_append_char(text, (char)*at);
        if (*at == '%')
            buffer_append_char(text, '%');
    }
    buffer_append_char(text, '"');
}

static bool value_is_whole(const char *value)
{
    size_t size = strlen(value);

    return size == 0 || (!strchr(" \t", value[0]) && !strchr(" \t", value[size - 1]));
}

/* ---- what a unit cannot say ---- */

static void check_path(Problems *problems, const char *field, const char *path)
{
    if (path && !value_is_whole(path))
        problems_add(problems, field, "another path would be right", "a unit cannot name a path that begins or ends with a blank");
}

static void check_peers(Problems *problems, const Peers *peers, bool accepts)
{
    static const char hint[] = "leave it to hvsockd, or take these out";

    if (!peers)
        return;
    if (peers->allow || peers->deny)
        problems_add(problems, peers->allow ? "peers.allow" : "peers.deny", hint, "systemd has no rules of who may connect");
    if (peers->rate)
        problems_add(problems, "peers.rate", hint, "systemd knows no rate of one peer's");
    if ((peers->max_connections.set || peers->max_connections_per_peer.set) && !accepts)
        problems_add(problems, peers->max_connections.set ? "peers.maxConnections" : "peers.maxConnectionsPerPeer", hint,
                     "systemd counts connections only where it accepts them");
}

/* false: it has no place here, which was told. */
static bool systemd_check(Export *export, const ServiceContext *service)
{
    const Activation *activate = service->activate;
    size_t errors = export->problems->errors;

    if (!service_is_enabled(service)) {
        export_leave_out(export, "enabled", "hvsockctl enable would be right", "it is disabled");
        return false;
    }
    if (!activate) {
        export_leave_out(export, "activate", "activate: {mode: wait, exec: [PROGRAM]} would be right",
                         "it names no program, and systemd holds a socket only for a unit that it starts");
        return false;
    }
    check_peers(export->problems, service->peers, activate->mode == ACTIVATION_ACCEPT);
    check_path(export->problems, "activate.workingDirectory", activate->working_directory);
    return export->problems->errors == errors;
}

/* ---- the socket ---- */

static const char *listen_key(const ServiceContext *service)
{
    switch (service_type(service)) {
    case SERVICE_SEQPACKET:
        return "ListenSequentialPacket";
    case SERVICE_DGRAM:
        return "ListenDatagram";
    default:
        return "ListenStream";
    }
}

/* Whose the paths of a unit are: of all its sockets, one user and one group. */
typedef struct Paths {
    bool any, differ, vsock;
    const char *user, *group; /* of the machines that they are of; NULL: nobody says */
} Paths;

static void paths_add(Paths *paths, const MachineContext *machine)
{
    const char *user = machine ? machine->user : NULL, *group = machine ? machine->group : NULL;

    if (!paths->any) {
        paths->user = user;
        paths->group = group;
    }
    paths->differ |= paths->any && !(text_equal(user, paths->user) && text_equal(group, paths->group));
    paths->any = true;
}

/* 0, also where it cannot be and was told. machine: whose it is, or NULL. */
static int append_listen(Export *export, const ServiceContext *service, const Address *address, const MachineContext *machine,
                         Buffer *text, Paths *paths)
{
    _cleanup_(freep) char *path = NULL;
    char vsock[40];

    if (address->transport == &transport_vsock) {
        if (address->cid == VSOCK_CID_ANY)
            snprintf(vsock, sizeof(vsock), "vsock::%u", address->port);
        else
            snprintf(vsock, sizeof(vsock), "vsock:%u:%u", address->cid, address->port);
        unit_append_value(text, listen_key(service), vsock);
        paths->vsock = true;
        /* systemd.socket(5); it would leave that line out, and go on. */
        if (service_type(service) == SERVICE_SEQPACKET)
            problems_add(export->problems, "type", "stream would be right, or leave it to hvsockd",
                         "systemd listens for seqpacket on unix sockets alone, not on vsock");
        return 0;
    }
    int r = address->transport->listen_path(address, &path);
    if (r == -EINVAL)
        problems_add(export->problems, "listen", "a shorter path would be right", "its socket's path is no good path");
    if (r < 0)
        return r == -EINVAL ? 0 : r;
    check_path(export->problems, "listen", path);
    unit_append_value(text, listen_key(service), path);
    paths_add(paths, machine);
    return 0;
}

/* machine:NAME and machine:* are those machines' own transports; the shared vsock once. */
static int append_machines(Export *export, const ServiceContext *service, const char *name, Buffer *text, Paths *paths)
{
    const MachineContext *const *machines = export->options.machines;
    bool all = strcmp(name, "*") == 0, found = all;
    int r = 0;

    for (; r == 0 && machines && *machines; machines++) {
        Address address = {0};
        if (!all && strcmp((*machines)->name, name) != 0)
            continue;
        found = true;
        r = machine_address(*machines, service, &address);
        if (r == 0 && address.transport == &transport_vsock)
            problems_add(export->problems, "listen", "vsock://:PORT would be right, for every machine",
                         "systemd cannot keep a vsock port for the machine %s alone", (*machines)->name);
        else if (r == 0 && address.transport)
            r = append_listen(export, service, &address, *machines, text, paths);
        address_release(&address);
    }
    if (!found)
        problems_add(export->problems, "listen", "the machine itself must be known, too", "the machine %s is not known here", name);
    return r;
}

static int append_addresses(Export *export, const ServiceContext *service, Buffer *text, Paths *paths)
{
    Address *addresses;
    size_t count, before = text->size_bytes;
    int r = service_addresses(service, &addresses, &count);

    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (addresses[i].machine)
            r = append_machines(export, service, addresses[i].machine, text, paths);
        else if (!addresses[i].transport->has_path && !addresses[i].has_port)
            r = 0;
        else
            r = append_listen(export, service, &addresses[i], NULL, text, paths);
    }
    addresses_free(addresses, count);
    if (r == 0 && text->size_bytes == before)
        export_leave_out(export, "listen", "an address would be right", "%s",
                         service->auto_port == YES ? "its port is chosen by the daemon, and is not known here" : "it listens nowhere");
    return r;
}

static void append_socket_file(Export *export, const SocketFile *socket, const Paths *paths, Buffer *text)
{
    const char *user = socket && socket->user ? socket->user : paths->user;
    const char *group = socket && socket->group ? socket->group : paths->group;

    if (paths->differ && !(socket && socket->user && socket->group))
        problems_add(export->problems, "socket", "one for all, as socket: {user: root, group: kvm}, would be right",
                     "its paths are those of several users, and to systemd the sockets of a unit are one user's");
    if (user)
        unit_append_value(text, "SocketUser", user);
    if (group)
        unit_append_value(text, "SocketGroup", group);
    unit_append_value(text, "SocketMode", socket && socket->mode ? socket->mode : "0660");
}

static void append_description(const ServiceContext *service, Buffer *text)
{
    Buffer description = {0};

    /* The element name neither begins nor ends the value, whatever it is. */
    buffer_printf(&description, "hvsock service %s (%s)", service->name, windows_element_name(service));
    buffer_append_char(&description, '\0');
    buffer_append_text(text, "[Unit]\n");
    if (description.failed)
        text->failed = true;
    else
        unit_append_value(text, "Description", description.data);
    buffer_release(&description);
}

static int append_socket(Export *export, const ServiceContext *service, Buffer *text, Paths *paths)
{
    const Peers *peers = service->peers;

    append_description(service, text);
    buffer_append_text(text, "\n[Socket]\n");
    int r = append_addresses(export, service, text, paths);
    if (r < 0)
        return r;
    buffer_printf(text, "Backlog=%u\nFileDescriptorName=%s\n", service_backlog(service), service->name);
    if (paths->any)
        append_socket_file(export, service->socket, paths, text);
    if (service->activate->mode == ACTIVATION_ACCEPT)
        buffer_append_text(text, "Accept=yes\n");
    else if (service->activate->unit)
        unit_append_value(text, "Service", service->activate->unit);
    if (peers && peers->max_connections.set)
        buffer_printf(text, "MaxConnections=%u\n", peers->max_connections.value);
    if (peers && peers->max_connections_per_peer.set)
        buffer_printf(text, "MaxConnectionsPerSource=%u\n", peers->max_connections_per_peer.value);
    buffer_append_text(text, "\n[Install]\nWantedBy=sockets.target\n");
    return 0;
}

/* ---- the program ---- */

/* The colon says that a $ is a $. */
static void append_exec(const TextList exec, Buffer *text)
{
    buffer_append_text(text, "ExecStart=:");
    for (size_t i = 0; exec[i]; i++) {
        buffer_append_text(text, i > 0 ? " " : "");
        unit_append_word(text, exec[i]);
    }
    buffer_append_char(text, '\n');
}

static void append_environment(const TextList environment, Buffer *text)
{
    Buffer word = {0};

    for (size_t i = 0; environment && environment[i]; i += 2) {
        buffer_clear(&word);
        buffer_printf(&word, "%s=%s", environment[i], environment[i + 1]);
        buffer_append_char(&word, '\0');
        buffer_append_text(text, "Environment=");
        if (word.failed)
            text->failed = true;
        else
            unit_append_word(text, word.data);
        buffer_append_char(text, '\n');
    }
    buffer_release(&word);
}

static void append_groups(const TextList groups, Buffer *text)
{
    for (size_t i = 0; groups && groups[i]; i++)
        unit_append_value(text, i == 0 ? "Group" : "SupplementaryGroups", groups[i]);
}

static void append_start_limit(const char *limit, Buffer *text)
{
    size_t count = strcspn(limit, "/");

    if (limit[count] == '/')
        buffer_printf(text, "StartLimitBurst=%.*s\nStartLimitIntervalSec=%s\n", (int)count, limit, limit + count + 1);
}

static void append_service(const ServiceContext *service, Buffer *text)
{
    const Activation *activate = service->activate;
    bool accepts = activate->mode == ACTIVATION_ACCEPT;

    append_description(service, text);
    if (!accepts)
        buffer_printf(text, "Requires=%s.socket\n", service->name);
    if (!accepts && activate->start_limit)
        append_start_limit(activate->start_limit, text);
    /* Each connection is a unit: those whose program failed are not to stay. */
    if (accepts)
        buffer_append_text(text, "CollectMode=inactive-or-failed\n");
    buffer_append_text(text, "\n[Service]\n");
    append_exec(activate->exec, text);
    if (activate->user)
        unit_append_value(text, "User", activate->user);
    append_groups(activate->groups, text);
    append_environment(activate->environment, text);
    buffer_printf(text, "Environment=\"HVSOCK_SERVICE=%s\"\n", service->name);
    if (activate->working_directory)
        unit_append_value(text, "WorkingDirectory", activate->working_directory);
    if (activate->umask)
        unit_append_value(text, "UMask", activate->umask);
    for (size_t i = 0; activate->limits && activate->limits[i]; i += 2)
        buffer_printf(text, "Limit%s=%s\n", activate->limits[i], activate->limits[i + 1]);
    buffer_printf(text, "TimeoutStopSec=%u\n", activate->stop_timeout_seconds.set ? activate->stop_timeout_seconds.value : 10);
    if (accepts)
        buffer_append_text(text, "StandardInput=socket\nStandardOutput=socket\nStandardError=journal\n");
}

/* ---- the target ---- */

static int systemd_file(Export *export, const ServiceContext *service, const char *suffix, const Buffer *unit)
{
    char name[SERVICE_NAME_MAX_BYTES + 16];

    snprintf(name, sizeof(name), "%.64s%s", service->name, suffix);
    int r = export_file(export, name);
    if (r < 0)
        return r;
    buffer_printf(&export->text, "%s# %s, written by hvsockctl export --to systemd\n", export->count++ > 0 && !export->sink.file ? "\n" : "",
                  name);
    buffer_append(&export->text, unit->data, unit->size_bytes);
    return unit->failed ? -ENOMEM : 0;
}

static int systemd_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    const Problems *problems = export->problems;
    const Activation *activate = service->activate;
    size_t told = problems->count + problems->dropped;
    Buffer *unit = &export->scratch;
    Paths paths = {0};

    if (!systemd_check(export, service))
        return 0;
    buffer_clear(unit);
    int r = append_socket(export, service, unit, &paths);
    if (r < 0 || problems->count + problems->dropped > told)
        return r;
    /* Measured: it asks vsock whether it is a terminal, and does not understand the answer. */
    if (paths.vsock && activate->mode == ACTIVATION_ACCEPT && activate->user)
        problems_warn(export->problems, "activate.user", "leave it out, or let hvsockd hold this service",
                      "systemd 252, as in Debian 12, cannot start a program as a user with a vsock connection as its standard input");
    r = systemd_file(export, service, ".socket", unit);
    if (r < 0 || activate->unit)
        return r;
    buffer_clear(unit);
    append_service(service, unit);
    return systemd_file(export, service, activate->mode == ACTIVATION_ACCEPT ? "@.service" : ".service", unit);
}

const ExportTarget export_systemd = {
    .name = "systemd",
    .help = "Units, NAME.socket and NAME.service, for services that name a program: systemd then holds them, not hvsockd.",
    .has_files = true,
    .add = systemd_add,
};
