/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl check: reads files as the daemon would, and says all that is wrong with them. Needs no daemon. */

#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/files.h"

static void problem_write_json(const Problem *problem, Buffer *text)
{
    buffer_printf(text, "{\"severity\":\"%s\"", problem->warning ? "warning" : "error");
    if (problem->file) {
        buffer_append_text(text, ",\"file\":");
        buffer_append_json(text, problem->file);
    }
    if (problem->line > 0)
        buffer_printf(text, ",\"line\":%u,\"column\":%u", problem->line, problem->column);
    if (problem->field) {
        buffer_append_text(text, ",\"field\":");
        buffer_append_json(text, problem->field);
    }
    buffer_append_text(text, ",\"reason\":");
    buffer_append_json(text, problem->reason);
    if (problem->hint) {
        buffer_append_text(text, ",\"hint\":");
        buffer_append_json(text, problem->hint);
    }
    buffer_append_char(text, '}');
}

static int check_write_json(const Ctl *ctl, const Problems *problems)
{
    _cleanup_(output_release) Output output = {0};
    int r = output_open(&ctl->output, OUTPUT_JSON, NULL, NULL, NULL, &output);

    for (size_t i = 0; i < problems->count && r >= 0; i++) {
        _cleanup_(freep) char *text = NULL;
        Buffer json = {0};
        size_t size;
        problem_write_json(&problems->items[i], &json);
        r = buffer_take(&json, &text, &size);
        if (r >= 0)
            r = output_add(text, size, &output);
    }
    return r < 0 ? r : output_close(&output);
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static int check_sum_up(const Files *files, const Problems *problems)
{
    size_t services, machines, warnings = problems->count + problems->dropped - problems->errors;

    if (problems->errors > 0) {
        ctl_tell("check", NULL, "%zu error%s, %zu warning%s", problems->errors, plural(problems->errors), warnings,
                 plural(warnings));
        return EXIT_NO;
    }
    free(files_records(files, &record_type_ServiceContext, NULL, &services));
    free(files_records(files, &record_type_MachineContext, NULL, &machines));
    printf("good: %zu service%s, %zu machine%s", services, plural(services), machines, plural(machines));
    if (warnings > 0)
        printf(", %zu warning%s", warnings, plural(warnings));
    putchar('\n');
    return EXIT_DONE;
}

static int check_run(Ctl *ctl)
{
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(files_release) Files files = {0};

    int r = files_load(ctl, true, &problems, &files);
    if (r < 0)
        return r;
    if (ctl->output.json) {
        r = check_write_json(ctl, &problems);
        return r < 0 ? r : problems.errors > 0 ? EXIT_NO : EXIT_DONE;
    }
    ctl_tell_problems(NULL, &problems);
    return check_sum_up(&files, &problems);
}

const Verb verb_check = {
    .name = "check",
    .group = VERBS_OF_FILES,
    .synopsis = "[FILE|DIR]...",
    .help = "Say what is wrong with files; needs no daemon",
    .description = "Each problem is a line on stderr: file:line:column: field: why; what would be right. Exits 1 where "
                   "there is an error; warnings "
                   "alone are good: programs, users and groups that this host does not have, and what could not be started. A file called hvsockd.yaml is read as settings. Without FILE: the folders of the "
                   "daemon, where one "
                   "answers, else the system's. With --json an array of problems: severity, file, line, column, field, "
                   "reason, hint.",
    .operands = COMPLETES_FILES,
    .operands_max = OPERANDS_MANY,
    .run = check_run,
};
