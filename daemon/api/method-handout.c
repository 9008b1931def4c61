/* SPDX-License-Identifier: Apache-2.0 */
/* Handing out. Acquire: listeners leave with SCM_RIGHTS, as many a reply as Varlink clients take. With `follow` the call goes on:
 * whenever the listeners of one of its services have changed, what is new is handed out too, and what is gone is
 * named. Serve: a socket that connections come on. ListConnections: who has come. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/api/connection.h"
#include "daemon/api/methods.h"
#include "daemon/api/parameters.h"
#include "daemon/api/server.h"

/* A listener that a follower was given. */
typedef struct Given {
    char *service;
    char *address;
    char *object;
    ino_t inode; /* an address can come back with another socket */
} Given;

/* A call of Acquire, from the first reply to the last. */
typedef struct Handing {
    Handed handed; /* to be sent, from `at` on */
    size_t at;
    bool follows;
    Given *given;
    size_t given_count;
    char **changed;   /* names of services to be looked at again */
    char **withdrawn; /* addresses to be told */
} Handing;

static void given_release(Given *given)
{
    free(given->service);
    free(given->address);
    free(given->object);
}

static void handing_free(void *state)
{
    Handing *handing = state;

    handed_release(&handing->handed);
    for (size_t i = 0; i < handing->given_count; i++)
        given_release(&handing->given[i]);
    free(handing->given);
    text_list_free(handing->changed);
    text_list_free(handing->withdrawn);
    free(handing);
}

static ino_t socket_inode(int fd)
{
    struct stat status;

    return fstat(fd, &status) < 0 ? 0 : status.st_ino;
}

/* The object's text ends where its last member is to follow. */
static int given_add(Handing *handing, const char *object, int fd)
{
    Given *larger = reallocarray(handing->given, handing->given_count + 1, sizeof(*larger));
    Buffer text = {0};
    const char *service, *address;

    if (!larger)
        return -ENOMEM;
    handing->given = larger;
    buffer_printf(&text, "%s\"\":0}", object);
    json_t *members = text.failed ? NULL : json_loadb(text.data, text.size_bytes, 0, NULL);
    buffer_release(&text);
    if (!members || json_unpack(members, "{s:s,s:s}", "service", &service, "address", &address) < 0) {
        json_decref(members);
        return -ENOMEM;
    }
    Given *given = &larger[handing->given_count++];
    *given = (Given){strdup(service), strdup(address), strdup(object), socket_inode(fd)};
    json_decref(members);
    return given->service && given->address && given->object ? 0 : -ENOMEM;
}

/* The index of what was given before and is in this set still; its count where it is not. */
static size_t handed_find(const Handed *handed, const Given *given)
{
    for (size_t i = 0; i < handed->count; i++)
        if (strcmp(handed->objects[i], given->object) == 0 && socket_inode(handed->fds.fds[i]) == given->inode)
            return i;
    return handed->count;
}

static void handed_remove(Handed *handed, size_t at)
{
    free(handed->objects[at]);
    fd_close(handed->fds.fds[at]);
    handed->count--;
    handed->fds.count--;
    memmove(&handed->objects[at], &handed->objects[at + 1], (handed->count - at) * sizeof(*handed->objects));
    memmove(&handed->fds.fds[at], &handed->fds.fds[at + 1], (handed->count - at) * sizeof(*handed->fds.fds));
}

/* These mean that nothing is left of it for this client. */
static bool is_withdrawn(FailureCode code)
{
    return code == FAILURE_NO_SUCH_SERVICE || code == FAILURE_NOT_ALLOWED || code == FAILURE_NOT_LISTENING;
}

/* What a service's listeners are now, compared with what was given of it. */
static int handing_look_again(Call *call, Handing *handing, char *service)
{
    const Connection *connection = call->connection;
    char *names[] = {service, NULL};
    _cleanup_(failure_release) Failure failure = {0};

    handed_release(&handing->handed);
    handing->at = 0;
    int r = manager_acquire(connection->server->manager, &connection->caller, names, 0, &handing->handed, &failure);
    if (r < 0)
        return r;
    if (r > 0 && !is_withdrawn(failure.code)) { /* as where descriptors are short: what it has, it has still */
        failure_release(&call->failure);
        call->failure = failure;
        failure = (Failure){0};
        return SEQUENCE_REFUSED;
    }
    size_t kept = 0;
    for (size_t i = 0; i < handing->given_count; i++) {
        Given *given = &handing->given[i];
        bool is_other = strcmp(given->service, service) != 0;
        size_t at = is_other ? 0 : handed_find(&handing->handed, given);
        if (is_other || at < handing->handed.count) {
            if (!is_other)
                handed_remove(&handing->handed, at);
            handing->given[kept++] = *given;
            continue;
        }
        int appended = text_list_append(&handing->withdrawn, given->address);
        given_release(given);
        r = appended < 0 ? appended : r;
    }
    handing->given_count = kept;
    return r < 0 ? r : 0;
}

static bool handing_has_something(const Handing *handing)
{
    return handing->at < handing->handed.count || handing->withdrawn;
}

