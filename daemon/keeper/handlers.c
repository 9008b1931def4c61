/* SPDX-License-Identifier: Apache-2.0 */
/* What the client asks for, by type of message. A handler runs to its end; what it answers goes by request_…. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "daemon/keeper/keeper.h"

typedef struct ItemFields ItemFields;

struct ItemFields {
    FrameField key, value;
    size_t fd_count;
};

static int on_hello(const Request *request)
{
    Keeper *keeper = request->keeper;
    FrameFields fields = request->frame->fields;
    FrameField field;

    if (keeper->client != request->peer) {
        if (keeper->client)
            peer_replace(keeper->client);
        keeper->client = request->peer;
    }
    size_t next_fd = 0;
    while (frame_next(&fields, &field)) {
        int fd = field.tag == KEEPER_TAG_BELL || field.tag == KEEPER_TAG_BEGUN ? fd_list_take(request->fds, next_fd++) : -1;
        if (fd >= 0 && field.tag == KEEPER_TAG_BELL)
            peer_set_bell_consume(request->peer, fd);
        else if (fd >= 0)
            peer_set_begun_consume(request->peer, fd);
    }
    Buffer *out = request_begin(request, KEEPER_HELLO);
    frame_put_number(out, KEEPER_TAG_VERSION, KEEPER_VERSION);
    frame_put_number(out, KEEPER_TAG_PID, (uint64_t)getpid());
    frame_put_number(out, KEEPER_TAG_UID, geteuid());
    frame_put(out, KEEPER_TAG_INSTANCE, keeper->instance, sizeof(keeper->instance));
    request_send(request, NULL);
    return 0;
}

/* ---- items ---- */

/* -EPROTO: there is a critical field that we do not know. */
static int read_item(const FrameField *field, ItemFields *ret)
{
    FrameFields fields;
    FrameField inner;
    uint64_t number = 0;
    bool is_strange = false;
    int r = frame_field_fields(field, &fields);

    *ret = (ItemFields){0};
    while (r == 0 && frame_next(&fields, &inner)) {
        if (inner.tag == KEEPER_TAG_KEY)
            ret->key = inner;
        else if (inner.tag == KEEPER_TAG_VALUE)
            ret->value = inner;
        else if (inner.tag == KEEPER_TAG_FDS)
            r = frame_field_number(&inner, &number);
        else if (inner.tag & FRAME_CRITICAL)
            is_strange = true;
    }
    if (r < 0 || number > FRAME_FDS_MAX)
        return -EBADMSG;
    ret->fd_count = (size_t)number;
    return is_strange ? -EPROTO : 0;
}

/* 0, or what it is refused with. */
static int may_keep(const Keeper *keeper, const ItemFields *item)
{
    if (item->key.size_bytes == 0)
        return -EINVAL;
    if (item->key.size_bytes > KEEPER_KEY_MAX_BYTES)
        return -ENAMETOOLONG;
    if (item->value.size_bytes > KEEPER_VALUE_MAX_BYTES || item->fd_count > KEEPER_ITEM_FDS_MAX)
        return -EMSGSIZE;
    const Item *old = items_find(&keeper->items, item->key.data, item->key.size_bytes);
    if (!old && keeper->items.count >= KEEPER_ITEMS_MAX)
        return -ENOSPC;
    if (keeper->items.fd_count - (old ? old->fd_count : 0) + item->fd_count > keeper->fds_max)
        return -EMFILE;
    return keeper->is_ending ? -ESHUTDOWN : 0;
}

static const char *why_not_kept(int error)
{
    switch (-error) {
    case EINVAL:
        return "an item needs a key";
    case ENAMETOOLONG:
        return "the key is too long";
    case EMSGSIZE:
        return "the value is too large, or there are too many descriptors";
    case ENOSPC:
        return "hvsock-keeper holds as many items as it may";
    case EMFILE:
        return "hvsock-keeper holds as many descriptors as it may (RLIMIT_NOFILE)";
    case EPROTO:
        return "this hvsock-keeper does not know a critical field of the item";
    case ESHUTDOWN:
        return "hvsock-keeper is ending";
    default:
        return NULL;
    }
}

