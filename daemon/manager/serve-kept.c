/* SPDX-License-Identifier: Apache-2.0 */
/* Serve and hvsock-keeper: a client's socket with what it has not read yet, what was accepted for whom, and what waits for a
 * client. Another hvsockd goes on with them; a client notices nothing. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/manager/kept.h"
#include "daemon/manager/serve.h"

static void numbered_key(KeptKey *key, char kind, const Serving *serving, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    kept_key(key, kind, serving->name, text, NULL);
}

static void forget(const Serving *serving, char kind, uint64_t number)
{
    _uninitialized_ KeptKey key;

    if (!hold_is_there(serving->manager->hold))
        return;
    numbered_key(&key, kind, serving, number);
    hold_delete(serving->manager->hold, key.text, key.size_bytes);
}

void serving_keep_client(const ServeClient *client)
{
    Serving *serving = client->serving;
    Manager *manager = serving->manager;
    Buffer *value = &manager->kept_value;
    const int fds[] = {client->socket.fd, client->socket.client_fd};
    _uninitialized_ KeptKey key;

    if (!hold_is_there(manager->hold))
        return;
    numbered_key(&key, KEEPER_KEY_CLIENT, serving, client->number);
    buffer_clear(value);
    frame_put_number(value, KEPT_PID, (uint64_t)client->pid);
    frame_put_number(value, KEPT_UID, client->uid);
    hold_put(manager->hold, key.text, key.size_bytes, value, fds, ELEMENTS_OF(fds));
}

void serving_forget_client(const ServeClient *client)
{
    forget(client->serving, KEEPER_KEY_CLIENT, client->number);
}

void serving_keep_accepted(const Serving *serving, Accepted *accepted)
{
    Manager *manager = serving->manager;
    Buffer *value = &manager->kept_value;
    _uninitialized_ KeptKey key;

    if (!hold_is_there(manager->hold) || accepted->program)
        return;
    accepted->kept = true;
    numbered_key(&key, KEEPER_KEY_ACCEPTED, serving, accepted->inode);
    buffer_clear(value);
    frame_put_number(value, KEPT_CLIENT, accepted->client);
    frame_put_number(value, KEPT_FAMILY, (uint64_t)accepted->family);
    frame_put_number(value, KEPT_PEER_KIND, (uint64_t)accepted->peer->key.kind);
    frame_put_number(value, KEPT_PEER_NUMBER, accepted->peer->key.number);
    if (accepted->peer->key.kind == PEER_KEY_MACHINE)
        frame_put_text(value, KEPT_PEER_MACHINE, accepted->peer->machine);
    frame_put_number(value, KEPT_CID, accepted->cid);
    frame_put_number(value, KEPT_PORT, accepted->port);
    frame_put_number(value, KEPT_UID, accepted->uid);
    frame_put_number(value, KEPT_SINCE_US, accepted->since_us);
    frame_put(value, KEPT_TEXT, accepted->text, accepted->size_bytes);
    hold_put(manager->hold, key.text, key.size_bytes, value, NULL, 0);
}

void serving_forget_accepted(const Serving *serving, Accepted *accepted)
{
    if (accepted->kept)
        forget(serving, KEEPER_KEY_ACCEPTED, accepted->inode);
    accepted->kept = false;
}

void serving_keep_waiting(const Serving *serving, const Waiting *waiting)
{
    Manager *manager = serving->manager;
    Buffer *value = &manager->kept_value;
    _uninitialized_ KeptKey key;

    if (!hold_is_there(manager->hold))
        return;
    numbered_key(&key, KEEPER_KEY_WAITING, serving, waiting->number);
    buffer_clear(value);
    frame_put(value, KEPT_TEXT, waiting->text, waiting->size_bytes);
    hold_put(manager->hold, key.text, key.size_bytes, value, &waiting->fd, 1);
    /* Its descriptor may be gone in a moment. */
    hold_flush(manager->hold);
}

