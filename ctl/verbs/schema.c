/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl schema: the JSON Schema of files, for editors and for whoever writes them. Needs no daemon. */

#include <errno.h>

#include "ctl/ctl.h"
#include "schema/codec/record.h"

static int schema_run(Ctl *ctl)
{
    bool settings = given_has(&ctl->given, "settings");
    Buffer schema = {0};
    char *text;
    size_t size;

    if (settings)
        record_write_schema(&record_type_Settings, "urn:io.hvsock:hvsockd.yaml",
                            "hvsockd.yaml: settings of hvsockd", &schema);
    else
        record_write_schema(&record_type_Document, "urn:io.hvsock:services.d",
                            "Services and machines of hvsockd", &schema);
    int r = buffer_take(&schema, &text, &size);
    if (r < 0)
        return r;
    while (size > 0 && text[size - 1] == '\n')
        size--;
    output_json(&ctl->output, text, size);
    free(text);
    return EXIT_DONE;
}

static const Option schema_options[] = {
    {.name = "settings", .help = "Of hvsockd.yaml, instead of the files in services.d."},
    {0},
};

const Verb verb_schema = {
    .name = "schema",
    .group = VERBS_OF_HELP,
    .synopsis = "[--settings]",
    .help = "Print the JSON Schema of files (draft 2020-12)",
    .description = "An editor checks and completes a YAML file that begins with a line such as\n"
                   "  # yaml-language-server: $schema=/path/to/services.json",
    .options = schema_options,
    .run = schema_run,
};
