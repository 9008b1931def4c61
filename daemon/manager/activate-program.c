/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that run, or are on their way: in memory, and with the keeper. The value of a program's item is ours alone: fields
 * that an older hvsockd does not know are skipped there. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "daemon/log.h"
#include "daemon/manager/kept.h"
#include "daemon/manager/serve.h"

static int program_compare(const Program *a, const Program *b)
{
    return (a->number > b->number) - (a->number < b->number);
}

RB_GENERATE_INTERNAL(Programs, Program, by_number, program_compare, _unused_ static)

/* ---- keys ---- */

void program_key(const Program *program, KeptKey *key)
{
    char number[24];

    snprintf(number, sizeof(number), "%llu", (unsigned long long)program->number);
    kept_key(key, KEEPER_KEY_PROGRAM, program->serving->name, number, NULL);
}

static bool read_key(const char *text, size_t size_bytes, KeptKey *key)
{
    if (size_bytes == 0 || size_bytes > sizeof(key->text))
        return false;
    memcpy(key->text, text, size_bytes);
    key->size_bytes = size_bytes;
    return true;
}

static bool read_number(const KeptKey *key, uint64_t *ret)
{
    const char *text = kept_key_part(key, 1);

    return key->text[0] == KEEPER_KEY_PROGRAM && text && text_to_number(text, UINT64_MAX, ret);
}

static Program *program_find(Manager *manager, const char *text, size_t size_bytes)
{
    Program wanted = {0};
    _uninitialized_ KeptKey key;

    if (!manager->activate || !read_key(text, size_bytes, &key) || !read_number(&key, &wanted.number))
        return NULL;
    return RB_FIND(Programs, &manager->activate->programs, &wanted);
}

/* ---- coming and going ---- */

/* For who comes after us, should the keeper be gone, too. */
static void remember_count(const Manager *manager)
{
    metrics_global(manager->metrics)->held_programs = manager->activate->program_count;
}

static Program *program_add(Serving *serving, Accepted *accepted, uint64_t number)
{
    Activate *activate = serving->manager->activate;
    Program *program = calloc(1, sizeof(*program));

    if (!program)
        return NULL;
    program->serving = serving;
    program->number = number;
    program->fd = -1;
    if (RB_INSERT(Programs, &activate->programs, program)) {
        free(program);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&serving->activating.programs, program, of_serving);
    serving->activating.program_count++;
    activate->program_count++;
    program->accepted = accepted;
    if (accepted)
        accepted->program = program;
    else
        serving->activating.waiter = program;
    remember_count(serving->manager);
    return program;
}

Program *program_new(Serving *serving, Accepted *accepted)
{
    Program *program = program_add(serving, accepted, ++serving->manager->activate->next_number);

    if (!program)
        return NULL;
    program->record = serving->activating.record;
    program->since_us = accepted ? accepted->since_us : time_now_us();
    program->asked_ns = serve_now_ns();
    return program;
}

static void touch(Serving *serving)
{
    Service *service = registry_find_service(&serving->manager->registry, serving->name);

    if (service)
        registry_touch(&serving->manager->registry, service);
}

/* Its connection is the caller's then. */
static void program_free(Program *program)
{
    Serving *serving = program->serving;
    Activate *activate = serving->manager->activate;

    if (program->accepted)
        program->accepted->program = NULL;
    if (serving->activating.waiter == program)
        serving->activating.waiter = NULL;
    TAILQ_REMOVE(&serving->activating.programs, program, of_serving);
    serving->activating.program_count--;
    RB_REMOVE(Programs, &activate->programs, program);
    activate->program_count--;
    free(program);
}

void program_forget(Program *program)
{
    Serving *serving = program->serving;
    Accepted *accepted = program->accepted;
    int fd = program->fd;

    program_free(program);
    if (accepted)
        serving_remove_accepted(serving, accepted);
    fd_close(fd);
    touch(serving);
}

void program_end(Program *program)
{
    const Manager *manager = program->serving->manager;

    program_forget(program);
    remember_count(manager);
}

void program_give_back(Program *program)
{
    Serving *serving = program->serving;
    Accepted *accepted = program->accepted;
    _cleanup_(freep) char *text = NULL;
    int fd = TAKE_FD(program->fd);

    if (!accepted || fd < 0) {
        program_end(program);
        return;
    }
    program_free(program);
    remember_count(serving->manager);
    touch(serving);
    size_t size_bytes = accepted->size_bytes + 1;
    text = malloc(size_bytes);
    if (!text) {
        serving_remove_accepted(serving, accepted);
        fd_close(fd);
        return;
    }
    memcpy(text, accepted->text, accepted->size_bytes);
    text[accepted->size_bytes] = '}';
    serving_keep_consume(serving, accepted, text, size_bytes, fd);
}

