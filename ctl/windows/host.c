/* SPDX-License-Identifier: Apache-2.0 */
/* What the keys of Windows' registry mean; lives as long as one command. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "config/import/import.h"
#include "ctl/windows/host.h"
#include "schema/base/text.h"

static void host_key_release(HostKey *key)
{
    windows_key_release(&key->key);
    free(key->pool);
    free(key->name);
}

void host_release(Host *host)
{
    for (size_t i = 0; i < host->count; i++)
        host_key_release(&host->keys[i]);
    free(host->keys);
    for (StorePlace place = 0; place < STORE_PLACES; place++)
        stored_keys_release(&host->stored[place]);
    *host = (Host){0};
}

/* ---- reading ---- */

static int key_init(HostKey *key, StoredKey *stored, StorePlace place)
{
    *key = (HostKey){.stored = stored, .place = place, .key = {.name = strdup(stored->name)}};
    if (!key->key.name || stored_text(stored, L"ElementName", &key->key.element_name) < 0 ||
        stored_text(stored, L"Purpose", &key->key.purpose) < 0 || stored_text(stored, L"ToolName", &key->key.tool_name) < 0)
        return -ENOMEM;
    key->owner = place == STORE_DISABLED ? WINDOWS_OURS : windows_key_owner(&key->key);
    key->has_guid = guid_parse(stored->name, &key->guid);
    key->bare = stored->name[0] != '{';
    return 0;
}

/* Ours are called as they say; an import names the others, which is told of ours first. */
typedef struct Naming {
    HostKey *key;
    int r;
} Naming;

static int naming_on_service(const ServiceContext *service, const WindowsKey *key, void *userdata)
{
    Naming *naming = userdata;

    naming->key->name = strdup(service->name);
    return naming->key->name ? 0 : -ENOMEM;
}

static int name_alone(HostKey *key)
{
    key->name = strdup(key->key.purpose && key->key.purpose[0] && key->owner == WINDOWS_OURS ? key->key.purpose : key->key.name);
    return key->name ? 0 : -ENOMEM;
}

static int host_name_keys(Host *host)
{
    _cleanup_(problems_release) Problems problems = {0};
    Naming naming = {0};
    Import import = {.in_box = true, .problems = &problems, .on_service = naming_on_service, .userdata = &naming};
    int r = 0;

    for (int others = 0; others < 2 && r == 0; others++)
        for (size_t i = 0; i < host->count && r == 0; i++) {
            HostKey *key = &host->keys[i];
            if ((key->owner != WINDOWS_OURS) != others)
                continue;
            naming.key = key;
            if (key->owner != WINDOWS_OURS || !key->key.purpose || format_service_name.check(key->key.purpose))
                r = import_key(&key->key, &import);
            if (r == 0 && !key->name)
                r = name_alone(key);
        }
    import_release(&import);
    return r;
}

static int key_compare(const void *a, const void *b)
{
    const HostKey *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    if (order == 0)
        order = (int)right->bare - (int)left->bare;
    return order ? order : strcmp(left->key.name, right->key.name);
}

/* What other places say of a key: POOLS\PREFIX\GUID = a value each. */
static int key_look_around(Host *host, HostKey *key)
{
    char name[GUID_TEXT_SIZE_BYTES];

    if (!key->has_guid)
        return 0;
    guid_format_upper(&key->guid, name);
    for (size_t i = 0; i < host->stored[STORE_REMOVED].count; i++)
        key->gone_before = key->gone_before || (key->place == STORE_SERVICES &&
                                                strcasecmp(host->stored[STORE_REMOVED].items[i].name, name) == 0);
    for (size_t i = 0; i < host->stored[STORE_POOLS].count && !key->pool && key->owner == WINDOWS_OURS; i++) {
        const StoredKey *pool = &host->stored[STORE_POOLS].items[i];
        char wide_free[GUID_TEXT_SIZE_BYTES * 2];
        for (size_t k = 0; k < pool->count && !key->pool; k++) {
            size_t at = 0;
            for (; at < sizeof(wide_free) - 1 && pool->values[k].name[at]; at++)
                wide_free[at] = (char)pool->values[k].name[at];
            wide_free[at] = '\0';
            if (strcasecmp(wide_free, name) == 0 && !(key->pool = strdup(pool->name)))
                return -ENOMEM;
        }
    }
    return 0;
}

int host_read(Store *store, Host *ret)
{
    Host host = {0};
    int r = 0;

    for (StorePlace place = 0; place < STORE_PLACES && r == 0; place++)
        r = store_read(store, place, &host.stored[place]);
    if (r == 0) {
        host.keys = calloc(host.stored[STORE_SERVICES].count + host.stored[STORE_DISABLED].count + 1, sizeof(*host.keys));
        r = host.keys ? 0 : -ENOMEM;
    }
    for (StorePlace place = STORE_SERVICES; place <= STORE_DISABLED && r == 0; place++)
        for (size_t i = 0; i < host.stored[place].count && r == 0; i++)
            r = key_init(&host.keys[host.count++], &host.stored[place].items[i], place);
    for (size_t i = 0; i < host.count && r == 0; i++)
        r = key_look_around(&host, &host.keys[i]);
    if (r == 0)
        r = host_name_keys(&host);
    if (r != 0) {
        host_release(&host);
        return r;
    }
    qsort(host.keys, host.count, sizeof(*host.keys), key_compare);
    for (size_t i = 0; i < host.count; i++) {
        HostKey *twin = host.keys[i].has_guid ? host_find_guid(&host, &host.keys[i].guid, NULL) : NULL;
        for (; twin && !host.keys[i].twin; twin = host_find_guid(&host, &host.keys[i].guid, twin))
            host.keys[i].twin = twin != &host.keys[i];
    }
    *ret = host;
    return 0;
}

