/* SPDX-License-Identifier: Apache-2.0 */
/* The RecordTypes of the tables in records.h; constant. */

#include "schema/model/records.h"
#include "schema/model/service.h"

const char *const words_service_type[] = {"stream", "seqpacket", "dgram", NULL};
const char *const words_handout_mode[] = {"listener", "connections", NULL};
const char *const words_activation_mode[] = {"wait", "accept", NULL};

static int validate_service(void *record, Problems *problems)
{
    return service_validate(record, problems);
}

static int validate_machine(void *record, Problems *problems)
{
    return machine_validate(record, problems);
}

static int validate_settings(void *record, Problems *problems)
{
    return settings_validate(record, problems);
}

RECORD_TYPE(SocketFile, SOCKET_FILE_FIELDS, "Who owns a unix socket's path.");
RECORD_TYPE(Handout, HANDOUT_FIELDS, "Who may take the listening sockets or the connections of a service.");
RECORD_TYPE(Peers, PEERS_FIELDS, "Which peers may connect.");
RECORD_TYPE(Activation, ACTIVATION_FIELDS, "The program to start when a peer connects.");
RECORD_TYPE(Windows, WINDOWS_FIELDS, "What Windows keeps for a service beside its name.");
RECORD_TYPE(ServiceContext, SERVICE_FIELDS, "A service that virtual machines reach.", .validate = validate_service);
RECORD_TYPE(MachineContext, MACHINE_FIELDS, "A virtual machine, with what it is known by.",
            .validate = validate_machine);
RECORD_TYPE(Document, DOCUMENT_FIELDS, "A file of services and machines.");
RECORD_TYPE(Administrators, ADMINISTRATORS_FIELDS, "Who may change everything.");
RECORD_TYPE(Delegation, DELEGATION_FIELDS, "Who may register, take and serve services of some names and ports.");
RECORD_TYPE(Limits, LIMITS_FIELDS, "Bounds on what clients can make grow.");
RECORD_TYPE(Settings, SETTINGS_FIELDS, "The daemon's settings.", .validate = validate_settings);
