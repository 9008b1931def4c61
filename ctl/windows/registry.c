/* SPDX-License-Identifier: Apache-2.0 */
/* Windows' own registry behind the seam of ctl/registry.h: one command, one reading of all keys, and one change of all or
 * nothing. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl/windows/refuse.h"
#include "schema/base/text.h"
#include "schema/model/service.h"

static void windows_close(Registry *registry)
{
    WindowsRegistry *windows = windows_of(registry);

    store_close(windows->store);
    free(windows->refusal_text);
    free(windows->refusal_parameters);
    free(registry->where);
    free(windows);
}

static int windows_open(const char *where, int timeout_ms, Registry **ret)
{
    Registry *registry = calloc(1, sizeof(WindowsRegistry));

    if (!registry)
        return -ENOMEM;
    registry->ops = registry_of_host;
    registry->where = strdup("HKLM\\" WINDOWS_PATH);
    if (!registry->where) {
        windows_close(registry);
        return -ENOMEM;
    }
    *ret = registry;
    return 0;
}

int registry_windows_store(Registry *registry, bool for_writing, Store **ret)
{
    WindowsRegistry *windows = windows_of(registry);

    if (windows->store && for_writing && !windows->for_writing) {
        store_close(windows->store);
        windows->store = NULL;
    }
    if (!windows->store) {
        windows->for_writing = for_writing;
        int r = store_open(for_writing, &windows->store);
        if (r != 0)
            return registry_windows_answer(registry, r);
    }
    *ret = windows->store;
    return 0;
}

/* ---- asking ---- */

static int read_host(Registry *registry, bool for_writing, Host *ret)
{
    Store *store;
    int r = registry_windows_store(registry, for_writing, &store);

    return r != 0 ? r : registry_windows_answer(registry, host_read(store, ret));
}

static int visit_key(const HostKey *key, RegistryVisitor visitor, void *userdata)
{
    _cleanup_(freep) char *text = NULL;
    Buffer json = {0};
    size_t size;

    host_key_write_json(key, &json);
    int r = buffer_take(&json, &text, &size);
    return r < 0 ? r : visitor(text, size, userdata);
}

static int list_keys(Registry *registry, bool all, RegistryVisitor on_service, void *userdata)
{
    _cleanup_(host_release) Host host = {0};
    int r = read_host(registry, false, &host);

    for (size_t i = 0; i < host.count && r == 0; i++)
        if (all || (host.keys[i].owner == WINDOWS_OURS && host.keys[i].has_guid && (host.keys[i].bare || !host.keys[i].twin)))
            r = visit_key(&host.keys[i], on_service, userdata);
    return r;
}

int registry_windows_list_all(Registry *registry, RegistryVisitor on_service, void *userdata)
{
    return list_keys(registry, true, on_service, userdata);
}

/* What export is to write: nobody else's. */
static int windows_list(Registry *registry, RegistryVisitor on_service, void *userdata)
{
    return list_keys(registry, false, on_service, userdata);
}

/* `hvsock://…/GUID`, `vsock://:PORT`: the number in it is what is asked for. */
static bool query_fits_address(const char *text, const HostKey *key)
{
    const char *reason, *hint;
    Address address;
    Guid guid;

    if (address_parse(text, &address, &reason, &hint) != 0)
        return false;
    bool has = true;
    if (address.has_guid)
        guid = address.guid;
    else if (address.has_port)
        guid = guid_from_port(address.port);
    else
        has = false;
    address_release(&address);
    return has && key->has_guid && guid_compare(&guid, &key->guid) == 0;
}

static bool query_fits(const RegistryQuery *query, const HostKey *key)
{
    uint32_t port;
    Guid guid;

    if (query->name && strcmp(query->name, key->name) != 0)
        return false;
    if (query->port && !(key->has_guid && guid_to_port(&key->guid, &port) && port == *query->port))
        return false;
    if (query->guid && !(key->has_guid && guid_parse(query->guid, &guid) && guid_compare(&guid, &key->guid) == 0))
        return false;
    return !query->address || query_fits_address(query->address, key);
}

