/* SPDX-License-Identifier: Apache-2.0 */
/* A wish, field by field. */

#include <errno.h>
#include <string.h>

#include "daemon/activate/program.h"
#include "schema/base/text.h"
#include "schema/model/quantity.h"
#include "schema/wire/keeper.h"

/* As systemd.exec(5) has it for a system's services. */
#define PROGRAM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static bool is_named(const char *variable, const char *name, size_t name_size_bytes)
{
    return strncmp(variable, name, name_size_bytes) == 0 && variable[name_size_bytes] == '=';
}

/* NAME=value; what came before of that name gives way. */
static int environment_put(char ***environment, const char *name, const char *value)
{
    size_t name_size_bytes = strlen(name);
    char *variable;
    Buffer text = {0};

    if (!value)
        return 0;
    buffer_append_text(&text, name);
    buffer_append_char(&text, '=');
    buffer_append_text(&text, value);
    int r = buffer_take(&text, &variable, NULL);
    if (r < 0)
        return r;
    for (char **at = *environment; at && *at; at++)
        if (is_named(*at, name, name_size_bytes)) {
            free(*at);
            *at = variable;
            return 0;
        }
    r = text_list_append(environment, variable);
    free(variable);
    return r;
}

static int environment_put_number(char ***environment, const char *name, const char *before, uint32_t number)
{
    _cleanup_(freep) char *value = NULL;
    Buffer text = {0};

    buffer_append_text(&text, before);
    buffer_append_number(&text, number);
    int r = buffer_take(&text, &value, NULL);
    return r < 0 ? r : environment_put(environment, name, value);
}

static int environment_make(const ProgramWish *wish, char ***environment)
{
    const Account *account = wish->account ? wish->account : wish->self;
    char *const *given = wish->activate->environment;
    int r = environment_put(environment, "PATH", PROGRAM_PATH);

    if (r == 0 && account)
        r = environment_put(environment, "HOME", account->home);
    if (r == 0 && account)
        r = environment_put(environment, "LOGNAME", account->name);
    if (r == 0 && account)
        r = environment_put(environment, "USER", account->name);
    if (r == 0 && account)
        r = environment_put(environment, "SHELL", account->shell);
    for (size_t i = 0; given && given[i] && r == 0; i += 2)
        r = environment_put(environment, given[i], given[i + 1]);
    /* Last: what the program is told of its peer is what the kernel told us, whatever the record says. */
    if (r == 0)
        r = environment_put(environment, "HVSOCK_SERVICE", wish->service);
    if (r == 0)
        r = environment_put(environment, "HVSOCK_MACHINE", wish->machine);
    if (r == 0 && wish->has_cid)
        r = environment_put_number(environment, "REMOTE_ADDR", "vsock:", wish->cid);
    if (r == 0 && wish->has_cid)
        r = environment_put_number(environment, "REMOTE_PORT", "", wish->port);
    return r;
}

static void put_account(const Account *account, Buffer *program)
{
    if (!account)
        return;
    frame_put_number(program, KEEPER_PROGRAM_UID, account->uid);
    frame_put_number(program, KEEPER_PROGRAM_GID, account->gid);
    for (size_t i = 0; i < account->group_count; i++)
        frame_put_number(program, KEEPER_PROGRAM_GROUP, account->groups[i]);
}

static void put_limits(const Activation *activate, Buffer *program)
{
    for (size_t i = 0; activate->limits && activate->limits[i]; i += 2) {
        int resource = limit_find(activate->limits[i]);
        uint64_t numbers[3];
        if (resource < 0 || !limit_parse(resource, activate->limits[i + 1], &numbers[1], &numbers[2]))
            continue; /* the record was checked */
        numbers[0] = (uint64_t)resource;
        frame_put(program, KEEPER_PROGRAM_LIMIT, numbers, sizeof(numbers));
    }
}

static void put_descriptors(const ProgramWish *wish, Buffer *program)
{
    if (wish->connection) {
        frame_put_number(program, KEEPER_PROGRAM_STDIN, 0);
        frame_put_number(program, KEEPER_PROGRAM_STDOUT, 0);
    } else if (wish->error_index >= 0) {
        frame_put_number(program, KEEPER_PROGRAM_STDOUT, (uint64_t)wish->error_index);
    }
    if (wish->error_index >= 0)
        frame_put_number(program, KEEPER_PROGRAM_STDERR, (uint64_t)wish->error_index);
    for (unsigned i = 0; i < wish->listen_count; i++)
        frame_put_number(program, KEEPER_PROGRAM_LISTEN, i);
    frame_put_text(program, KEEPER_PROGRAM_LISTEN_NAMES, wish->listen_names);
}

int program_describe(const ProgramWish *wish, Buffer *program)
{
    const Activation *activate = wish->activate;
    _cleanup_(text_list_freep) char **environment = NULL;
    uint64_t seconds =
        activate->stop_timeout_seconds.set ? activate->stop_timeout_seconds.value : PROGRAM_STOP_TIMEOUT_SECONDS;
    uint32_t mask = PROGRAM_UMASK;
    int r = environment_make(wish, &environment);

    if (r < 0)
        return r;
    buffer_clear(program);
    for (size_t i = 0; activate->exec && activate->exec[i]; i++)
        frame_put_text(program, KEEPER_PROGRAM_ARGUMENT, activate->exec[i]);
    for (size_t i = 0; environment && environment[i]; i++)
        frame_put_text(program, KEEPER_PROGRAM_ENVIRONMENT, environment[i]);
    put_account(wish->account, program);
    frame_put_text(program, KEEPER_PROGRAM_DIRECTORY, activate->working_directory);
    if (activate->umask)
        mode_parse(activate->umask, &mask);
    frame_put_number(program, KEEPER_PROGRAM_UMASK, mask);
    put_limits(activate, program);
    put_descriptors(wish, program);
    frame_put_number(program, KEEPER_PROGRAM_STOP_TIMEOUT_US, seconds * 1000000u);
    frame_put_text(program, KEEPER_PROGRAM_CGROUP, wish->cgroup);
    return program->failed ? -ENOMEM : 0;
}
