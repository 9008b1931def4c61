/* SPDX-License-Identifier: Apache-2.0 */
/* Keys -> services: which are taken, and what they are called. An Import lives as long as one file, or one look at Windows' own
 * registry. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/import/import.h"
#include "config/yaml.h"
#include "schema/base/text.h"
#include "schema/model/format.h"

#define ELEMENT_NAME_MAX_BYTES 1024

static void tell(const Import *import, const WindowsKey *key, Problem *problem)
{
    problem_locate(problem, import->file, key->line, key->line > 0 ? 1 : 0);
}

/* ---- names ---- */

/* U+00C0 to U+017F, without what is above and below them. */
static const char letters[] = "aaaaaaaceeeeiiiidnooooo-ouuuuyts"
                              "aaaaaaaceeeeiiiidnooooo-ouuuuyty"
                              "aaaaaaccccccccddddeeeeeeeeeegggg"
                              "gggghhhhiiiiiiiiiiiijjkkklllllll"
                              "lllnnnnnnnnnoooooooorrrrrrssssss"
                              "ssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
_Static_assert(sizeof(letters) == 0x180 - 0xc0 + 1, "one a character");

/* `Easy GPU share "ssh"` -> easy-gpu-share-ssh, at most size_max bytes; "" where nothing is left. text is UTF-8. */
static void slug(const char *text, size_t size_max, char *name)
{
    size_t size = 0;

    for (; *text && size < size_max; text++) {
        char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        if ((unsigned char)c >= 0xc3 && (unsigned char)c <= 0xc5)
            c = letters[((c & 0x1f) << 6 | (*++text & 0x3f)) - 0xc0];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool joint = c == '.' || c == '_';
        if (plain || (joint && size > 0))
            name[size++] = c;
        else if (size > 0 && name[size - 1] != '-')
            name[size++] = '-';
    }
    while (size > 0 && strchr("-._", name[size - 1]))
        size--;
    name[size] = '\0';
}

static void name_base(const WindowsKey *key, const uint32_t *port, const char *guid, char name[static SERVICE_NAME_MAX_BYTES + 1])
{
    name[0] = '\0';
    if (key->purpose && windows_key_owner(key) == WINDOWS_OURS && strlen(key->purpose) <= SERVICE_NAME_MAX_BYTES &&
        !format_service_name.check(key->purpose))
        memcpy(name, key->purpose, strlen(key->purpose) + 1);
    if (!name[0] && key->purpose)
        slug(key->purpose, SERVICE_NAME_MAX_BYTES, name);
    if (!name[0] && key->element_name)
        slug(key->element_name, SERVICE_NAME_MAX_BYTES, name);
    if (!name[0] && port)
        snprintf(name, SERVICE_NAME_MAX_BYTES + 1, "port-%u", *port);
    if (!name[0])
        snprintf(name, SERVICE_NAME_MAX_BYTES + 1, "guid-%s", guid);
}

static int name_take(Import *import, const WindowsKey *key, const char *name, uint32_t *ret_line)
{
    return index_add(&import->names, name, strlen(name), key->line, ret_line);
}

/* A name that nobody has. */
static int name_choose(Import *import, const WindowsKey *key, const uint32_t *port, const char *guid,
                       char name[static SERVICE_NAME_MAX_BYTES + 1])
{
    char base[SERVICE_NAME_MAX_BYTES + 1], suffix[GUID_TEXT_SIZE_BYTES + 16];
    uint32_t line;

    name_base(key, port, guid, base);
    memcpy(name, base, sizeof(base));
    int r = name_take(import, key, name, &line);
    if (r <= 0)
        return r;
    for (unsigned attempt = port ? 0 : 1; r == INDEX_TAKEN; attempt++) {
        if (attempt == 0)
            snprintf(suffix, sizeof(suffix), "-%u", *port);
        else if (attempt == 1)
            snprintf(suffix, sizeof(suffix), "-%s", guid);
        else
            snprintf(suffix, sizeof(suffix), "-%.8s-%u", guid, attempt);
        snprintf(name, SERVICE_NAME_MAX_BYTES + 1, "%.*s%s", (int)(SERVICE_NAME_MAX_BYTES - strlen(suffix)), base, suffix);
        r = name_take(import, key, name, NULL);
    }
    if (r == 0 && key->line > 0)
        tell(import, key, problems_warn(import->problems, NULL, NULL, "the name %s is that of line %u: this is called %s", base, line, name));
    else if (r == 0)
        tell(import, key, problems_warn(import->problems, NULL, NULL, "the name %s is taken: %s is called %s", base, key->name, name));
    return r;
}

