/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual machines by name: from files, and from Windows' own tools where they are there; nothing is kept. */

#include "ctl/windows/hyperv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <wchar.h>

#include "ctl/files.h"
#include "ctl/windows/vm.h"
#include "ctl/windows/wide.h"
#include "schema/base/text.h"

#define TOOL_TIMEOUT_MS 10000u
#define TOOL_OUTPUT_MAX_BYTES (1u << 20)

/* ---- Windows' own tools ---- */

/* What a tool says in the time that it has; what it says later is not waited for. UTF-16 becomes UTF-8. */
static int tool_read(HANDLE pipe, HANDLE process, Buffer *output)
{
    ULONGLONG until = GetTickCount64() + TOOL_TIMEOUT_MS;

    while (GetTickCount64() < until && output->size_bytes < TOOL_OUTPUT_MAX_BYTES) {
        char bytes[4096];
        DWORD there = 0, size = 0;
        bool ended = WaitForSingleObject(process, 20) == WAIT_OBJECT_0;
        while (PeekNamedPipe(pipe, NULL, 0, NULL, &there, NULL) && there > 0 && ReadFile(pipe, bytes, sizeof(bytes), &size, NULL) && size > 0)
            buffer_append(output, bytes, size);
        if (ended)
            break;
    }
    TerminateProcess(process, 1);
    if (output->size_bytes >= 2 && output->data[1] == '\0') {
        _cleanup_(freep) char *text = wide_to_text((const wchar_t *)(const void *)output->data, output->size_bytes / 2);
        if (!text)
            return -ENOMEM;
        buffer_clear(output);
        buffer_append_text(output, text);
    }
    buffer_append_char(output, '\0');
    return output->failed ? -ENOMEM : 0;
}

/* Of the system's folder alone: not what lies in the folder that we are in. An absent tool says nothing. */
static int tool_run(const wchar_t *program, const wchar_t *arguments, Buffer *output)
{
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};
    STARTUPINFOW start = {.cb = sizeof(start), .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION process;
    wchar_t system[MAX_PATH], path[MAX_PATH + 64], line[MAX_PATH + 128];
    HANDLE from, to;

    if (GetSystemDirectoryW(system, MAX_PATH) == 0 || !CreatePipe(&from, &to, &inherited, 1 << 16))
        return 0;
    swprintf(path, ELEMENTS_OF(path), L"%ls\\%ls", system, program);
    swprintf(line, ELEMENTS_OF(line), L"\"%ls\" %ls", path, arguments);
    SetHandleInformation(from, HANDLE_FLAG_INHERIT, 0);
    start.hStdOutput = to;
    BOOL started = CreateProcessW(path, line, NULL, NULL, TRUE, CREATE_NO_WINDOW, NULL, NULL, &start, &process);
    CloseHandle(to);
    int r = 0;
    if (started) {
        r = tool_read(from, process.hProcess, output);
        CloseHandle(process.hThread);
        CloseHandle(process.hProcess);
    }
    CloseHandle(from);
    return r;
}

static bool part_is(const char *at, size_t size, const char *text)
{
    return strlen(text) == size && _strnicmp(at, text, size) == 0;
}

/* The parts of `VM, Running, GUID, OWNER`: whether it is a VM that runs, its GUID, its owner. */
static bool list_read_line(const char *line, size_t size, Guid *ret_guid, const char **ret_owner, size_t *ret_owner_size)
{
    bool has_guid = false, is_vm = false;

    for (size_t at = 0, index = 0; at <= size; index++) {
        size_t end = at;
        while (end < size && line[end] != ',')
            end++;
        size_t first = at, last = end;
        while (first < last && strchr(" \t\r", line[first]))
            first++;
        while (last > first && strchr(" \t\r", line[last - 1]))
            last--;
        char text[40] = {0};
        if (last - first < sizeof(text))
            memcpy(text, line + first, last - first);
        if (index == 0)
            is_vm = strcmp(text, "VM") == 0;
        if (guid_parse(text, ret_guid)) {
            has_guid = true;
        } else {
            *ret_owner = line + first;
            *ret_owner_size = last - first;
        }
        at = end + 1;
    }
    return is_vm && has_guid;
}

