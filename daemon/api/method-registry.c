/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to services: staged here, answered after their commit. */

#include <errno.h>
#include <string.h>

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"
#include "daemon/api/server.h"
#include "schema/model/record.h"

static int finish_service(Call *call, Buffer *reply)
{
    Service *service = manager_find_service(call->connection->server->manager, call->about);

    if (!service)
        return failure_no_such_service(&call->failure, call->about);
    return method_render_service(call, service, reply);
}

static int finish_changes(Call *call, Buffer *reply)
{
    buffer_append_text(reply, "{\"changes\":");
    buffer_append(reply, call->rendered.data, call->rendered.size_bytes);
    buffer_append_char(reply, '}');
    reply->failed |= call->rendered.failed;
    return 0;
}

int method_register(Call *call, Buffer *reply)
{
    RegisterParameters *arguments = call->arguments;
    Connection *connection = call->connection;

    int r = method_begin_write(call, arguments->service->name, finish_service);
    if (r < 0)
        return r;
    return manager_register(connection->server->manager, &connection->caller, TAKE_PTR(arguments->service),
                            (pid_t)arguments->ephemeral_process_id.value, &call->failure);
}

int method_unregister(Call *call, Buffer *reply)
{
    const NameParameters *arguments = call->arguments;
    Connection *connection = call->connection;

    int r = method_begin_write(call, arguments->name, method_finish_empty);
    if (r < 0)
        return r;
    return manager_unregister(connection->server->manager, &connection->caller, arguments->name, &call->failure);
}

int method_set_enabled(Call *call, Buffer *reply)
{
    const SetEnabledParameters *arguments = call->arguments;
    Connection *connection = call->connection;

    int r = method_begin_write(call, arguments->name, finish_service);
    if (r < 0)
        return r;
    return manager_set_enabled(connection->server->manager, &connection->caller, arguments->name,
                               arguments->enabled == YES, &call->failure);
}

int method_apply(Call *call, Buffer *reply)
{
    ApplyParameters *arguments = call->arguments;
    Connection *connection = call->connection;

    Document *document = record_new(&record_type_Document);
    if (!document)
        return -ENOMEM;
    bool machines_given = arguments->machines;
    document->services = TAKE_PTR(arguments->services);
    document->machines = TAKE_PTR(arguments->machines);
    call->finish = finish_changes;
    return manager_apply(connection->server->manager, &connection->caller, document, machines_given,
                         arguments->set ? arguments->set : "default", arguments->prune == YES,
                         arguments->dry_run == YES, &call->rendered, &call->failure);
}

int method_reload(Call *call, Buffer *reply)
{
    Connection *connection = call->connection;

    call->finish = finish_changes;
    return manager_reload(connection->server->manager, &connection->caller, &call->rendered, &call->failure);
}
