/* SPDX-License-Identifier: Apache-2.0 */
/* Starting: what a program of a service is to be, asked of the keeper; or a unit, asked of systemd. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/activate/error-stream.h"
#include "daemon/activate/program.h"
#include "daemon/log.h"
#include "daemon/manager/kept.h"
#include "daemon/manager/serve.h"

#define SYSTEMCTL "/usr/bin/systemctl"

/* ---- who it is ---- */

static bool keeper_is_root(const Manager *manager)
{
    return geteuid() == 0 || hold_is_privileged(manager->hold);
}

/* Where the record names nobody: who registered the service; of declared ones root, or, where that cannot be, ourselves. */
static uid_t default_user(const Manager *manager, const Service *service)
{
    if (service->origin->kind != STORED_FILE)
        return service->origin->uid;
    return keeper_is_root(manager) ? 0 : geteuid();
}

/* wish->account, or, where the keeper can be nobody but itself and that is who is wanted, wish->self. -ESRCH: *ret_why says who
 * is not known, and is the caller's. */
static int find_account(Manager *manager, const Service *service, ProgramWish *wish, char **ret_why)
{
    const Activation *activate = wish->activate;
    char number[16];
    const Account *account = NULL;

    snprintf(number, sizeof(number), "%u", (unsigned)default_user(manager, service));
    int r = accounts_find(manager->activate->accounts, activate->user ? activate->user : number, activate->groups, &account, ret_why);
    if (r < 0)
        return r;
    if (!keeper_is_root(manager) && account->uid == geteuid() && !activate->groups)
        wish->self = account;
    else
        wish->account = account;
    return 0;
}

/* ---- asking the keeper ---- */

static int error_stream(Serving *serving)
{
    Activating *activating = &serving->activating;

    if (activating->error_fd <= 0)
        activating->error_fd = error_stream_open(serving->name);
    return activating->error_fd;
}

static int refuse(char **ret_why, const char *what, int error)
{
    if (asprintf(ret_why, "%s: %s", what, strerror(-error)) < 0)
        *ret_why = NULL;
    return error;
}

/* fds: what it is passed, with room for one more. -errno: *ret_why says why, and is the caller's; NULL: no memory. */
static int ask_keeper(Program *program, const Service *service, ProgramWish *wish, int *fds, size_t fd_count, char **ret_why)
{
    Serving *serving = program->serving;
    Manager *manager = serving->manager;
    char cgroup[SERVICE_NAME_MAX_BYTES + 32];
    Buffer value = {0}, fields = {0};
    _uninitialized_ KeptKey key;

    if (!wish->activate)
        wish->activate = service->context->activate;
    int r = find_account(manager, service, wish, ret_why);
    if (r < 0)
        return r;
    wish->error_index = -1;
    int error_fd = error_stream(serving);
    if (error_fd < 0)
        return refuse(ret_why, "its standard error", error_fd);
    wish->error_index = (int)fd_count;
    fds[fd_count++] = error_fd;
    snprintf(cgroup, sizeof(cgroup), "%s-%llx", serving->name, (unsigned long long)program->number);
    wish->service = serving->name;
    wish->cgroup = cgroup;
    r = program_describe(wish, &fields);
    if (r == 0)
        r = program_value(program, &value);
    if (r == 0) {
        program_key(program, &key);
        r = hold_start(manager->hold, key.text, key.size_bytes, &value, &fields, fds, fd_count, &program->frame);
        if (r < 0)
            refuse(ret_why, r == -E2BIG ? "its arguments and environment" : "hvsock-keeper", r);
    }
    buffer_release(&fields);
    buffer_release(&value);
    return r;
}

/* Also where a change of it is on its way, and has not settled. */
static int find_record(Serving *serving, const Service *service)
{
    if (serving->activating.record != 0 && !serving->activating.look_again)
        return 0;
    return activate_hash(serving->manager, service, &serving->activating.record);
}

static bool is_passing(int error)
{
    return error == -ENOTCONN || error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -ENOBUFS;
}

/* It was not even asked for: its connection waits on, or is closed. */
static void not_started(Serving *serving, Program *program, int error, const char *why)
{
    if (program && is_passing(error))
        program_give_back(program);
    else if (program)
        program_end(program);
    activate_put_off(serving, is_passing(error), why ? why : strerror(-error));
}

