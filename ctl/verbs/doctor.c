/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl doctor: what is not as it should be, and the command that mends it: from what the daemon knows, and from
 * looks at this host that only this program takes. */

#include <errno.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "ctl/ctl.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"
#include "schema/model/address.h"

typedef struct Doctor {
    Ctl *ctl;
    Output findings; /* with --json */
    size_t count;
    json_t *paths;  /* of unix listeners that the daemon holds or wants */
    json_t *draining; /* addresses that were told of as draining, by their services */
    json_t *served; /* paths that somebody listens on; NULL: not looked yet */
    bool uses_vsock;
} Doctor;

/* One finding. mend: a command, or NULL where there is none. */
static int doctor_find(Doctor *doctor, const char *what, const char *mend, const char *why_format, ...) _printf_(4, 5);
static int doctor_find(Doctor *doctor, const char *what, const char *mend, const char *why_format, ...)
{
    Buffer why = {0};
    _cleanup_(freep) char *text = NULL, *line = NULL;
    va_list arguments;

    va_start(arguments, why_format);
    buffer_vprintf(&why, why_format, arguments);
    va_end(arguments);
    int r = buffer_take(&why, &text, NULL);
    if (r < 0)
        return r;
    doctor->count++;
    if (doctor->ctl->output.json) {
        json_t *finding = json_pack("{s:s,s:s,s:s*}", "what", what, "why", text, "mend", mend);
        line = finding ? json_dumps(finding, JSON_COMPACT) : NULL;
        json_decref(finding);
        return line ? output_add(line, strlen(line), &doctor->findings) : -ENOMEM;
    }
    if (asprintf(&line, "%s: %s", what, text) < 0)
        return -ENOMEM;
    output_line(line);
    if (mend)
        printf("    %s%s%s\n", output_colour(&doctor->ctl->output, "bold"), mend,
               output_colour(&doctor->ctl->output, "reset"));
    return 0;
}

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* ---- looks at this host ---- */

typedef enum PathState {
    PATH_ABSENT,
    PATH_SERVED, /* somebody listens there */
    PATH_STALE,  /* a socket that nobody listens on */
    PATH_OTHER,  /* no socket, or not ours to look at */
} PathState;

/* Paths that somebody listens on, of /proc/net/unix: `…: RefCount Protocol Flags Type St Inode Path`, __SO_ACCEPTCON
 * 0x10000. */
static json_t *served_paths(void)
{
    json_t *served = json_object();
    _cleanup_(freep) char *line = NULL;
    size_t capacity = 0;
    FILE *list = fopen("/proc/net/unix", "re");

    while (list && getline(&line, &capacity, list) >= 0) {
        unsigned flags;
        int at = 0;
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %n", &flags, &at) == 1 && at > 0 && flags & 0x10000) {
            line[strcspn(line, "\n")] = '\0';
            json_object_set_new(served, line + at, json_true());
        }
    }
    if (list)
        fclose(list);
    return served;
}

/* What is known to be served is left alone. The rest is asked as a client would ask: only the daemon's own paths that
 * are not its own, and sockets beside a machine's that no service is for, come here. */
static PathState path_look(Doctor *doctor, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;

    if (lstat(path, &status) < 0)
        return errno == ENOENT ? PATH_ABSENT : PATH_OTHER;
    if (!S_ISSOCK(status.st_mode) || strlen(path) >= sizeof(address.sun_path))
        return PATH_OTHER;
    if (!doctor->served)
        doctor->served = served_paths();
    if (json_object_get(doctor->served, path))
        return PATH_SERVED;
    strcpy(address.sun_path, path);
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return PATH_OTHER;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN || errno == EPROTOTYPE)
        return PATH_SERVED;
    return errno == ECONNREFUSED ? PATH_STALE : PATH_OTHER;
}

/* The file system's own name of a driver that is there, built in or loaded. */
static bool vsock_has_transport(void)
{
    static const char *const modules[] = {"vhost_vsock", "vmw_vsock_virtio_transport", "hv_sock",
                                          "vmw_vsock_vmci_transport"};
    char path[128], line[256];
    bool found = false;

    for (size_t i = 0; i < ELEMENTS_OF(modules); i++) {
        snprintf(path, sizeof(path), "/sys/module/%s", modules[i]);
        if (access(path, F_OK) == 0)
            return true;
    }
    FILE *misc = fopen("/proc/misc", "re");
    while (misc && !found && fgets(line, sizeof(line), misc))
        found = strstr(line, " vhost-vsock\n") != NULL;
    if (misc)
        fclose(misc);
    return found;
}

/* ---- listeners ---- */