HostKey *host_find_ours(const Host *host, const char *name, const HostKey *after)
{
    for (size_t i = after ? (size_t)(after - host->keys) + 1 : 0; i < host->count; i++)
        if (host->keys[i].owner == WINDOWS_OURS && strcmp(host->keys[i].name, name) == 0)
            return &host->keys[i];
    return NULL;
}

HostKey *host_find_guid(const Host *host, const Guid *guid, const HostKey *after)
{
    for (size_t i = after ? (size_t)(after - host->keys) + 1 : 0; i < host->count; i++)
        if (host->keys[i].has_guid && guid_compare(&host->keys[i].guid, guid) == 0)
            return &host->keys[i];
    return NULL;
}

/* ---- telling ---- */

void host_write_time(uint64_t filetime, Buffer *text)
{
    const uint64_t epoch = 116444736000000000ull; /* 1601 to 1970 in 100 ns */
    time_t seconds = filetime > epoch ? (time_t)((filetime - epoch) / 10000000) : 0;
    struct tm parts;
    char line[32];

    if (gmtime_r(&seconds, &parts) && strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ", &parts) > 0)
        buffer_append_text(text, line);
}

void host_key_write_holder(const HostKey *key, Buffer *text)
{
    if (key->owner == WINDOWS_IN_BOX)
        buffer_append_text(text, "Windows itself");
    else if (key->owner == WINDOWS_OURS)
        buffer_append_text(text, key->name);
    else
        windows_key_describe(&key->key, text);
}

static void reason_add(Buffer *text, size_t start, const char *format, const char *argument)
{
    if (text->size_bytes > start)
        buffer_append_text(text, "; ");
    buffer_printf(text, format, argument);
}

void host_key_write_reason(const HostKey *key, Buffer *text)
{
    size_t start = text->size_bytes;
    uint32_t port;

    if (!key->has_guid) {
        reason_add(text, start, "the key's name is no GUID, so Hyper-V does not see it%s", "");
        return;
    }
    if (!key->bare)
        reason_add(text, start, "the key is in braces, so it is not the one that Hyper-V looks for%s", "");
    if (key->twin)
        reason_add(text, start, "another key has this GUID%s", "");
    if (key->gone_before)
        reason_add(text, start, "hvsockctl had removed it, and somebody has written it again%s", "");
    if (!key->key.element_name)
        reason_add(text, start, "it has no ElementName%s", "");
    if (key->owner == WINDOWS_OURS && (!key->key.purpose || format_service_name.check(key->key.purpose)))
        reason_add(text, start, "its Purpose is no service's name%s", "");
    if (guid_to_port(&key->guid, &port) && port > WINDOWS_PORT_MAX)
        reason_add(text, start, "nobody can reach a port from 2147483648 on%s", "");
    if (key->pool)
        reason_add(text, start, "of the pool %s", key->pool);
}

static void key_write_origin(const HostKey *key, Buffer *text)
{
    Buffer origin = {0};

    if (key->owner == WINDOWS_IN_BOX)
        buffer_append_text(&origin, "windows");
    else if (key->owner == WINDOWS_OURS || (key->key.tool_name && key->key.tool_name[0]))
        buffer_printf(&origin, "tool:%s", key->owner == WINDOWS_OURS ? WINDOWS_TOOL : key->key.tool_name);
    else
        buffer_append_text(&origin, "unknown");
    buffer_append_json_sized(text, origin.data ? origin.data : "", origin.size_bytes);
    text->failed = text->failed || origin.failed;
    buffer_release(&origin);
}

void host_key_write_json(const HostKey *key, Buffer *text)
{
    char guid[GUID_TEXT_SIZE_BYTES];
    Buffer reason = {0};
    uint32_t port;

    buffer_append_text(text, "{\"context\":{\"name\":");
    buffer_append_json(text, key->name);
    if (key->key.element_name && key->key.element_name[0]) {
        buffer_append_text(text, ",\"elementName\":");
        buffer_append_json(text, key->key.element_name);
    }
    if (key->has_guid) {
        if (guid_to_port(&key->guid, &port))
            buffer_printf(text, ",\"port\":%u", port);
        buffer_printf(text, ",\"guid\":\"%s\"", guid_format(&key->guid, guid));
    }
    buffer_printf(text, ",\"type\":\"stream\",\"enabled\":%s},\"runtime\":{\"state\":\"%s\"", key->place == STORE_SERVICES ? "true" : "false",
                  key->place == STORE_SERVICES ? "registered" : "disabled");
    host_key_write_reason(key, &reason);
    if (reason.size_bytes > 0) {
        buffer_append_text(text, ",\"reason\":");
        buffer_append_json_sized(text, reason.data, reason.size_bytes);
    }
    text->failed = text->failed || reason.failed;
    buffer_release(&reason);
    buffer_append_text(text, ",\"origin\":");
    key_write_origin(key, text);
    buffer_append_text(text, ",\"registeredAt\":\"");
    host_write_time(key->stored->written_at, text);
    buffer_append_text(text, "\",\"listeners\":[],\"leases\":[]}}");
}
