/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl export: services as Windows, systemd, a VMM or a guest wants to be told of them; from the daemon, or from files. */

#include <errno.h>
#include <string.h>

#include "config/export.h"
#include "ctl/ctl.h"
#include "ctl/files.h"
#include "ctl/json.h"
#include "ctl/reg-file.h"
#include "ctl/writer.h"
#include "schema/base/text.h"
#include "schema/codec/record.h"

typedef struct ExportRun {
    Ctl *ctl;
    const ExportTarget *target;
    Files files;              /* --from */
    FilePlace *machine_places;
    bool offline;
    void **machines;          /* owned, unless they are the files' */
    size_t machine_count;
    const MachineContext *machine;
    const FilePlace *machine_place;
    WindowsKeys previous;
    Writer writer;
    Export *export;
    Problems problems;
    TextList done;            /* names that were given more than once are written once */
} ExportRun;

static void run_release(ExportRun *run)
{
    for (size_t i = 0; !run->offline && run->machines && i < run->machine_count; i++)
        machine_context_free(run->machines[i]);
    free(run->machines);
    free(run->machine_places);
    files_release(&run->files);
    windows_keys_release(&run->previous);
    export_free(run->export);
    writer_release(&run->writer);
    problems_release(&run->problems);
    text_list_free(run->done);
}

/* ---- what is known: files, or the daemon ---- */

static int run_load_files(ExportRun *run)
{
    const Given *given = &run->ctl->given;
    _cleanup_(text_list_freep) TextList paths = NULL;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < given->option_count; i++)
        if (strcmp(given->options[i].name, "from") == 0)
            r = text_list_append(&paths, given->options[i].value);
    if (r < 0 || !paths)
        return r;
    run->offline = true;
    r = files_load_paths(paths, &run->problems, &run->files);
    if (r < 0)
        return r;
    if (r == FILES_INVALID) {
        ctl_tell_problems("export", &run->problems);
        ctl_tell("export", "mend them and export again", "%zu error%s, nothing was written", run->problems.errors,
                 run->problems.errors == 1 ? "" : "s");
        return EXIT_NO;
    }
    run->machines = files_records(&run->files, &record_type_MachineContext, &run->machine_places, &run->machine_count);
    return run->machines ? 0 : -ENOMEM;
}

/* The context of what the daemon said. */
static int read_context(const RecordType *type, const char *json, size_t size_bytes, void **ret)
{
    Problems problems = {0};

    if (!json_member(json, size_bytes, "context", &json, &size_bytes))
        return -EBADMSG;
    int r = record_read_json(type, json, size_bytes, &problems, ret);
    problems_release(&problems);
    return r > 0 ? -EBADMSG : r; /* a newer daemon's field */
}

static int on_machine(const char *json, size_t size_bytes, void *userdata)
{
    ExportRun *run = userdata;
    void **machines = reallocarray(run->machines, run->machine_count + 2, sizeof(*machines));

    if (!machines)
        return -ENOMEM;
    run->machines = machines;
    int r = read_context(&record_type_MachineContext, json, size_bytes, &machines[run->machine_count]);
    if (r == 0)
        run->machine_count++;
    machines[run->machine_count] = NULL;
    return r;
}

/* Only where they are of use. */
static int run_load_machines(ExportRun *run)
{
    const char *name = given_value(&run->ctl->given, "machine", NULL);
    Registry *registry;

    if (!run->offline && (name || run->target->has_files)) {
        int r = ctl_open(run->ctl, &registry);
        if (r != 0)
            return r;
        r = registry->ops->list_machines(registry, on_machine, run);
        if (r != 0)
            return ctl_refused(run->ctl, r, "export");
    }
    for (size_t i = 0; name && i < run->machine_count; i++)
        if (strcmp(((const MachineContext *)run->machines[i])->name, name) == 0) {
            run->machine = run->machines[i];
            run->machine_place = run->machine_places ? &run->machine_places[i] : NULL;
            return 0;
        }
    if (!name)
        return 0;
    ctl_tell(name, run->offline ? "machines: in the files of --from would be right" : "see hvsockctl machine list",
             "there is no such machine");
    return EXIT_NO;
}

/* ---- services ---- */

static bool problem_is_new(const ExportRun *run, size_t first)
{
    return run->problems.count > first;
}

/* place: in a file; or NULL. */
static int run_add(ExportRun *run, const ServiceContext *service, const FilePlace *place)
{
    size_t first = run->problems.count;
    int r = export_add(run->export, service);

    if (r < 0 || !problem_is_new(run, first))
        return r;
    if (place)
        load_locate(place->file, place->record, &run->problems, first);
    else
        problems_prefix(&run->problems, first, service->name);
    return 0;
}

