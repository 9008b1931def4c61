/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl status: the daemon itself. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "ctl/ctl.h"

#define TIMEOUT_MS 30000

static const struct {
    const char *member, *label;
} status_lines[] = {
    {"version", "version"},   {"processId", "process"},   {"keeperProcessId", "keeper"}, {"startedAt", "started"}, {"services", "services"},
    {"machines", "machines"}, {"listeners", "listeners"}, {"leases", "leases"},
    {"programs", "programs"},
};

static void status_print_value(const char *label, const json_t *value)
{
    char *text = NULL;

    if (json_is_string(value)) {
        if (asprintf(&text, "%-14s%s", label, json_string_value(value)) < 0)
            return;
    } else if (asprintf(&text, "%-14s%lld", label, (long long)json_integer_value(value)) < 0) {
        return;
    }
    output_line(text);
    free(text);
}

static int status_print(const Ctl *ctl, const char *reply)
{
    json_t *status = json_loads(reply, 0, NULL);
    const json_t *folders = json_object_get(status, "configuration"), *errors = json_object_get(status, "errors");

    if (!json_is_object(status)) {
        json_decref(status);
        return -EBADMSG;
    }
    printf("%-14s%s\n", "socket:", ctl->registry->where);
    for (size_t i = 0; i < ELEMENTS_OF(status_lines); i++) {
        char label[32];
        snprintf(label, sizeof(label), "%s:", status_lines[i].label);
        if (json_object_get(status, status_lines[i].member))
            status_print_value(label, json_object_get(status, status_lines[i].member));
    }
    for (size_t i = 0; i < json_array_size(folders); i++)
        status_print_value(i == 0 ? "files:" : "", json_array_get(folders, i));
    if (json_array_size(errors) > 0)
        printf("%serrors:%s\n", output_colour(&ctl->output, "red"), output_colour(&ctl->output, "reset"));
    for (size_t i = 0; i < json_array_size(errors); i++)
        status_print_value("", json_array_get(errors, i));
    json_decref(status);
    return EXIT_DONE;
}

static int status_run(Ctl *ctl)
{
    _cleanup_(freep) char *reply = NULL;
    Registry *registry;

    int r = ctl_open_within(ctl, TIMEOUT_MS, &registry);
    if (r != 0)
        return ctl_refused(ctl, r, NULL);
    r = registry->ops->status(registry, &reply);
    if (r != 0)
        return ctl_refused(ctl, r, "status");
    return ctl->output.json ? ctl_reply(ctl, reply) : status_print(ctl, reply);
}

const Verb verb_status = {
    .name = "status",
    .group = VERBS_OF_WATCHING,
    .synopsis = "",
    .help = "Show what the daemon is and holds, and what is wrong with it",
    .description = "Its version, process, counts, the folders it reads, and what it could not read: while a file is "
                   "bad, the last good ones hold.",
    .run = status_run,
};
