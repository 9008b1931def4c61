/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl doctor: what is not as it should be, and the command that mends it: from what the daemon knows, and from
 * looks at this host that only this program takes. */

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "config/export.h"
#include "ctl/ctl.h"
#include "ctl/doctor.h"
#include "schema/base/text.h"
#include "schema/base/user.h"
#include "schema/wire/keeper.h"

#define CANNOT "cannot start: "
#define KEEPER_CANNOT "hvsock-keeper " CANNOT
#define ANSWER_TIMEOUT_MS 15000 /* longer than hvsockd is busy with anything */

int doctor_find(Doctor *doctor, const char *what, const char *mend, const char *why_format, ...)
{
    Buffer why = {0};
    _cleanup_(freep) char *text = NULL;
    va_list arguments;

    va_start(arguments, why_format);
    buffer_vprintf(&why, why_format, arguments);
    va_end(arguments);
    int r = buffer_take(&why, &text, NULL);
    if (r < 0)
        return r;
    doctor->count++;
    /* Names of files are any bytes. */
    for (size_t bad; !text_is_utf8(text, strlen(text), &bad);)
        text[bad] = '?';
    return output_finding(&doctor->ctl->output, what, text, mend, &doctor->findings);
}

/* Whoever copies it into a shell gets this path, whatever a machine's user called its files. */
char *doctor_mend(const char *command, const char *path)
{
    bool plain = text_is_utf8(path, strlen(path), NULL) && text_is_printable(path);
    Buffer text = {0};
    char *mend;

    buffer_printf(&text, "%s ", command);
    if (plain) {
        export_shell_word(&text, path);
    } else {
        buffer_append_text(&text, "$'");
        for (const char *c = path; *c; c++)
            if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e || *c == '\'' || *c == '\\')
                buffer_printf(&text, "\\x%02x", (unsigned char)*c);
            else
                buffer_append_char(&text, *c);
        buffer_append_char(&text, '\'');
    }
    return buffer_take(&text, &mend, NULL) < 0 ? NULL : mend;
}

int doctor_mend_then(const char *command, const char *path, const char *then, char **ret)
{
    _cleanup_(freep) char *first = doctor_mend(command, path);

    return !first || asprintf(ret, "%s%s", first, then) < 0 ? -ENOMEM : 0;
}

int doctor_mend_away(const char *path, const char *then, char **ret)
{
    _cleanup_(freep) char *away = NULL, *to = NULL, *first = NULL;

    if (asprintf(&away, "%s.away", path) < 0 || !(to = doctor_mend("", away)) || !(first = doctor_mend("mv", path)) ||
        asprintf(ret, "%s%s%s", first, to, then) < 0)
        return -ENOMEM;
    return 0;
}

const char *doctor_member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