bool activate_connection_consume(Serving *serving, Accepted *accepted, int fd)
{
    Service *service = registry_find_service(&serving->manager->registry, serving->name);
    _cleanup_(freep) char *why = NULL;
    int fds[2] = {fd, -1};
    ProgramWish wish = {
        .machine = accepted->peer->key.kind == PEER_KEY_MACHINE ? accepted->peer->key.machine : NULL,
        .has_cid = accepted->family == AF_VSOCK,
        .cid = accepted->cid,
        .port = accepted->port,
        .connection = true,
        .listen_count = 1,
        .listen_names = "connection",
    };

    int r = service && service->context->activate ? find_record(serving, service) : -ESRCH;
    Program *program = r < 0 ? NULL : program_new(serving, accepted);
    if (!program) {
        serving_remove_accepted(serving, accepted);
        fd_close(fd);
        if (r != -ESRCH)
            not_started(serving, NULL, -ENOMEM, NULL);
        return false;
    }
    program->fd = fd;
    registry_touch(&serving->manager->registry, service);
    r = ask_keeper(program, service, &wish, fds, 1, &why);
    if (r == 0)
        return true;
    not_started(serving, program, r, why);
    return false;
}

/* ---- the listeners ---- */

static void give_up(Serving *serving, const Activation *activate)
{
    serving->activating.limited = true;
    const char *last = serving->activating.trouble_text;
    activate_fail(serving, "%s was started too often: more than %s%s%s", activate->unit ? activate->unit : "its program",
                  activate->start_limit ? activate->start_limit : START_LIMIT_DEFAULT, last ? "; " : "", last ? last : "");
}

static bool may_start(Serving *serving, const Activation *activate)
{
    StartLimit *limit = &serving->activating.limit;
    uint64_t now_ns = serve_now_ns();

    switch (start_limit_ask(limit, activate->start_limit, now_ns)) {
    case START_NOW:
        activating_keep(serving);
        return true;
    case START_LATER:
        activate_later(serving, (limit->next_ns - now_ns) / 1000u + 1);
        return false;
    case START_NEVER:
        give_up(serving, activate);
        return false;
    }
    return false;
}

/* Where systemd does not listen to us, for we are nobody, it does to the keeper. */
static void start_unit_as_root(Serving *serving, const Service *service, const char *unit)
{
    char *arguments[] = {(char[]){SYSTEMCTL}, (char[]){"start"}, (char[]){"--no-ask-password"}, (char *)(uintptr_t)unit, NULL};
    char user[] = "0";
    const Activation activate = {.mode = ACTIVATION_WAIT, .exec = arguments, .user = user};
    _cleanup_(freep) char *why = NULL;
    int fds[1];
    Program *program = NULL;
    ProgramWish wish = {.activate = &activate};

    int r = find_record(serving, service);
    if (r == 0 && !(program = program_new(serving, NULL)))
        r = -ENOMEM;
    if (r == 0) {
        program->starts_unit = true;
        r = ask_keeper(program, service, &wish, fds, 0, &why);
    }
    if (r < 0)
        not_started(serving, program, r, why);
    serving_update(serving);
}

static void start_unit(Serving *serving, const Service *service, const char *unit)
{
    Manager *manager = serving->manager;
    _cleanup_(freep) char *why = NULL;
    int r = 0;

    if (!manager->activate->units)
        r = units_new(manager->event, activate_on_unit, manager, &manager->activate->units);
    if (r == 0)
        r = units_start(manager->activate->units, unit, serving->name, &why);
    if (r < 0 && hold_is_privileged(manager->hold)) {
        start_unit_as_root(serving, service, unit);
    } else if (r < 0) {
        activate_put_off(serving, false, why ? why : strerror(-r));
    } else {
        serving->activating.unit_starts = true;
        serving_update(serving);
    }
}

