/* SPDX-License-Identifier: Apache-2.0 */
/* Services on their way to a target; an Export lives for one run. What a service has to be for Windows, and what is handed over
 * when, is here; what is written is the targets'. */

#include <errno.h>
#include <string.h>

#include "config/export.h"
#include "schema/base/text.h"
#include "schema/model/service.h"

#define EXPORT_TEXT_BYTES (256u * 1024)

const ExportTarget *export_target_find(const char *name)
{
    for (size_t i = 0; export_targets[i]; i++)
        if (strcmp(export_targets[i]->name, name) == 0)
            return export_targets[i];
    return NULL;
}

void export_free(Export *export)
{
    if (!export)
        return;
    buffer_release(&export->text);
    buffer_release(&export->scratch);
    buffer_release(&export->names);
    index_release(&export->keys);
    index_release(&export->existing);
    free(export->existing_next);
    free(export);
}

/* Keys that differ in braces or case only are one chain: existing_next of one is the next one's index plus one. */
static int export_note_existing(Export *export)
{
    const WindowsKeys *previous = export->options.previous;
    uint32_t first;
    Guid guid;

    if (!previous || previous->count == 0)
        return 0;
    export->existing_next = calloc(previous->count, sizeof(*export->existing_next));
    if (!export->existing_next)
        return -ENOMEM;
    for (size_t i = 0; i < previous->count; i++) {
        if (!guid_parse(previous->items[i].name, &guid))
            continue;
        int r = index_add(&export->existing, &guid, sizeof(guid), (uint32_t)i, &first);
        if (r < 0)
            return r;
        if (r == INDEX_TAKEN) {
            export->existing_next[i] = export->existing_next[first];
            export->existing_next[first] = (uint32_t)i + 1;
        }
    }
    return 0;
}

const WindowsKey *export_existing(const Export *export, const Guid *guid, const WindowsKey *after)
{
    const WindowsKeys *previous = export->options.previous;
    uint32_t at;

    if (!previous)
        return NULL;
    if (after)
        at = export->existing_next[after - previous->items];
    else
        at = index_get(&export->existing, guid, sizeof(*guid), &at) ? at + 1 : 0;
    return at > 0 ? &previous->items[at - 1] : NULL;
}

/* Hands over what is there. Nothing is, once there were errors. */
static int export_flush(Export *export)
{
    int r = 0;

    if (export->text.failed || export->problems->failed)
        return -ENOMEM;
    if (export->problems->errors == 0 && export->text.size_bytes > 0)
        r = export->sink.write(export->text.data, export->text.size_bytes, export->sink.userdata);
    buffer_clear(&export->text);
    return r;
}

int export_open(const ExportTarget *target, const ExportOptions *options, const ExportSink *sink, Problems *problems, Export **ret)
{
    _cleanup_(export_freep) Export *export = calloc(1, sizeof(*export));

    if (!export)
        return -ENOMEM;
    export->target = target;
    export->options = *options;
    export->sink = *sink;
    export->problems = problems;
    int r = export_note_existing(export);
    if (r == 0 && target->begin)
        r = target->begin(export);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(export);
    return 0;
}

int export_file(Export *export, const char *name)
{
    int r = 0;

    if (export->sink.file) {
        r = export_flush(export);
        if (r == 0 && export->problems->errors == 0)
            r = export->sink.file(name, export->sink.userdata);
    }
    return r;
}

int export_take(Export *export, const void *key, size_t size_bytes, const char *name, const char **ret_other)
{
    uint32_t before;
    int r = index_add(&export->keys, key, size_bytes, (uint32_t)export->names.size_bytes, &before);

    if (r == 0)
        buffer_append(&export->names, name, strlen(name) + 1);
    if (r < 0 || export->names.failed)
        return -ENOMEM;
    if (r == INDEX_TAKEN)
        *ret_other = export->names.data + before;
    return r;
}

void export_leave_out(Export *export, const char *field, const char *hint, const char *reason_format, ...)
{
    va_list arguments;
    Buffer reason = {0};

    va_start(arguments, reason_format);
    buffer_vprintf(&reason, reason_format, arguments);
    va_end(arguments);
    buffer_append_char(&reason, '\0');
    if (reason.failed)
        export->problems->failed = true;
    else if (export->options.named)
        problems_add(export->problems, field, hint, "%s", reason.data);
    else
        problems_warn(export->problems, field, NULL, "left out: %s", reason.data);
    buffer_release(&reason);
}

/* Another tool's key of that GUID is a conflict with its name. */
static void export_check_existing(Export *export, const Guid *guid)
{
    for (const WindowsKey *key = export_existing(export, guid, NULL); key; key = export_existing(export, guid, key)) {
        Buffer who = {0};
        if (windows_key_owner(key) == WINDOWS_OURS)
            continue;
        windows_key_describe(key, &who);
        buffer_append_char(&who, '\0');
        problems_add(export->problems, "guid", "another port or GUID would be right: keys of others are never changed",
                     "on Windows the key %s belongs to %s", key->name, who.data ? who.data : "somebody else");
        buffer_release(&who);
    }
}

/* 0: good; 1: it stays out. */
static int export_guid(Export *export, const ServiceContext *service, Guid *ret)
{
    const char *other;
    int r = windows_service_guid(service, export->problems, ret);

    if (r < 0)
        return r;
    if (r == WINDOWS_NOTHING)
        export_leave_out(export, NULL, "give it a port or a GUID", "it has neither port nor GUID, which Windows knows services by");
    if (r > 0)
        return 1;
    export_check_existing(export, ret);
    r = export_take(export, ret, sizeof(*ret), service->name, &other);
    if (r == INDEX_TAKEN)
        problems_add(export->problems, service->guid && !service->port.set ? "guid" : "port",
                     "Windows knows one service a GUID: another port or GUID would be right", "it is also that of the service %s",
                     other);
    return r < 0 ? r : r == INDEX_TAKEN;
}

