/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl: finds the verb that was typed, reads its options, and runs it. hvsockctl(1). */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/help.h"

static void ctl_release(Ctl *ctl)
{
    registry_close(ctl->registry);
    option_set_release(&ctl->options);
    given_release(&ctl->given);
    free(ctl->called);
}

static int main_print(Buffer *text)
{
    char *out;
    size_t size;
    int r = buffer_take(text, &out, &size);

    if (r < 0)
        return r;
    fwrite(out, 1, size, stdout);
    free(out);
    return EXIT_DONE;
}

/* Options before the verb. 0; an ExitStatus: done. */
static int main_read_common(Ctl *ctl, int argc, char **argv)
{
    Buffer wrong = {0};
    int r = option_set_add(&ctl->options, verb_options_common);

    if (r >= 0)
        r = option_set_add_one(&ctl->options, &(Option){.name = "yaml", .help = ""});
    if (r >= 0)
        r = option_set_add_one(&ctl->options, &(Option){.name = "version", .help = ""});
    if (r >= 0)
        r = options_parse(&ctl->options, argc, argv, OPTIONS_STOP_AT_OPERAND, &ctl->given, &wrong);
    if (r == OPTIONS_WRONG) {
        buffer_append_char(&wrong, '\0');
        r = ctl_usage(ctl, NULL, "options of a verb come after it, see hvsockctl --help", "%s", wrong.data);
    }
    buffer_release(&wrong);
    option_set_release(&ctl->options);
    return r;
}

/* `machine add`: down to the verb that runs. *index: of what follows it in operands. NULL: told. */
static const Verb *main_find_verb(Ctl *ctl, char *const *operands, size_t *index)
{
    const Verb *verb = NULL;
    const Verb *const *table = verbs;

    for (*index = 0; table && operands[*index] && operands[*index][0] != '-'; table = verb->verbs) {
        const Verb *found = verb_find(table, operands[*index]);
        if (!found) {
            Nearest nearest = nearest_to(operands[*index]);
            for (size_t i = 0; table[i]; i++)
                nearest_offer(&nearest, table[i]->name);
            ctl_no_such(ctl, ctl->called, "verb", &nearest);
            return NULL;
        }
        verb = found;
        (*index)++;
        Buffer called = {0};
        buffer_printf(&called, "%s%s%s", ctl->called ? ctl->called : "", ctl->called ? " " : "", verb->name);
        free(ctl->called);
        if (buffer_take(&called, &ctl->called, NULL) < 0)
            ctl->called = NULL;
    }
    return verb;
}

static int main_check_operands(const Ctl *ctl)
{
    const Verb *verb = ctl->verb;
    size_t count = ctl->given.operand_count;
    const char *operand = verb->operand ? verb->operand : "operand";

    if (count < verb->operands_min)
        return ctl_usage(ctl, ctl->called, NULL, "needs %s", operand);
    if (count > verb->operands_max)
        return ctl_usage(ctl, ctl->called, NULL,
                         verb->operands_max == 0 ? "takes no operand: %s" : "one operand too many: %s",
                         ctl->given.operands[verb->operands_max]);
    if (verb->takes_command && (!ctl->given.command || !ctl->given.command[0]))
        return ctl_usage(ctl, ctl->called, NULL, "needs -- COMMAND");
    if (ctl->output.yaml && !verb->writes_yaml)
        return ctl_usage(ctl, "--yaml", "try --json", "%s writes none", ctl->called);
    if (ctl->output.yaml && ctl->output.json)
        return ctl_usage(ctl, "--yaml", "give one of them", "goes not with --json");
    if (ctl->output.columns_wanted) {
        const Column **columns = NULL;
        _cleanup_(freep) char *unknown = NULL;
        int r = output_columns(verb->columns, ctl->output.columns_wanted, &columns, &unknown);
        if (r == OUTPUT_NO_COLUMN) {
            Nearest nearest = nearest_to(unknown);
            for (size_t i = 0; verb->columns[i]; i++)
                nearest_offer(&nearest, verb->columns[i]->name);
            return ctl_no_such(ctl, "--columns", "column", &nearest);
        }
        free((void *)(uintptr_t)columns);
        return r;
    }
    return 0;
}

