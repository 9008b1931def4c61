/* SPDX-License-Identifier: Apache-2.0 */
/* Who may connect to a service that is served, and how many: its rules, and what is remembered of its peers and of the
 * connections that they have. Lives as long as the Serving. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "daemon/place/holders.h"
#include "daemon/manager/serve.h"
#include "schema/model/quantity.h"

/* So many are accepted before it is looked for those that have ended, where no bound asks for it earlier. */
#define SWEEP_MIN 512
/* Looking for those that have ended takes one part in so many of our time, whatever floods of peers come; and so much of it
 * at once, for nobody is refused because of one who has just hung up. */
#define LOOK_REST_FACTOR 20
#define LOOK_BURST_NS (50u * 1000000u)

static int peer_compare(const ServePeer *a, const ServePeer *b)
{
    int order = (a->key.kind > b->key.kind) - (a->key.kind < b->key.kind);

    if (order == 0)
        order = (a->key.number > b->key.number) - (a->key.number < b->key.number);
    return order || a->key.kind != PEER_KEY_MACHINE ? order : strcmp(a->key.machine, b->key.machine);
}

RB_GENERATE_INTERNAL(ServePeers, ServePeer, by_key, peer_compare, _unused_ static)

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t serve_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* ---- rules ---- */

void serving_forget_rules(Serving *serving)
{
    peer_rules_free(serving->rules);
    peer_rules_free(serving->vsock_rules);
    serving->rules = serving->vsock_rules = NULL;
}

/* The machines that machine: addresses mean on vsock: they may connect there, and nobody else. */
static int implied_machines(Manager *manager, const ServiceContext *service, char ***ret)
{
    _cleanup_(text_list_freep) char **names = NULL;
    int r = 0;

    for (size_t i = 0; service->listen && service->listen[i] && r == 0; i++) {
        Address address = {0};
        if (!text_starts_with(service->listen[i], "machine:"))
            continue;
        const char *name = service->listen[i] + strlen("machine:");
        if (strcmp(name, "*") == 0) {
            r = text_list_append(&names, name);
            continue;
        }
        const Machine *machine = registry_find_machine(&manager->registry, name);
        r = machine ? machine_address(machine->context, service, &address) : 0;
        if (r == 0 && address.transport == &transport_vsock)
            r = text_list_append(&names, name);
        address_release(&address);
    }
    if (r == 0)
        *ret = TAKE_PTR(names);
    return r;
}

/* A service whose port autoPort chose: machine_address wants to see a number. */
static ServiceContext with_port(const Service *service)
{
    ServiceContext context = *service->context;

    if (service->has_port && !context.port.set)
        context.port = (Number){.value = service->port, .set = true};
    return context;
}

int serving_make_rules(Serving *serving, const Service *service)
{
    Manager *manager = serving->manager;
    _cleanup_(text_list_freep) char **machines = NULL;
    const Peers *peers = service_has_peers(service->context) ? service->context->peers : manager->settings->peers;
    uint32_t count, seconds;

    if (serving->rules && serving->rules_generation == manager->serve->generation)
        return 0;
    serving_forget_rules(serving);
    ServiceContext context = with_port(service);
    int r = implied_machines(manager, &context, &machines);
    if (r == 0)
        r = peer_rules_new(peers, machines, &serving->vsock_rules);
    if (r == 0)
        r = peer_rules_new(peers, NULL, &serving->rules);
    if (r < 0) {
        serving_forget_rules(serving);
        return r;
    }
    serving->rules_generation = manager->serve->generation;
    serving->max_connections = peers && peers->max_connections.set ? peers->max_connections.value : 0;
    serving->max_connections_per_peer =
        peers && peers->max_connections_per_peer.set ? peers->max_connections_per_peer.value : 0;
    serving->rate_interval_ns = serving->rate_burst_ns = 0;
    if (peers && peers->rate && rate_parse(peers->rate, &count, &seconds) && count > 0) {
        serving->rate_interval_ns = (uint64_t)seconds * 1000000000u / count;
        serving->rate_burst_ns = serving->rate_interval_ns * (count - 1);
    }
    return 0;
}

bool bucket_take(uint64_t *bucket_ns, uint64_t interval_ns, uint64_t burst_ns, uint64_t now_ns)
{
    if (*bucket_ns > now_ns + burst_ns)
        return false;
    *bucket_ns = (*bucket_ns > now_ns ? *bucket_ns : now_ns) + interval_ns;
    return true;
}