/* The number of descriptors must be what the items say. */
static bool fds_are_right(const Request *request)
{
    FrameFields fields = request->frame->fields;
    FrameField field;
    ItemFields item;
    size_t count = 0;

    while (frame_next(&fields, &field))
        if (field.tag == KEEPER_TAG_ITEM) {
            if (read_item(&field, &item) == -EBADMSG)
                return false;
            count += item.fd_count;
        }
    return request->cut || count == request->fds->count;
}

static int on_put(const Request *request)
{
    Keeper *keeper = request->keeper;
    FrameFields fields = request->frame->fields;
    FrameField field;
    ItemFields item;
    size_t next_fd = 0;
    bool refused = false;

    if (!fds_are_right(request))
        return -EBADMSG;
    while (frame_next(&fields, &field)) {
        if (field.tag != KEEPER_TAG_ITEM)
            continue;
        int r = read_item(&field, &item);
        if (r == 0)
            r = request->cut && item.fd_count > 0 ? -EMFILE : may_keep(keeper, &item);
        int *fds = request->cut || item.fd_count == 0 ? NULL : request->fds->fds + next_fd;
        next_fd += item.fd_count;
        if (r == 0)
            r = items_put(&keeper->items, item.key.data, item.key.size_bytes, item.value.data, item.value.size_bytes, fds,
                          item.fd_count, NULL);
        if (r == 0) {
            for (size_t i = 0; i < item.fd_count; i++)
                fds[i] = -1;
            continue;
        }
        request_refuse(request, r, why_not_kept(r), &item.key);
        refused = true;
    }
    if (!refused)
        request_done(request);
    return 0;
}

static int on_delete(const Request *request)
{
    Keeper *keeper = request->keeper;
    FrameFields fields = request->frame->fields;
    FrameField key;
    bool refused = false;

    while (frame_next(&fields, &key)) {
        Item *item = key.tag == KEEPER_TAG_KEY ? items_find(&keeper->items, key.data, key.size_bytes) : NULL;
        if (!item)
            continue;
        if (item->program && !item->program->has_ended) {
            request_refuse(request, EBUSY, "the program runs", &key);
            refused = true;
            continue;
        }
        if (item->program)
            program_free(keeper, item->program);
        items_remove(&keeper->items, item);
    }
    if (!refused)
        request_done(request);
    return 0;
}

static int on_list(const Request *request)
{
    Peer *peer = request->peer;

    peer->is_listing = true;
    peer->list_next = TAILQ_FIRST(&request->keeper->items.order);
    peer->list_request = request->frame->request;
    return 0; /* peer_pump does it */
}

/* ---- programs ---- */

static void answer_start(const Request *request, const FrameField *key, int error, const char *what, const char *path)
{
    Buffer *out = request_begin(request, KEEPER_STARTED);
    char text[PATH_MAX + 64];

    snprintf(text, sizeof(text), "%s%s%s", what, path ? " " : "", path ? path : "");
    frame_put(out, KEEPER_TAG_KEY, key->data, key->size_bytes);
    frame_put_number(out, KEEPER_TAG_ERROR, (uint64_t)(error < 0 ? -error : error));
    frame_put_text(out, KEEPER_TAG_TEXT, text);
    request_send(request, NULL);
}

