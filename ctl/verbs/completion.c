/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl completion: what a shell needs to complete our command lines. */

#include <stdio.h>
#include <string.h>

#include "ctl/completion.h"
#include "ctl/ctl.h"

typedef struct Shell {
    const char *name;
    void (*write)(Buffer *text);
} Shell;

static const Shell completion_shells[] = {
    {"bash", completion_write_bash}, {"zsh", completion_write_zsh}, {"fish", completion_write_fish}};
static const char *const completion_words[] = {"bash", "zsh", "fish", NULL};

static int completion_run(Ctl *ctl)
{
    const char *name = ctl->given.operands[0];
    const Shell *shell = NULL;
    Buffer script = {0}, json = {0};
    char *text;
    size_t size;

    for (size_t i = 0; i < ELEMENTS_OF(completion_shells); i++)
        if (strcmp(completion_shells[i].name, name) == 0)
            shell = &completion_shells[i];
    if (!shell)
        return ctl_usage(ctl, name, "bash, zsh or fish", "no such shell");
    shell->write(&script);
    if (ctl->output.json) {
        buffer_printf(&json, "{\"shell\":\"%s\",\"script\":", name);
        buffer_append_json_sized(&json, script.data ? script.data : "", script.size_bytes);
        buffer_append_char(&json, '}');
        buffer_release(&script);
        script = json;
    }
    int r = buffer_take(&script, &text, &size);
    if (r < 0)
        return r;
    if (ctl->output.json)
        output_json(&ctl->output, text, size);
    else
        fwrite(text, 1, size, stdout);
    free(text);
    return EXIT_DONE;
}

const Verb verb_completion = {
    .name = "completion",
    .group = VERBS_OF_HELP,
    .synopsis = "bash|zsh|fish",
    .help = "Print completion for a shell",
    .description = "For bash, in ~/.bashrc:\n"
                   "  source <(hvsockctl completion bash)",
    .operands = COMPLETES_WORDS,
    .operand_words = completion_words,
    .operand = "bash, zsh or fish",
    .operands_min = 1,
    .operands_max = 1,
    .run = completion_run,
};
