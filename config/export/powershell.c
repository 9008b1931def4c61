/* SPDX-License-Identifier: Apache-2.0 */
/* A script for Windows' PowerShell (3 and later): UTF-8 with its mark, CRLF. It looks before it writes, writes only what differs,
 * and reads back what it wrote. about_Quoting_Rules: in single quotes nothing has a meaning but single quotes, of which PowerShell
 * knows five. */

#include <string.h>

#include "config/export.h"

static const char script_begin[] =
    "\xef\xbb\xbf#requires -Version 3.0\n"
    "# Written by hvsockctl export --to powershell. Run it as an administrator of the Hyper-V host; -WhatIf only says what it would do.\n"
    "# It may be run again: what is as it should be is not touched, and keys that others wrote are never changed.\n"
    "[CmdletBinding(SupportsShouldProcess = $true)]\n"
    "param()\n"
    "\n"
    "Set-StrictMode -Version 2.0\n"
    "$ErrorActionPreference = 'Stop'\n"
    "$root = '" WINDOWS_PATH "'\n"
    "$services = @(\n";

/* The same registry for programs of 32 and 64 bits: the view of 64. */
static const char script_open[] =
    ")\n"
    "\n"
    "$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey([Microsoft.Win32.RegistryHive]::LocalMachine, "
    "[Microsoft.Win32.RegistryView]::Registry64)\n"
    "\n"
    "# What is there: the three values of a key, or nothing.\n"
    "function Read-Service([string] $name) {\n"
    "    $key = $machine.OpenSubKey(\"$root\\$name\")\n"
    "    if ($null -eq $key) { return $null }\n"
    "    try {\n"
    "        return @{\n"
    "            ElementName = $key.GetValue('ElementName', $null)\n"
    "            Purpose = $key.GetValue('Purpose', $null)\n"
    "            ToolName = $key.GetValue('ToolName', $null)\n"
    "        }\n"
    "    } finally { $key.Close() }\n"
    "}\n"
    "\n"
    "function Test-Service($found, $service) {\n"
    "    return $null -ne $found -and $found.ElementName -ceq $service.ElementName -and\n"
    "        $found.Purpose -ceq $service.Purpose -and $found.ToolName -ceq 'hvsockd'\n"
    "}\n"
    "\n";

static const char script_check[] =
    "# First all is looked at, so that nothing is half done: a key of that GUID that others wrote is a conflict.\n"
    "foreach ($service in $services) {\n"
    "    foreach ($name in @($service.Guid, ('{' + $service.Guid + '}'))) {\n"
    "        $found = Read-Service $name\n"
    "        if ($null -ne $found -and -not ($found.ToolName -ceq 'hvsockd')) {\n"
    "            throw ('{0}: the key {1} belongs to \"{2}\" ({3}{4}); nothing was changed' -f\n"
    "                $service.Purpose, $name, $found.ToolName, $found.ElementName, $found.Purpose)\n"
    "        }\n"
    "    }\n"
    "}\n"
    "\n"
    "foreach ($service in $services) {\n"
    "    if (Test-Service (Read-Service $service.Guid) $service) { continue }\n"
    "    if (-not $PSCmdlet.ShouldProcess(\"HKLM\\$root\\$($service.Guid)\", \"register $($service.Purpose)\")) { continue }\n"
    "    $key = $machine.CreateSubKey(\"$root\\$($service.Guid)\")\n"
    "    try {\n"
    "        $key.SetValue('ElementName', $service.ElementName, [Microsoft.Win32.RegistryValueKind]::String)\n"
    "        $key.SetValue('Purpose', $service.Purpose, [Microsoft.Win32.RegistryValueKind]::String)\n"
    "        $key.SetValue('ToolName', 'hvsockd', [Microsoft.Win32.RegistryValueKind]::String)\n"
    "    } finally { $key.Close() }\n"
    "    if (-not (Test-Service (Read-Service $service.Guid) $service)) {\n"
    "        throw ('{0}: the key {1} does not hold what was written' -f $service.Purpose, $service.Guid)\n"
    "    }\n"
    "    Write-Output ('registered {0}' -f $service.Purpose)\n"
    "}\n";

