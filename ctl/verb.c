/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up verbs and their options; the tables are constant. */

#include <string.h>

#include "ctl/verb.h"

static const Option option_yaml[] = {
    {.name = "yaml", .help = "Print YAML that apply can read."},
    {0},
};

const Option verb_options_table[] = {
    {.name = "columns",
     .letter = 'o',
     .argument = "COLUMNS",
     .help = "The columns to print, separated by commas; with a + before them, beside those that are always there."},
    {.name = "no-headings", .help = "Print no line of headings."},
    {0},
};

const Verb *verb_find(const Verb *const *table, const char *name)
{
    for (; *table; table++)
        if (strcmp((*table)->name, name) == 0)
            return *table;
    return NULL;
}

int verb_options(const Verb *verb, OptionSet *ret)
{
    _cleanup_(option_set_release) OptionSet set = {0};
    int r = option_set_add(&set, verb->options);

    if (r >= 0 && verb->fields)
        r = fields_add_options(verb->fields, &set);
    if (r >= 0 && verb->columns)
        r = option_set_add(&set, verb_options_table);
    if (r >= 0 && verb->writes_yaml)
        r = option_set_add(&set, option_yaml);
    if (r >= 0)
        r = option_set_add(&set, verb_options_common);
    if (r < 0)
        return r;
    *ret = set;
    set = (OptionSet){0};
    return 0;
}
