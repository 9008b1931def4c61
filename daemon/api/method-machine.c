/* SPDX-License-Identifier: Apache-2.0 */
/* Machines: changes, staged as those to services, and the list. */

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"
#include "daemon/api/server.h"

static int machine_render(Call *call, Machine *machine, Buffer *reply)
{
    buffer_append_text(reply, "{\"machine\":");
    int r = manager_render_machine(call->connection->server->manager, machine, reply);
    buffer_append_char(reply, '}');
    return r;
}

static int finish_machine(Call *call, Buffer *reply)
{
    Machine *machine = manager_find_machine(call->connection->server->manager, call->about);

    if (!machine)
        return failure_no_such_machine(&call->failure, call->about);
    return machine_render(call, machine, reply);
}

int method_add_machine(Call *call, Buffer *reply)
{
    AddMachineParameters *arguments = call->arguments;
    Connection *connection = call->connection;

    int r = method_begin_write(call, arguments->machine->name, finish_machine);
    if (r < 0)
        return r;
    return manager_add_machine(connection->server->manager, &connection->caller, TAKE_PTR(arguments->machine),
                               (pid_t)arguments->ephemeral_process_id.value, &call->failure);
}

int method_remove_machine(Call *call, Buffer *reply)
{
    const NameParameters *arguments = call->arguments;
    Connection *connection = call->connection;

    int r = method_begin_write(call, arguments->name, method_finish_empty);
    if (r < 0)
        return r;
    return manager_remove_machine(connection->server->manager, &connection->caller, arguments->name, &call->failure);
}

static int list_next(Call *call, Buffer *reply, FdList *fds)
{
    const ListMachinesParameters *arguments = call->arguments;
    Manager *manager = call->connection->server->manager;
    Machine *machine = !arguments->name  ? manager_next_machine(manager, call_after(call))
                       : !call_after(call) ? manager_find_machine(manager, arguments->name)
                                         : NULL;

    if (!machine)
        return SEQUENCE_END;
    call_set_about(call, machine_name(machine));
    int r = machine_render(call, machine, reply);
    return r < 0 ? r : SEQUENCE_ITEM;
}

int method_list_machines(Call *call, Buffer *reply)
{
    call->next = list_next;
    return 0;
}