void program_stop(Program *program)
{
    Manager *manager = program->serving->manager;
    _uninitialized_ KeptKey key;

    program->stopping = true;
    if (!hold_is_there(manager->hold))
        return;
    program_key(program, &key);
    int r = hold_stop(manager->hold, key.text, key.size_bytes);
    if (r < 0 && r != -ENOTCONN)
        log_warning("%s: process %d cannot be stopped: %s", program->serving->name, (int)program->pid, strerror(-r));
}

/* There is room again for whoever waited for it. */
static void slot_is_free(Serving *serving, bool all_update)
{
    Manager *manager = serving->manager;

    if (all_update)
        serving_update(serving);
    serving_flush(serving);
    serving_switch(serving);
    if (manager->activate->full) {
        manager->activate->full = false;
        servings_switch(manager);
    }
    if (serving->activating.program_count == 0)
        serve_timer_start(manager, SERVE_TIDY_INTERVAL_US);
    hold_flush(manager->hold);
    manager_events_flush(manager);
}

/* ---- what the keeper tells ---- */

/* For want of something that comes back by itself. */
static bool is_passing(int error)
{
    return error == EAGAIN || error == ENOMEM || error == ENFILE || error == EMFILE || error == ENOBUFS || error == EINTR ||
           error == ENOTCONN;
}

static void start_failed(Program *program, int error, const char *what)
{
    Serving *serving = program->serving;
    _cleanup_(freep) char *why = NULL;
    bool waits = !program->accepted, passing = is_passing(error);

    if (asprintf(&why, "its program cannot be started: %s%s%s", what ? what : "", what && what[0] ? ": " : "", strerror(error)) < 0)
        why = NULL;
    if (passing)
        program_give_back(program);
    else
        program_end(program);
    activate_put_off(serving, passing, why ? why : "its program cannot be started");
    slot_is_free(serving, waits);
}

static void peer_name(const Accepted *accepted, char *text, size_t size_bytes)
{
    if (accepted->family == AF_VSOCK)
        snprintf(text, size_bytes, "vsock:%u:%u", accepted->cid, accepted->port);
    else
        snprintf(text, size_bytes, "uid:%u", accepted->uid);
}

static const char *machine_of(const Accepted *accepted)
{
    return accepted && accepted->peer->key.kind == PEER_KEY_MACHINE ? accepted->peer->key.machine : NULL;
}

void manager_activate_on_started(const char *key, size_t key_size_bytes, pid_t pid, int pidfd, int error, const char *what,
                                 void *userdata)
{
    Manager *manager = userdata;
    Program *program = program_find(manager, key, key_size_bytes);

    if (!program || program->pid > 0)
        return;
    Serving *serving = program->serving;
    if (error != 0) {
        hold_delete(manager->hold, key, key_size_bytes);
        start_failed(program, error, what);
        return;
    }
    program->pid = pid;
    program->fd = fd_close(program->fd);
    bool had_failed = serving->activating.limit.back_offs > 0;
    if (!program->starts_unit)
        start_limit_succeeded(&serving->activating.limit);
    if (had_failed)
        activating_keep(serving);
    if (!program->starts_unit)
        trouble_started(serving);
    ServiceMetrics *metrics = metrics_service(manager->metrics, serving->name);
    metrics->started++;
    metrics_add_spawn(manager->metrics, serve_now_ns() - program->asked_ns);
    touch(serving);
    log_debug("%s: process %d is started", serving->name, (int)pid);
    if (!program->starts_unit)
        manager_log_program(manager, serving->name, "activated", program->accepted ? program->accepted->text : NULL,
                            program->accepted ? program->accepted->size_bytes : 0, "process %d", (int)pid);
    if (!program->starts_unit) {
        char peer[32] = "";
        if (program->accepted)
            peer_name(program->accepted, peer, sizeof(peer));
        manager_event(manager, "started", serving->name, machine_of(program->accepted),
                      "%s is served by process %d, which was started for %s", serving->name, (int)pid, peer[0] ? peer : "it");
        manager_events_flush(manager);
    }
}

