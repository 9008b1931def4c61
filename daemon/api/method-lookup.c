/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about services; answered from the manager's memory. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"
#include "daemon/api/server.h"

int method_render_service(Call *call, Service *service, Buffer *reply)
{
    const Connection *connection = call->connection;
    Manager *manager = connection->server->manager;
    const char *text;
    size_t size_bytes;

    /* A container's root is root by its number alone. */
    bool secrets = !connection->only_service && manager_shows_secrets(manager, service, &connection->caller);
    int r = manager_render_service(manager, service, secrets, &text, &size_bytes);
    if (r < 0)
        return r;
    buffer_append_text(reply, "{\"service\":");
    buffer_append(reply, text, size_bytes);
    buffer_append_char(reply, '}');
    return 0;
}

int method_check_entry(Call *call, const char *name)
{
    const char *only = call->connection->only_service;
    char reason[160];

    if (!only || strcmp(only, name) == 0)
        return 0;
    snprintf(reason, sizeof(reason), "this socket is an entry to the service %s alone", only);
    return failure_not_allowed(&call->failure, name, reason);
}

/* ---- List ---- */

static int list_next(Call *call, Buffer *reply, FdList *fds)
{
    Service *service = manager_next_service(call->connection->server->manager, call_after(call));

    if (!service)
        return SEQUENCE_END;
    call_set_about(call, service_name(service));
    int r = method_render_service(call, service, reply);
    return r < 0 ? r : SEQUENCE_ITEM;
}

int method_list(Call *call, Buffer *reply)
{
    call->next = list_next;
    return 0;
}

/* ---- Describe ---- */

int method_describe(Call *call, Buffer *reply)
{
    const NameParameters *arguments = call->arguments;

    int r = method_check_entry(call, arguments->name);
    if (r != 0)
        return r;
    Service *service = manager_find_service(call->connection->server->manager, arguments->name);
    if (!service)
        return failure_no_such_service(&call->failure, arguments->name);
    return method_render_service(call, service, reply);
}

/* ---- Lookup ---- */

/* What is asked for; the texts are the arguments'. */
typedef struct Question {
    Lookup lookup;
    Address address;
} Question;

static void question_free(void *state)
{
    Question *question = state;

    address_release(&question->address);
    free(question);
}

static int lookup_next(Call *call, Buffer *reply, FdList *fds)
{
    const Question *question = call->state;
    Service *service = manager_lookup(call->connection->server->manager, &question->lookup, call_after(call));

    if (!service)
        return SEQUENCE_END;
    call_set_about(call, service_name(service));
    int r = method_render_service(call, service, reply);
    return r < 0 ? r : SEQUENCE_ITEM;
}

/* What was asked for, in the words of who asked. */
static int lookup_not_found(Call *call)
{
    const LookupParameters *arguments = call->arguments;
    char port[16];

    snprintf(port, sizeof(port), "%u", arguments->port.value);
    return failure_no_such_service(&call->failure, arguments->name        ? arguments->name
                                                   : arguments->port.set  ? port
                                                   : arguments->guid      ? arguments->guid
                                                   : arguments->address   ? arguments->address
                                                                          : arguments->machine);
}

int method_lookup(Call *call, Buffer *reply)
{
    const LookupParameters *arguments = call->arguments;
    const Connection *connection = call->connection;
    Manager *manager = connection->server->manager;

    if (!arguments->name && !arguments->port.set && !arguments->guid && !arguments->address && !arguments->machine)
        return failure_invalid_parameter(&call->failure, "name");
    Question *question = calloc(1, sizeof(*question));
    if (!question)
        return -ENOMEM;
    call->state = question;
    call->state_free = question_free;
    question->lookup = (Lookup){
        .name = arguments->name,
        .has_port = arguments->port.set,
        .port = arguments->port.value,
        .machine = arguments->machine,
    };
    if (arguments->guid) {
        if (!guid_parse(arguments->guid, &question->lookup.guid))
            return failure_invalid_parameter(&call->failure, "guid");
        question->lookup.has_guid = true;
    }
    if (arguments->address) {
        const char *reason, *hint;
        int r = address_parse(arguments->address, &question->address, &reason, &hint);
        if (r == ADDRESS_REFUSED)
            return failure_invalid_parameter(&call->failure, "address");
        if (r < 0)
            return r;
        question->lookup.address = &question->address;
    }
    if (arguments->machine && !manager_find_machine(manager, arguments->machine))
        return failure_no_such_machine(&call->failure, arguments->machine);
    if (connection->only_service) {
        if (arguments->name && strcmp(arguments->name, connection->only_service) != 0)
            return lookup_not_found(call);
        question->lookup.name = connection->only_service;
    }
    if (!manager_lookup(manager, &question->lookup, NULL))
        return lookup_not_found(call);
    call->next = lookup_next;
    return 0;
}

/* ---- Status ---- */

int method_status(Call *call, Buffer *reply)
{
    return manager_render_status(call->connection->server->manager, reply);
}
