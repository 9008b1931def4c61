/* SPDX-License-Identifier: Apache-2.0 */
/* One run of hvsockctl: messages on stderr, the registry, replies. Lives as long as the program. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/json.h"
#include "ctl/service.h"
#include "schema/base/text.h"

static void ctl_print_error(Buffer *text)
{
    char *line;

    /* What was written before it, on stdout, is seen before it. */
    fflush(stdout);
    if (buffer_take(text, &line, NULL) < 0)
        return;
    output_defuse(line);
    fprintf(stderr, "%s\n", line);
    fflush(stderr); /* where it is buffered: Windows */
    free(line);
}

static void _printf_(3, 0) ctl_vtell(const char *what, const char *hint, const char *why_format, va_list arguments)
{
    Buffer text = {0};

    buffer_append_text(&text, "hvsockctl: ");
    if (what)
        buffer_printf(&text, "%s: ", what);
    buffer_vprintf(&text, why_format, arguments);
    if (hint)
        buffer_printf(&text, "; %s", hint);
    ctl_print_error(&text);
}

void ctl_tell(const char *what, const char *hint, const char *why_format, ...)
{
    va_list arguments;

    va_start(arguments, why_format);
    ctl_vtell(what, hint, why_format, arguments);
    va_end(arguments);
}

int ctl_usage(const Ctl *ctl, const char *what, const char *hint, const char *why_format, ...)
{
    char see[160];
    va_list arguments;

    snprintf(see, sizeof(see), "see hvsockctl%s%s --help", ctl->called ? " " : "", ctl->called ? ctl->called : "");
    va_start(arguments, why_format);
    ctl_vtell(what, hint ? hint : see, why_format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

int ctl_no_such(const Ctl *ctl, const char *what, const char *kind, const Nearest *nearest)
{
    return ctl_usage(ctl, what, NULL, "there is no %s \"%s\"%s%s", kind, nearest->word, nearest->best ? ", perhaps " : "",
                     nearest->best ? nearest->best : "");
}

void ctl_tell_problems(const char *what, const Problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const Problem *problem = &problems->items[i];
        Buffer text = {0};
        if (!problem->file)
            buffer_printf(&text, "hvsockctl: %s%s", what ? what : "", what ? ": " : "");
        problem_format(problem, &text);
        ctl_print_error(&text);
    }
    if (problems->dropped > 0)
        ctl_tell(what, "mend these first", "%zu more problems", problems->dropped);
}

int ctl_read_record(Ctl *ctl, const char *name, void **ret)
{
    _cleanup_(problems_release) Problems problems = {0};
    int r = fields_read(ctl->verb->fields, &ctl->options, name, &ctl->given, &problems, ret);

    if (r != FIELDS_INVALID)
        return r;
    ctl_tell_problems(name, &problems);
    return EXIT_USAGE;
}

/* ---- the registry ---- */

int ctl_open_within(Ctl *ctl, int timeout_ms, Registry **ret)
{
    if (!ctl->registry) {
        int r = registry_of_host->open(given_value(&ctl->given, "socket", NULL), timeout_ms, &ctl->registry);
        if (r != 0)
            return r;
    } else if (ctl->registry->ops->set_timeout) {
        ctl->registry->ops->set_timeout(ctl->registry, timeout_ms);
    }
    *ret = ctl->registry;
    return 0;
}

int ctl_open(Ctl *ctl, Registry **ret)
{
    int r = ctl_open_within(ctl, -1, ret);

    return r == 0 ? 0 : ctl_refused(ctl, r, NULL);
}

/* ---- replies ---- */

int ctl_reply(const Ctl *ctl, const char *reply)
{
    const char *service;
    size_t size;

    if (ctl->output.json)
        output_json(&ctl->output, reply, strlen(reply));
    else if (ctl_reply_member(reply, "service", &service, &size))
        return service_tell(service, size, false);
    return EXIT_DONE;
}

int ctl_each_name(Ctl *ctl, int (*call)(Registry *registry, const char *name, char **ret_reply))
{
    Registry *registry;
    int status = EXIT_DONE;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    for (size_t i = 0; i < ctl->given.operand_count; i++) {
        _cleanup_(freep) char *reply = NULL;
        r = call(registry, ctl->given.operands[i], &reply);
        bool absent = r == REGISTRY_ABSENT;
        r = r == 0 ? ctl_reply(ctl, reply) : ctl_refused(ctl, r, ctl->given.operands[i]);
        if (r < 0 || absent)
            return r;
        status = r > status ? r : status;
    }
    return status;
}

bool ctl_reply_member(const char *reply, const char *key, const char **ret_value, size_t *ret_size_bytes)
{
    return json_member(reply, strlen(reply), key, ret_value, ret_size_bytes) &&
           !(*ret_size_bytes == 4 && memcmp(*ret_value, "null", 4) == 0);
}

int ctl_ephemeral_pid(const Ctl *ctl, pid_t *ret)
{
    const char *text = given_value(&ctl->given, "pid", NULL);
    uint64_t pid = 0;

    if (!given_has(&ctl->given, "ephemeral")) {
        if (text)
            return ctl_usage(ctl, "--pid", "give --ephemeral too", "goes with --ephemeral alone");
    } else if (!text) {
        pid = (uint64_t)getppid();
    } else if (!text_to_number(text, INT32_MAX, &pid) || pid == 0) {
        return ctl_usage(ctl, "--pid", "give the number of a process", "\"%s\" is not a process id", text);
    }
    *ret = (pid_t)pid;
    return 0;
}

int ctl_become(const Ctl *ctl)
{
    fflush(stdout);
    execvp(ctl->given.command[0], ctl->given.command);
    int error = errno;
    ctl_tell(ctl->given.command[0],
             error == ENOENT   ? "give its path, or look at PATH"
             : error == EACCES ? "look at its mode, and at those of the folders that it is in"
                               : NULL,
             "cannot be started: %s", strerror(error));
    return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}
