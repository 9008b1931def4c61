/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl machine: virtual machines, and what they are known by. */

#include "ctl/ctl.h"
#include "ctl/machine-run.h"
#include "ctl/service.h"
#include "schema/model/service.h"

int machine_tell_unknown(const Ctl *ctl, const char *name)
{
    return ctl_usage(ctl, name, "give --cid, --hybrid, --hyperkit or --vm-id", "nothing says what its guest is known by");
}

static int machine_add_run(Ctl *ctl)
{
    const char *name = ctl->given.operands[0];
    _cleanup_(freep) char *reply = NULL;
    _cleanup_(machine_context_freep) MachineContext *context = NULL;
    Registry *registry;
    pid_t ephemeral_pid = 0;
    void *record;

    int r = ctl_read_record(ctl, name, &record);
    if (r != 0)
        return r;
    context = record;
    if (!machine_is_known_by(context))
        return machine_tell_unknown(ctl, name);
    r = ctl_ephemeral_pid(ctl, &ephemeral_pid);
    if (r == 0)
        r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = registry->ops->add_machine(registry, context, ephemeral_pid, &reply);
    return r != 0 ? ctl_refused(ctl, r, name) : ctl_reply(ctl, reply);
}

static int machine_remove_call(Registry *registry, const char *name, char **ret_reply)
{
    return registry->ops->remove_machine(registry, name, ret_reply);
}

static int machine_remove_run(Ctl *ctl)
{
    return ctl_each_name(ctl, machine_remove_call);
}

static int machine_list_run(Ctl *ctl)
{
    _cleanup_(output_release) Output output = {0};
    Registry *registry;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = output_open(&ctl->output, output_list_format(&ctl->output), machine_columns, "machines",
                    &record_type_MachineContext, &output);
    if (r < 0)
        return r;
    r = registry->ops->list_machines(registry, output_add, &output);
    return r != 0 ? ctl_refused(ctl, r, "machine list") : output_close(&output);
}

static const FieldOptions machine_fields = {.type = &record_type_MachineContext};

static const Option machine_add_options[] = {
    OPTIONS_EPHEMERAL,
    {0},
};

static const Verb machine_add = {
    .name = "add",
    .synopsis = "NAME [OPTION]...",
    .help = "Make a virtual machine known",
    .description =
        "A machine of that name from the same user is replaced. Services that listen on machine:NAME or machine:* "
        "listen there "
        "when this returns, or say what they wait for. There has to be something that its guest is known by: a CID, a path or a "
        "VM id. Each option is the field of that name in hvsockd.yaml(5).",
    .options = machine_add_options,
    .fields = &machine_fields,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .run = machine_add_run,
};

static const Verb machine_remove = {
    .name = "remove",
    .synopsis = "NAME...",
    .help = "Forget virtual machines",
    .description = "What listens on their own sockets is closed.",
    .operands = COMPLETES_MACHINES,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = OPERANDS_MANY,
    .run = machine_remove_run,
};

static const Verb machine_list = {
    .name = "list",
    .synopsis = "[-o COLUMNS] [--no-headings]",
    .help = "List all virtual machines",
    .description = "Sorted by name. With --json an array of Machine, with --yaml what apply can read.",
    .columns = machine_columns,
    .writes_yaml = true,
    .run = machine_list_run,
};

static const Verb *const machine_verbs[] = {&machine_add, &machine_remove, &machine_list, &machine_run, NULL};

const Verb verb_machine = {
    .name = "machine",
    .group = VERBS_OF_MACHINES,
    .synopsis = "add|remove|list|run [ARG]...",
    .help = "Virtual machines, and what they are known by",
    .verbs = machine_verbs,
};
