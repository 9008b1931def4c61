/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl log: who did what, when. */

#include <errno.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "schema/base/text.h"

typedef struct LogReader {
    Output lines;
    const OutputOptions *options;
    bool follows;
    json_int_t uid; /* whose name this is */
    char user[64];
} LogReader;

static const char *entry_text(const json_t *entry, const char *key)
{
    return json_string_value(json_object_get(entry, key));
}

static const char *user_name(LogReader *reader, json_int_t uid)
{
    const struct passwd *user = uid == reader->uid ? NULL : getpwuid((uid_t)uid);

    if (uid != reader->uid && user)
        snprintf(reader->user, sizeof(reader->user), "%s", user->pw_name);
    else if (uid != reader->uid)
        snprintf(reader->user, sizeof(reader->user), "%lld", (long long)uid);
    reader->uid = uid;
    return reader->user;
}

/* `2026-11-20T23:59:00.123Z root hvsockctl[812] registered guest-log: file:/etc/…` */
static int log_on_entry(const char *json, size_t size_bytes, void *userdata)
{
    LogReader *reader = userdata;
    Buffer line = {0};
    char *text;
    int r = 0;

    if (reader->options->json)
        return output_add(json, size_bytes, &reader->lines);
    json_t *entry = json_loadb(json, size_bytes, 0, NULL);
    if (!entry)
        return -EBADMSG;
    const char *time = entry_text(entry, "time"), *program = entry_text(entry, "program"), *action = entry_text(entry, "action");
    const char *name = entry_text(entry, "service"), *machine = entry_text(entry, "machine"), *more = entry_text(entry, "text");
    buffer_printf(&line, "%s %s %s[%lld] %s", time ? time : "", user_name(reader, json_integer_value(json_object_get(entry, "userId"))),
                  program ? program : "", (long long)json_integer_value(json_object_get(entry, "processId")), action ? action : "");
    if (name || machine)
        buffer_printf(&line, " %s%s%s", name ? name : "", name && machine ? "@" : "", machine ? machine : "");
    if (more)
        buffer_printf(&line, ": %s", more);
    json_decref(entry);
    r = buffer_take(&line, &text, NULL);
    if (r < 0)
        return r;
    output_line(text);
    free(text);
    return (reader->follows && fflush(stdout) == EOF) || ferror(stdout) ? -errno : 0;
}

/* A time, a day, or how long ago: `2026-11-20T08:00:00Z`, `2026-11-20`, `90min`. */
static bool since_parse(const char *text, char since[static TIME_TEXT_SIZE_BYTES])
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
    size_t digits = strspn(text, "0123456789");
    uint64_t count, now_us = time_now_us(), since_us;
    char day[32];

    for (size_t i = 0; digits > 0 && i < ELEMENTS_OF(units); i++)
        if (strcmp(text + digits, units[i].name) == 0) {
            if (!text_to_number_sized(text, digits, UINT32_MAX, &count))
                return false;
            uint64_t ago_us = count * units[i].seconds * 1000000;
            time_format(ago_us < now_us ? now_us - ago_us : 0, since);
            return true;
        }
    snprintf(day, sizeof(day), "%sT00:00:00Z", text);
    if (!time_parse(text, &since_us) && (strlen(text) != strlen("2026-11-20") || !time_parse(day, &since_us)))
        return false;
    time_format(since_us, since);
    return true;
}

static int log_run(Ctl *ctl)
{
    LogReader reader = {.options = &ctl->output, .follows = given_has(&ctl->given, "follow"), .uid = -1};
    const char *wanted = given_value(&ctl->given, "since", NULL);
    char since[TIME_TEXT_SIZE_BYTES];
    Registry *registry;

    if (wanted && !since_parse(wanted, since))
        return ctl_usage(ctl, "--since", "a time as 2026-11-20T08:00:00Z, a day as 2026-11-20, or how long ago: 90min, 12h, 3d would be right",
                         "\"%s\" is no time", wanted);
    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = output_open(&ctl->output, OUTPUT_JSON_LINES, NULL, NULL, NULL, &reader.lines);
    if (r == 0)
        r = registry->ops->read_log(registry, wanted ? since : NULL, ctl->given.operands ? ctl->given.operands[0] : NULL, reader.follows, log_on_entry, &reader);
    if (r == 0 && ctl->output.json)
        r = output_close(&reader.lines);
    output_release(&reader.lines);
    return ctl_refused(ctl, r, "log");
}

static const Option log_options[] = {
    {.name = "since", .argument = "TIME", .help = "From then on: a time as 2026-11-20T08:00:00Z, a day, or how long ago: 90min, 12h, 3d."},
    {.name = "follow", .letter = 'f', .help = "Go on with what is done from now on, until it is interrupted."},
    {0},
};

const Verb verb_log = {
    .name = "log",
    .group = VERBS_OF_WATCHING,
    .synopsis = "[--since TIME] [--follow] [NAME]",
    .help = "Print who did what, when",
    .description =
        "A line an entry: the time, the user, the program and its process, what it did, and to which service or machine: who "
        "registered, changed, removed, enabled and disabled, applied and reloaded, took the listeners of what, and who was not "
        "allowed to. With NAME, of that service or machine alone. It is bounded; what lives as long as a process is bounded by "
        "itself. For administrators. With --json one object a line.",
    .options = log_options,
    .operands = COMPLETES_SERVICES,
    .operand = "NAME",
    .operands_max = 1,
    .run = log_run,
};