static const char script_prune[] =
    "\n"
    "# Keys of ours (ToolName hvsockd) that are not among these services go; Windows' own never do, whatever is written in them.\n"
    "$windows = @('999E53D4-3D5C-4C3E-8779-BED06EC056E1', 'A5201C21-2770-4C11-A68E-F182EDB29220')\n"
    "$wanted = @{}\n"
    "foreach ($service in $services) { $wanted[$service.Guid] = $true }\n"
    "$parent = $machine.OpenSubKey($root)\n"
    "$names = @()\n"
    "if ($null -ne $parent) {\n"
    "    $names = @($parent.GetSubKeyNames())\n"
    "    $parent.Close()\n"
    "}\n"
    "foreach ($name in $names) {\n"
    "    if ($wanted.ContainsKey($name.ToUpperInvariant()) -or $windows -contains $name.Trim('{', '}')) { continue }\n"
    "    $found = Read-Service $name\n"
    "    if ($null -eq $found -or -not ($found.ToolName -ceq 'hvsockd')) { continue }\n"
    "    if (-not $PSCmdlet.ShouldProcess(\"HKLM\\$root\\$name\", \"remove $($found.Purpose)\")) { continue }\n"
    "    $machine.DeleteSubKey(\"$root\\$name\", $false)\n"
    "    Write-Output ('removed {0}' -f $found.Purpose)\n"
    "}\n";

static const char script_end[] = "\n$machine.Close()\n";

static void script_append(Buffer *text, const char *lines)
{
    for (const char *newline; (newline = strchr(lines, '\n')); lines = newline + 1) {
        buffer_append(text, lines, (size_t)(newline - lines));
        buffer_append(text, "\r\n", 2);
    }
}

/* U+0027, and U+2018 to U+201B, which are e2 80 98 to e2 80 9b. */
static size_t quote_size(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;

    if (bytes[0] == '\'')
        return 1;
    return bytes[0] == 0xe2 && bytes[1] == 0x80 && bytes[2] >= 0x98 && bytes[2] <= 0x9b ? 3 : 0;
}

/* Two single quotes in a row are the second of them. */
static void script_append_quoted(Buffer *text, const char *value)
{
    buffer_append_char(text, '\'');
    while (*value) {
        size_t quote = quote_size(value);
        buffer_append(text, value, quote);
        buffer_append(text, value, quote ? quote : 1);
        value += quote ? quote : 1;
    }
    buffer_append_char(text, '\'');
}

static int powershell_begin(Export *export)
{
    script_append(&export->text, script_begin);
    return 0;
}

static int powershell_add(Export *export, const ServiceContext *service, const Guid *guid)
{
    char name[GUID_TEXT_SIZE_BYTES];
    Buffer *text = &export->text;

    if (service->enabled == NO) {
        export_leave_out(export, "enabled", "hvsockctl enable would be right", "it is disabled");
        return 0;
    }
    buffer_append_text(text, "    @{ Guid = '");
    buffer_append_text(text, guid_format_upper(guid, name));
    buffer_append_text(text, "'; Purpose = ");
    script_append_quoted(text, service->name);
    buffer_append_text(text, "; ElementName = ");
    script_append_quoted(text, windows_element_name(service));
    buffer_append_text(text, " }\r\n");
    export->count++;
    return 0;
}

static int powershell_end(Export *export)
{
    script_append(&export->text, script_open);
    script_append(&export->text, script_check);
    if (export->options.prune)
        script_append(&export->text, script_prune);
    script_append(&export->text, script_end);
    return 0;
}

const ExportTarget export_powershell = {
    .name = "powershell",
    .help = "A script that registers them on Windows; it may be run again, and knows -WhatIf.",
    .one_guid = true,
    .prunes = true,
    .begin = powershell_begin,
    .add = powershell_add,
    .end = powershell_end,
};
