/* SPDX-License-Identifier: Apache-2.0 */
/* THE table of fields: what a service, a machine and hvsockd's settings are. A new field is a new line here (and, where it
 * is of the API, `make golden` puts it into schema/varlink). Absent is said by NULL, Number.set, UNSET and 0. */
#pragma once

#include "schema/model/field.h"
#include "schema/model/format.h"

enum { SERVICE_STREAM = 1, SERVICE_SEQPACKET, SERVICE_DGRAM };
extern const char *const words_service_type[];
enum { HANDOUT_LISTENER = 1, HANDOUT_CONNECTIONS };
extern const char *const words_handout_mode[];
enum { ACTIVATION_WAIT = 1, ACTIVATION_ACCEPT };
extern const char *const words_activation_mode[];

#define SERVICE_BACKLOG_DEFAULT 128
#define SERVICE_NAME_MAX_BYTES 64
#define SERVICE_LISTEN_MAX 256

#define SOCKET_FILE_FIELDS(F, T)                                                                                       \
    F(T, TEXT, user, "user", .format = &format_user, .max = 64, .example = "root",                                     \
      .fallback = "the machine's user, else the folder's owner",                                                       \
      .help = "Owner of the socket's path: a user name or a uid.")                                                     \
    F(T, TEXT, group, "group", .format = &format_group, .max = 64, .example = "kvm",                                   \
      .fallback = "the machine's group, else the folder's group",                                                      \
      .help = "Group of the socket's path: a group name or a gid.")                                                    \
    F(T, TEXT, mode, "mode", .format = &format_mode, .max = 4, .example = "\"0660\"", .fallback = "0660",              \
      .fallback_json = "\"0660\"", .help = "Access mode of the socket's path, octal text.")

#define HANDOUT_FIELDS(F, T)                                                                                           \
    F(T, TEXTS, users, "users", .format = &format_user_range, .max = 256, .example = "[syslog]", .fallback = "nobody", \
      .help = "Users (names, uids or ranges of uids) who may take the listening sockets or connections, beside root, " \
              "the user that the daemon runs as, the administrators and the delegates of that name and port.")         \
    F(T, TEXTS, groups, "groups", .format = &format_group, .max = 256, .example = "[adm]", .fallback = "nobody",       \
      .help = "Groups whose members may do so; supplementary groups count.")                                           \
    F(T, CHOICE, exclusive, "exclusive", .example = "true", .fallback = "false", .fallback_json = "false",             \
      .help = "Hand out only where no other process holds the listener.")                                              \
    F(T, WORD(words_handout_mode), mode, "mode", .example = "connections",                                             \
      .fallback = "connections where there are peers or machine:*, else listener",                                     \
      .help = "What is handed out: the listener itself, or connections that the daemon has accepted and checked.")     \
    F(T, CHOICE, socket, "socket", .example = "true", .fallback = "false", .fallback_json = "false",                   \
      .help = "Make RUNTIME/handout/NAME, an entry of its own to this one service, to be mounted into a container.")

#define PEERS_FIELDS(F, T)                                                                                             \
    F(T, TEXTS, allow, "allow", .format = &format_peer, .max = 4096, .example = "[web1, 42, 100-199, \"uid:107\"]",    \
      .fallback = "everybody who is not denied",                                                                       \
      .help = "Who may connect: machine names, CIDs, ranges of CIDs, users of VMM processes.")                         \
    F(T, TEXTS, deny, "deny", .format = &format_peer, .max = 4096, .example = "[web2]", .fallback = "nobody",          \
      .help = "Who may not connect; looked at before allow.")                                                          \
    F(T, NUMBER, max_connections, "maxConnections", .min = 1, .max = 1000000, .example = "64",                         \
      .fallback = "no bound of its own", .help = "Connections at one time.")                                           \
    F(T, NUMBER, max_connections_per_peer, "maxConnectionsPerPeer", .min = 1, .max = 1000000, .example = "4",          \
      .fallback = "no bound of its own", .help = "Connections at one time from one peer.")                             \
    F(T, TEXT, rate, "rate", .format = &format_rate, .max = 32, .example = "50/s", .fallback = "no bound of its own",  \
      .help = "New connections from one peer in a time: N/s, N/min or N/h.")