static int doctor_look_at_path(Doctor *doctor, const char *what, const json_t *listener, const Address *address)
{
    _cleanup_(freep) char *path = NULL, *folder = NULL, *mend = NULL;
    const char *reason = member(listener, "reason");

    if (address->transport->listen_path(address, &path) < 0)
        return doctor_find(doctor, what, NULL, "%s is %s: %s", member(listener, "address"), member(listener, "state"),
                           reason);
    char *slash = strrchr(path, '/');
    folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : NULL;
    if (folder && access(folder, F_OK) < 0 && errno == ENOENT) {
        if (asprintf(&mend, "mkdir -p %s", folder) < 0)
            return -ENOMEM;
        return doctor_find(doctor, what, mend, "%s is %s: the folder %s is not there", member(listener, "address"),
                           member(listener, "state"), folder);
    }
    PathState state = path_look(doctor, path);
    if (state == PATH_STALE && asprintf(&mend, "rm %s", path) < 0)
        return -ENOMEM;
    if (state == PATH_SERVED && asprintf(&mend, "ss -xlp src %s", path) < 0)
        return -ENOMEM;
    return doctor_find(doctor, what, mend, "%s is %s: %s%s", member(listener, "address"), member(listener, "state"),
                       reason,
                       state == PATH_STALE    ? " (the socket that is there is stale: nobody listens on it)"
                       : state == PATH_SERVED ? " (another program listens there)"
                                              : "");
}

/* `kill 12 34` of a listener's holders. NULL: there are none. */
static char *holders_mend(const json_t *listener)
{
    const json_t *holders = json_object_get(listener, "holders");
    Buffer text = {0};
    char *mend;

    if (json_array_size(holders) == 0)
        return NULL;
    buffer_append_text(&text, "kill");
    for (size_t i = 0; i < json_array_size(holders); i++)
        buffer_printf(&text, " %lld", (long long)json_integer_value(json_array_get(holders, i)));
    return buffer_take(&text, &mend, NULL) < 0 ? NULL : mend;
}

static int doctor_look_at_listener(Doctor *doctor, const char *name, const json_t *listener)
{
    const char *state = member(listener, "state"), *uri = member(listener, "address"), *reason = NULL, *hint = NULL;
    bool draining = strcmp(state, "draining") == 0;
    _cleanup_(freep) char *mend = NULL, *path = NULL;
    Address address;
    int r;

    if (draining)
        json_object_set_new(doctor->draining, uri, json_true());
    if (address_parse(uri, &address, &reason, &hint) != 0)
        return 0; /* a newer daemon's */
    if (address.transport->has_path && address.transport->listen_path(&address, &path) >= 0)
        json_object_set_new(doctor->paths, path, json_true());
    bool vsock = address.transport == &transport_vsock;
    doctor->uses_vsock |= vsock;
    if (strcmp(state, "listening") == 0) {
        address_release(&address);
        return 0;
    }
    mend = holders_mend(listener);
    if (draining)
        r = doctor_find(doctor, name, mend, "%s is draining: a process still holds what was handed out%s%s", uri,
                        member(listener, "reason")[0] ? ": " : "", member(listener, "reason"));
    else if (mend)
        r = doctor_find(doctor, name, mend, "%s is %s: %s", uri, state, member(listener, "reason"));
    else if (address.transport->has_path)
        r = doctor_look_at_path(doctor, name, listener, &address);
    else
        r = doctor_find(doctor, name,
                        vsock && address.cid == VSOCK_CID_HOST    ? "modprobe vhost_vsock"
                        : vsock && address.cid == VSOCK_CID_LOCAL ? "modprobe vsock_loopback"
                                                                  : NULL,
                        "%s is %s: %s", uri, state, member(listener, "reason"));
    address_release(&address);
    return r;
}

/* A RegistryVisitor. */
static int doctor_on_service(const char *json, size_t size_bytes, void *userdata)
{
    Doctor *doctor = userdata;
    json_t *service = json_loadb(json, size_bytes, 0, NULL);
    const json_t *runtime = json_object_get(service, "runtime"), *listeners = json_object_get(runtime, "listeners");
    const char *name = member(json_object_get(service, "context"), "name"), *state = member(runtime, "state");
    size_t before = doctor->count;
    int r = 0;

    for (size_t i = 0; i < json_array_size(listeners) && r >= 0; i++)
        r = doctor_look_at_listener(doctor, name, json_array_get(listeners, i));
    /* What no listener has told: a program that does not start, a machine that is not there. */
    if (r >= 0 && doctor->count == before && (strcmp(state, "failed") == 0 || strcmp(state, "waiting") == 0)) {
        _cleanup_(freep) char *mend = NULL;
        r = asprintf(&mend, "hvsockctl show %s", name) < 0
                ? -ENOMEM
                : doctor_find(doctor, name, mend, "%s%s%s", state, member(runtime, "reason")[0] ? ": " : "",
                              member(runtime, "reason"));
    }
    json_decref(service);
    return r;
}

/* ---- machines ---- */