static int windows_lookup(Registry *registry, const RegistryQuery *query, RegistryVisitor on_service, void *userdata)
{
    _cleanup_(host_release) Host host = {0};
    int r = read_host(registry, false, &host);

    for (size_t i = 0; i < host.count && r == 0; i++)
        if (query_fits(query, &host.keys[i]))
            r = visit_key(&host.keys[i], on_service, userdata);
    return r;
}

static int windows_list_machines(Registry *registry, RegistryVisitor on_machine, void *userdata)
{
    return 0; /* keys are for all machines */
}

/* `{"service":…}` of a key. */
static int reply_with(const HostKey *key, char **ret_reply)
{
    Buffer reply = {0};

    buffer_append_text(&reply, "{\"service\":");
    host_key_write_json(key, &reply);
    buffer_append_char(&reply, '}');
    return buffer_take(&reply, ret_reply, NULL);
}

/* Ours, or who else is called so; also by GUID. */
static const HostKey *find_key(const Host *host, const char *name)
{
    const HostKey *found = host_find_ours(host, name, NULL);
    Guid guid;

    for (size_t i = 0; i < host->count && !found; i++)
        if (strcmp(host->keys[i].name, name) == 0 || strcasecmp(host->keys[i].key.name, name) == 0)
            found = &host->keys[i];
    return found || !guid_parse(name, &guid) ? found : host_find_guid(host, &guid, NULL);
}

/* Of a key that is called so, ours before others'. */
static int windows_describe_any(Registry *registry, const char *name, char **ret_reply)
{
    _cleanup_(host_release) Host host = {0};
    int r = read_host(registry, false, &host);

    if (r != 0)
        return r;
    const HostKey *key = find_key(&host, name);
    return key ? reply_with(key, ret_reply) : refuse_no_such(registry, name);
}

static int windows_describe(Registry *registry, const char *name, char **ret_reply)
{
    _cleanup_(host_release) Host host = {0};
    int r = read_host(registry, false, &host);

    if (r != 0)
        return r;
    const HostKey *key = host_find_ours(&host, name, NULL);
    return key ? reply_with(key, ret_reply) : refuse_not_ours(registry, &host, name);
}

static int windows_status(Registry *registry, char **ret_reply)
{
    _cleanup_(host_release) Host host = {0};
    int r = read_host(registry, false, &host);

    if (r != 0)
        return r;
    Buffer reply = {0};
    buffer_printf(&reply, "{\"services\":%zu,\"machines\":0,\"errors\":[],\"configuration\":[]}", host.count);
    return buffer_take(&reply, ret_reply, NULL);
}

/* ---- changing ---- */

/* What has become of it, read back. */
static int reply_read_back(Registry *registry, const char *name, char **ret_reply)
{
    _cleanup_(host_release) Host host = {0};
    int r = read_host(registry, true, &host);

    if (r != 0)
        return r;
    const HostKey *key = host_find_ours(&host, name, NULL);
    return key ? reply_with(key, ret_reply)
               : registry_windows_refuse(registry, "StorageFailed", NULL,
                                         "%s was written and is not there any more; somebody removes keys: hvsockctl doctor tells more", name);
}

static int put_key(Store *store, StorePlace place, const StoredKey *key)
{
    int r = store_put(store, place, key);

    /* It is there because we want it to be. */
    if (r == 0)
        r = store_remove(store, STORE_REMOVED, key->name);
    return r;
}

static int put_service(Store *store, StorePlace place, const ServiceContext *service, const Guid *guid)
{
    StoredKey key = {0};
    int r = plan_key_of(service, guid, &key);

    if (r == 0)
        r = put_key(store, place, &key);
    stored_key_release(&key);
    return r;
}

static int note_removed(Store *store, const HostKey *key)
{
    char name[GUID_TEXT_SIZE_BYTES];
    StoredKey note = {.name = strdup(guid_format_upper(&key->guid, name))};
    int r = note.name ? stored_set_text(&note, L"Purpose", key->name) : -ENOMEM;

    if (r == 0)
        r = store_put(store, STORE_REMOVED, &note);
    stored_key_release(&note);
    return r;
}

static int remove_key(Store *store, const HostKey *key, bool is_pruned)
{
    int r = store_remove(store, key->place, key->key.name);

    return r == 0 && is_pruned && key->has_guid && key->place == STORE_SERVICES ? note_removed(store, key) : r;
}

