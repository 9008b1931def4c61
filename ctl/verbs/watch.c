/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl watch: what happens, as it happens. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "ctl/ctl.h"

typedef struct Watcher {
    Output lines;
    const OutputOptions *options;
} Watcher;

static const char *event_text(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));

    return text ? text : "";
}

/* `2026-11-20T23:59:00.123Z acquired: process 123 has guest-log`; each is out at once. */
static int watch_on_event(const char *json, size_t size_bytes, void *userdata)
{
    Watcher *watcher = userdata;
    Buffer line = {0};
    char *text;

    if (watcher->options->json)
        return output_add(json, size_bytes, &watcher->lines);
    json_t *event = json_loadb(json, size_bytes, 0, NULL);
    if (!event)
        return -EBADMSG;
    buffer_printf(&line, "%s %s: %s", event_text(event, "time"), event_text(event, "kind"), event_text(event, "text"));
    json_decref(event);
    int r = buffer_take(&line, &text, NULL);
    if (r < 0)
        return r;
    output_line(text);
    free(text);
    return fflush(stdout) == EOF ? -errno : 0;
}

static int watch_run(Ctl *ctl)
{
    Watcher watcher = {.options = &ctl->output};
    Registry *registry;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = output_open(&ctl->output, OUTPUT_JSON_LINES, NULL, NULL, NULL, &watcher.lines);
    if (r == 0)
        r = registry->ops->watch(registry, watch_on_event, &watcher);
    output_release(&watcher.lines);
    return ctl_refused(ctl, r, "watch");
}

const Verb verb_watch = {
    .name = "watch",
    .group = VERBS_OF_WATCHING,
    .synopsis = "",
    .help = "Print what happens, as it happens",
    .description = "One line an event, until it is interrupted or the daemon goes away. With --json one object a line.",
    .run = watch_run,
};