#define ACTIVATION_FIELDS(F, T)                                                                                        \
    F(T, WORD(words_activation_mode), mode, "mode", .required = true, .example = "accept",                             \
      .help = "wait: one program, which gets the listeners. accept: one program a connection.")                        \
    F(T, TEXTS, exec, "exec", .format = &format_argument, .min = 1, .max = 1024,                                       \
      .example = "[/usr/libexec/guest-log, --inetd]",                                                                  \
      .help = "The program, by its absolute path, and its arguments. Either exec or unit.")                            \
    F(T, TEXT, unit, "unit", .format = &format_unit_name, .max = 255, .example = "guest-log.service",                  \
      .help = "A unit of systemd's to start, which takes its sockets itself. Only with wait.")                         \
    F(T, TEXT, user, "user", .format = &format_user, .max = 64, .example = "syslog",                                   \
      .fallback = "who registered the service; of declared services root, where the keeper is root, else the "         \
                  "daemon's user",                                                                                     \
      .help = "The user that the program runs as.")                                                                    \
    F(T, TEXTS, groups, "groups", .format = &format_group, .max = 64, .example = "[adm]",                              \
      .fallback = "the user's own groups", .help = "The groups that the program runs with; the first is its own.")     \
    F(T, MAP, environment, "environment", .secret = true, .key_format = &format_environment_name,                      \
      .format = &format_environment_value, .max = 1024, .example = "{LANG: C.UTF-8}",                       \
      .fallback = "PATH, and HOME, USER, LOGNAME and SHELL of the user",                                               \
      .help = "The program's environment, beside HVSOCK_SERVICE and what hvsockd(8) tells of its peer. Only "          \
              "administrators are shown it.")                                                                          \
    F(T, TEXT, working_directory, "workingDirectory", .format = &format_absolute_path, .max = 4095, .example = "/",    \
      .fallback = "/", .fallback_json = "\"/\"", .help = "The folder that the program starts in.")                     \
    F(T, TEXT, umask, "umask", .format = &format_mode, .max = 4, .example = "\"0022\"", .fallback = "0022",            \
      .fallback_json = "\"0022\"", .help = "The program's file mode creation mask, octal text.")                       \
    F(T, MAP, limits, "limits", .key_format = &format_limit_name, .format = &format_limit_value, .max = 16,            \
      .example = "{NOFILE: \"1024:4096\"}", .fallback = "the keeper's own",                                            \
      .help = "Resource limits, keyed as systemd's Limit*= without that word: N, SOFT:HARD or infinity.")              \
    F(T, NUMBER, stop_timeout_seconds, "stopTimeoutSeconds", .min = 0, .max = 86400, .example = "10",                  \
      .fallback = "10", .fallback_json = "10", .help = "How long after SIGTERM the program is killed.")                \
    F(T, TEXT, start_limit, "startLimit", .format = &format_start_limit, .max = 32, .example = "5/10s",                \
      .fallback = "5/10s", .fallback_json = "\"5/10s\"",                                                               \
      .help = "Starts in a time, N/SECONDSs, before the service is failed. Only with wait.")

#define WINDOWS_FIELDS(F, T)                                                                                           \
    F(T, TEXT, bind_security_descriptor, "bindSecurityDescriptor", .format = &format_sddl, .max = 4096,                \
      .example = "\"D:P(A;;FA;;;SY)\"", .help = "HvSocketServiceConfig's BindSecurityDescriptor, SDDL.")               \
    F(T, TEXT, connect_security_descriptor, "connectSecurityDescriptor", .format = &format_sddl, .max = 4096,          \
      .example = "\"D:P(A;;FA;;;BA)\"", .help = "HvSocketServiceConfig's ConnectSecurityDescriptor, SDDL.")            \
    F(T, CHOICE, allow_wildcard_binds, "allowWildcardBinds", .example = "true",                                        \
      .help = "HvSocketServiceConfig's AllowWildcardBinds.")