/* hvsockctl enable and disable are stronger than what the service says of itself. */
static void read_enabled(const char *json, size_t size_bytes, ServiceContext *service)
{
    static const char disabled[] = "\"disabled\"";
    const char *state;

    if (json_member(json, size_bytes, "runtime", &json, &size_bytes) && json_member(json, size_bytes, "state", &state, &size_bytes))
        service->enabled = size_bytes == strlen(disabled) && memcmp(state, disabled, size_bytes) == 0 ? NO : YES;
}

static int on_service(const char *json, size_t size_bytes, void *userdata)
{
    _cleanup_(service_context_freep) ServiceContext *service = NULL;
    ExportRun *run = userdata;
    int r = read_context(&record_type_ServiceContext, json, size_bytes, (void **)&service);

    if (r < 0)
        return r;
    if (!run->target->verbatim)
        read_enabled(json, size_bytes, service);
    return run_add(run, service, NULL);
}

/* Every name once. */
static int run_take_name(ExportRun *run, const char *name)
{
    if (text_list_contains(run->done, name))
        return 1;
    return text_list_append(&run->done, name);
}

static int run_daemon(ExportRun *run)
{
    Ctl *ctl = run->ctl;
    Registry *registry;
    int r = ctl_open(ctl, &registry);

    if (r != 0)
        return r;
    if (ctl->given.operand_count == 0) {
        r = registry->ops->list(registry, on_service, run);
        return r > 0 ? ctl_refused(ctl, r, "export") : r;
    }
    for (size_t i = 0; i < ctl->given.operand_count && r == 0; i++) {
        _cleanup_(freep) char *reply = NULL;
        const char *name = ctl->given.operands[i], *service;
        size_t size;
        r = run_take_name(run, name);
        if (r != 0) {
            r = r > 0 ? 0 : r;
            continue;
        }
        r = registry->ops->describe(registry, name, &reply);
        if (r != 0)
            return ctl_refused(ctl, r, name);
        r = ctl_reply_member(reply, "service", &service, &size) ? on_service(service, size, run) : -EBADMSG;
    }
    return r;
}

static int run_files(ExportRun *run)
{
    const Given *given = &run->ctl->given;
    size_t count, found = 0;
    _cleanup_(freep) FilePlace *places = NULL;
    _cleanup_(freep) void **services = files_records(&run->files, &record_type_ServiceContext, &places, &count);
    int r = services ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < count && given->operand_count == 0; i++)
        r = run_add(run, services[i], &places[i]);
    for (size_t k = 0; r == 0 && k < given->operand_count; k++) {
        r = run_take_name(run, given->operands[k]);
        if (r != 0) {
            r = r > 0 ? 0 : r;
            continue;
        }
        for (found = 0; found < count; found++)
            if (strcmp(((const ServiceContext *)services[found])->name, given->operands[k]) == 0)
                break;
        if (found == count) {
            ctl_tell(given->operands[k], "see what is in the files of --from", "there is no such service");
            return EXIT_NO;
        }
        r = run_add(run, services[found], &places[found]);
    }
    return r;
}

/* ---- writing ---- */

static int run_begin(ExportRun *run)
{
    const Given *given = &run->ctl->given;
    const char *path = given_value(given, "output", NULL);
    const ExportOptions options = {
        .machine = run->machine,
        .machines = (const MachineContext *const *)run->machines,
        .previous = given_has(given, "previous") ? &run->previous : NULL,
        .prune = given_has(given, "prune"),
        .named = given->operand_count > 0,
    };
    bool folder = run->target->has_files && path;
    const ExportSink sink = {.write = writer_write, .file = folder ? writer_file : NULL, .userdata = &run->writer};
    size_t first = run->problems.count;

    int r = writer_open(path, folder, &run->writer);
    if (r < 0) {
        ctl_tell(path, folder ? "give the path of a folder" : "give the path of a file", "cannot be written: %s", strerror(-r));
        return EXIT_USAGE;
    }
    r = export_open(run->target, &options, &sink, &run->problems, &run->export);
    if (r == 0 && problem_is_new(run, first) && run->machine_place)
        load_locate(run->machine_place->file, run->machine_place->record, &run->problems, first);
    else if (r == 0 && problem_is_new(run, first) && run->machine)
        problems_prefix(&run->problems, first, run->machine->name);
    return r;
}

static int run_end(ExportRun *run)
{
    int r = export_close(run->export);

    if (r < 0)
        return r;
    ctl_tell_problems("export", &run->problems);
    if (r == EXPORT_INVALID) {
        ctl_tell("export", "mend it and export again", "%zu error%s, nothing was written", run->problems.errors,
                 run->problems.errors == 1 ? "" : "s");
        return EXIT_NO;
    }
    r = writer_commit(&run->writer);
    return r < 0 ? r : EXIT_DONE;
}