/* Sockets beside a machine's hybrid one that the daemon does not know and nobody listens on. */
static int doctor_look_for_stale(Doctor *doctor, const char *what, const char *hybrid)
{
    _cleanup_(freep) char *pattern = NULL;
    glob_t found = {0};
    int r = 0;

    /* A path with a pattern in it is somebody's joke: the listeners' own looks cover it. */
    if (strpbrk(hybrid, "*?[\\"))
        return 0;
    if (asprintf(&pattern, "%s_*", hybrid) < 0)
        return -ENOMEM;
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc && r >= 0; i++) {
        const char *path = found.gl_pathv[i];
        _cleanup_(freep) char *mend = NULL;
        if (json_object_get(doctor->paths, path) || path_look(doctor, path) != PATH_STALE)
            continue;
        r = asprintf(&mend, "rm %s", path) < 0
                ? -ENOMEM
                : doctor_find(doctor, what, mend, "%s is stale: nobody listens on it, and no service is for it", path);
    }
    globfree(&found);
    return r;
}

/* A RegistryVisitor. */
static int doctor_on_machine(const char *json, size_t size_bytes, void *userdata)
{
    Doctor *doctor = userdata;
    json_t *machine = json_loadb(json, size_bytes, 0, NULL);
    const json_t *context = json_object_get(machine, "context");
    _cleanup_(freep) char *what = NULL;
    int r = asprintf(&what, "machine %s", member(context, "name")) < 0 ? -ENOMEM : 0;

    if (r >= 0 && member(context, "hybrid")[0])
        r = doctor_look_for_stale(doctor, what, member(context, "hybrid"));
    json_decref(machine);
    return r;
}

/* ---- the daemon ---- */

static int doctor_look_at_status(Doctor *doctor, const char *reply)
{
    json_t *status = json_loads(reply, 0, NULL);
    const json_t *errors = json_object_get(status, "errors");
    int r = 0;

    for (size_t i = 0; i < json_array_size(errors) && r >= 0; i++)
        r = doctor_find(doctor, "hvsockd",
                        i + 1 == json_array_size(errors) ? "hvsockctl check && hvsockctl reload" : NULL, "%s",
                        json_string_value(json_array_get(errors, i)));
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
        if (!json_object_get(doctor->draining, member(listener, "address")))
            r = doctor_look_at_listener(doctor, "a service that is gone", listener);
    }
    json_decref(status);
    return r;
}

static int doctor_tell_no_daemon(Doctor *doctor, int answer)
{
    const char *where = given_value(&doctor->ctl->given, "socket", getenv("HVSOCK_SOCKET"));
    bool ours = !where || !where[0];

    if (ours)
        where = "/run/hvsockd/io.hvsock.Registry";
    const char *mend = ours ? "systemctl start hvsockd" : NULL;
    if (answer == REGISTRY_ABSENT && access(where, F_OK) == 0)
        return doctor_find(doctor, where, mend,
                           "hvsockd is not running: the socket is there, and nobody listens on it");
    if (answer == REGISTRY_ABSENT)
        return doctor_find(doctor, where, mend, "hvsockd is not running: there is no such socket");
    return doctor_find(doctor, where, NULL, "hvsockd is not to be reached: %s", strerror(-answer));
}

static int doctor_look(Doctor *doctor, Registry *registry)
{
    _cleanup_(freep) char *status = NULL;

    int r = registry->ops->status(registry, &status);
    if (r == 0)
        r = doctor_look_at_status(doctor, status);
    if (r == 0)
        r = registry->ops->list(registry, doctor_on_service, doctor);
    if (r == 0)
        r = doctor_look_at_draining(doctor, status);
    if (r == 0)
        r = registry->ops->list_machines(registry, doctor_on_machine, doctor);
    if (r == 0 && doctor->uses_vsock && !vsock_has_transport())
        r = doctor_find(doctor, "vsock", "modprobe vhost_vsock",
                        "no guest can reach this host over AF_VSOCK: its transport is not loaded");
    return r;
}

static int doctor_run(Ctl *ctl)
{
    Doctor doctor = {.ctl = ctl, .paths = json_object(), .draining = json_object()};
    Registry *registry;

    int r = output_open(&ctl->output, OUTPUT_JSON, NULL, NULL, NULL, &doctor.findings);
    int answer = r < 0 ? r : ctl_open_quietly(ctl, &registry);
    if (r == 0)
        r = answer == 0 ? doctor_look(&doctor, registry) : doctor_tell_no_daemon(&doctor, answer);
    json_decref(doctor.paths);
    json_decref(doctor.draining);
    json_decref(doctor.served);
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
    .description = "Services that do not listen and why, listeners that are draining and who holds them, stale "
                   "sockets, files that did not load, a transport "
                   "that is not loaded, a daemon that does not answer. Exits 0 where all is well, 1 where something is "
                   "not, 4 where no daemon "
                   "answers. With --json an array of findings: what, why, mend.",
    .run = doctor_run,
};