static void main_set_output(Ctl *ctl)
{
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");

    ctl->output.json = given_has(&ctl->given, "json");
    ctl->output.yaml = given_has(&ctl->given, "yaml");
    ctl->output.no_headings = given_has(&ctl->given, "no-headings");
    ctl->output.columns_wanted = given_value(&ctl->given, "columns", NULL);
    ctl->output.terminal = isatty(STDOUT_FILENO);
    /* no-color.org: set and not empty. */
    ctl->output.colours = ctl->output.terminal && !given_has(&ctl->given, "no-color") && !(no_color && no_color[0]) &&
                          !(terminal && strcmp(terminal, "dumb") == 0);
}

/* argv[0] is the last word of the verb. */
static int main_run_verb(Ctl *ctl, int argc, char **argv)
{
    Buffer wrong = {0}, help = {0};
    int r = verb_options(ctl->verb, &ctl->options);

    if (r < 0)
        return r;
    /* --yaml is taken everywhere, to say where it is not. */
    if (!ctl->verb->writes_yaml)
        r = option_set_add_one(&ctl->options, &(Option){.name = "yaml", .help = ""});
    if (r >= 0)
        r = options_parse(&ctl->options, argc, argv, ctl->verb->takes_command ? OPTIONS_COMMAND : 0, &ctl->given,
                          &wrong);
    if (!ctl->verb->writes_yaml)
        ctl->options.count--;
    if (r == OPTIONS_WRONG) {
        buffer_append_char(&wrong, '\0');
        r = ctl_usage(ctl, NULL, NULL, "%s", wrong.data);
    }
    buffer_release(&wrong);
    if (r != 0)
        return r;
    if (given_has(&ctl->given, "help")) {
        r = help_verb(ctl->verb, ctl->called, &ctl->options, &help);
        return r < 0 ? r : main_print(&help);
    }
    if (!ctl->verb->run)
        return ctl_usage(ctl, ctl->called, NULL, "needs a verb");
    main_set_output(ctl);
    r = main_check_operands(ctl);
    return r != 0 ? r : ctl->verb->run(ctl);
}

/* `hvsockctl help machine add` is `hvsockctl machine add --help`. */
static int main_help(Ctl *ctl, char *const *operands)
{
    size_t words = 0;
    Buffer help = {0};

    if (!operands[0]) {
        int r = help_all(&help);
        return r < 0 ? r : main_print(&help);
    }
    ctl->verb = main_find_verb(ctl, operands, &words);
    if (!ctl->verb)
        return EXIT_USAGE;
    int r = verb_options(ctl->verb, &ctl->options);
    if (r == 0)
        r = help_verb(ctl->verb, ctl->called, &ctl->options, &help);
    return r < 0 ? r : main_print(&help);
}

static int main_run(Ctl *ctl, int argc, char **argv)
{
    size_t words = 0;
    int r = main_read_common(ctl, argc, argv);

    if (r != 0)
        return r;
    char **operands = argv + argc - ctl->given.operand_count;
    if (ctl->given.operand_count > 0 && strcmp(operands[0], "help") == 0)
        return main_help(ctl, operands + 1);
    if (given_has(&ctl->given, "help") && ctl->given.operand_count == 0)
        return main_help(ctl, operands);
    if (given_has(&ctl->given, "version") && ctl->given.operand_count == 0)
        return printf("hvsockctl %s\n", HVSOCK_VERSION) < 0 ? -EIO : EXIT_DONE;
    if (ctl->given.operand_count == 0)
        return ctl_usage(ctl, NULL, "see hvsockctl --help", "needs a verb");
    ctl->verb = main_find_verb(ctl, operands, &words);
    if (!ctl->verb)
        return EXIT_USAGE;
    int rest = (int)(ctl->given.operand_count - words);
    free(ctl->given.operands);
    ctl->given.operands = NULL;
    ctl->given.operand_count = 0;
    return main_run_verb(ctl, rest + 1, argv + argc - rest - 1);
}

/* Started without stdin, stdout or stderr, a socket would become one of them. */
static void main_open_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return;
}

int main(int argc, char **argv)
{
    _cleanup_(ctl_release) Ctl ctl = {0};

    main_open_standard_fds();
    int r = main_run(&ctl, argc, argv);

    if (r >= 0 && (fflush(stdout) == EOF || ferror(stdout)))
        r = -errno;
    if (r == -EPIPE)
        return EXIT_DONE; /* nobody reads any more: as with SIGPIPE, where that is not ignored */
    if (r < 0) {
        ctl_tell(ctl.called, NULL, "%s", strerror(-r));
        return EXIT_USAGE;
    }
    return r;
}