static int handing_render(Handing *handing, Buffer *reply, FdList *fds)
{
    Handed *handed = &handing->handed;
    int r = 0;

    buffer_append_text(reply, "{\"listeners\":[");
    for (size_t i = 0; i < WIRE_FDS_A_REPLY && handing->at < handed->count && r == 0; i++, handing->at++) {
        if (i > 0)
            buffer_append_char(reply, ',');
        buffer_append_text(reply, handed->objects[handing->at]);
        buffer_append_text(reply, "\"listenerFileDescriptor\":");
        buffer_append_number(reply, i);
        buffer_append_char(reply, '}');
        if (handing->follows)
            r = given_add(handing, handed->objects[handing->at], handed->fds.fds[handing->at]);
        if (r == 0)
            r = fd_list_add_consume(fds, fd_list_take(&handed->fds, handing->at));
    }
    buffer_append_char(reply, ']');
    for (size_t i = 0; handing->withdrawn && handing->withdrawn[i]; i++) {
        buffer_append_text(reply, i == 0 ? ",\"withdrawn\":[" : ",");
        buffer_append_json(reply, handing->withdrawn[i]);
    }
    buffer_append_text(reply, handing->withdrawn ? "]}" : "}");
    text_list_free(TAKE_PTR(handing->withdrawn));
    return r;
}

static int acquire_next(Call *call, Buffer *reply, FdList *fds)
{
    Handing *handing = call->state;

    while (!handing_has_something(handing) && handing->changed) {
        _cleanup_(text_list_freep) char **changed = TAKE_PTR(handing->changed);
        int r = handing_look_again(call, handing, changed[0]);
        for (size_t i = 1; changed[i] && r == 0; i++)
            r = text_list_append(&handing->changed, changed[i]);
        if (r != 0)
            return r;
    }
    if (!handing_has_something(handing))
        return handing->follows ? SEQUENCE_LATER : SEQUENCE_END;
    int r = handing_render(handing, reply, fds);
    return r < 0 ? r : SEQUENCE_ITEM;
}

/* Told in the middle of the manager's work: looked at when the client has its turn. */
static bool acquire_on_listeners(Call *call, const char *service)
{
    const AcquireParameters *arguments = call->arguments;
    Handing *handing = call->state;

    if (!text_list_contains(arguments->names, service))
        return false;
    return text_list_contains(handing->changed, service) || text_list_append(&handing->changed, service) == 0;
}

int method_acquire(Call *call, Buffer *reply)
{
    const AcquireParameters *arguments = call->arguments;
    Connection *connection = call->connection;

    for (size_t i = 0; arguments->names[i]; i++) {
        int r = method_check_entry(call, arguments->names[i]);
        if (r != 0)
            return r;
    }
    if (arguments->follow == YES) {
        int r = call->more ? method_check_watchers(call) : failure_plain(&call->failure, FAILURE_EXPECTED_MORE);
        if (r != 0)
            return r;
        call->endless = true;
        call->on_listeners = acquire_on_listeners;
    }
    Handing *handing = calloc(1, sizeof(*handing));
    if (!handing)
        return -ENOMEM;
    handing->follows = call->endless;
    call->state = handing;
    call->state_free = handing_free;
    call->next = acquire_next;
    return manager_acquire(connection->server->manager, &connection->caller, arguments->names,
                           call->more ? 0 : WIRE_FDS_A_REPLY, &handing->handed, &call->failure);
}

/* ---- Serve ---- */

/* One reply, which takes the descriptor with it. */
typedef struct Serving {
    int fd;
} Serving;

static void serving_free(void *state)
{
    Serving *serving = state;

    fd_close(serving->fd);
    free(serving);
}

static int serve_next(Call *call, Buffer *reply, FdList *fds)
{
    Serving *serving = call->state;

    if (serving->fd < 0)
        return SEQUENCE_END;
    buffer_append_text(reply, "{\"connectionSocketFileDescriptor\":0}");
    int r = fd_list_add_consume(fds, TAKE_FD(serving->fd));
    return r < 0 ? r : SEQUENCE_ITEM;
}

int method_serve(Call *call, Buffer *reply)
{
    const NameParameters *arguments = call->arguments;
    Connection *connection = call->connection;

    int r = method_check_entry(call, arguments->name);
    if (r != 0)
        return r;
    Serving *serving = calloc(1, sizeof(*serving));
    if (!serving)
        return -ENOMEM;
    serving->fd = -1;
    call->state = serving;
    call->state_free = serving_free;
    call->next = serve_next;
    return manager_serve(connection->server->manager, &connection->caller, arguments->name, &serving->fd, &call->failure);
}

/* ---- ListConnections ---- */

/* What was open when it was asked. */
typedef struct Opened {
    char **objects;
    size_t at;
} Opened;

static void opened_free(void *state)
{
    Opened *opened = state;

    text_list_free(opened->objects);
    free(opened);
}

static int connections_next(Call *call, Buffer *reply, FdList *fds)
{
    Opened *opened = call->state;

    if (!opened->objects[opened->at])
        return SEQUENCE_END;
    buffer_append_text(reply, "{\"connection\":");
    buffer_append_text(reply, opened->objects[opened->at++]);
    buffer_append_char(reply, '}');
    return SEQUENCE_ITEM;
}

int method_list_connections(Call *call, Buffer *reply)
{
    Opened *opened = calloc(1, sizeof(*opened));

    if (!opened)
        return -ENOMEM;
    call->state = opened;
    call->state_free = opened_free;
    call->next = connections_next;
    return manager_list_connections(call->connection->server->manager, &opened->objects);
}
