/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl machine run: a virtual machine that is known for as long as its VMM lives. The record is tied to this process,
 * which becomes the VMM once everything that its guest may reach listens. */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/machine-run.h"
#include "ctl/vhost.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"
#include "schema/model/service.h"

#define LOOK_FIRST_MS 5
#define LOOK_MOST_MS 200
#define TELL_AFTER_MS 1000
#define AWAY_MOST_MS 60000 /* that hvsockd may be away, meanwhile */
#define GROUPS_MAX 3 /* reasons that are told at once, */
#define NAMES_MAX 3  /* and listeners by name for each */

/* One run, until it is the VMM. */
typedef struct Run {
    Ctl *ctl;
    Registry *registry;
    MachineContext *context;
    int vhost_fd;
    uint32_t *known_cids; /* of other machines */
    size_t known_count;
} Run;

static void run_release(Run *run)
{
    machine_context_free(run->context);
    fd_close(run->vhost_fd);
    free(run->known_cids);
}

/* ---- the machine, as the daemon has it ---- */

/* Listeners that do not listen for one reason. */
typedef struct Group {
    const json_t *first; /* borrowed from Look.machine */
    size_t count;
    Buffer names;
} Group;

/* What its listeners have come to. */
typedef struct Look {
    json_t *machine; /* NULL: it is not there */
    size_t missing;
    Group groups[GROUPS_MAX];
    size_t group_count, told; /* those that are named, or counted, in a group */
} Look;

static void look_release(Look *look)
{
    for (size_t i = 0; i < look->group_count; i++)
        buffer_release(&look->groups[i].names);
    json_decref(look->machine);
}

static const char *member_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* Why, without its own path before it, which stands in its address. */
static const char *common_reason(const json_t *listener)
{
    const char *reason = member_text(listener, "reason");
    const char *common = reason[0] == '/' ? strstr(reason, " cannot be bound: ") : NULL;

    return common ? common + 1 : reason;
}

static bool same_reason(const json_t *a, const json_t *b)
{
    return strcmp(member_text(a, "state"), member_text(b, "state")) == 0 && strcmp(common_reason(a), common_reason(b)) == 0;
}

static void look_at_missing(Look *look, const json_t *listener)
{
    size_t i = 0;

    look->missing++;
    while (i < look->group_count && !same_reason(look->groups[i].first, listener))
        i++;
    if (i == GROUPS_MAX)
        return;
    Group *group = &look->groups[i];
    if (i == look->group_count) {
        look->group_count++;
        group->first = listener;
    }
    look->told++;
    if (group->count++ < NAMES_MAX)
        buffer_printf(&group->names, "%s%s on %s", group->count > 1 ? ", " : "", member_text(listener, "service"),
                      member_text(listener, "address"));
}

static int look_on_machine(const char *text, size_t size_bytes, void *userdata)
{
    Look *look = userdata;
    json_t *listener;
    size_t i;

    look->machine = json_loadb(text, size_bytes, 0, NULL);
    if (!look->machine)
        return -EBADMSG;
    json_array_foreach(json_object_get(look->machine, "listeners"), i, listener)
        if (strcmp(member_text(listener, "state"), "listening") != 0)
            look_at_missing(look, listener);
    return 0;
}

static bool look_is_ours(const Look *look)
{
    return json_integer_value(json_object_get(look->machine, "ephemeralProcessId")) == getpid();
}

