/* SPDX-License-Identifier: Apache-2.0 */
/* Completion for bash, with and without the package bash-completion. */

#include "ctl/completion.h"

/* A shell command that offers candidates. */
static void bash_write_candidates(Completes completes, const char *const *words, Buffer *text)
{
    static const char *const actions[] = {
        [COMPLETES_FILES] = "-f",
        [COMPLETES_FOLDERS] = "-d",
        [COMPLETES_COMMANDS] = "-c",
        [COMPLETES_USERS] = "-u",
        [COMPLETES_GROUPS] = "-g",
        [COMPLETES_PROCESSES] = "-W \"$(cd /proc && echo [1-9]*)\"",
        [COMPLETES_SERVICES] = "-W \"$(_hvsockctl_ask list)\"",
        [COMPLETES_MACHINES] = "-W \"$(_hvsockctl_ask machine list)\"",
    };

    buffer_append_text(text, "_hvsockctl_offer ");
    if (completes == COMPLETES_WORDS) {
        buffer_append_text(text, "-W '");
        completion_write_words(words, text);
        buffer_append_char(text, '\'');
    } else {
        buffer_append_text(text, actions[completes]);
    }
}

static void bash_write_leaf(const CompletionLeaf *leaf, Buffer *text)
{
    const Verb *verb = leaf->verb;

    buffer_printf(text, "    '%s')\n        case $prev in\n", leaf->words);
    for (size_t i = 0; i < leaf->options.count; i++) {
        const Option *option = &leaf->options.items[i];
        if (!option->argument)
            continue;
        buffer_append_text(text, "        ");
        if (option->letter)
            buffer_printf(text, "-%c | ", option->letter);
        buffer_printf(text, "--%s) ", option->name);
        if (option->completes)
            bash_write_candidates(option->completes, option->words, text);
        buffer_append_text(text, option->completes ? "; return ;;\n" : "return ;;\n");
    }
    buffer_append_text(text, "        esac\n        case $cur in\n        -*) _hvsockctl_offer -W '");
    for (size_t i = 0; i < leaf->options.count; i++)
        buffer_printf(text, "%s--%s", i > 0 ? " " : "", leaf->options.items[i].name);
    buffer_append_text(text, "' ;;\n");
    if (verb->operands) {
        buffer_append_text(text, "        *) ");
        bash_write_candidates(verb->operands, verb->operand_words, text);
        buffer_append_text(text, " ;;\n");
    }
    buffer_append_text(text, "        esac\n        ;;\n");
}

void completion_write_bash(Buffer *text)
{
    buffer_append_text(
        text,
        "# bash completion for hvsockctl, made by `hvsockctl completion bash`.\n"
        "# shellcheck shell=bash\n"
        "\n"
        "# Names, of the daemon that the command line means.\n"
        "_hvsockctl_ask()\n{\n"
        "    hvsockctl ${_hvsockctl_socket:+--socket \"$_hvsockctl_socket\"} \"$@\" -o NAME --no-headings 2>/dev/null\n"
        "}\n\n"
        "# _hvsockctl_offer ACTION...: what compgen makes of it.\n"
        "_hvsockctl_offer()\n{\n"
        "    mapfile -t COMPREPLY < <(compgen \"$@\" -- \"$cur\")\n"
        "}\n\n"
        "_hvsockctl()\n{\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb='' i word "
        "_hvsockctl_socket=''\n"
        "    COMPREPLY=()\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        word=${COMP_WORDS[i]}\n"
        "        case $word in\n"
        "        --socket) _hvsockctl_socket=${COMP_WORDS[++i]} ;;\n"
        "        --)\n"
        "            # The command of exec, with its own completion where there is one.\n"
        "            if declare -F _command_offset >/dev/null; then\n"
        "                _command_offset $((i + 1))\n"
        "            else\n"
        "                _hvsockctl_offer -c -f\n"
        "            fi\n"
        "            return\n"
        "            ;;\n"
        "        -*) ;;\n"
        "        *)\n"
        "            case $verb in\n"
        "            '') verb=$word ;;\n");
    for (size_t i = 0; verbs[i]; i++)
        if (verbs[i]->verbs)
            buffer_printf(text, "            %s) verb=\"%s $word\" ;;\n", verbs[i]->name, verbs[i]->name);
    buffer_append_text(text, "            esac\n"
                             "            ;;\n"
                             "        esac\n"
                             "    done\n"
                             "    case $verb in\n"
                             "    '')\n"
                             "        case $prev in\n"
                             "        --socket) _hvsockctl_offer -f; return ;;\n"
                             "        esac\n"
                             "        _hvsockctl_offer -W '");
    completion_write_names(verbs, text);
    for (const Option *option = verb_options_common; option->name; option++)
        buffer_printf(text, " --%s", option->name);
    buffer_append_text(text, "'\n        ;;\n");
    for (size_t i = 0; verbs[i]; i++) {
        if (!verbs[i]->verbs)
            continue;
        buffer_printf(text, "    %s) _hvsockctl_offer -W '", verbs[i]->name);
        completion_write_names(verbs[i]->verbs, text);
        buffer_append_text(text, "' ;;\n");
    }
    completion_each_leaf(bash_write_leaf, text);
    buffer_append_text(text, "    esac\n}\n\ncomplete -o default -F _hvsockctl hvsockctl\n");
}