/* NULL: it may start. */
static const char *why_not_started(const Request *request, const FrameField *key, const FrameField *value, int *ret_error)
{
    const Keeper *keeper = request->keeper;
    const struct {
        bool is_so;
        int error;
        const char *what;
    } table[] = {
        {keeper->is_ending, ESHUTDOWN, "hvsock-keeper is ending"},
        {request->cut, EMFILE, "descriptors"},
        {value->size_bytes > KEEPER_VALUE_MAX_BYTES, EMSGSIZE, "value"},
        {keeper->programs.count >= KEEPER_PROGRAMS_MAX, EAGAIN, "as many programs as may be"},
        {keeper->items.count >= KEEPER_ITEMS_MAX, ENOSPC, "as many items as may be"},
        {items_find(&keeper->items, key->data, key->size_bytes) != NULL, EEXIST, "an item has the key"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(table); i++)
        if (table[i].is_so) {
            *ret_error = table[i].error;
            return table[i].what;
        }
    return NULL;
}

/* Everything that can fail is done before the program runs. */
static int start(const Request *request, const FrameField *key, const FrameField *value, const Spec *spec, int *ret_pidfd,
                 pid_t *ret_pid, const char **ret_what)
{
    Keeper *keeper = request->keeper;
    char name[CGROUP_NAME_SIZE_BYTES];
    _cleanup_(freep) char *cgroup = NULL;
    Item *item;
    Program *program;

    *ret_what = "memory";
    int r = items_put(&keeper->items, key->data, key->size_bytes, value->data, value->size_bytes, NULL, 0, &item);
    if (r < 0)
        return r;
    r = program_add(keeper, item, &program);
    if (r < 0) {
        items_remove(&keeper->items, item);
        return r;
    }
    _cleanup_(fd_closep) int cgroup_fd = cgroups_make(&keeper->cgroups, spec->cgroup, name);
    if (cgroup_fd >= 0)
        cgroup = strdup(name);
    r = spawner_start(&keeper->spawner, spec, request->fds->fds, request->fds->count, cgroup_fd, ret_pid, ret_pidfd, ret_what);
    if (r < 0) {
        program_free(keeper, program);
        items_remove(&keeper->items, item);
        if (cgroup_fd >= 0)
            cgroups_remove(&keeper->cgroups, name);
        return r;
    }
    program->stop_timeout_us = spec->stop_timeout_us;
    program_runs(keeper, program, *ret_pid, TAKE_PTR(cgroup));
    return 0;
}

/* One after the other until START comes; where we could not open them all, none is kept, and START finds that. */
static int on_give(const Request *request)
{
    FdList *given = &request->peer->given;
    int r = request->cut || given->count + request->fds->count > KEEPER_GIVEN_MAX ? -EMFILE : 0;

    for (size_t i = 0; i < request->fds->count && r == 0; i++)
        r = fd_list_add_consume(given, fd_list_take(request->fds, i));
    if (r < 0)
        fd_list_clear(given);
    request_done(request);
    return 0;
}

/* Those that were given before stand before its own. false: they are not as many as it says. */
static bool take_given(const Request *request, const FrameField *number)
{
    FdList given = request->peer->given;
    uint64_t count = 0;
    int r = 0;

    request->peer->given = (FdList){0};
    if (number->tag != 0 && frame_field_number(number, &count) < 0)
        count = UINT64_MAX;
    bool right = count == given.count || count == 0;
    if (!right || count == 0) {
        fd_list_clear(&given); /* of a START that never came */
        return right;
    }
    for (size_t i = 0; i < request->fds->count && r == 0; i++)
        r = fd_list_add_consume(&given, fd_list_take(request->fds, i));
    fd_list_clear(request->fds);
    *request->fds = given;
    return r == 0;
}

static int on_start(const Request *request)
{
    _cleanup_(spec_release) Spec spec = {0};
    FrameFields fields = request->frame->fields, inner;
    FrameField field, key = {0}, value = {0}, program = {0}, number = {0};
    const char *what;
    int pidfd, error = 0;
    pid_t pid;

    while (frame_next(&fields, &field))
        if (field.tag == KEEPER_TAG_KEY)
            key = field;
        else if (field.tag == KEEPER_TAG_VALUE)
            value = field;
        else if (field.tag == KEEPER_TAG_PROGRAM)
            program = field;
        else if (field.tag == KEEPER_TAG_NUMBER)
            number = field;
    bool has_all = take_given(request, &number);
    if (key.size_bytes == 0 || key.size_bytes > KEEPER_KEY_MAX_BYTES || program.tag == 0 ||
        frame_field_fields(&program, &inner) < 0)
        return -EBADMSG;
    what = why_not_started(request, &key, &value, &error);
    if (!what && !has_all) {
        what = "descriptors";
        error = EMFILE;
    }
    if (what) {
        answer_start(request, &key, error, what, NULL);
        return 0;
    }
    int r = spec_read(&inner, request->fds->count, &spec);
    if (r == -EBADMSG)
        return r;
    if (r == -EPROTO) {
        request_refuse(request, r, "this hvsock-keeper does not know a critical field of the program", &key);
        return 0;
    }
    if (r < 0) {
        answer_start(request, &key, r, "program", NULL);
        return 0;
    }
    r = start(request, &key, &value, &spec, &pidfd, &pid, &what);
    if (r < 0) {
        const char *path = strcmp(what, "exec") == 0 ? spec.arguments[0] : strcmp(what, "chdir") == 0 ? spec.directory : NULL;
        answer_start(request, &key, r, what, path);
        return 0;
    }
    _cleanup_(fd_list_clear) FdList answer_fds = {0};
    Buffer *out = request_begin(request, KEEPER_STARTED);
    frame_put(out, KEEPER_TAG_KEY, key.data, key.size_bytes);
    frame_put_number(out, KEEPER_TAG_PID, (uint64_t)pid);
    if (fd_list_add_consume(&answer_fds, pidfd) == 0)
        frame_put_number(out, KEEPER_TAG_FDS, 1);
    /* The program first, and then who is told that it was started. */
    request_send_lingering(request, &answer_fds);
    return 0;
}

/* The program that runs and has the key that the message names; NULL: there is none, which is answered. */
static Program *program_meant(const Request *request, FrameField *key, FrameField *number)
{
    FrameFields fields = request->frame->fields;
    FrameField field;

    *key = *number = (FrameField){0};
    while (frame_next(&fields, &field))
        if (field.tag == KEEPER_TAG_KEY)
            *key = field;
        else if (field.tag == KEEPER_TAG_NUMBER)
            *number = field;
    Item *item = items_find(&request->keeper->items, key->data, key->size_bytes);
    if (item && item->program && !item->program->has_ended)
        return item->program;
    request_refuse(request, ESRCH, "no such program runs", key);
    return NULL;
}

static int on_signal(const Request *request)
{
    FrameField key, number;
    uint64_t signal;
    Program *program = program_meant(request, &key, &number);

    if (!program)
        return 0;
    if (frame_field_number(&number, &signal) < 0)
        return -EBADMSG;
    if (signal == 0 || signal > 64) {
        request_refuse(request, EINVAL, "no such signal", &key);
        return 0;
    }
    program_signal(request->keeper, program, (int)signal);
    request_done(request);
    return 0;
}

static int on_stop(const Request *request)
{
    FrameField key, number;
    Program *program = program_meant(request, &key, &number);

    if (program) {
        program_stop(request->keeper, program);
        request_done(request);
    }
    return 0;
}

/* ---- itself ---- */

static int on_end(const Request *request)
{
    keeper_end(request->keeper);
    request_done(request);
    return 0;
}

static int on_reexec(const Request *request)
{
    request->keeper->reexec_wanted = true;
    request_done(request);
    return 0;
}

Handler handler_find(uint16_t type)
{
    static const struct {
        KeeperType type;
        Handler handler;
    } table[] = {
        {KEEPER_HELLO, on_hello},   {KEEPER_PUT, on_put},   {KEEPER_DELETE, on_delete}, {KEEPER_LIST, on_list},
        {KEEPER_START, on_start},   {KEEPER_SIGNAL, on_signal}, {KEEPER_STOP, on_stop}, {KEEPER_END, on_end},
        {KEEPER_REEXEC, on_reexec}, {KEEPER_BIND, bind_on_bind}, {KEEPER_HOLDERS, bind_on_holders},
        {KEEPER_HOLDERS_OF_EACH, bind_on_holders_of_each},   {KEEPER_GIVE, on_give},
    };

    for (size_t i = 0; i < ELEMENTS_OF(table); i++)
        if (table[i].type == type)
            return table[i].handler;
    return NULL;
}