/* It takes its sockets by itself, and we do not look until it lets go of them; should it never, we look again. */
void activate_unit_started(Serving *serving)
{
    serving->activating.unit_starts = true;
    start_limit_succeeded(&serving->activating.limit);
    trouble_started(serving);
    log_info("%s: its unit is started", serving->name);
    manager_log_program(serving->manager, serving->name, "activated", NULL, 0, "its unit");
    manager_event(serving->manager, "started", serving->name, NULL, "the unit of %s is started", serving->name);
    activate_later(serving, ACTIVATE_UNIT_TAKES_US);
    serving_update(serving);
}

/* systemctl has told the journal why. */
void activate_unit_failed(Serving *serving)
{
    const Service *service = registry_find_service(&serving->manager->registry, serving->name);
    const Activation *activate = service ? service->context->activate : NULL;
    _cleanup_(freep) char *why = NULL;

    if (activate && activate->unit &&
        asprintf(&why, "%s does not start; `journalctl -t %s` and its status tell why", activate->unit, serving->name) < 0)
        why = NULL;
    activate_put_off(serving, false, why ? why : "its unit does not start");
}

void activate_on_unit(const char *name, const char *why, bool refused, void *userdata)
{
    Manager *manager = userdata;
    Serving *serving = serving_find(manager, name);
    const Service *service = registry_find_service(&manager->registry, name);

    if (!serving || !serving->activating.unit_starts)
        return;
    if (!why) {
        metrics_service(manager->metrics, name)->started++;
        activate_unit_started(serving);
    } else {
        const Activation *activate = service ? service->context->activate : NULL;
        serving->activating.unit_starts = false;
        if (refused && activate && activate->unit && hold_is_privileged(manager->hold))
            start_unit_as_root(serving, service, activate->unit);
        else
            activate_put_off(serving, false, why);
        serving_update(serving);
    }
    hold_flush(manager->hold);
    manager_events_flush(manager);
}

/* LISTEN_FDNAMES. */
static int name_listeners(Manager *manager, const Service *service, Buffer *names, int *fds, size_t *ret_count)
{
    size_t count = 0;

    for (Listener *listener = service->listeners; listener; listener = listener->next) {
        if (listener->state != LISTENER_LISTENING)
            continue;
        if (count == ACTIVATE_LISTENERS_MAX)
            return -E2BIG;
        int r = fd_set_nonblocking(listener->fd, false);
        if (r < 0)
            return r;
        if (count > 0)
            buffer_append_char(names, ':');
        buffer_append_text(names, service->context->name);
        if (listener->machine) {
            buffer_append_char(names, '@');
            buffer_append_text(names, listener->machine);
        }
        if (!listener->handed_out) {
            listener->handed_out = true;
            manager_keep_listener(manager, listener);
        }
        fds[count++] = listener->fd;
    }
    /* Before the program can be there: the next hvsockd is to know which it has. */
    manager_keep_flush(manager);
    buffer_append_char(names, '\0');
    *ret_count = count;
    return names->failed ? -ENOMEM : 0;
}

static void start_program(Serving *serving, Service *service)
{
    int fds[ACTIVATE_LISTENERS_MAX + 1];
    size_t count = 0;
    _cleanup_(freep) char *why = NULL;
    Buffer names = {0};
    Program *program = NULL;

    int r = find_record(serving, service);
    if (r == 0)
        r = name_listeners(serving->manager, service, &names, fds, &count);
    if (r == -E2BIG && asprintf(&why, "it has more than %d listeners, which is more than a program can be passed", ACTIVATE_LISTENERS_MAX) < 0)
        why = NULL;
    if (r == 0 && !(program = program_new(serving, NULL)))
        r = -ENOMEM;
    if (r == 0) {
        ProgramWish wish = {.listen_count = (unsigned)count, .listen_names = names.data};
        r = ask_keeper(program, service, &wish, fds, count, &why);
    }
    buffer_release(&names);
    if (r < 0)
        not_started(serving, program, r, why);
    registry_touch(&serving->manager->registry, service);
    /* Whoever has the listeners accepts, and not we; where it came to nothing, what we watch is not to block. */
    serving_update(serving);
}

void activate_listeners(Serving *serving, Service *service)
{
    const Activation *activate = service->context->activate;

    if (!may_start(serving, activate))
        return;
    if (activate->unit)
        start_unit(serving, service, activate->unit);
    else
        start_program(serving, service);
}
