/* SPDX-License-Identifier: Apache-2.0 */
/* The services as they are, a line each; YAML too, and good for apply. */

#include "config/export.h"
#include "schema/codec/record.h"

static int json_begin(Export *export)
{
    buffer_append_text(&export->text, "{\"services\":[");
    return 0;
}

static int json_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    buffer_append_text(&export->text, export->count++ > 0 ? ",\n" : "\n");
    record_write_json(&record_type_ServiceContext, service, RECORD_WRITE_ALL, &export->text);
    return 0;
}

static int json_end(Export *export)
{
    buffer_append_text(&export->text, export->count > 0 ? "\n]}\n" : "]}\n");
    return 0;
}

const ExportTarget export_json = {
    .name = "json",
    .help = "The services as JSON, which apply can read.",
    .verbatim = true,
    .begin = json_begin,
    .add = json_add,
    .end = json_end,
};
