/* SPDX-License-Identifier: Apache-2.0 */
/* The services as they are, as a file of services.d: good for apply. */

#include <string.h>

#include "config/export.h"
#include "config/yaml.h"

static int yaml_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    Buffer *mapping = &export->scratch, *text = &export->text;

    if (export->count == 0)
        buffer_append_text(text, "services:\n");
    buffer_clear(mapping);
    int r = yaml_write_record(&record_type_ServiceContext, service, RECORD_WRITE_ALL, mapping);
    if (r < 0)
        return r;
    const char *prefix = "  - ";
    for (const char *line = mapping->data, *end = line + mapping->size_bytes; line < end; prefix = "    ") {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *next = newline ? newline + 1 : end;
        buffer_append_text(text, prefix);
        buffer_append(text, line, (size_t)(next - line));
        line = next;
    }
    export->count++;
    return 0;
}

static int yaml_end(Export *export)
{
    if (export->count == 0)
        buffer_append_text(&export->text, "services: []\n");
    return 0;
}

const ExportTarget export_yaml = {
    .name = "yaml",
    .help = "The services as YAML, which apply can read.",
    .verbatim = true,
    .add = yaml_add,
    .end = yaml_end,
};
