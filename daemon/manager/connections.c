/* SPDX-License-Identifier: Apache-2.0 */
/* Who is connected to what, at this moment: what the daemon accepted, and of AF_VSOCK what the kernel knows beside that. One
 * look; nothing is kept. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/place/holders.h"
#include "daemon/manager/serve.h"

#define CONNECTIONS_MAX 100000

/* A connection, rendered but for who holds it. */
typedef struct Open {
    uint64_t inode;
    pid_t pid;  /* of the program that was started for it; 0: to be looked for */
    char *text; /* a JSON object without its end */
} Open;

typedef struct Listing {
    Manager *manager;
    Open *items;
    size_t count, capacity;
    bool failed;
} Listing;

static void listing_release(Listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->items[i].text);
    free(listing->items);
}

static void listing_add_consume(Listing *listing, uint64_t inode, pid_t pid, char *text)
{
    if (listing->count == listing->capacity && listing->count < CONNECTIONS_MAX) {
        size_t capacity = listing->capacity ? listing->capacity * 2 : 64;
        Open *items = reallocarray(listing->items, capacity, sizeof(*items));
        if (items) {
            listing->items = items;
            listing->capacity = capacity;
        }
    }
    if (!text || listing->count == listing->capacity) {
        listing->failed |= !text || listing->count < CONNECTIONS_MAX;
        free(text);
        return;
    }
    listing->items[listing->count++] = (Open){.inode = inode, .pid = pid, .text = text};
}

static bool listing_has(const Listing *listing, uint64_t inode)
{
    for (size_t i = 0; i < listing->count; i++)
        if ((uint32_t)listing->items[i].inode == (uint32_t)inode)
            return true;
    return false;
}

/* The listener of this port in the host's AF_VSOCK. */
static const Listener *find_vsock_listener(Manager *manager, uint32_t port)
{
    Address address = {.transport = &transport_vsock, .cid = VSOCK_CID_ANY, .has_port = true, .port = port};
    _cleanup_(freep) char *key = NULL;

    return address_key(&address, &key) < 0 ? NULL : registry_first_claim(&manager->registry, key);
}

static void on_vsock(const HoldersVsock *connection, void *userdata)
{
    Listing *listing = userdata;
    const Listener *listener = find_vsock_listener(listing->manager, connection->local_port);
    const Machine *machine = registry_find_machine_by_cid(&listing->manager->registry, connection->peer_cid);
    char seen[TIME_TEXT_SIZE_BYTES], *taken = NULL;
    Buffer text = {0};

    if (!listener || listing_has(listing, connection->inode))
        return;
    buffer_append_text(&text, "{\"service\":");
    buffer_append_json(&text, listener->service->context->name);
    if (machine) {
        buffer_append_text(&text, ",\"machine\":");
        buffer_append_json(&text, machine->context->name);
    }
    buffer_append_text(&text, ",\"address\":");
    buffer_append_json(&text, listener->uri);
    buffer_printf(&text, ",\"peer\":\"vsock:%u:%u\",\"since\":", connection->peer_cid, connection->peer_port);
    buffer_append_json(&text, time_format(time_now_us(), seen));
    buffer_take(&text, &taken, NULL);
    listing_add_consume(listing, connection->inode, 0, taken);
}

/* `,"holders":[812],"program":"socat"}` */
static int open_finish(const Open *item, pid_t pid, char **ret)
{
    Buffer text = {0};
    char program[PROCESS_NAME_SIZE_BYTES];

    buffer_append_text(&text, item->text);
    if (pid > 0) {
        buffer_printf(&text, ",\"holders\":[%d]", (int)pid);
        if (process_name(pid, program, sizeof(program))) {
            buffer_append_text(&text, ",\"program\":");
            buffer_append_json(&text, program);
        }
    }
    buffer_append_char(&text, '}');
    return buffer_take(&text, ret, NULL);
}

static int listing_finish(const Listing *listing, char ***ret)
{
    _cleanup_(text_list_freep) char **objects = calloc(listing->count + 1, sizeof(char *));
    _cleanup_(freep) uint64_t *inodes = calloc(listing->count + 1, sizeof(*inodes));
    _cleanup_(freep) pid_t *pids = calloc(listing->count + 1, sizeof(*pids));

    if (!objects || !inodes || !pids || listing->failed)
        return -ENOMEM;
    for (size_t i = 0; i < listing->count; i++)
        inodes[i] = listing->items[i].inode;
    /* Where it cannot be told who has them, that is left out. */
    if (listing->count > 0)
        manager_find_holders_of_each(listing->manager, inodes, listing->count, pids);
    for (size_t i = 0; i < listing->count; i++) {
        const Open *item = &listing->items[i];
        int r = open_finish(item, item->pid > 0 ? item->pid : pids[i], &objects[i]);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(objects);
    return 0;
}

int manager_list_connections(Manager *manager, char ***ret_objects)
{
    _cleanup_(listing_release) Listing listing = {.manager = manager};

    for (Service *service = registry_next_service(&manager->registry, NULL); service;
         service = registry_service_after(service)) {
        Serving *serving = serving_find(manager, service->context->name);
        const Accepted *accepted;
        if (!serving)
            continue;
        serving_sweep(serving, NULL);
        TAILQ_FOREACH(accepted, &serving->accepted, of_serving)
            listing_add_consume(&listing, accepted->inode, accepted->program ? accepted->program->pid : 0,
                                strndup(accepted->text, accepted->size_bytes));
    }
    holders_each_vsock(on_vsock, &listing);
    return listing_finish(&listing, ret_objects);
}
