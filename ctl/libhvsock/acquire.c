/* SPDX-License-Identifier: Apache-2.0 */
/* Taking listeners: one call, as many replies as it takes, all or none. */

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "ctl/libhvsock/client.h"

/* Listeners as they come in. */
typedef struct Taken {
    hvsock_listener *items;
    size_t count, capacity;
} Taken;

static void taken_release(Taken *taken)
{
    hvsock_listeners_free(taken->items, taken->count);
}

static char *copy_text(const json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));

    return text ? strdup(text) : NULL;
}

/* One HandedOut object, with its descriptor out of the reply's. -EBADMSG; -ENOMEM. */
static int taken_add(Taken *taken, const json_t *object, FdList *fds)
{
    const json_t *service = json_object_get(object, "service"), *machine = json_object_get(object, "machine");
    const json_t *address = json_object_get(object, "address"), *index = json_object_get(object, "listenerFileDescriptor");

    if (!json_is_string(service) || !json_is_string(address) || !json_is_integer(index) || json_integer_value(index) < 0 ||
        (machine && !json_is_string(machine) && !json_is_null(machine)))
        return -EBADMSG;
    if (taken->count == taken->capacity) {
        size_t capacity = taken->capacity ? taken->capacity * 2 : 4;
        hvsock_listener *items = reallocarray(taken->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        taken->items = items;
        taken->capacity = capacity;
    }
    int fd = fd_list_take(fds, (size_t)json_integer_value(index));
    if (fd < 0)
        return -EBADMSG; /* there is none of that number, or it was another's already */
    hvsock_listener *listener = &taken->items[taken->count++];
    *listener = (hvsock_listener){
        .service = copy_text(object, "service"),
        .machine = copy_text(object, "machine"),
        .address = copy_text(object, "address"),
        .fd = fd,
    };
    return listener->service && listener->address && (listener->machine || !json_is_string(machine)) ? 0 : -ENOMEM;
}

/* A reply has as many descriptors as listeners. */
static int taken_add_reply(Taken *taken, Reply *reply)
{
    const json_t *listeners = json_object_get(reply->parameters, "listeners");

    if (!json_is_array(listeners) || json_array_size(listeners) != reply->fds.count)
        return -EBADMSG;
    for (size_t i = 0; i < json_array_size(listeners); i++) {
        int r = taken_add(taken, json_array_get(listeners, i), &reply->fds);
        if (r < 0)
            return r;
    }
    return 0;
}

static char *acquire_parameters(const char *const *names)
{
    _cleanup_(json_decrefp) json_t *list = json_array();

    for (size_t i = 0; names[i]; i++)
        if (json_array_append_new(list, json_string(names[i])) < 0)
            return NULL;
    _cleanup_(json_decrefp) json_t *parameters = json_pack("{s:O}", "names", list);
    return parameters ? json_dumps(parameters, JSON_COMPACT) : NULL;
}

int hvsock_acquire(hvsock *client, const char *const *names, hvsock_listener **ret, size_t *ret_count)
{
    _cleanup_(taken_release) Taken taken = {0};
    _cleanup_(freep) char *parameters = acquire_parameters(names);

    if (!parameters)
        return -EINVAL; /* a name that is not UTF-8 */
    int r = client_send(client, "Acquire", parameters, true);
    for (bool continues = true; r == 0 && continues;) {
        _cleanup_(reply_release) Reply reply = {0};
        r = client_receive(client, &reply);
        if (r != 0)
            break;
        continues = reply.continues;
        r = taken_add_reply(&taken, &reply);
        if (r < 0)
            client->broken = true;
    }
    if (r != 0)
        return r;
    *ret = taken.items;
    *ret_count = taken.count;
    taken = (Taken){0};
    return 0;
}

void hvsock_listeners_free(hvsock_listener *listeners, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(listeners[i].service);
        free(listeners[i].machine);
        free(listeners[i].address);
        fd_close(listeners[i].fd);
    }
    free(listeners);
}
