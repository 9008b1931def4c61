/* SPDX-License-Identifier: Apache-2.0 */
/* Completion for fish: complete(1). */

#include "ctl/completion.h"

static void fish_write_action(Completes completes, const char *const *words, Buffer *text)
{
    static const char *const actions[] = {
        [COMPLETES_FOLDERS] = "(__fish_complete_directories)",   [COMPLETES_COMMANDS] = "(__fish_complete_command)",
        [COMPLETES_USERS] = "(__fish_complete_users)",           [COMPLETES_GROUPS] = "(__fish_complete_groups)",
        [COMPLETES_PROCESSES] = "(__fish_complete_pids)",        [COMPLETES_SERVICES] = "(__hvsockctl_ask list)",
        [COMPLETES_MACHINES] = "(__hvsockctl_ask machine list)",
    };

    if (completes == COMPLETES_WORDS) {
        buffer_append_text(text, " -a '");
        completion_write_words(words, text);
        buffer_append_char(text, '\'');
    } else if (completes == COMPLETES_FILES) {
        buffer_append_text(text, " -F");
    } else if (completes) {
        buffer_printf(text, " -a '%s'", actions[completes]);
    }
}

static void fish_write_leaf(const CompletionLeaf *leaf, Buffer *text)
{
    for (size_t i = 0; i < leaf->options.count; i++) {
        const Option *option = &leaf->options.items[i];
        buffer_printf(text, "complete -c hvsockctl -n '__hvsockctl_verb %s' -l %s", leaf->words, option->name);
        if (option->letter)
            buffer_printf(text, " -s %c", option->letter);
        if (option->argument)
            buffer_append_text(text, option->completes == COMPLETES_FILES ? " -r" : " -x");
        fish_write_action(option->completes, option->words, text);
        buffer_append_text(text, " -d '");
        completion_write_help(option->help, "\\", "\\'", text);
        buffer_append_text(text, "'\n");
    }
    if (leaf->verb->operands) {
        buffer_printf(text, "complete -c hvsockctl -n '__hvsockctl_verb %s'", leaf->words);
        fish_write_action(leaf->verb->operands, leaf->verb->operand_words, text);
        buffer_append_char(text, '\n');
    }
}

static void fish_write_verbs(const Verb *const *table, const char *parent, Buffer *text)
{
    for (; *table; table++) {
        buffer_printf(text, "complete -c hvsockctl -n '__hvsockctl_verb%s%s' -a %s -d '", parent[0] ? " " : "", parent,
                      (*table)->name);
        completion_write_help((*table)->help, "\\", "\\'", text);
        buffer_append_text(text, "'\n");
        if ((*table)->verbs)
            fish_write_verbs((*table)->verbs, (*table)->name, text);
    }
}

void completion_write_fish(Buffer *text)
{
    buffer_append_text(text, "# fish completion for hvsockctl, made by `hvsockctl completion fish`.\n"
                             "\n"
                             "# Names, of the daemon that the command line means.\n"
                             "function __hvsockctl_ask\n"
                             "    set -l words (commandline -opc)\n"
                             "    set -l at (contains -i -- --socket $words)\n"
                             "    and set -l socket --socket $words[(math $at + 1)]\n"
                             "    hvsockctl $socket $argv -o NAME --no-headings 2>/dev/null\n"
                             "end\n\n"
                             "# Whether these are the words of the verb so far.\n"
                             "function __hvsockctl_verb\n"
                             "    set -l words\n"
                             "    set -l skip 0\n"
                             "    for word in (commandline -opc)[2..]\n"
                             "        if test $skip = 1\n"
                             "            set skip 0\n"
                             "        else if test \"$word\" = --socket\n"
                             "            set skip 1\n"
                             "        else if not string match -q -- '-*' \"$word\"\n"
                             "            set -a words $word\n"
                             "        end\n"
                             "    end\n"
                             "    set -l two");
    for (size_t i = 0; verbs[i]; i++)
        if (verbs[i]->verbs)
            buffer_printf(text, " %s", verbs[i]->name);
    buffer_append_text(text, "\n"
                             "    if contains -- \"$words[1]\" $two\n"
                             "        test \"$words[1..2]\" = \"$argv\"\n"
                             "    else\n"
                             "        test \"$words[1]\" = \"$argv\"\n"
                             "    end\n"
                             "end\n\n"
                             "complete -c hvsockctl -f\n");
    fish_write_verbs(verbs, "", text);
    completion_each_leaf(fish_write_leaf, text);
}