int doctor_look_at_owner(Doctor *doctor, const char *what, const char *removes, const json_t *context, const json_t *runtime)
{
    json_int_t pid = json_integer_value(json_object_get(runtime, "ephemeralProcessId"));
    _cleanup_(freep) char *mend = NULL;

    if (pid <= 0 || !doctor->sees_processes || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
        return 0;
    if (asprintf(&mend, "hvsockctl %s %s", removes, doctor_member(context, "name")) < 0)
        return -ENOMEM;
    return doctor_find(doctor, what, mend, "it was to end with process %lld, which is gone", (long long)pid);
}

/* What would only be seen when a peer comes. */
static int doctor_look_at_program(Doctor *doctor, const char *name, const json_t *activate)
{
    const char *program = json_string_value(json_array_get(json_object_get(activate, "exec"), 0));
    const char *user = doctor_member(activate, "user");
    _cleanup_(freep) char *mend = NULL;
    uid_t uid;
    int r = 0;

    if (program && access(program, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        _cleanup_(freep) char *disables = doctor_mend("hvsockctl disable", name);
        r = !disables ? -ENOMEM
                      : doctor_find(doctor, name, disables,
                                    "%s, which is to be started for it, is not there; install it, or disable the service", program);
    } else if (program && geteuid() == 0 && access(program, X_OK) < 0 && !(mend = doctor_mend("chmod +x", program)))
        return -ENOMEM;
    if (mend)
        r = doctor_find(doctor, name, mend, "%s, which is to be started for it, cannot be executed", program);
    if (r >= 0 && user[0] && user_find(user, &uid, NULL) == -ESRCH) {
        _cleanup_(freep) char *adds = NULL;
        return asprintf(&adds, "useradd --system %s", user) < 0
                   ? -ENOMEM
                   : doctor_find(doctor, name, adds, "its program is to run as %s, and this host has no such user", user);
    }
    return r;
}

/* The numbers of what others serve (`listen: []`): who listens there is no stranger. Rules about CIDs are as good as those are. */
static int doctor_know_service(Doctor *doctor, const json_t *context)
{
    const json_t *port = json_object_get(context, "port"), *peers = json_object_get(context, "peers");
    char number[24];

    doctor->has_cids |= json_array_size(json_object_get(peers, "allow")) + json_array_size(json_object_get(peers, "deny")) > 0;
    if (json_array_size(json_object_get(context, "listen")) > 0)
        return 0;
    if (json_is_integer(port)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(port));
        doctor_know_port(doctor, (uint32_t)json_integer_value(port));
        if (json_object_set_new(doctor->numbers, number, json_true()) < 0)
            return -ENOMEM;
    }
    return json_object_set_new(doctor->numbers, doctor_member(context, "guid"), json_true()) < 0 ? -ENOMEM : 0;
}

/* Some of those that it listens on. A machine that is not there yet is nothing to mend; one that cannot take it is. */
static bool machines_are_there(const Doctor *doctor, const json_t *context)
{
    const json_t *listen = json_object_get(context, "listen");

    for (size_t i = 0; i < json_array_size(listen); i++) {
        const char *uri = json_string_value(json_array_get(listen, i));
        if (uri && text_starts_with(uri, "machine:") &&
            (strcmp(uri, "machine:*") == 0 ? json_object_size(doctor->machines) > 0
                                           : json_object_get(doctor->machines, uri + strlen("machine:")) != NULL))
            return true;
    }
    return false;
}

/* A RegistryVisitor. */
static int doctor_on_service(const char *json, size_t size_bytes, void *userdata)
{
    Doctor *doctor = userdata;
    json_t *service = json_loadb(json, size_bytes, 0, NULL);
    const json_t *runtime = json_object_get(service, "runtime"), *listeners = json_object_get(runtime, "listeners");
    const json_t *context = json_object_get(service, "context");
    const char *name = doctor_member(context, "name"), *state = doctor_member(runtime, "state");
    size_t before = doctor->count;
    int r = doctor_look_at_owner(doctor, name, "unregister", context, runtime);

    doctor->left_to_machine = false;
    for (size_t i = 0; i < json_array_size(listeners) && r >= 0; i++)
        r = doctor_look_at_listener(doctor, name, runtime, json_array_get(listeners, i));
    if (r >= 0)
        r = doctor_know_service(doctor, context);
    const json_t *activate = json_object_get(context, "activate");
    bool failed = strcmp(state, "failed") == 0;
    if (r >= 0 && activate && strcmp(state, "disabled") != 0)
        r = doctor_look_at_program(doctor, name, activate);
    /* What no listener has told: a program that does not start, a machine that is not there. */
    bool registered = strcmp(state, "registered") == 0;
    bool troubled = activate && doctor_member(runtime, "reason")[0] && !registered;
    if (r >= 0 && doctor->count == before && !doctor->left_to_machine &&
        (failed || troubled || strcmp(state, "waiting") == 0 || (registered && machines_are_there(doctor, context)))) {
        _cleanup_(freep) char *mend = NULL;
        r = asprintf(&mend, "hvsockctl %s %s", activate && (failed || troubled) ? "enable" : "disable", name) < 0
                ? -ENOMEM
                : doctor_find(doctor, name, mend, "%s%s%s%s", state, doctor_member(runtime, "reason")[0] ? ": " : "",
                              doctor_member(runtime, "reason"), failed && activate ? "; who comes is hung up" : "");
    }
    json_decref(service);
    return r;
}

/* ---- the daemon ---- */

/* What others listen on is only spoken of by the registry of the whole host. */
static bool doctor_is_system(const Doctor *doctor)
{
    const char *where = given_value(&doctor->ctl->given, "socket", getenv("HVSOCK_SOCKET"));

    return !where || !where[0];
}

/* The daemon's word for why none can be started; NULL: it has none, or there is one. */
static const char *keeper_trouble(const json_t *errors)
{
    const char *error = NULL;

    for (size_t i = 0; i < json_array_size(errors); i++)
        if ((error = json_string_value(json_array_get(errors, i))) && text_starts_with(error, KEEPER_CANNOT))
            return error;
    return NULL;
}

static int doctor_tell_no_keeper(Doctor *doctor, const char *trouble)
{
    _cleanup_(freep) char *mend = NULL;
    int r = 0;

    /* It is started with the daemon's own limits, and that is tried again by itself. */
    if (trouble && strstr(trouble, "RLIMIT_NOFILE"))
        r = asprintf(&mend, "prlimit --pid %d --nofile=%u:%u", (int)doctor->pid, KEEPER_FILES_RIGHT, KEEPER_FILES_RIGHT);
    else if (doctor_is_system(doctor))
        r = (mend = strdup("systemctl start hvsock-keeper")) ? 0 : -1;
    return r < 0 ? -ENOMEM
                 : doctor_find(doctor, "hvsock-keeper", mend,
                               "it does not run: what is held would be lost with hvsockd, and no program is started%s%s",
                               trouble ? "; it " : "", trouble ? trouble + strlen(KEEPER_CANNOT) - strlen(CANNOT) : "");
}

static int doctor_look_at_status(Doctor *doctor, const char *reply)
{
    json_t *status = json_loads(reply, 0, NULL);
    const json_t *errors = json_object_get(status, "errors");
    const char *trouble = keeper_trouble(errors);
    json_int_t pid = json_integer_value(json_object_get(status, "processId"));
    int r = 0;

    doctor->pid = (pid_t)pid;
    doctor->keeper_pid = (pid_t)json_integer_value(json_object_get(status, "keeperProcessId"));
    doctor->sees_processes = pid > 0 && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
    if (!json_object_get(status, "keeperProcessId"))
        r = doctor_tell_no_keeper(doctor, trouble);
    for (size_t i = 0; i < json_array_size(errors) && r >= 0; i++) {
        const char *error = json_string_value(json_array_get(errors, i));
        _cleanup_(freep) char *mend = NULL;
        if (error == trouble && trouble)
            continue;
        r = error ? doctor_mend_file(doctor, error, &mend) : 0;
        if (r >= 0)
            r = doctor_find(doctor, "hvsockd", mend, "%s", error ? error : "?");
    }
    json_decref(status);
    return r;
}

/* What drains of services that are gone is nobody's in the list. */
static int doctor_look_at_draining(Doctor *doctor, const char *reply)
{
    json_t *status = json_loads(reply, 0, NULL);
    const json_t *draining = json_object_get(status, "draining");
    int r = 0;

    for (size_t i = 0; i < json_array_size(draining) && r >= 0; i++) {
        const json_t *listener = json_array_get(draining, i);
        if (!json_object_get(doctor->draining, doctor_member(listener, "address")))
            r = doctor_look_at_listener(doctor, "a service that is gone", NULL, listener);
    }
    json_decref(status);
    return r;
}

static int doctor_tell_no_daemon(Doctor *doctor, int answer)
{
    const char *where = given_value(&doctor->ctl->given, "socket", getenv("HVSOCK_SOCKET"));
    bool ours = doctor_is_system(doctor);

    if (ours)
        where = "/run/hvsockd/io.hvsock.Registry";
    const char *mend = !ours ? NULL : answer == -ETIMEDOUT ? "systemctl restart hvsockd" : "systemctl start hvsockd";
    if (answer == REGISTRY_ABSENT && access(where, F_OK) == 0)
        return doctor_find(doctor, where, mend,
                           "hvsockd is not running: the socket is there, and nobody listens on it");
    if (answer == REGISTRY_ABSENT)
        return doctor_find(doctor, where, mend, "hvsockd is not running: there is no such socket");
    if (answer == -ETIMEDOUT)
        return doctor_find(doctor, where, mend, "hvsockd does not answer: it is stopped, or hangs");
    return doctor_find(doctor, where, NULL, "hvsockd is not to be reached: %s", strerror(-answer));
}

static int doctor_look(Doctor *doctor, Registry *registry, const char *status)
{
    int r = doctor_look_at_status(doctor, status);
    if (r == 0)
        r = registry->ops->list_machines(registry, doctor_know_machine, doctor);
    if (r == 0)
        r = registry->ops->list(registry, doctor_on_service, doctor);
    if (r == 0)
        r = doctor_look_at_draining(doctor, status);
    if (r == 0)
        r = doctor_look_at_machines(doctor);
    if (r == 0)
        r = doctor_look_at_vhost(doctor);
    if (r == 0 && doctor_is_system(doctor))
        r = doctor_look_for_others(doctor);
    if (r == 0 && doctor->uses_vsock && !doctor_has_transport())
        r = doctor_find(doctor, "vsock", "modprobe vhost_vsock",
                        "no guest can reach this host over AF_VSOCK: its transport is not loaded");
    return r;
}

static int doctor_run(Ctl *ctl)
{
    Doctor doctor = {.ctl = ctl, .paths = json_object(), .draining = json_object(), .ports = json_object(),
                     .numbers = json_object(), .machines = json_object()};
    _cleanup_(freep) char *status = NULL;
    Registry *registry;

    int r = output_open(&ctl->output, OUTPUT_JSON, NULL, NULL, NULL, &doctor.findings);
    int answer = r < 0 ? r : ctl_open_within(ctl, ANSWER_TIMEOUT_MS, &registry);
    if (answer == 0) {
        answer = registry->ops->status(registry, &status);
        /* What else it has to say is told as elsewhere. */
        r = answer == -ETIMEDOUT ? 0 : answer;
    }
    if (r == 0)
        r = answer == 0 ? doctor_look(&doctor, registry, status) : doctor_tell_no_daemon(&doctor, answer);
    json_decref(doctor.paths);
    json_decref(doctor.draining);
    json_decref(doctor.served);
    json_decref(doctor.ports);
    json_decref(doctor.numbers);
    json_decref(doctor.machines);
    if (r == 0 && ctl->output.json)
        r = output_close(&doctor.findings);
    output_release(&doctor.findings);
    if (r != 0)
        return ctl_refused(ctl, r, "doctor");
    if (answer != 0)
        return EXIT_NO_DAEMON;
    if (doctor.count == 0 && !ctl->output.json)
        puts("all is well");
    return doctor.count > 0 ? EXIT_NO : EXIT_DONE;
}

const Verb verb_doctor = {
    .name = "doctor",
    .group = VERBS_OF_WATCHING,
    .synopsis = "",
    .help = "Say what is not as it should be, and the command that mends it",
    .description = "Services that do not listen and why, listeners that are draining and who holds them, stale sockets"
                   " and those of other programs in machines' folders, records whose process is gone, machines whose "
                   "folder is gone or is others' to write, a /dev/vhost-vsock that everybody can open, programs that "
                   "do not start, a hvsock-keeper that does not run, files that did not load, a transport that is not "
                   "loaded, a daemon that does not answer; of the host's own daemon also AF_VSOCK listeners of other "
                   "programs. The command is complete, and for root to type. Exits 0 where all is well, 1 where something is not, 4 where no daemon answers. With "
                   "--json an array of findings: what, why, mend.",
    .run = doctor_run,
};