/* ---- keys ---- */

/* Why it is none of ours to take; NULL: it is good. */
static const char *key_check(const WindowsKey *key, const Guid *guid)
{
    uint32_t port;

    if (guid_wildcard_name(guid))
        return "has a GUID that stands for any";
    if (guid_to_port(guid, &port) && port == UINT32_MAX)
        return "has the GUID of port 4294967295, which stands for any port";
    if (key->element_name && strlen(key->element_name) > ELEMENT_NAME_MAX_BYTES)
        return "has an ElementName longer than 1024 bytes";
    if (key->element_name && !text_is_printable(key->element_name))
        return "has a control character in its ElementName";
    return NULL;
}

static void tell_refused(Import *import, const WindowsKey *key, const char *reason)
{
    Buffer text = {0};

    problem_say(&text, key->name, reason);
    buffer_append_char(&text, '\0');
    if (text.failed)
        import->problems->failed = true;
    else
        tell(import, key, problems_add(import->problems, NULL, NULL, "%s: not taken", text.data));
    buffer_release(&text);
}

/* 0: it is new; 1: it was there, which was told. */
static int guid_take(Import *import, const WindowsKey *key, const Guid *guid)
{
    uint32_t line;
    int r = index_add(&import->guids, guid, sizeof(*guid), key->line, &line);

    if (r == INDEX_TAKEN && key->line > 0)
        tell(import, key, problems_warn(import->problems, NULL, "to Windows a key in braces is another one; take one of them away",
                                        "%s is there on line %u already, in braces, in another case or just so: left out", key->name, line));
    else if (r == INDEX_TAKEN)
        tell(import, key, problems_warn(import->problems, NULL, "to Windows a key in braces is another one; take one of them away",
                                        "%s is there already, in braces or without: left out", key->name));
    return r;
}

int import_key(const WindowsKey *key, void *userdata)
{
    Import *import = userdata;
    char guid_text[GUID_TEXT_SIZE_BYTES], name[SERVICE_NAME_MAX_BYTES + 1];
    const char *reason;
    Guid guid;

    if (!guid_parse(key->name, &guid)) {
        tell_refused(import, key, "is no GUID");
        return import->problems->failed ? -ENOMEM : 0;
    }
    if (!import->in_box && windows_in_box(&guid)) {
        tell(import, key, problems_warn(import->problems, NULL, NULL, "%s is Windows' own \"%s\": left out without --in-box", key->name,
                                        windows_in_box(&guid)));
        return import->problems->failed ? -ENOMEM : 0;
    }
    reason = key_check(key, &guid);
    if (reason)
        tell_refused(import, key, reason);
    int r = reason ? 1 : guid_take(import, key, &guid);
    if (r != 0)
        return r < 0 || import->problems->failed ? -ENOMEM : 0;

    ServiceContext service = {.name = name};
    guid_format(&guid, guid_text);
    service.port.set = guid_to_port(&guid, &service.port.value);
    if (!service.port.set)
        service.guid = guid_text;
    r = name_choose(import, key, service.port.set ? &service.port.value : NULL, guid_text, name);
    if (r < 0 || import->problems->failed)
        return -ENOMEM;
    if (key->element_name && key->element_name[0] && strcmp(key->element_name, name) != 0)
        service.element_name = key->element_name;
    import->count++;
    return import->on_service(&service, key, import->userdata);
}

void import_release(Import *import)
{
    index_release(&import->guids);
    index_release(&import->names);
}

void import_write_yaml(const ServiceContext *service, Buffer *text)
{
    buffer_append_text(text, "  - name: ");
    yaml_append_text(service->name, text);
    if (service->element_name) {
        buffer_append_text(text, "\n    elementName: ");
        yaml_append_text(service->element_name, text);
    }
    if (service->port.set) {
        buffer_append_text(text, "\n    port: ");
        buffer_append_number(text, service->port.value);
    } else if (service->guid) {
        buffer_append_text(text, "\n    guid: ");
        yaml_append_text(service->guid, text);
    }
    buffer_append_char(text, '\n');
}
