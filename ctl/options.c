/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the command line; they live as long as the command. Operands and options may be mixed; `--` ends options.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/options.h"
#include "schema/base/text.h"
#include "schema/codec/nearest.h"

int option_set_add_one(OptionSet *set, const Option *option)
{
    Option *items = reallocarray(set->items, set->count + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    set->items = items;
    set->items[set->count++] = *option;
    return 0;
}

int option_set_add(OptionSet *set, const Option *table)
{
    for (; table && table->name; table++) {
        int r = option_set_add_one(set, table);
        if (r < 0)
            return r;
    }
    return 0;
}

const char *option_set_keep(OptionSet *set, char *text_consume)
{
    _cleanup_(freep) char *text = text_consume;
    size_t count = text_list_count(set->texts);

    if (!text)
        return NULL;
    char **texts = reallocarray(set->texts, count + 2, sizeof(*texts));
    if (!texts)
        return NULL;
    set->texts = texts;
    texts[count] = TAKE_PTR(text);
    texts[count + 1] = NULL;
    return texts[count];
}

void option_set_release(OptionSet *set)
{
    free(set->items);
    text_list_free(set->texts);
    *set = (OptionSet){0};
}

void given_release(Given *given)
{
    free(given->options);
    free(given->operands);
    *given = (Given){0};
}

static int given_add_option(Given *given, const char *name, const char *value)
{
    struct GivenOption *options = reallocarray(given->options, given->option_count + 1, sizeof(*options));

    if (!options)
        return -ENOMEM;
    given->options = options;
    options[given->option_count++] = (struct GivenOption){.name = name, .value = value};
    return 0;
}

static int given_add_operand(Given *given, char *operand)
{
    char **operands = reallocarray(given->operands, given->operand_count + 2, sizeof(*operands));

    if (!operands)
        return -ENOMEM;
    given->operands = operands;
    operands[given->operand_count++] = operand;
    operands[given->operand_count] = NULL;
    return 0;
}

bool given_has(const Given *given, const char *name)
{
    for (size_t i = 0; i < given->option_count; i++)
        if (strcmp(given->options[i].name, name) == 0)
            return true;
    return false;
}

const char *given_value(const Given *given, const char *name, const char *fallback)
{
    for (size_t i = given->option_count; i > 0; i--)
        if (strcmp(given->options[i - 1].name, name) == 0)
            return given->options[i - 1].value;
    return fallback;
}

/* getopt's answer for the option at this index of the set; letters answer for themselves. */
#define OPTION_CODE_FIRST 0x100

static const Option *option_by_code(const OptionSet *set, int code)
{
    if (code >= OPTION_CODE_FIRST)
        return &set->items[code - OPTION_CODE_FIRST];
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].letter && set->items[i].letter == code)
            return &set->items[i];
    return NULL;
}

/* `--pr` fits both --prune and --print: getopt answers the same for that and for what is unknown. */
static void options_tell_unknown(const OptionSet *set, const char *typed, int letter, Buffer *wrong)
{
    size_t size = strcspn(typed, "="), fits = 0;

    if (!text_starts_with(typed, "--")) {
        buffer_printf(wrong, "-%c: unknown option", letter);
        return;
    }
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)size - 2, typed + 2);
    Nearest nearest = nearest_to(name);
    for (size_t i = 0; i < set->count; i++) {
        fits += strncmp(set->items[i].name, typed + 2, size - 2) == 0;
        nearest_offer(&nearest, set->items[i].name);
    }
    buffer_printf(wrong, "%.*s: %s option", (int)size, typed, fits > 1 ? "ambiguous" : "unknown");
    if (fits <= 1 && nearest.best)
        buffer_printf(wrong, ", perhaps --%s", nearest.best);
}

static void options_tell_wrong(const OptionSet *set, const char *typed, int answer, int code, Buffer *wrong)
{
    const Option *option = code ? option_by_code(set, code) : NULL;

    if (!option)
        options_tell_unknown(set, typed, code, wrong);
    else if (answer == ':')
        buffer_printf(wrong, "--%s: needs %s", option->name, option->argument);
    else
        buffer_printf(wrong, "--%s: takes no value", option->name);
}

int options_parse(const OptionSet *set, int argc, char **argv, OptionFlags flags, Given *given, Buffer *wrong)
{
    _cleanup_(freep) struct option *longs = calloc(set->count + 1, sizeof(*longs));
    Buffer letters = {0};
    _cleanup_(freep) char *short_options = NULL;
    int r = 0, at = 1;

    if (!longs)
        return -ENOMEM;
    /* "-": operands come in their order, so that it is known which of them stand before `--`. ":": we tell what is
     * wrong. */
    buffer_append_text(&letters, flags & OPTIONS_STOP_AT_OPERAND ? "+:" : "-:");
    for (size_t i = 0; i < set->count; i++) {
        const Option *option = &set->items[i];
        longs[i] = (struct option){.name = option->name,
                                   .has_arg = option->argument ? required_argument : no_argument,
                                   .val = OPTION_CODE_FIRST + (int)i};
        if (option->letter) {
            buffer_append_char(&letters, option->letter);
            if (option->argument)
                buffer_append_char(&letters, ':');
        }
    }
    r = buffer_take(&letters, &short_options, NULL);
    if (r < 0)
        return r;

    opterr = 0;
    optind = 0; /* glibc: begin anew */
    for (;;) {
        optopt = 0;
        int code = getopt_long(argc, argv, short_options, longs, NULL);
        if (code == -1)
            break;
        if (code == '?' || code == ':') {
            options_tell_wrong(set, argv[optind > at ? optind - 1 : at], code, optopt, wrong);
            return OPTIONS_WRONG;
        }
        at = optind;
        const Option *option = code == 1 ? NULL : option_by_code(set, code);
        if (code == 1)
            r = given_add_operand(given, optarg);
        else if (option && !option->repeats && option->argument && given_has(given, option->name)) {
            buffer_printf(wrong, "--%s: given twice", option->name);
            return OPTIONS_WRONG;
        } else if (option)
            r = given_add_option(given, option->name, optarg);
        if (r < 0)
            return r;
    }
    if (flags & OPTIONS_COMMAND && optind > 1 && optind <= argc && strcmp(argv[optind - 1], "--") == 0) {
        given->command = argv + optind;
        return 0;
    }
    for (; optind < argc && r >= 0; optind++)
        r = given_add_operand(given, argv[optind]);
    return r < 0 ? r : 0;
}
