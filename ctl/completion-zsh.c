/* SPDX-License-Identifier: Apache-2.0 */
/* Completion for zsh: _arguments and _describe, zshcompsys(1). */

#include "ctl/completion.h"

#define ZSH_QUOTE "'\\''"

static void zsh_write_action(Completes completes, const char *const *words, Buffer *text)
{
    static const char *const actions[] = {
        [COMPLETES_NOTHING] = " ",
        [COMPLETES_FILES] = "_files",
        [COMPLETES_FOLDERS] = "_files -/",
        [COMPLETES_COMMANDS] = "_command_names -e",
        [COMPLETES_USERS] = "_users",
        [COMPLETES_GROUPS] = "_groups",
        [COMPLETES_PROCESSES] = "_pids",
        [COMPLETES_SERVICES] = "_hvsockctl_ask list",
        [COMPLETES_MACHINES] = "_hvsockctl_ask machine list",
    };

    if (completes == COMPLETES_WORDS) {
        buffer_append_char(text, '(');
        completion_write_words(words, text);
        buffer_append_char(text, ')');
    } else {
        buffer_append_text(text, actions[completes]);
    }
}

static void zsh_write_option(const Option *option, Buffer *text)
{
    buffer_append_text(text, " \\\n            '");
    if (option->repeats)
        buffer_append_char(text, '*');
    buffer_printf(text, "--%s%s[", option->name, option->argument ? "=" : "");
    completion_write_help(option->help, "[]:\\", ZSH_QUOTE, text);
    buffer_append_char(text, ']');
    if (option->argument) {
        buffer_printf(text, ":%s:", option->argument);
        zsh_write_action(option->completes, option->words, text);
    }
    buffer_append_char(text, '\'');
}

static void zsh_write_leaf(const CompletionLeaf *leaf, Buffer *text)
{
    const Verb *verb = leaf->verb;

    buffer_printf(text, "    '%s')\n        _arguments -s", leaf->words);
    for (size_t i = 0; i < leaf->options.count; i++)
        zsh_write_option(&leaf->options.items[i], text);
    if (verb->operands_max > 0) {
        buffer_printf(text, " \\\n            '*:%s:", verb->operand ? verb->operand : "operand");
        zsh_write_action(verb->operands, verb->operand_words, text);
        buffer_append_char(text, '\'');
    }
    buffer_append_text(text, "\n        ;;\n");
}

static void zsh_write_verbs(const Verb *const *table, Buffer *text)
{
    for (; *table; table++) {
        buffer_printf(text, "            '%s:", (*table)->name);
        completion_write_help((*table)->help, ":\\", ZSH_QUOTE, text);
        buffer_append_text(text, "'\n");
    }
}

void completion_write_zsh(Buffer *text)
{
    buffer_append_text(text, "#compdef hvsockctl\n"
                             "# zsh completion for hvsockctl, made by `hvsockctl completion zsh`.\n"
                             "\n"
                             "# Names, of the daemon that the command line means.\n"
                             "_hvsockctl_ask()\n{\n"
                             "    local -a names\n"
                             "    names=(${(f)\"$(hvsockctl ${opt_args[--socket]:+--socket ${opt_args[--socket]}} "
                             "\"$@\" -o NAME --no-headings 2>/dev/null)\"})\n"
                             "    compadd -a names\n"
                             "}\n\n"
                             "_hvsockctl()\n{\n"
                             "    local verb='' i\n"
                             "    local -a list\n"
                             "    integer at=0 dashes=${words[(i)--]}\n"
                             "    for ((i = 2; i < CURRENT; i++)); do\n"
                             "        case $words[i] in\n"
                             "        --socket) ((i++)) ;;\n"
                             "        -*) ;;\n"
                             "        *)\n"
                             "            case $verb in\n"
                             "            '') verb=$words[i]; at=i ;;\n");
    for (size_t i = 0; verbs[i]; i++)
        if (verbs[i]->verbs)
            buffer_printf(text, "            %s) verb=\"%s $words[i]\"; at=i ;;\n", verbs[i]->name, verbs[i]->name);
    buffer_append_text(text, "            esac\n"
                             "            ;;\n"
                             "        esac\n"
                             "    done\n"
                             "    if ((at > 0)); then\n"
                             "        if ((dashes < CURRENT)); then\n"
                             "            shift $dashes words\n"
                             "            ((CURRENT -= dashes))\n"
                             "            _normal\n"
                             "            return\n"
                             "        fi\n"
                             "        shift $((at - 1)) words\n"
                             "        ((CURRENT -= at - 1))\n"
                             "    fi\n"
                             "    case $verb in\n"
                             "    '')\n"
                             "        list=(\n");
    zsh_write_verbs(verbs, text);
    buffer_append_text(text, "        )\n        _describe verb list\n        ;;\n");
    for (size_t i = 0; verbs[i]; i++) {
        if (!verbs[i]->verbs)
            continue;
        buffer_printf(text, "    %s)\n        list=(\n", verbs[i]->name);
        zsh_write_verbs(verbs[i]->verbs, text);
        buffer_append_text(text, "        )\n        _describe verb list\n        ;;\n");
    }
    completion_each_leaf(zsh_write_leaf, text);
    buffer_append_text(text, "    esac\n}\n\n_hvsockctl \"$@\"\n");
}