static int run_previous(ExportRun *run)
{
    const char *path = given_value(&run->ctl->given, "previous", NULL);

    if (!path)
        return 0;
    int r = reg_file_keys(path, &run->problems, &run->previous);
    if (r < 0) {
        ctl_tell(path, "give what regedit exported of GuestCommunicationServices", "cannot be read: %s", strerror(-r));
        return EXIT_NO;
    }
    if (run->problems.errors > 0) {
        ctl_tell_problems("export", &run->problems);
        ctl_tell("export", "export it again", "%s cannot be trusted to say whose keys are there; nothing was written", path);
        return EXIT_NO;
    }
    problems_release(&run->problems); /* what of it is no service is no news here */
    return 0;
}

/* What goes with which target; 0 or EXIT_USAGE. */
static int run_check_options(const ExportRun *run)
{
    const Given *given = &run->ctl->given;
    const ExportTarget *target = run->target;

    if (target->needs_machine && !given_has(given, "machine"))
        return ctl_usage(run->ctl, "--to", "give --machine NAME", "%s is for one machine", target->name);
    if (given_has(given, "machine") && !target->needs_machine && !target->takes_machine)
        return ctl_usage(run->ctl, "--machine", NULL, "%s is for no machine of its own", target->name);
    if (given_has(given, "prune") && !target->prunes)
        return ctl_usage(run->ctl, "--prune", NULL, "goes with reg and powershell alone");
    if (given_has(given, "previous") && !target->one_guid)
        return ctl_usage(run->ctl, "--previous", NULL, "goes with reg, powershell and hcs alone");
    if (given_has(given, "prune") && target->needs_previous && !given_has(given, "previous"))
        return ctl_usage(run->ctl, "--prune", "give --previous FILE.reg", "must know which keys are there");
    return 0;
}

static int export_run(Ctl *ctl)
{
    const char *to = given_value(&ctl->given, "to", ctl->output.json ? "json" : NULL);
    _cleanup_(run_release) ExportRun run = {.ctl = ctl, .target = to ? export_target_find(to) : NULL};

    if (!to)
        return ctl_usage(ctl, "export", NULL, "needs --to TARGET");
    if (!run.target) {
        Nearest nearest = nearest_to(to);
        for (size_t i = 0; export_targets[i]; i++)
            nearest_offer(&nearest, export_targets[i]->name);
        return ctl_no_such(ctl, "--to", "target", &nearest);
    }
    int r = run_check_options(&run);
    if (r == 0)
        r = run_previous(&run);
    if (r == 0)
        r = run_load_files(&run);
    if (r == 0)
        r = run_load_machines(&run);
    if (r == 0)
        r = run_begin(&run);
    if (r == 0)
        r = run.offline ? run_files(&run) : run_daemon(&run);
    return r != 0 ? r : run_end(&run);
}

static const Option export_options[] = {
    {.name = "to", .argument = "TARGET", .completes = COMPLETES_WORDS, .words = export_target_names, .help = "What to write; see below."},
    {.name = "from",
     .argument = "FILE|DIR",
     .repeats = true,
     .completes = COMPLETES_FILES,
     .help = "Services of these files, in place of the daemon's."},
    {.name = "output",
     .argument = "PATH",
     .completes = COMPLETES_FILES,
     .help = "Where to write, in place of standard output: a file, which is replaced as a whole; of systemd a folder."},
    {.name = "machine",
     .argument = "NAME",
     .completes = COMPLETES_MACHINES,
     .help = "The machine of a VMM's target; of env, only services that this machine reaches."},
    {.name = "previous",
     .argument = "FILE.reg",
     .completes = COMPLETES_FILES,
     .help = "What Windows has now, as regedit exports it: a key that others wrote is a conflict."},
    {.name = "prune", .help = "Of reg, with --previous: also remove our keys that are gone. Of powershell: let the script do so."},
    {0},
};

const Verb verb_export = {
    .name = "export",
    .group = VERBS_OF_FILES,
    .synopsis = "--to TARGET [--from FILE|DIR]... [--output PATH] [--machine NAME] [--previous FILE.reg [--prune]] [NAME]...",
    .help = "Write services as Windows, systemd, a VMM or a guest wants them",
    .description =
        "Of all services, or of those named. Nothing is written where something is wrong: a port that Hyper-V does not reach, "
        "two services of one GUID, a key that others wrote. What has no place in a target is left out and told. Targets:\n\n"
        "  reg               a file for regedit and reg import, on Windows\n"
        "  powershell        a script that registers them on Windows; knows -WhatIf\n"
        "  hcs               HvSocketSystemConfig; only for VMs created through HCS\n"
        "  yaml, json        the services themselves, which apply can read\n"
        "  systemd           .socket and .service units, of those that name a program\n"
        "  env               ports and GUIDs, as assignments of a shell, for a guest\n"
        "  firecracker       the vsock device in Firecracker's --config-file\n"
        "  cloud-hypervisor, openvmm, qemu, hyperkit\n"
        "                    the option that this VMM is started with\n"
        "  libkrun           a call of krun_add_vsock_port2 for each service, in C",
    .options = export_options,
    .operands = COMPLETES_SERVICES,
    .operand = "NAME",
    .operands_max = OPERANDS_MANY,
    .run = export_run,
};