/* ---- peers ---- */

static void peer_free(Serving *serving, ServePeer *peer)
{
    RB_REMOVE(ServePeers, &serving->peers, peer);
    TAILQ_REMOVE(&serving->peers_by_use, peer, by_use);
    serving->peer_count--;
    free(peer);
}

/* Makes room: whoever has nothing open and has been away longest. What its rate still owed is forgotten with it. */
static void forget_a_peer(Serving *serving)
{
    ServePeer *peer;

    TAILQ_FOREACH(peer, &serving->peers_by_use, by_use)
        if (peer->connection_count == 0) {
            peer_free(serving, peer);
            return;
        }
}

ServePeer *serving_peer_get(Serving *serving, const PeerKey *key)
{
    ServePeer wanted = {.key = *key};
    ServePeer *peer = RB_FIND(ServePeers, &serving->peers, &wanted);

    if (peer) {
        TAILQ_REMOVE(&serving->peers_by_use, peer, by_use);
        TAILQ_INSERT_TAIL(&serving->peers_by_use, peer, by_use);
        return peer;
    }
    if (serving->peer_count >= SERVE_PEERS_MAX)
        forget_a_peer(serving);
    size_t size_bytes = key->kind == PEER_KEY_MACHINE ? strlen(key->machine) + 1 : 1;
    peer = calloc(1, sizeof(*peer) + size_bytes);
    if (!peer)
        return NULL;
    peer->key = *key;
    if (key->kind == PEER_KEY_MACHINE)
        memcpy(peer->machine, key->machine, size_bytes);
    peer->key.machine = peer->machine;
    TAILQ_INIT(&peer->connections);
    RB_INSERT(ServePeers, &serving->peers, peer);
    TAILQ_INSERT_TAIL(&serving->peers_by_use, peer, by_use);
    serving->peer_count++;
    return peer;
}

void serving_release_peers(Serving *serving)
{
    Accepted *accepted;
    ServePeer *peer;

    while ((accepted = TAILQ_FIRST(&serving->accepted))) {
        TAILQ_REMOVE(&serving->accepted, accepted, of_serving);
        free(accepted);
    }
    while ((peer = TAILQ_FIRST(&serving->peers_by_use)))
        peer_free(serving, peer);
    serving->accepted_count = 0;
}

/* ---- connections that are open ---- */

Accepted *serving_add_accepted(Serving *serving, ServePeer *peer, const Accepted *what, const char *text, size_t size_bytes)
{
    if (serving->accepted_count + 1 >= serving->sweep_at) {
        serving_sweep(serving, NULL);
        serving->sweep_at = serving->accepted_count * 2 > SWEEP_MIN ? serving->accepted_count * 2 : SWEEP_MIN;
    }
    Accepted *accepted = malloc(sizeof(*accepted) + size_bytes);
    if (!accepted)
        return NULL;
    *accepted = *what;
    accepted->peer = peer;
    accepted->size_bytes = size_bytes;
    memcpy(accepted->text, text, size_bytes);
    TAILQ_INSERT_TAIL(&serving->accepted, accepted, of_serving);
    TAILQ_INSERT_TAIL(&peer->connections, accepted, of_peer);
    serving->accepted_count++;
    peer->connection_count++;
    return accepted;
}

void serving_remove_accepted(Serving *serving, Accepted *accepted)
{
    TAILQ_REMOVE(&serving->accepted, accepted, of_serving);
    TAILQ_REMOVE(&accepted->peer->connections, accepted, of_peer);
    serving->accepted_count--;
    accepted->peer->connection_count--;
    serving_forget_accepted(serving, accepted);
    free(accepted);
}

Accepted *serving_find_accepted(const Serving *serving, uint64_t inode)
{
    Accepted *accepted;

    TAILQ_FOREACH(accepted, &serving->accepted, of_serving)
        if (accepted->inode == inode)
            return accepted;
    return NULL;
}

/* Without the kernel's word: what no process holds is closed, if every process that could is to be seen, and if it is not
 * on its way to a client. */
static bool may_be_open(Serving *serving, const Accepted *accepted)
{
    const ServeClient *client;

    TAILQ_FOREACH(client, &serving->clients, clients)
        if (client->number == accepted->client)
            return connection_socket_unread(&client->socket) > 0 || (geteuid() != 0 && client->uid != geteuid());
    return geteuid() != 0;
}