/* Which listeners do not listen and why, the first of them by name. */
static int look_say(const Look *look, char **ret)
{
    Buffer text = {0};

    for (size_t i = 0; i < look->group_count; i++) {
        const Group *group = &look->groups[i];
        buffer_printf(&text, "%s%.*s", i > 0 ? "; " : "", (int)group->names.size_bytes, group->names.data ? group->names.data : "");
        if (group->count > NAMES_MAX)
            buffer_printf(&text, " and %zu more", group->count - NAMES_MAX);
        buffer_printf(&text, " %s %s: %s", group->count > 1 ? "are" : "is", member_text(group->first, "state"),
                      group->count > 1 ? common_reason(group->first) : member_text(group->first, "reason"));
    }
    if (look->missing > look->told)
        buffer_printf(&text, "; for other reasons %zu more", look->missing - look->told);
    buffer_append_char(&text, '\0');
    return buffer_take(&text, ret, NULL);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void sleep_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

/* hvsockd went away, as when it is restarted: what it holds for us outlives that. Until it is back, or deadline_ms. An ExitStatus:
 * it did not come, and that was told. */
static int run_reopen(Run *run, uint64_t deadline_ms)
{
    Ctl *ctl = run->ctl;
    int r;

    ctl_tell(run->context->name, "the VMM starts when it is back and all listens", "hvsockd went away");
    registry_close(ctl->registry);
    ctl->registry = NULL;
    while ((r = ctl_open_within(ctl, -1, &run->registry)) == REGISTRY_ABSENT && now_ms() < deadline_ms)
        sleep_ms(LOOK_MOST_MS);
    return r == 0 ? 0 : ctl_refused(ctl, r, NULL);
}

/* Until all that there is for this machine listens. An ExitStatus: it does not, and that was told. */
static int run_wait(Run *run, uint64_t timeout_ms)
{
    const char *name = run->context->name;
    _cleanup_(freep) char *told = NULL;
    uint64_t started = now_ms(), pause = LOOK_FIRST_MS;

    for (;;) {
        _cleanup_(look_release) Look look = {0};
        _cleanup_(freep) char *reasons = NULL;
        int r = run->registry->ops->find_machine(run->registry, name, look_on_machine, &look);
        if (r == REGISTRY_ABSENT) {
            uint64_t now = now_ms(), left = now - started < timeout_ms ? timeout_ms - (now - started) : 0;
            r = run_reopen(run, now + (left < AWAY_MOST_MS ? left : AWAY_MOST_MS));
            if (r != 0)
                return r;
            continue;
        }
        if (r != 0)
            return ctl_refused(run->ctl, r, name);
        if (!look_is_ours(&look)) {
            ctl_tell(name, "whoever did that starts it", "the machine was %s while its listeners were waited for",
                     look.machine ? "replaced" : "removed");
            return EXIT_NO;
        }
        if (look.missing == 0)
            return EXIT_DONE;
        r = look_say(&look, &reasons);
        if (r < 0)
            return r;

        uint64_t waited = now_ms() - started;
        if (waited >= timeout_ms) {
            ctl_tell(name, "the VMM is not started; mend that, or give a longer --timeout", "%s", reasons);
            return EXIT_NO;
        }
        if (waited >= TELL_AFTER_MS && !text_equal(told, reasons)) {
            ctl_tell(name, "the VMM starts when it listens", "%s", reasons);
            free(told);
            told = TAKE_PTR(reasons);
        }
        sleep_ms(timeout_ms - waited < pause ? timeout_ms - waited : pause);
        pause = pause * 2 < LOOK_MOST_MS ? pause * 2 : LOOK_MOST_MS;
    }
}

/* ---- its CID ---- */

static int run_on_known_machine(const char *text, size_t size_bytes, void *userdata)
{
    Run *run = userdata;
    json_t *machine = json_loadb(text, size_bytes, 0, NULL);
    const json_t *context = json_object_get(machine, "context"), *cid = json_object_get(context, "cid");
    int r = machine ? 0 : -EBADMSG;

    /* What this one was known by before is free again for it, if no VMM has it. */
    if (json_is_integer(cid) && strcmp(member_text(context, "name"), run->context->name) != 0) {
        uint32_t *larger = reallocarray(run->known_cids, run->known_count + 1, sizeof(*larger));
        r = larger ? 0 : -ENOMEM;
        if (larger) {
            run->known_cids = larger;
            larger[run->known_count++] = (uint32_t)json_integer_value(cid);
        }
    }
    json_decref(machine);
    return r;
}

static int run_open_vhost(Run *run)
{
    int r = run->registry->ops->list_machines(run->registry, run_on_known_machine, run);

    if (r != 0)
        return ctl_refused(run->ctl, r, run->context->name);
    run->vhost_fd = open(VHOST_DEVICE, O_RDWR | O_CLOEXEC);
    if (run->vhost_fd >= 0)
        return 0;
    const char *hint = errno == ENOENT || errno == ENXIO || errno == ENODEV
                           ? "load the module by `modprobe vhost_vsock`, or give a number"
                       : errno == EACCES || errno == EPERM ? "run it as who may open that, usually the group kvm"
                                                           : NULL;
    ctl_tell("--cid auto", hint, "%s cannot be opened: %s", VHOST_DEVICE, strerror(errno));
    return EXIT_NO;
}

static int run_take_cid(Run *run, uint32_t from)
{
    uint32_t cid;
    int r = vhost_choose_cid(run->vhost_fd, vhost_set_cid, from, run->known_cids, run->known_count, &cid);

    if (r != 0) {
        ctl_tell("--cid auto", NULL, "%s gives no CID: %s", VHOST_DEVICE, r < 0 ? strerror(-r) : "none is free");
        return EXIT_NO;
    }
    run->context->cid = (Number){.value = cid, .set = true};
    return 0;
}

/* Somebody has added a machine with this CID since we asked for all. */
static bool conflict_is_cid(const Registry *registry)
{
    if (!text_equal(registry->refusal, "Conflict"))
        return false;
    json_t *parameters = json_loads(registry->refusal_parameters, 0, NULL);
    bool is_cid = strcmp(member_text(parameters, "field"), "cid") == 0;
    json_decref(parameters);
    return is_cid;
}

static int run_add(Run *run, bool any_cid)
{
    for (;;) {
        _cleanup_(freep) char *reply = NULL;
        int r = run->registry->ops->add_machine(run->registry, run->context, getpid(), &reply);
        if (r != REGISTRY_REFUSED || !any_cid || !conflict_is_cid(run->registry))
            return r != 0 ? ctl_refused(run->ctl, r, run->context->name) : 0;
        r = run_take_cid(run, run->context->cid.value + 1);
        if (r != 0)
            return r;
    }
}

/* ---- the VMM ---- */

static int set_number(const char *variable, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return setenv(variable, text, 1) < 0 ? -errno : 0;
}

static int run_become(Run *run)
{
    const uint32_t *cid = run->context->cid.set ? &run->context->cid.value : NULL;
    int r = setenv("HVSOCK_MACHINE", run->context->name, 1) < 0 ? -errno : 0;

    for (char **argument = run->ctl->given.command; *argument && r == 0; argument++)
        r = vhost_fill_argument(*argument, cid, run->vhost_fd, argument); /* theirs until the process is another */
    if (r == 0 && cid)
        r = set_number("HVSOCK_CID", *cid);
    if (r == 0 && run->vhost_fd >= 0) {
        r = set_number("HVSOCK_VHOSTFD", (uint64_t)run->vhost_fd);
        if (r == 0 && fcntl(run->vhost_fd, F_SETFD, 0) < 0)
            r = -errno;
    }
    return r < 0 ? r : ctl_become(run->ctl);
}

static int read_timeout(const Ctl *ctl, uint64_t *ret_ms)
{
    const char *text = given_value(&ctl->given, "timeout", NULL);
    uint64_t seconds = 0;

    if (text && !text_to_number(text, INT32_MAX, &seconds))
        return ctl_usage(ctl, "--timeout", "give whole seconds", "\"%s\" is no number of seconds", text);
    *ret_ms = text ? seconds * 1000 : UINT64_MAX;
    return 0;
}

/* --cid auto is none that the record could have: it is taken out. */
static bool take_auto_cid(Given *given)
{
    for (size_t i = 0; i < given->option_count; i++)
        if (strcmp(given->options[i].name, "cid") == 0 && strcmp(given->options[i].value, "auto") == 0) {
            given->options[i] = given->options[--given->option_count];
            return true;
        }
    return false;
}

static int machine_run_run(Ctl *ctl)
{
    const char *name = ctl->given.operands[0];
    _cleanup_(run_release) Run run = {.ctl = ctl, .vhost_fd = -1};
    uint64_t timeout_ms;
    void *record;

    int r = read_timeout(ctl, &timeout_ms);
    if (r != 0)
        return r;
    bool any_cid = take_auto_cid(&ctl->given);
    r = ctl_read_record(ctl, name, &record);
    if (r != 0)
        return r;
    run.context = record;
    if (!any_cid && !machine_is_known_by(run.context))
        return machine_tell_unknown(ctl, name);
    r = ctl_open(ctl, &run.registry);
    if (r == 0 && any_cid)
        r = run_open_vhost(&run);
    if (r == 0 && any_cid)
        r = run_take_cid(&run, VHOST_CID_FIRST);
    if (r == 0)
        r = run_add(&run, any_cid);
    if (r == 0)
        r = run_wait(&run, timeout_ms);
    return r == 0 ? run_become(&run) : r;
}

static const FieldName machine_run_names[] = {
    {.path = "cid",
     .option = "cid",
     .argument = "N|auto",
     .help = "Its vsock CID; auto: one that is free, held open for the VMM."},
    {.path = "user", .option = "user", .argument = "USER", .completes = COMPLETES_USERS,
     .help = "Who the VMM will be, and so who owns its sockets. The VMM itself is started as who calls."},
    {0},
};

static const FieldOptions machine_run_fields = {.type = &record_type_MachineContext, .names = machine_run_names};

static const Option machine_run_options[] = {
    {.name = "timeout",
     .argument = "SECONDS",
     .help = "Give up when its listeners do not listen by then; without it that is waited for as long as it takes."},
    {0},
};

const Verb machine_run = {
    .name = "run",
    .synopsis = "NAME [OPTION]... -- VMM [ARG]...",
    .help = "Add a virtual machine and become its VMM",
    .description =
        "Adds the machine, waits until everything that its guest may reach listens, and then becomes the VMM. The machine is "
        "forgotten when that process ends. Where something does not listen after a second, it says what and why, and goes on "
        "when that listens.\n"
        "\n"
        "The VMM finds HVSOCK_MACHINE and HVSOCK_CID in its environment; {cid} in its arguments is the CID. With --cid auto, "
        "/dev/vhost-vsock is open with a free CID set, which nobody else can take: HVSOCK_VHOSTFD, and {vhostfd} in "
        "arguments, are that descriptor:\n"
        "\n"
        "  hvsockctl machine run web1 --cid auto -- qemu-system-x86_64 \\\n"
        "      -device vhost-vsock-pci,vhostfd={vhostfd},guest-cid={cid} ...\n"
        "\n"
        "The exit status is the VMM's own; 127: it was not found, 126: it could not be started. Before that it is as with "
        "every verb; 1: something did not listen within --timeout, or --cid auto found no CID to take.",
    .options = machine_run_options,
    .fields = &machine_run_fields,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .takes_command = true,
    .run = machine_run_run,
};
