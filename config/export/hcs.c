/* SPDX-License-Identifier: Apache-2.0 */
/* HvSocketSystemConfig for the Host Compute Service: it reaches only those VMs that are created with it. hcsschema, schema 2.1. */

#include "config/export.h"

static int hcs_begin(Export *export)
{
    buffer_append_text(&export->text, "{\n  \"ServiceTable\": {");
    return 0;
}

static void hcs_append(Buffer *text, bool *first, const char *name, const char *value)
{
    buffer_printf(text, "%s\n      \"%s\": ", *first ? "" : ",", name);
    buffer_append_text(text, value);
    *first = false;
}

static void hcs_append_text(Buffer *text, bool *first, const char *name, const char *value)
{
    if (!value)
        return;
    hcs_append(text, first, name, "");
    buffer_append_json(text, value);
}

static int hcs_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    Buffer *text = &export->text;
    char name[GUID_TEXT_SIZE_BYTES];
    bool first = true;

    buffer_printf(text, "%s\n    \"%s\": {", export->count > 0 ? "," : "", guid_format(guid, name));
    if (service->windows) {
        hcs_append_text(text, &first, "BindSecurityDescriptor", service->windows->bind_security_descriptor);
        hcs_append_text(text, &first, "ConnectSecurityDescriptor", service->windows->connect_security_descriptor);
        if (service->windows->allow_wildcard_binds != UNSET)
            hcs_append(text, &first, "AllowWildcardBinds", service->windows->allow_wildcard_binds == YES ? "true" : "false");
    }
    if (service->enabled == NO)
        hcs_append(text, &first, "Disabled", "true");
    buffer_append_text(text, first ? "}" : "\n    }");
    export->count++;
    return 0;
}

static int hcs_end(Export *export)
{
    buffer_append_text(&export->text, export->count > 0 ? "\n  }\n}\n" : "}\n}\n");
    return 0;
}

const ExportTarget export_hcs = {
    .name = "hcs",
    .help = "HvSocketSystemConfig of the Host Compute Service, which reaches only VMs that are created with it.",
    .one_guid = true,
    .begin = hcs_begin,
    .add = hcs_add,
    .end = hcs_end,
};