static void look_for_open(Serving *serving, Accepted **items, uint64_t *inodes, bool *open, size_t count, int family)
{
    int r = holders_check_open(family, inodes, count, open);

    if (r < 0) {
        _cleanup_(freep) pid_t *pids = calloc(count, sizeof(*pids));
        r = pids ? manager_find_holders_of_each(serving->manager, inodes, count, pids) : -ENOMEM;
        for (size_t i = 0; i < count; i++)
            open[i] = r < 0 || pids[i] > 0 || may_be_open(serving, items[i]);
    }
    for (size_t i = 0; i < count; i++)
        items[i]->gone = !open[i];
}

static size_t collect(Serving *serving, ServePeer *peer, int family, Accepted **items, uint64_t *inodes)
{
    Accepted *accepted = peer ? TAILQ_FIRST(&peer->connections) : TAILQ_FIRST(&serving->accepted);
    size_t count = 0;

    for (; accepted; accepted = peer ? TAILQ_NEXT(accepted, of_peer) : TAILQ_NEXT(accepted, of_serving))
        if (accepted->family == family && !accepted->program && !accepted->waits) {
            items[count] = accepted;
            inodes[count++] = accepted->inode;
        }
    return count;
}

void serving_sweep(Serving *serving, ServePeer *peer)
{
    static const int families[] = {AF_UNIX, AF_VSOCK};
    size_t max = peer ? peer->connection_count : serving->accepted_count;
    _cleanup_(freep) Accepted **items = calloc(max + 1, sizeof(Accepted *));
    _cleanup_(freep) uint64_t *inodes = calloc(max + 1, sizeof(*inodes));
    _cleanup_(freep) bool *open = calloc(max + 1, sizeof(*open));

    for (size_t f = 0; f < ELEMENTS_OF(families) && items && inodes && open; f++) {
        size_t count = collect(serving, peer, families[f], items, inodes);
        if (count == 0)
            continue;
        look_for_open(serving, items, inodes, open, count, families[f]);
        for (size_t i = 0; i < count; i++) {
            if (items[i]->gone)
                serving_remove_accepted(serving, items[i]);
        }
    }
}

/* Whether there are too many, after a look whether some of them have ended. */
static bool too_many(Serving *serving, ServePeer *peer, uint32_t max, uint64_t now_ns)
{
    const size_t *count = peer ? &peer->connection_count : &serving->accepted_count;
    uint64_t *next_look_ns = peer ? &peer->next_look_ns : &serving->next_look_ns;

    if (max == 0 || *count < max)
        return false;
    if (*next_look_ns > now_ns + (uint64_t)LOOK_BURST_NS * LOOK_REST_FACTOR)
        return true;
    /* Of our own time: what others take of the processor is not the peers' doing. */
    uint64_t start_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    serving_sweep(serving, peer);
    bucket_take(next_look_ns, (clock_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns) * LOOK_REST_FACTOR, (uint64_t)LOOK_BURST_NS * LOOK_REST_FACTOR, now_ns);
    return *count >= max;
}

Refusal serving_decide(Serving *serving, const Newcomer *newcomer, uint64_t now_ns, ServePeer **ret_peer)
{
    if (!newcomer->known)
        return REFUSAL_UNKNOWN;
    ServePeer *peer = serving_peer_get(serving, &newcomer->key);
    *ret_peer = peer;
    if (newcomer->wrong_user)
        return REFUSAL_WRONG_USER;
    switch (peer_rules_decide(newcomer->family == AF_VSOCK ? serving->vsock_rules : serving->rules, &newcomer->peer)) {
    case PEER_ALLOWED:
        break;
    case PEER_DENIED:
        return REFUSAL_DENIED;
    case PEER_NOT_ALLOWED:
        return REFUSAL_NOT_ALLOWED;
    }
    if (!peer)
        return REFUSAL_UNKNOWN;
    if (serving->rate_interval_ns > 0 && peer->bucket_ns > now_ns + serving->rate_burst_ns)
        return REFUSAL_RATE;
    if (too_many(serving, peer, serving->max_connections_per_peer, now_ns))
        return REFUSAL_MAX_CONNECTIONS_PER_PEER;
    if (too_many(serving, NULL, serving->max_connections, now_ns))
        return REFUSAL_MAX_CONNECTIONS;
    if (serving->rate_interval_ns > 0)
        bucket_take(&peer->bucket_ns, serving->rate_interval_ns, serving->rate_burst_ns, now_ns);
    return REFUSAL_NONE;
}
