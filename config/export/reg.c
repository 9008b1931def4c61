/* SPDX-License-Identifier: Apache-2.0 */
/* A .reg file for regedit and `reg import`: UTF-16LE with its mark, CRLF, bare GUIDs in upper case. FACTS, "Windows registry". */

#include <string.h>

#include "config/export.h"
#include "config/utf16.h"

/* What is in scratch becomes UTF-16. */
static void reg_hand_over(Export *export)
{
    if (export->scratch.failed)
        export->text.failed = true;
    else if (export->scratch.size_bytes > 0)
        utf16_append(&export->text, export->scratch.data, export->scratch.size_bytes);
    buffer_clear(&export->scratch);
}

static int reg_begin(Export *export)
{
    buffer_append_text(&export->scratch, "\xef\xbb\xbfWindows Registry Editor Version 5.00\r\n\r\n");
    reg_hand_over(export);
    return 0;
}

static void reg_append_value(Buffer *text, const char *name, const char *value)
{
    buffer_append_char(text, '"');
    buffer_append_text(text, name);
    buffer_append(text, "\"=\"", 3);
    for (;;) {
        size_t plain = strcspn(value, "\\\"");
        buffer_append(text, value, plain);
        value += plain;
        if (!*value)
            break;
        buffer_append_char(text, '\\');
        buffer_append_char(text, *value++);
    }
    buffer_append(text, "\"\r\n", 3);
}

static int reg_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    char name[GUID_TEXT_SIZE_BYTES];
    Buffer *text = &export->scratch;

    if (service->enabled == NO) {
        export_leave_out(export, "enabled", "hvsockctl enable would be right", "it is disabled");
        return 0;
    }
    buffer_append_text(text, "[" WINDOWS_ROOT "\\" WINDOWS_PATH "\\");
    buffer_append_text(text, guid_format_upper(guid, name));
    buffer_append(text, "]\r\n", 3);
    reg_append_value(text, "ElementName", windows_element_name(service));
    reg_append_value(text, "Purpose", service->name);
    reg_append_value(text, "ToolName", WINDOWS_TOOL);
    buffer_append(text, "\r\n", 2);
    reg_hand_over(export);
    export->count++;
    return 0;
}

/* Ours that are gone; what others wrote is never touched. A key of ours that is not written as we write it goes too. */
static int reg_end(Export *export)
{
    const WindowsKeys *previous = export->options.prune ? export->options.previous : NULL;
    char name[GUID_TEXT_SIZE_BYTES];
    uint32_t note;
    Guid guid;

    for (size_t i = 0; previous && i < previous->count; i++) {
        const WindowsKey *key = &previous->items[i];
        if (windows_key_owner(key) != WINDOWS_OURS || !guid_parse(key->name, &guid))
            continue;
        bool bare = strcasecmp(key->name, guid_format_upper(&guid, name)) == 0;
        if (bare && index_get(&export->keys, &guid, sizeof(guid), &note))
            continue;
        buffer_printf(&export->scratch, "[-" WINDOWS_ROOT "\\" WINDOWS_PATH "\\%s]\r\n\r\n", key->name);
        reg_hand_over(export);
    }
    return 0;
}

const ExportTarget export_reg = {
    .name = "reg",
    .help = "A file for regedit and reg import, on Windows.",
    .one_guid = true,
    .prunes = true,
    .needs_previous = true,
    .begin = reg_begin,
    .add = reg_add,
    .end = reg_end,
};
