/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl version: of this program, and of the daemon where one answers. */

#include <stdio.h>

#include "ctl/ctl.h"

#define TIMEOUT_MS 10000

static int version_run(Ctl *ctl)
{
    _cleanup_(freep) char *status = NULL;
    Registry *registry;
    const char *daemon = NULL;
    size_t size = 0;

    /* Without a daemon, or with one that hangs, there is still a version to tell. */
    if (ctl_open_within(ctl, TIMEOUT_MS, &registry) == 0 && registry->ops->status(registry, &status) == 0)
        ctl_reply_member(status, "version", &daemon, &size);
    if (ctl->output.json) {
        Buffer text = {0};
        char *json;
        buffer_append_text(&text, "{\"hvsockctl\":\"" HVSOCK_VERSION "\"");
        if (daemon) {
            buffer_append_text(&text, ",\"hvsockd\":");
            buffer_append(&text, daemon, size);
        }
        buffer_append_char(&text, '}');
        int r = buffer_take(&text, &json, &size);
        if (r < 0)
            return r;
        output_json(&ctl->output, json, size);
        free(json);
        return EXIT_DONE;
    }
    puts("hvsockctl " HVSOCK_VERSION);
    if (daemon && size > 2)
        printf("hvsockd %.*s (%s)\n", (int)(size - 2), daemon + 1, registry->where);
    return EXIT_DONE;
}

const Verb verb_version = {
    .name = "version",
    .group = VERBS_OF_HELP,
    .synopsis = "",
    .help = "Print the versions of hvsockctl and of the daemon",
    .run = version_run,
};
