/* SPDX-License-Identifier: Apache-2.0 */
/* The table of methods, and what comes before each handler: who may, then what is asked. Constant. */

#include <string.h>

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"
#include "daemon/api/server.h"

#define REGISTRY "io.hvsock.Registry."
#define VARLINK "org.varlink.service."

const Method methods[] = {
    {VARLINK "GetInfo", method_get_info, METHOD_HANDOUT | METHOD_PLAIN, NULL},
    {VARLINK "GetInterfaceDescription", method_get_interface_description, METHOD_HANDOUT | METHOD_PLAIN,
     &record_type_InterfaceParameters},

    {REGISTRY "Register", method_register, METHOD_WRITE, &record_type_RegisterParameters},
    {REGISTRY "Unregister", method_unregister, METHOD_WRITE, &record_type_NameParameters},
    {REGISTRY "SetEnabled", method_set_enabled, METHOD_WRITE, &record_type_SetEnabledParameters},
    {REGISTRY "Apply", method_apply, METHOD_WRITE | METHOD_ALONE, &record_type_ApplyParameters},
    {REGISTRY "Reload", method_reload, METHOD_WRITE | METHOD_ADMINISTRATOR | METHOD_ALONE, NULL},

    {REGISTRY "List", method_list, 0, NULL},
    {REGISTRY "Describe", method_describe, METHOD_HANDOUT | METHOD_PLAIN, &record_type_NameParameters},
    {REGISTRY "Lookup", method_lookup, METHOD_HANDOUT | METHOD_PLAIN, &record_type_LookupParameters},
    {REGISTRY "Status", method_status, 0, NULL},

    {REGISTRY "AddMachine", method_add_machine, METHOD_WRITE | METHOD_ADMINISTRATOR, &record_type_AddMachineParameters},
    {REGISTRY "RemoveMachine", method_remove_machine, METHOD_WRITE | METHOD_ADMINISTRATOR, &record_type_NameParameters},
    {REGISTRY "ListMachines", method_list_machines, 0, &record_type_ListMachinesParameters},

    {REGISTRY "Acquire", method_acquire, METHOD_HANDOUT, &record_type_AcquireParameters},
    {REGISTRY "Serve", method_serve, METHOD_HANDOUT, &record_type_NameParameters},
    {REGISTRY "Watch", method_watch, 0, NULL},

    {REGISTRY "ListConnections", method_list_connections, METHOD_ADMINISTRATOR, NULL},
    {REGISTRY "ReadLog", method_read_log, METHOD_ADMINISTRATOR, &record_type_ReadLogParameters},
    {REGISTRY "Metrics", method_metrics, METHOD_ADMINISTRATOR, NULL},
    {NULL, NULL, 0, NULL},
};
_Static_assert(ELEMENTS_OF(methods) <= METHODS_MAX, "server->calls counts each");

static int method_not_found(Call *call)
{
    const char *dot = strrchr(call->name, '.');

    if (!dot || dot == call->name)
        return failure_invalid_parameter(&call->failure, "method");
    for (const Interface *interface = interfaces; interface->name; interface++) {
        size_t size_bytes = strlen(interface->name);
        if (size_bytes == (size_t)(dot - call->name) && memcmp(interface->name, call->name, size_bytes) == 0)
            return failure_method(&call->failure, FAILURE_METHOD_NOT_FOUND, call->name);
    }

    Buffer name = {0};
    char *text;
    buffer_append(&name, call->name, (size_t)(dot - call->name));
    int r = buffer_take(&name, &text, NULL);
    if (r < 0)
        return r;
    r = failure_method(&call->failure, FAILURE_INTERFACE_NOT_FOUND, text);
    free(text);
    return r;
}

static const Method *method_find(const char *name)
{
    for (const Method *method = methods; method->name; method++)
        if (strcmp(method->name, name) == 0)
            return method;
    return NULL;
}

/* By the kernel's credentials alone, before a parameter is looked at. What depends on the service is the manager's. */
static int method_check_access(Call *call)
{
    Connection *connection = call->connection;
    const Access *access = manager_access(connection->server->manager);
    unsigned flags = call->method->flags;

    if (connection->only_service && !(flags & METHOD_HANDOUT)) {
        Buffer reason = {0};
        buffer_printf(&reason, "this socket is an entry to the service %s alone: Describe, Lookup, Acquire and Serve",
                      connection->only_service);
        char *text;
        int r = buffer_take(&reason, &text, NULL);
        if (r < 0)
            return r;
        r = failure_not_allowed(&call->failure, NULL, text);
        free(text);
        return r;
    }
    if (!(flags & (METHOD_WRITE | METHOD_ADMINISTRATOR)) ||
        access_is_administrator(access, &connection->credentials))
        return 0;
    if (flags & METHOD_ADMINISTRATOR)
        return failure_not_allowed(&call->failure, NULL,
                                   "this is for root, the user that hvsockd runs as, and the administrators in "
                                   "hvsockd.yaml");
    if (!access_is_delegate(access, &connection->credentials))
        return failure_not_allowed(&call->failure, NULL,
                                   "changes are for root, the user that hvsockd runs as, and the administrators and "
                                   "delegations in hvsockd.yaml");
    return 0;
}

int method_prepare(Call *call)
{
    Server *server = call->connection->server;

    call->event_sequence =
        server->turn.count > 0 ? server->turn.event_sequence : manager_event_sequence(server->manager);
    if (call->failure.code)
        return (int)call->failure.code;
    call->method = method_find(call->name);
    if (!call->method)
        return method_not_found(call);
    server->calls[call->method - methods]++;
    int r = method_check_access(call);
    if (r != 0)
        return r;
    if (!call->method->handler)
        return failure_method(&call->failure, FAILURE_METHOD_NOT_IMPLEMENTED, call->name);
    return parameters_read(call);
}

bool method_is_staged(const Call *call)
{
    return (call->method->flags & (METHOD_WRITE | METHOD_ALONE)) == METHOD_WRITE;
}

int method_run(Call *call, Buffer *reply)
{
    Server *server = call->connection->server;

    /* What is not on disk yet is not shown to anybody. */
    int r = method_is_staged(call) ? 0 : server_settle(server);
    if (r < 0)
        return r;
    if (call->method->flags & METHOD_WRITE)
        turn_begin(server);
    reply_begin(reply);
    return call->method->handler(call, reply);
}

int method_begin_write(Call *call, const char *name, int (*finish)(Call *call, Buffer *reply))
{
    Server *server = call->connection->server;
    int r = 0;

    call_set_about(call, name);
    if (turn_has_subject(server, call->about)) {
        r = server_settle(server);
        turn_begin(server);
    }
    if (r >= 0)
        call->finish = finish;
    return r;
}

int method_finish_empty(Call *call, Buffer *reply)
{
    buffer_append_text(reply, "{}");
    return 0;
}