#define SERVICE_FIELDS(F, T)                                                                                           \
    F(T, TEXT, name, "name", .required = true, .format = &format_service_name, .max = SERVICE_NAME_MAX_BYTES,          \
      .example = "guest-log", .help = "What the service is called; unique on the host.")                               \
    F(T, TEXT, element_name, "elementName", .format = &format_element_name, .min = 1, .max = 1024,                     \
      .example = "Guest log", .fallback = "the name", .help = "What Windows shows: any text without control "          \
      "characters.")                                                                                                   \
    F(T, NUMBER, port, "port", .min = 0, .max = 0xfffffffe, .example = "5140",                                         \
      .help = "The vsock port. One of port, autoPort and guid is needed, unless every address is unix://.")            \
    F(T, CHOICE, auto_port, "autoPort", .example = "true", .fallback = "false",                                        \
      .help = "Take a port that neither a service nor another program has; it then stays with the name.")              \
    F(T, TEXT, guid, "guid", .format = &format_guid, .max = 38, .example = "00001414-facb-11e6-bd58-64006a7986d3",     \
      .fallback = "the port in the VSOCK template",                                                                    \
      .help = "The Hyper-V service GUID; where there is a port too, they must agree.")                                 \
    F(T, WORD(words_service_type), type, "type", .example = "stream", .fallback = "stream",                            \
      .fallback_json = "\"stream\"", .help = "The socket's type; hybrid and hyperkit know stream only.")               \
    F(T, CHOICE, enabled, "enabled", .example = "true", .fallback = "true", .fallback_json = "true",                   \
      .help = "A disabled service holds nothing, and conflicts with nothing but its name.")                            \
    F(T, TEXTS, listen, "listen", .format = &format_listen, .max = SERVICE_LISTEN_MAX, .example = "[\"vsock://:5140\"]",              \
      .fallback = "vsock://:PORT; nothing for a GUID that has no port",                                                \
      .help = "Where this host listens: vsock://[CID]:PORT, hybrid://PATH, hyperkit://DIR, unix://PATH, machine:NAME, " \
              "machine:* (each machine's own transport). An empty list: nothing is held here.")                        \
    F(T, NUMBER, backlog, "backlog", .min = 1, .max = 65535, .example = "128", .fallback = "128",                      \
      .fallback_json = "128", .help = "How many connections may wait to be accepted.")                                 \
    F(T, RECORD(SocketFile), socket, "socket", .help = "Owner and mode of unix paths.")                                \
    F(T, RECORD(Handout), handout, "handout", .help = "Who may take the listeners or connections.")                    \
    F(T, RECORD(Peers), peers, "peers", .help = "Which peers may connect. They hold where the daemon accepts.")        \
    F(T, RECORD(Activation), activate, "activate", .help = "The program to start when a peer connects.")               \
    F(T, RECORD(Windows), windows, "windows", .help = "What Windows keeps for a service beside its name.")             \
    F(T, MAP, labels, "labels", .key_format = &format_label_name, .format = &format_label_value, .max = 64,            \
      .example = "{team: infra}", .help = "Anything that helps you find it.")

#define MACHINE_FIELDS(F, T)                                                                                           \
    F(T, TEXT, name, "name", .required = true, .format = &format_machine_name, .max = SERVICE_NAME_MAX_BYTES,          \
      .example = "web1", .help = "What the machine is called; unique on the host.")                                    \
    F(T, NUMBER, cid, "cid", .min = 3, .max = 0xfffffffe, .example = "42", .help = "The machine's vsock CID.")         \
    F(T, TEXT, hybrid, "hybrid", .format = &format_absolute_path, .max = 4095, .example = "/run/vms/web1/v.sock",      \
      .help = "The socket path of its hybrid vsock (Firecracker, cloud-hypervisor, OpenVMM).")                         \
    F(T, TEXT, hyperkit, "hyperkit", .format = &format_absolute_path, .max = 4095, .example = "/run/vms/mac1",         \
      .help = "The folder of its hyperkit sockets.")                                                                   \
    F(T, TEXT, vm_id, "vmId", .format = &format_guid, .max = 38, .example = "6f9619ff-8b86-d011-b42d-00c04fc964ff",    \
      .help = "Its Hyper-V VM id.")                                                                                    \
    F(T, TEXT, user, "user", .format = &format_user, .max = 64, .example = "fc-web1",                                  \
      .fallback = "not checked", .help = "The user that its VMM runs as.")                                             \
    F(T, TEXT, group, "group", .format = &format_group, .max = 64, .example = "kvm",                                   \
      .help = "The group that its VMM runs as.")                                                                       \
    F(T, MAP, labels, "labels", .key_format = &format_label_name, .format = &format_label_value, .max = 64,            \
      .example = "{rack: a3}", .help = "Anything that helps you find it.")

/* A file of services.d. */
#define DOCUMENT_FIELDS(F, T)                                                                                          \
    F(T, RECORDS(ServiceContext), services, "services", .help = "The services.")                                       \
    F(T, RECORDS(MachineContext), machines, "machines", .help = "The virtual machines.")

#define ADMINISTRATORS_FIELDS(F, T)                                                                                    \
    F(T, TEXTS, users, "users", .format = &format_user_range, .max = 256, .example = "[alice]", .help = "Users.")      \
    F(T, TEXTS, groups, "groups", .format = &format_group, .max = 256, .example = "[libvirt]", .help = "Groups.")

#define DELEGATION_FIELDS(F, T)                                                                                        \
    F(T, TEXTS, users, "users", .format = &format_user_range, .max = 256, .example = "[podman, 100000-165535]",        \
      .help = "Users: names, uids, ranges of uids.")                                                                   \
    F(T, TEXTS, groups, "groups", .format = &format_group, .max = 256, .example = "[containers]", .help = "Groups.")   \
    F(T, TEXT, names, "names", .required = true, .format = &format_name_pattern, .max = SERVICE_NAME_MAX_BYTES,        \
      .example = "podman-*", .help = "The service names they may use; * stands for any text.")                         \
    F(T, TEXT, ports, "ports", .format = &format_port_range, .max = 32, .example = "50000-50999",                      \
      .fallback = "none: only services without a port", .help = "The ports they may use.")