static void tell_exited(const Program *program, int status)
{
    Manager *manager = program->serving->manager;
    const Accepted *accepted = program->accepted;
    const char *name = program->serving->name;
    char how[64], lasted[48] = "";

    if (WIFSIGNALED(status))
        snprintf(how, sizeof(how), "killed by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
    trouble_ended(program, status, how);
    uint64_t now_ns = serve_now_ns();
    if (program->asked_ns > 0 && now_ns > program->asked_ns)
        snprintf(lasted, sizeof(lasted), " after %.3f s", (double)(now_ns - program->asked_ns) / 1e9);
    if (accepted) {
        log_debug("%s: process %d has ended: %s%s", name, (int)program->pid, how, lasted);
        manager_log_ended(manager, name, accepted->text, accepted->size_bytes, "process %d: %s%s", (int)program->pid, how, lasted);
    } else {
        log_info("%s: process %d has ended: %s%s", name, (int)program->pid, how, lasted);
        manager_log_program(manager, name, "ended", NULL, 0, "process %d: %s%s", (int)program->pid, how, lasted);
    }
    manager_event(manager, "ended", name, machine_of(accepted), "process %d of %s has ended: %s%s", (int)program->pid, name, how, lasted);
}

void manager_activate_on_exited(const char *key, size_t key_size_bytes, pid_t pid, int status, void *userdata)
{
    Manager *manager = userdata;
    Program *program = program_find(manager, key, key_size_bytes);

    hold_delete(manager->hold, key, key_size_bytes);
    if (!program)
        return;
    Serving *serving = program->serving;
    bool waits = !program->accepted, starts_unit = program->starts_unit && !program->stopping;
    if (program->pid == 0)
        program->pid = pid;
    if (!starts_unit)
        tell_exited(program, status);
    program_end(program);
    if (starts_unit && status == 0)
        activate_unit_started(serving);
    else if (starts_unit)
        activate_unit_failed(serving);
    slot_is_free(serving, waits);
}

static int on_listed(const HoldItem *item, void *userdata)
{
    Program *program = program_find(userdata, item->key, item->key_size_bytes);

    if (!program)
        return 0;
    program->seen = true;
    program->ended = item->exited;
    program->status = item->status;
    if (program->pid == 0 && !item->exited) {
        program->pid = item->pid;
        program->fd = fd_close(program->fd);
        touch(program->serving);
    }
    return 0;
}

void programs_look(Manager *manager)
{
    uint64_t last = manager->activate->next_number; /* what is started from now on was not asked for before */
    Program *program, *next;

    if (manager->activate->program_count == 0)
        return;
    RB_FOREACH(program, Programs, &manager->activate->programs)
        program->seen = program->ended = false;
    int r = hold_list(manager->hold, on_listed, manager);
    if (r < 0) {
        log_warning("hvsock-keeper does not say which programs run: %s", strerror(-r));
        return;
    }
    for (program = RB_MIN(Programs, &manager->activate->programs); program && program->number <= last; program = next) {
        _uninitialized_ KeptKey key;
        next = Programs_RB_NEXT(program);
        program_key(program, &key);
        if (program->seen && program->ended)
            manager_activate_on_exited(key.text, key.size_bytes, program->pid, program->status, manager);
        else if (!program->seen && program->pid > 0)
            manager_activate_on_exited(key.text, key.size_bytes, program->pid, 0, manager);
        else if (!program->seen)
            start_failed(program, EAGAIN, "hvsock-keeper has not heard of it"); /* and so it has not begun */
    }
}

/* ---- what the keeper keeps ---- */

int program_value(const Program *program, Buffer *value)
{
    const Accepted *accepted = program->accepted;

    buffer_clear(value);
    frame_put_number(value, KEPT_RECORD, program->record);
    frame_put_number(value, KEPT_SINCE_US, program->since_us);
    frame_put_number(value, KEPT_ASKED_NS, program->asked_ns);
    if (accepted) {
        const PeerKey *peer = &accepted->peer->key;
        frame_put_number(value, KEPT_PEER_KIND, (uint64_t)peer->kind);
        frame_put_number(value, KEPT_PEER_NUMBER, peer->number);
        if (peer->kind == PEER_KEY_MACHINE)
            frame_put_text(value, KEPT_PEER_MACHINE, peer->machine);
        frame_put_number(value, KEPT_INODE, accepted->inode);
        frame_put_number(value, KEPT_FAMILY, (uint64_t)accepted->family);
        frame_put_number(value, KEPT_CID, accepted->cid);
        frame_put_number(value, KEPT_PORT, accepted->port);
        frame_put_number(value, KEPT_UID, accepted->uid);
        frame_put(value, KEPT_TEXT, accepted->text, accepted->size_bytes);
    }
    return value->failed ? -ENOMEM : 0;
}

void activating_keep(Serving *serving)
{
    Activating *activating = &serving->activating;
    Manager *manager = serving->manager;
    const StartLimit *limit = &activating->limit;
    Buffer *value = &manager->kept_value;
    _uninitialized_ KeptKey key;

    if (!hold_is_there(manager->hold))
        return;
    kept_key(&key, KEEPER_KEY_ACTIVATION, serving->name, NULL, NULL);
    if (!activating->failed && limit->count == 0 && limit->failures == 0 && activating->trouble == TROUBLE_NONE) {
        if (activating->limit_kept)
            hold_delete(manager->hold, key.text, key.size_bytes);
        activating->limit_kept = false;
        return;
    }
    buffer_clear(value);
    frame_put_number(value, KEPT_RECORD, activating->record);
    frame_put_number(value, KEPT_LIMIT_BEGIN_NS, limit->begin_ns);
    frame_put_number(value, KEPT_LIMIT_COUNT, limit->count);
    frame_put_number(value, KEPT_LIMIT_FAILURES, limit->failures);
    frame_put_number(value, KEPT_LIMITED, activating->limited);
    frame_put_text(value, KEPT_FAILED, activating->failed);
    frame_put_number(value, KEPT_TROUBLE, (uint64_t)activating->trouble);
    frame_put_text(value, KEPT_TROUBLE_TEXT, activating->trouble_text);
    hold_put(manager->hold, key.text, key.size_bytes, value, NULL, 0);
    activating->limit_kept = true;
}

/* ---- what it had ---- */

static int take_back_activation(Manager *manager, const char *service, KeptValue *value)
{
    Serving *serving;
    int r = serving_get(manager, service, &serving);

    if (r < 0)
        return r;
    Activating *activating = &serving->activating;
    activating->limit_kept = true;
    activating->limit = (StartLimit){
        .begin_ns = value->numbers[KEPT_LIMIT_BEGIN_NS],
        .count = (uint32_t)value->numbers[KEPT_LIMIT_COUNT],
        .failures = (uint32_t)value->numbers[KEPT_LIMIT_FAILURES],
    };
    activating->record = value->numbers[KEPT_RECORD];
    activating->limited = value->numbers[KEPT_LIMITED] != 0;
    free(activating->failed);
    activating->failed = TAKE_PTR(value->texts[KEPT_FAILED]);
    trouble_forget(serving);
    activating->trouble_text = TAKE_PTR(value->texts[KEPT_TROUBLE_TEXT]);
    if (activating->trouble_text)
        activating->trouble = value->numbers[KEPT_TROUBLE] == TROUBLE_START ? TROUBLE_START : TROUBLE_END;
    activate_look_again(serving);
    serve_timer_start(manager, SERVE_TIDY_INTERVAL_US);
    return 0;
}

static int take_back_program(Manager *manager, const HoldItem *item, const char *service, uint64_t number, const KeptValue *value)
{
    Accepted *accepted = NULL;
    Serving *serving;

    if (item->pid <= 0)
        return -EBADMSG;
    if (item->exited) {
        hold_delete(manager->hold, item->key, item->key_size_bytes);
        log_info("%s: process %d has ended while hvsockd did not run", service, (int)item->pid);
        return 0;
    }
    int r = serving_get(manager, service, &serving);
    if (r == 0 && value->texts[KEPT_TEXT])
        r = serving_restore_accepted(serving, value, value->numbers[KEPT_INODE], &accepted);
    if (r < 0)
        return r;
    Program *program = program_add(serving, accepted, number);
    if (!program) {
        if (accepted)
            serving_remove_accepted(serving, accepted);
        return -ENOMEM;
    }
    program->pid = item->pid;
    program->record = value->numbers[KEPT_RECORD];
    program->since_us = value->numbers[KEPT_SINCE_US];
    program->asked_ns = value->numbers[KEPT_ASKED_NS];
    if (number > manager->activate->next_number)
        manager->activate->next_number = number;
    activate_look_again(serving);
    serve_timer_start(manager, SERVE_TIDY_INTERVAL_US);
    return 0;
}

int manager_activate_take_back(Manager *manager, const HoldItem *item)
{
    KeptValue value = {0};
    _uninitialized_ KeptKey key;
    uint64_t number;

    if (!read_key(item->key, item->key_size_bytes, &key))
        return -EBADMSG;
    const char *service = kept_key_part(&key, 0);
    int r = service ? kept_value_read(item->value, &value) : -EBADMSG;
    if (r == 0 && key.text[0] == KEEPER_KEY_ACTIVATION)
        r = take_back_activation(manager, service, &value);
    else if (r == 0)
        r = read_number(&key, &number) ? take_back_program(manager, item, service, number, &value) : -EBADMSG;
    kept_value_release(&value);
    return r;
}