size_t vm_find_in_list(const char *list, const char *name, Guid *ret)
{
    const char *id = "";
    size_t id_size = 0, found = 0;

    for (const char *line = list; *line;) {
        size_t size = strcspn(line, "\n"), owner_size = 0;
        const char *owner = "";
        Guid guid;
        if (size > 0 && !strchr(" \t\r", line[0])) {
            id = line;
            for (id_size = size; id_size > 0 && strchr(" \t\r", line[id_size - 1]);)
                id_size--;
        } else if (list_read_line(line, size, &guid, &owner, &owner_size) && (part_is(id, id_size, name) || part_is(owner, owner_size, name))) {
            found++;
            *ret = guid;
        }
        line += size + (line[size] == '\n');
    }
    return found;
}

/* ---- files ---- */

/* 0: found. EXIT_NO: not told yet. */
static int find_in_files(Ctl *ctl, const char *name, Guid *ret)
{
    _cleanup_(text_list_freep) TextList paths = NULL;
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(files_release) Files files = {0};
    struct stat status;
    size_t count = 0;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ctl->given.option_count; i++)
        if (strcmp(ctl->given.options[i].name, "machines") == 0)
            r = text_list_append(&paths, ctl->given.options[i].value);
    if (r >= 0 && !paths) {
        const wchar_t *data = _wgetenv(L"ProgramData");
        _cleanup_(freep) char *base = data ? wide_to_text(data, wcslen(data)) : NULL;
        _cleanup_(freep) char *path = NULL;
        if (!base || asprintf(&path, "%s/hvsockd/services.d", base) < 0)
            return base ? -ENOMEM : EXIT_NO;
        if (stat(path, &status) < 0)
            return EXIT_NO;
        r = text_list_append(&paths, path);
    }
    if (r >= 0)
        r = files_load_paths(paths, &problems, &files);
    if (r == FILES_INVALID) {
        ctl_tell_problems(ctl->called, &problems);
        return EXIT_USAGE;
    }
    if (r < 0)
        return r;
    _cleanup_(freep) void **machines = files_records(&files, &record_type_MachineContext, NULL, &count);
    if (!machines)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const MachineContext *machine = machines[i];
        if (strcmp(machine->name, name) == 0 && machine->vm_id && guid_parse(machine->vm_id, ret))
            return 0;
    }
    return EXIT_NO;
}

static int find_by_tools(const char *name, Guid *ret, size_t *ret_count)
{
    Buffer list = {0}, id = {0};
    int r = 0;

    *ret_count = 0;
    if (_stricmp(name, "wsl") == 0) {
        r = tool_run(L"wsl.exe", L"--exec wslinfo --vm-id -n", &id);
        char *text = id.data ? id.data : (char[]){""};
        text[strcspn(text, " \r\n")] = '\0';
        *ret_count = r == 0 && guid_parse(text, ret);
    }
    if (r == 0 && *ret_count == 0)
        r = tool_run(L"hcsdiag.exe", L"list", &list);
    if (r == 0 && list.data)
        *ret_count = vm_find_in_list(list.data, name, ret);
    buffer_release(&list);
    buffer_release(&id);
    return r;
}

int vm_find(Ctl *ctl, const char *name, Guid *ret)
{
    size_t count;

    if (guid_parse(name, ret) || hyperv_wildcard(name, ret))
        return 0;
    int r = find_in_files(ctl, name, ret);
    if (r != EXIT_NO)
        return r;
    r = find_by_tools(name, ret, &count);
    if (r < 0)
        return r;
    if (count == 1)
        return 0;
    if (count > 1)
        ctl_tell(name, "give the GUID of one, hcsdiag list shows them", "%zu virtual machines are called so", count);
    else
        ctl_tell(name, "give its GUID, or name it in a file of --machines with its vmId; hcsdiag asks for an administrator's rights",
                 "no virtual machine is called so");
    return EXIT_NO;
}