#define LIMITS_FIELDS(F, T)                                                                                            \
    F(T, NUMBER, connections_per_user, "connectionsPerUser", .min = 1, .max = 100000, .fallback = "256",               \
      .fallback_json = "256", .help = "Connections to the API from one uid; root and the daemon's user have four times as many.") \
    F(T, NUMBER, calls_in_flight, "callsInFlight", .min = 1, .max = 100000, .fallback = "64", .fallback_json = "64",   \
      .help = "Calls of one connection that are not answered yet; beyond it the daemon stops reading there.")          \
    F(T, NUMBER, message_bytes, "messageBytes", .min = 4096, .max = 0x10000000, .fallback = "65536",                   \
      .fallback_json = "65536", .help = "Size of a message; administrators may send 64 MiB.")                          \
    F(T, NUMBER, services_per_user, "servicesPerUser", .min = 1, .max = 1000000, .fallback = "1000",                   \
      .fallback_json = "1000", .help = "Services that one uid may have registered; administrators: see services.")     \
    F(T, NUMBER, services, "services", .min = 1, .max = 10000000, .fallback = "200000", .fallback_json = "200000",     \
      .help = "Services in all.")                                                                                      \
    F(T, NUMBER, machines, "machines", .min = 1, .max = 1000000, .fallback = "10000", .fallback_json = "10000",        \
      .help = "Machines in all.")                                                                                      \
    F(T, NUMBER, machines_per_user, "machinesPerUser", .min = 1, .max = 1000000, .fallback = "10000",                  \
      .fallback_json = "10000", .help = "Machines that one uid may have added, also root.")                            \
    F(T, NUMBER, leases_per_user, "leasesPerUser", .min = 1, .max = 1000000, .fallback = "1000",                       \
      .fallback_json = "1000", .help = "Leases of one uid.")                                                           \
    F(T, NUMBER, watchers, "watchers", .min = 1, .max = 100000, .fallback = "1000", .fallback_json = "1000",           \
      .help = "Watch, and Acquire and ReadLog with follow, in all.")                                                  \
    F(T, NUMBER, programs, "programs", .min = 1, .max = 65536, .fallback = "4096", .fallback_json = "4096",            \
      .help = "Programs of activation that run at one time, in all; beyond it connections wait to be accepted.")       \
    F(T, NUMBER, programs_per_service, "programsPerService", .min = 1, .max = 65536, .fallback = "1024",               \
      .fallback_json = "1024", .help = "The same of one service.")                                                     \
    F(T, NUMBER, log_bytes, "logBytes", .min = 4096, .max = 0x40000000, .fallback = "1048576",                         \
      .fallback_json = "1048576",                                                                                      \
      .help = "Size at which each of the log's files gives way to a new one; one older one of each is kept.")

/* CONFIG/hvsockd.yaml */
#define SETTINGS_FIELDS(F, T)                                                                                          \
    F(T, RECORD(Administrators), administrators, "administrators",                                                     \
      .help = "Who may change everything, beside root and the user that the daemon runs as.")                          \
    F(T, RECORDS(Delegation), delegations, "delegations", .max = 256,                                                  \
      .help = "Who may register, take and serve services of some names and ports.")                                    \
    F(T, TEXT, auto_ports, "autoPorts", .format = &format_port_range, .max = 32, .example = "268435456-268500991",     \
      .fallback = "268435456-268500991 (0x10000000-0x1000ffff)", .fallback_json = "\"268435456-268500991\"",           \
      .help = "Where autoPort takes ports from.")                                                                      \
    F(T, RECORD(Limits), limits, "limits", .help = "Bounds on what clients can make grow.")                            \
    F(T, RECORD(Peers), peers, "peers", .help = "What holds for services without peers of their own.")

RECORD_STRUCT(SocketFile, SOCKET_FILE_FIELDS);
RECORD_STRUCT(Handout, HANDOUT_FIELDS);
RECORD_STRUCT(Peers, PEERS_FIELDS);
RECORD_STRUCT(Activation, ACTIVATION_FIELDS);
RECORD_STRUCT(Windows, WINDOWS_FIELDS);
RECORD_STRUCT(ServiceContext, SERVICE_FIELDS);
RECORD_STRUCT(MachineContext, MACHINE_FIELDS);
RECORD_STRUCT(Document, DOCUMENT_FIELDS);
RECORD_STRUCT(Administrators, ADMINISTRATORS_FIELDS);
RECORD_STRUCT(Delegation, DELEGATION_FIELDS);
RECORD_STRUCT(Limits, LIMITS_FIELDS);
RECORD_STRUCT(Settings, SETTINGS_FIELDS);