int export_add(Export *export, const ServiceContext *service)
{
    size_t errors = export->problems->errors;
    Guid guid;
    int r = 0;

    if (export->target->one_guid)
        r = export_guid(export, service, &guid);
    if (r == 0 && export->problems->errors == errors)
        r = export->target->add(export, service, export->target->one_guid ? &guid : NULL);
    if (r < 0)
        return r;
    if (export->text.size_bytes < EXPORT_TEXT_BYTES && !export->text.failed && !export->problems->failed)
        return 0;
    return export_flush(export);
}

int export_close(Export *export)
{
    int r = export->target->end ? export->target->end(export) : 0;

    if (r == 0)
        r = export_flush(export);
    return r < 0 ? r : export->problems->errors > 0 ? EXPORT_INVALID : 0;
}

/* ---- for targets ---- */

void export_shell_word(Buffer *text, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,=:+@%-";

    if (word[0] && word[strspn(word, plain)] == '\0') {
        buffer_append_text(text, word);
        return;
    }
    buffer_append_char(text, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            buffer_append_text(text, "'\\''");
        else
            buffer_append_char(text, *word);
    }
    buffer_append_char(text, '\'');
}

void export_option(Export *export, const char *option)
{
    buffer_append_char(&export->scratch, '\0');
    if (export->scratch.failed) {
        export->text.failed = true;
        return;
    }
    buffer_printf(&export->text, "%s ", option);
    export_shell_word(&export->text, export->scratch.data);
    buffer_append_char(&export->text, '\n');
    buffer_clear(&export->scratch);
}

/* Whether one of its own addresses is on the machine's transport; listen absent is vsock. */
static int reaches_machine(Export *export, const ServiceContext *service, const Address *place, bool *ret)
{
    Address *addresses;
    size_t count;
    int r = service_addresses(service, &addresses, &count);

    if (r < 0)
        return r;
    *ret = false;
    for (size_t i = 0; i < count; i++)
        *ret |= addresses[i].transport == place->transport && text_equal(addresses[i].path, place->path);
    addresses_free(addresses, count);
    *ret |= service_means_machine(service, export->options.machine);
    return 0;
}

int export_machine_address(Export *export, const ServiceContext *service, const Transport *only, Address *ret)
{
    const MachineContext *machine = export->options.machine;
    bool reached = false;
    int r = 0;

    *ret = (Address){0};
    if (service_is_enabled(service))
        r = machine_address(machine, service, ret);
    if (r == 0 && ret->transport)
        r = reaches_machine(export, service, ret, &reached);
    bool ports_only = only && !export->target->knows_guids && !ret->has_port;
    if (r == 0 && reached && (!only || ret->transport == only) && !ports_only)
        return 0;
    reached &= ret->transport == only;
    address_release(ret);
    if (r == 0 && reached) {
        export_leave_out(export, "guid", "a port would be right", "%s knows ports alone", export->target->name);
        return 0;
    }
    /* Those of other machines are no news, where all services were asked for. */
    if (r == 0 && export->options.named && !service_is_enabled(service))
        export_leave_out(export, "enabled", "hvsockctl enable would be right", "it is disabled");
    else if (r == 0 && export->options.named)
        export_leave_out(export, "listen", "a listen address of that machine's, or machine:* would be right",
                         "the machine %s does not reach it%s%s", machine->name, only ? " by " : "", only ? only->name : "");
    return r;
}

int export_machine_service(Export *export, const ServiceContext *service, const Transport *only, const char *comment)
{
    _cleanup_(freep) char *path = NULL;
    char guid[GUID_TEXT_SIZE_BYTES];
    Address address;

    int r = export_machine_address(export, service, only, &address);
    if (r < 0 || !address.transport)
        return r;
    if (address.transport->has_path)
        r = address.transport->listen_path(&address, &path);
    if (r == 0 && comment) {
        buffer_printf(&export->text, "%s %s: ", comment, service->name);
        if (address.has_port)
            buffer_printf(&export->text, "port %u", address.port);
        else
            buffer_printf(&export->text, "GUID %s", guid_format(&address.guid, guid));
        buffer_printf(&export->text, "%s%s\n", path ? ", " : "", path ? path : "");
    }
    if (r == -EINVAL) {
        r = 0;
        problems_add(export->problems, NULL, "a shorter path of the machine's would be right", "its socket's path is no good path");
    } else if (r == 0) {
        export->count++;
    }
    address_release(&address);
    return r;
}

const char *export_machine_path(Export *export, const char *bad, const char *why)
{
    const MachineContext *machine = export->options.machine;

    if (!machine->hybrid) {
        problems_add(export->problems, "hybrid", "its hybrid field, the path of its vsock's socket, would be right",
                     "the machine %s has no hybrid vsock", machine->name);
        return NULL;
    }
    if (machine->hybrid[strcspn(machine->hybrid, bad)] != '\0') {
        problems_add(export->problems, "hybrid", "another path would be right", "%s", why);
        return NULL;
    }
    return machine->hybrid;
}

uint32_t export_machine_cid(const Export *export)
{
    const MachineContext *machine = export->options.machine;

    return machine->cid.set ? machine->cid.value : 3;
}