void serving_forget_waiting(const Serving *serving, const Waiting *waiting)
{
    forget(serving, KEEPER_KEY_WAITING, waiting->number);
}

void manager_keep_servings(Manager *manager)
{
    Serving *serving;
    const ServeClient *client;
    Accepted *accepted;
    const Waiting *waiting;

    RB_FOREACH(serving, Servings, &manager->serve->servings) {
        TAILQ_FOREACH(client, &serving->clients, clients)
            serving_keep_client(client);
        TAILQ_FOREACH(accepted, &serving->accepted, of_serving)
            serving_keep_accepted(serving, accepted);
        TAILQ_FOREACH(waiting, &serving->waiting, waiting)
            serving_keep_waiting(serving, waiting);
    }
}

/* ---- back ---- */

static int take_client(Serving *serving, const KeptValue *value, uint64_t number, FdList *fds)
{
    ConnectionSocket socket;
    int r = fds->count == 2 ? connection_socket_restore_consume(fd_list_take(fds, 0), fd_list_take(fds, 1), &socket) : -EBADMSG;

    return r < 0 ? r : serving_restore_client_consume(serving, &socket, (pid_t)value->numbers[KEPT_PID],
                                                      (uid_t)value->numbers[KEPT_UID], number);
}

int serving_restore_accepted(Serving *serving, const KeptValue *value, uint64_t inode, Accepted **ret)
{
    const char *text = value->texts[KEPT_TEXT], *machine = value->texts[KEPT_PEER_MACHINE];
    const PeerKey key = {
        .kind = (unsigned)value->numbers[KEPT_PEER_KIND], .number = (uint32_t)value->numbers[KEPT_PEER_NUMBER], .machine = machine};
    const Accepted what = {
        .inode = inode,
        .client = value->numbers[KEPT_CLIENT],
        .since_us = value->numbers[KEPT_SINCE_US],
        .cid = (uint32_t)value->numbers[KEPT_CID],
        .port = (uint32_t)value->numbers[KEPT_PORT],
        .uid = (uint32_t)value->numbers[KEPT_UID],
        .family = (int)value->numbers[KEPT_FAMILY],
    };

    if (!text || (key.kind == PEER_KEY_MACHINE) != (machine != NULL))
        return -EBADMSG;
    ServePeer *peer = serving_peer_get(serving, &key);
    *ret = peer ? serving_add_accepted(serving, peer, &what, text, strlen(text)) : NULL;
    return *ret ? 0 : -ENOMEM;
}

int manager_take_back_serve(Manager *manager, const KeptKey *key, const KeptValue *value, FdList *fds)
{
    const char *name = kept_key_part(key, 0), *number_text = kept_key_part(key, 1);
    Accepted *accepted;
    Serving *serving;
    uint64_t number;

    if (!name || !number_text || !text_to_number(number_text, UINT64_MAX, &number))
        return -EBADMSG;
    if (!registry_find_service(&manager->registry, name)) {
        hold_delete(manager->hold, key->text, key->size_bytes);
        return 0;
    }
    int r = serving_get(manager, name, &serving);
    if (r < 0)
        return r;
    serve_timer_start(manager, SERVE_LOOK_INTERVAL_US);
    switch (key->text[0]) {
    case KEEPER_KEY_CLIENT:
        return take_client(serving, value, number, fds);
    case KEEPER_KEY_ACCEPTED:
        r = serving_restore_accepted(serving, value, number, &accepted);
        if (r == 0)
            accepted->kept = true;
        return r;
    case KEEPER_KEY_WAITING:
        if (!value->texts[KEPT_TEXT] || fds->count != 1)
            return -EBADMSG;
        hold_delete(manager->hold, key->text, key->size_bytes); /* it gets a number of ours */
        serving_keep_consume(serving, NULL, value->texts[KEPT_TEXT], strlen(value->texts[KEPT_TEXT]), fd_list_take(fds, 0));
        return 0;
    default:
        return -EBADMSG;
    }
}
