/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl import: a .reg file of a Windows host becomes services, as YAML or at once in the registry. */

#include <errno.h>
#include <string.h>

#include "config/import/import.h"
#include "config/import/reg.h"
#include "ctl/changes.h"
#include "ctl/ctl.h"
#include "ctl/reg-file.h"
#include "schema/codec/record.h"

typedef struct Taken {
    bool json, keep;
    Buffer text;
    ServiceContext **services; /* keep; ended by NULL */
    size_t count, capacity;
} Taken;

static void taken_release(Taken *taken)
{
    for (size_t i = 0; i < taken->count && taken->services; i++)
        service_context_free(taken->services[i]);
    free(taken->services);
    buffer_release(&taken->text);
}

static int taken_keep(Taken *taken, const ServiceContext *service)
{
    void *copy;

    if (taken->count + 1 >= taken->capacity) {
        size_t capacity = taken->capacity ? taken->capacity * 2 : 16;
        ServiceContext **services = reallocarray(taken->services, capacity, sizeof(ServiceContext *));
        if (!services)
            return -ENOMEM;
        taken->services = services;
        taken->capacity = capacity;
    }
    int r = record_copy(&record_type_ServiceContext, service, &copy);
    if (r < 0)
        return r;
    taken->services[taken->count++] = copy;
    taken->services[taken->count] = NULL;
    return 0;
}

static int taken_flush(Taken *taken)
{
    if (taken->text.failed)
        return -ENOMEM;
    if (taken->text.size_bytes > 0 && fwrite(taken->text.data, 1, taken->text.size_bytes, stdout) != taken->text.size_bytes)
        return -errno;
    buffer_clear(&taken->text);
    return 0;
}

static int taken_on_service(const ServiceContext *service, const WindowsKey *key, void *userdata)
{
    Taken *taken = userdata;

    if (taken->keep)
        return taken_keep(taken, service);
    if (taken->json) {
        buffer_append_text(&taken->text, taken->count > 0 ? ",\n" : "{\"services\":[\n");
        record_write_json(&record_type_ServiceContext, service, RECORD_WRITE_ALL, &taken->text);
    } else {
        buffer_append_text(&taken->text, taken->count > 0 ? "" : "services:\n");
        import_write_yaml(service, &taken->text);
    }
    taken->count++;
    return taken->text.size_bytes >= 1 << 16 ? taken_flush(taken) : 0;
}

static int taken_finish(Taken *taken)
{
    if (taken->json)
        buffer_append_text(&taken->text, taken->count > 0 ? "\n]}\n" : "{\"services\":[]}\n");
    else if (taken->count == 0)
        buffer_append_text(&taken->text, "services: []\n");
    return taken_flush(taken);
}

static int import_apply(Ctl *ctl, const Taken *taken)
{
    ServiceContext *none[] = {NULL};
    const Document document = {.services = taken->services ? taken->services : none};
    _cleanup_(freep) char *reply = NULL;
    Registry *registry;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = registry->ops->apply(registry, &document, given_value(&ctl->given, "set", NULL), false, false, &reply);
    if (r != 0)
        return ctl_refused(ctl, r, "import");
    return ctl->output.json ? ctl_reply(ctl, reply) : changes_print(&ctl->output, reply, "nothing has changed");
}

static int import_end(Ctl *ctl, Taken *taken, const Problems *problems)
{
    if (!taken->keep) {
        int r = taken_finish(taken);
        if (r < 0)
            return r;
    }
    ctl_tell_problems("import", problems);
    if (taken->keep && problems->errors > 0)
        ctl_tell("import", "mend the file, or apply the YAML of what could be taken", "%zu error%s, nothing was applied",
                 problems->errors, problems->errors == 1 ? "" : "s");
    if (problems->errors > 0)
        return EXIT_NO;
    return taken->keep ? import_apply(ctl, taken) : EXIT_DONE;
}

static int import_run(Ctl *ctl)
{
    const char *path = ctl->given.operands[0];
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(taken_release) Taken taken = {.json = ctl->output.json, .keep = given_has(&ctl->given, "apply")};
    _cleanup_(import_release) Import import = {
        .file = strcmp(path, "-") == 0 ? "stdin" : path,
        .in_box = given_has(&ctl->given, "in-box"),
        .problems = &problems,
        .on_service = taken_on_service,
        .userdata = &taken,
    };

    if (given_has(&ctl->given, "set") && !taken.keep)
        return ctl_usage(ctl, "--set", "give --apply too", "goes with --apply alone");
    int r = reg_file_read(path, import_key, &import, &problems);
    if (r < 0 && r != -ENOMEM && r != -EPIPE && import.count == 0 && problems.count == 0) {
        ctl_tell(path, "give the path of a .reg file, or - for what comes on standard input", "cannot be read: %s", strerror(-r));
        return EXIT_NO;
    }
    return r < 0 ? r : import_end(ctl, &taken, &problems);
}

static const Option import_options[] = {
    {.name = "apply", .help = "Apply them as a set, in place of printing them; nothing is applied where there was an error."},
    {.name = "set", .argument = "NAME", .help = "The set of --apply, in place of default."},
    {.name = "in-box", .help = "Take Windows' own services, too."},
    {0},
};

const Verb verb_import = {
    .name = "import",
    .group = VERBS_OF_FILES,
    .synopsis = "FILE [--apply [--set NAME]] [--in-box]",
    .help = "Turn a .reg file of a Windows host into services",
    .description = "Prints YAML that apply can read. FILE is what regedit exports, or was written by hand: UTF-16 or UTF-8; - is "
                   "standard input. A service is called as its Purpose says, else its ElementName, else port-N. What is not "
                   "taken is told with its line: keys elsewhere, keys that are to be removed, two keys of one GUID, Windows' "
                   "own. Exits 1 where a line could not be read.",
    .options = import_options,
    .operands = COMPLETES_FILES,
    .operand = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .run = import_run,
};
