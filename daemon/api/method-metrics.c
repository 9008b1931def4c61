/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: the manager's, and the server's own. */

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/server.h"
#include "daemon/metrics/exposition.h"

static void render_server(const Server *server, Buffer *text)
{
    const Connection *connection;
    uint64_t count = 0;

    LIST_FOREACH(connection, &server->connections, connections)
        count++;
    exposition_single(text, "hvsock_connections", "gauge", count, "Clients that are connected to the API.");
    exposition_single(text, "hvsock_watchers", "gauge", server->watcher_count,
                      "Clients that are told of things as they happen: Watch, and Acquire with follow.");
    exposition_family(text, "hvsock_calls_total", "counter", "Calls of the API, by method, since hvsockd was started.");
    for (size_t i = 0; methods[i].name; i++)
        exposition_sample(text, "hvsock_calls_total", (ExpositionLabel){"method", methods[i].name}, (ExpositionLabel){0},
                          server->calls[i]);
}

int method_metrics(Call *call, Buffer *reply)
{
    Buffer text = {0};

    manager_render_metrics(call->connection->server->manager, &text);
    render_server(call->connection->server, &text);
    buffer_append_text(reply, "{\"text\":");
    buffer_append_json_sized(reply, text.data ? text.data : "", text.size_bytes);
    buffer_append_char(reply, '}');
    reply->failed |= text.failed;
    buffer_release(&text);
    return 0;
}