static int run_plan(Store *store, const Plan *plan)
{
    int r = 0;

    for (size_t i = 0; i < plan->step_count && r == 0; i++) {
        const PlanStep *step = &plan->steps[i];
        r = step->removed ? remove_key(store, step->removed, step->pruned) : put_service(store, step->place, step->service, &step->guid);
    }
    return r;
}

static int plan_reply(const Plan *plan, char **ret_reply)
{
    json_t *changes = json_array();
    int r = changes ? 0 : -ENOMEM;

    for (size_t i = 0; i < plan->change_count && r == 0; i++) {
        const PlanChange *change = &plan->changes[i];
        json_t *fields = json_array();
        for (size_t k = 0; change->fields && change->fields[k]; k++)
            json_array_append_new(fields, json_string(change->fields[k]));
        json_t *object = json_pack("{s:s,s:s,s:s,s:o}", "kind", change->kind, "object", "service", "name", change->name, "fields", fields);
        r = json_array_append_new(changes, object) < 0 ? -ENOMEM : 0;
    }
    json_t *reply = json_pack("{s:o}", "changes", changes);
    *ret_reply = r == 0 ? json_dumps(reply, JSON_COMPACT) : NULL;
    json_decref(reply);
    return *ret_reply ? 0 : -ENOMEM;
}

static int windows_apply(Registry *registry, const Document *document, const char *set, bool prune, bool dry_run, char **ret_reply)
{
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(host_release) Host host = {0};
    _cleanup_(plan_release) Plan plan = {0};
    Store *store;

    if (set && strcmp(set, "default") != 0)
        return registry_windows_refuse(registry, "InvalidField", "{\"field\":\"set\"}",
                                       "set: a key of Windows' registry keeps no set; leave --set out, --prune removes all that hvsockctl wrote");
    int r = read_host(registry, !dry_run, &host);
    if (r != 0)
        return r;
    r = registry_windows_refuse_plan(registry, plan_make(&host, document->services, prune, &problems, &plan), &problems, &plan);
    if (r == 0 && !dry_run)
        r = registry_windows_store(registry, true, &store);
    if (r == 0 && !dry_run)
        r = registry_windows_answer(registry, run_plan(store, &plan));
    if (r == 0)
        r = plan_reply(&plan, ret_reply);
    if (r == 0 && !dry_run)
        store_keep(store);
    return r;
}

/* The same thing again succeeds. */
static bool is_same(const HostKey *key, const ServiceContext *service, const Guid *guid)
{
    return guid_compare(&key->guid, guid) == 0 && text_equal(key->key.element_name, windows_element_name(service)) && key->bare &&
           (key->place == STORE_SERVICES) == service_is_enabled(service);
}

static int add_checked(Registry *registry, const Host *host, const ServiceContext *service, const Guid *guid, bool *ret_is_there)
{
    const HostKey *named = host_find_ours(host, service->name, NULL), *holder = host_find_guid(host, guid, NULL);
    char text[GUID_TEXT_SIZE_BYTES];
    Buffer who = {0};

    *ret_is_there = named && is_same(named, service, guid) && !named->gone_before;
    if (named && !is_same(named, service, guid))
        return refuse_conflict(registry, "name", service->name, named->key.name);
    if (named || !holder)
        return 0;
    host_key_write_holder(holder, &who);
    buffer_append_char(&who, '\0');
    int r = who.failed ? -ENOMEM : refuse_conflict(registry, "guid", guid_format(guid, text), who.data);
    buffer_release(&who);
    return r;
}

static int windows_add_service(Registry *registry, const ServiceContext *service, pid_t ephemeral_pid, char **ret_reply)
{
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(host_release) Host host = {0};
    bool is_there = false;
    Store *store;
    Guid guid;

    int r = read_host(registry, true, &host);
    if (r != 0)
        return r;
    r = plan_service_guid(&host, service, NULL, 0, &problems, &guid);
    if (r == WINDOWS_NOTHING)
        problems_add(&problems, "port", "give --port or --guid", "a key of Windows' registry is called by its GUID");
    if (problems.count > 0)
        return refuse_problems(registry, &problems);
    if (r == 0)
        r = add_checked(registry, &host, service, &guid, &is_there);
    if (r == 0)
        r = registry_windows_store(registry, true, &store);
    if (r == 0 && !is_there)
        r = registry_windows_answer(registry, put_service(store, service_is_enabled(service) ? STORE_SERVICES : STORE_DISABLED, service, &guid));
    if (r == 0)
        r = reply_read_back(registry, service->name, ret_reply);
    if (r == 0)
        store_keep(store);
    return r;
}

