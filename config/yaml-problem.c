/* SPDX-License-Identifier: Apache-2.0 */
/* What libyaml says of a broken text, in words that say what would be right. It knows two places: where it gave up, and where
 * that began which it was reading; we name the one that a person has to look at. */

#include <string.h>
#include <yaml.h>

#include "config/yaml-tree.h"

typedef struct Saying Saying;

struct Saying {
    const char *problem;
    const char *context;  /* NULL: any; else how it begins */
    bool at_context;      /* the place is where it began */
    const char *reason;
    const char *hint;
};

static const Saying sayings[] = {
    {"found unexpected end of stream", "while scanning a quoted scalar", true, "the quote that is opened here is never closed",
     "end the text with the quote that it begins with"},
    {"found unexpected document indicator", "while scanning a quoted scalar", true,
     "the quote that is opened here is not closed before the document ends",
     "end the text with the quote that it begins with"},
    {"found a tab character that violates indentation", NULL, false, "a tab stands where YAML wants spaces", "indent with spaces"},
    {"found a tab character where an indentation space is expected", NULL, false, "a tab stands where YAML wants spaces",
     "indent with spaces"},
    {"found character that cannot start any token", NULL, false, "no value begins with this character",
     "put the text into quotes"},
    {"mapping values are not allowed in this context", NULL, false, "there is a colon where no key can be",
     "put a text that holds `: ` into quotes, or mend the indentation"},
    {"mapping keys are not allowed in this context", NULL, false, "there is a `?` where no key can be",
     "put a text that begins with `? ` into quotes"},
    {"block sequence entries are not allowed in this context", NULL, false, "there is a `- ` where no list can begin",
     "begin the list in a line of its own, or put the text into quotes"},
    {"did not find expected key", NULL, false, "this does not go on with the mapping that was begun",
     "give all its keys the same indentation, and put a text with quotes inside of it into quotes as a whole"},
    {"did not find expected '-' indicator", NULL, false, "this does not go on with the list that was begun",
     "give each `- ` of a list the same indentation"},
    {"did not find expected ',' or ']'", NULL, false, "the list that was opened with [ does not go on here",
     "put a comma between its values and ] at its end"},
    {"did not find expected ',' or '}'", NULL, false, "the mapping that was opened with { does not go on here",
     "put a comma between its members and } at its end"},
    {"did not find expected node content", NULL, false, "a value is missing here", "write it, or remove what asks for it"},
    {"could not find expected ':'", "while scanning a simple key", true, "this key has no colon",
     "write `key: value`; a text goes on in lines that are indented further"},
    {"did not find expected <document start>", NULL, false, "the document has ended before this",
     "mend the indentation, or begin a new document with `---`"},
    {"found unknown escape character", NULL, false, "this \\ sequence means nothing in double quotes",
     "write \\\\ for a \\, or use single quotes"},
    {"did not find expected hexdecimal number", NULL, false, "hexadecimal digits are missing here, after a \\",
     "write \\xNN, \\uNNNN or \\UNNNNNNNN, or use single quotes"},
    {"found invalid Unicode character escape code", NULL, false, "this \\ sequence names no character",
     "write \\xNN, \\uNNNN or \\UNNNNNNNN with the number of a character"},
    {"did not find expected alphabetic or numeric character", "while scanning an anchor", true, "`&` begins an anchor, and no name follows",
     "put a text that begins with & into quotes"},
    {"did not find expected alphabetic or numeric character", "while scanning an alias", true, "`*` begins an alias, and no name follows",
     "put a text that begins with * into quotes"},
    {"did not find expected comment or line break", "while scanning a block scalar", false, "a block text begins in the line after | or >",
     "put a text that begins with | or > into quotes"},
    {"found undefined tag handle", NULL, true, "YAML's tags (`!…`) are not taken",
     "leave it out: the field says how its value is read; a text that begins with ! needs quotes"},
    {"found incompatible YAML document", NULL, false, "this version of YAML is not known", "leave the line out"},
};

/* The contexts of broken tags are many. */
static const Saying saying_tag = {
    NULL, NULL, true, "YAML's tags (`!…`) are not taken", "leave it out: the field says how its value is read; a text that begins with ! needs quotes",
};
static const Saying saying_tab = {NULL, NULL, false, "a tab stands where YAML wants spaces", "indent with spaces"};
static const Saying saying_directive = {NULL, NULL, true, "a line that begins with % is a directive, and this is none",
                                        "leave it out, or put the text into quotes"};

static bool begins(const char *text, const char *with)
{
    return text && strncmp(text, with, strlen(with)) == 0;
}

static const Saying *saying_find(const yaml_parser_t *parser, YamlText *text)
{
    if (begins(parser->context, "while scanning a tag") || begins(parser->context, "while parsing a tag"))
        return &saying_tag;
    if (begins(parser->context, "while scanning a directive") || begins(parser->context, "while scanning a %"))
        return &saying_directive;
    if (begins(parser->problem, "found character that cannot start") && text->characters <= parser->problem_mark.index) {
        const char *at = yaml_text_at(text, parser->problem_mark.index);
        if (at < text->text + text->size_bytes && *at == '\t')
            return &saying_tab;
    }
    for (size_t i = 0; i < ELEMENTS_OF(sayings); i++)
        if (strcmp(parser->problem, sayings[i].problem) == 0 &&
            (!sayings[i].context || begins(parser->context, sayings[i].context)))
            return &sayings[i];
    return NULL;
}

void yaml_problem_add(const char *file, const yaml_parser_t *parser, YamlText *text, Problems *problems)
{
    const Saying *saying = parser->problem ? saying_find(parser, text) : NULL;
    const yaml_mark_t *mark = &parser->problem_mark;
    Problem *problem;

    if (!saying) {
        problem = problems_add(problems, NULL, NULL, "this is not YAML: %s%s%s", parser->context ? parser->context : "",
                               parser->context ? ", " : "", parser->problem ? parser->problem : "the text is broken");
    } else if (saying->at_context && parser->context) {
        mark = &parser->context_mark;
        problem = problems_add(problems, NULL, saying->hint, "%s", saying->reason);
    } else if (parser->context && parser->context_mark.line != mark->line) {
        problem = problems_add(problems, NULL, saying->hint, "%s (it began in line %zu)", saying->reason,
                               parser->context_mark.line + 1);
    } else {
        problem = problems_add(problems, NULL, saying->hint, "%s", saying->reason);
    }
    problem_locate(problem, file, (unsigned)mark->line + 1, (unsigned)mark->column + 1);
}