static int windows_remove_service(Registry *registry, const char *name, char **ret_reply)
{
    _cleanup_(host_release) Host host = {0};
    Store *store;
    int r = read_host(registry, true, &host);

    if (r == 0 && !host_find_ours(&host, name, NULL))
        return refuse_not_ours(registry, &host, name);
    if (r == 0)
        r = registry_windows_store(registry, true, &store);
    for (HostKey *key = host_find_ours(&host, name, NULL); key && r == 0; key = host_find_ours(&host, name, key))
        r = key->pool ? refuse_pool(registry, key) : registry_windows_answer(registry, remove_key(store, key, true));
    if (r != 0)
        return r;
    *ret_reply = strdup("{}");
    store_keep(store);
    return *ret_reply ? 0 : -ENOMEM;
}

/* A key of ours goes to the other place, with all its values, under its bare name. */
static int move_key(Registry *registry, const Host *host, Store *store, const HostKey *key, StorePlace place)
{
    char name[GUID_TEXT_SIZE_BYTES];
    Buffer who = {0};

    for (const HostKey *other = host_find_guid(host, &key->guid, NULL); other && place == STORE_SERVICES;
         other = host_find_guid(host, &key->guid, other))
        if (other->place == place && (other->owner != WINDOWS_OURS || strcmp(other->name, key->name) != 0)) {
            host_key_write_holder(other, &who);
            buffer_append_char(&who, '\0');
            int r = who.failed ? -ENOMEM : refuse_conflict(registry, "guid", guid_format(&key->guid, name), who.data);
            buffer_release(&who);
            return r;
        }
    StoredKey moved = *key->stored;
    moved.name = guid_format_upper(&key->guid, name);
    int r = put_key(store, place, &moved);
    if (r == 0)
        r = store_remove(store, key->place, key->key.name);
    return registry_windows_answer(registry, r);
}

static int windows_set_enabled(Registry *registry, const char *name, bool enabled, char **ret_reply)
{
    _cleanup_(host_release) Host host = {0};
    StorePlace place = enabled ? STORE_SERVICES : STORE_DISABLED;
    Store *store;
    int r = read_host(registry, true, &host);

    if (r == 0 && !host_find_ours(&host, name, NULL))
        return refuse_not_ours(registry, &host, name);
    if (r == 0)
        r = registry_windows_store(registry, true, &store);
    for (HostKey *key = host_find_ours(&host, name, NULL); key && r == 0; key = host_find_ours(&host, name, key))
        if (key->pool)
            r = refuse_pool(registry, key);
        else if (key->place != place && key->has_guid)
            r = move_key(registry, &host, store, key, place);
    if (r == 0)
        r = reply_read_back(registry, name, ret_reply);
    if (r == 0)
        store_keep(store);
    return r;
}

static int refuse_machine(Registry *registry)
{
    return registry_windows_refuse(registry, "NotAllowed", NULL,
                                   "Windows' registry keeps no machines; name them in a YAML file, for connect --machines");
}

static int windows_add_machine(Registry *registry, const MachineContext *machine, pid_t ephemeral_pid, char **ret_reply)
{
    return refuse_machine(registry);
}

static int windows_remove_machine(Registry *registry, const char *name, char **ret_reply)
{
    return refuse_machine(registry);
}

static const RegistryOps registry_windows = {
    .name = "Windows",
    .open = windows_open,
    .close = windows_close,
    .list = windows_list,
    .lookup = windows_lookup,
    .list_machines = windows_list_machines,
    .describe = windows_describe,
    .describe_any = windows_describe_any,
    .status = windows_status,
    .add_service = windows_add_service,
    .remove_service = windows_remove_service,
    .set_enabled = windows_set_enabled,
    .add_machine = windows_add_machine,
    .remove_machine = windows_remove_machine,
    .apply = windows_apply,
};
const RegistryOps *const registry_of_host = &registry_windows;
