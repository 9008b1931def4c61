/* SPDX-License-Identifier: Apache-2.0 */
/* What has to change so that Windows' keys say what is wanted; lives as long as one command. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/windows/plan.h"
#include "schema/base/text.h"
#include "schema/model/service.h"

#define AUTO_PORT_FIRST 0x10000000u
#define AUTO_PORT_LAST 0x1000ffffu

void plan_release(Plan *plan)
{
    for (size_t i = 0; i < plan->change_count; i++) {
        free(plan->changes[i].name);
        free(plan->changes[i].text);
        text_list_free(plan->changes[i].fields);
    }
    free(plan->changes);
    free(plan->steps);
    free(plan->conflict_value);
    free(plan->conflict_holder);
    *plan = (Plan){0};
}

static int grow(void *items, size_t count, size_t *capacity, size_t size_bytes)
{
    void **array = items;

    if (count < *capacity)
        return 0;
    size_t larger = *capacity ? *capacity * 2 : 64;
    void *moved = reallocarray(*array, larger, size_bytes);
    if (!moved)
        return -ENOMEM;
    *array = moved;
    *capacity = larger;
    return 0;
}

static int add_step(Plan *plan, PlanStep step)
{
    int r = grow(&plan->steps, plan->step_count, &plan->step_capacity, sizeof(*plan->steps));

    if (r == 0)
        plan->steps[plan->step_count++] = step;
    return r;
}

/* text: taken; empty is none. */
static int add_change(Plan *plan, const char *kind, const char *name, Buffer *text, TextList *fields)
{
    PlanChange change = {.kind = kind, .name = strdup(name)};
    int r = change.name ? grow(&plan->changes, plan->change_count, &plan->change_capacity, sizeof(*plan->changes)) : -ENOMEM;

    if (r == 0 && text && text->size_bytes > 0)
        r = buffer_take(text, &change.text, NULL);
    if (text)
        buffer_release(text);
    if (r < 0) {
        free(change.name);
        return r;
    }
    if (fields)
        change.fields = TAKE_PTR(*fields);
    plan->changes[plan->change_count++] = change;
    return 0;
}

/* ---- GUIDs ---- */

static bool guid_is_free(const Host *host, const Guid *guid, const Guid *taken, size_t taken_count)
{
    for (size_t i = 0; i < taken_count; i++)
        if (guid_compare(&taken[i], guid) == 0)
            return false;
    return host_find_guid(host, guid, NULL) == NULL;
}

static int auto_guid(const Host *host, const ServiceContext *service, const Guid *taken, size_t taken_count, Problems *problems, Guid *ret)
{
    const HostKey *ours = host_find_ours(host, service->name, NULL);
    uint32_t port;

    for (; ours; ours = host_find_ours(host, service->name, ours))
        if (guid_to_port(&ours->guid, &port) && port >= AUTO_PORT_FIRST && port <= AUTO_PORT_LAST) {
            *ret = ours->guid;
            return 0;
        }
    for (port = AUTO_PORT_FIRST; port <= AUTO_PORT_LAST; port++) {
        Guid guid = guid_from_port(port);
        if (guid_is_free(host, &guid, taken, taken_count)) {
            *ret = guid;
            return 0;
        }
    }
    problems_add(problems, "autoPort", "give it a port", "all ports from %u to %u are taken", AUTO_PORT_FIRST, AUTO_PORT_LAST);
    return problems->failed ? -ENOMEM : WINDOWS_REFUSED;
}

int plan_service_guid(const Host *host, const ServiceContext *service, const Guid *taken, size_t taken_count, Problems *problems, Guid *ret)
{
    Guid guid;

    if (service->auto_port == YES && !service_guid(service, &guid))
        return auto_guid(host, service, taken, taken_count, problems, ret);
    return windows_service_guid(service, problems, ret);
}

int plan_key_of(const ServiceContext *service, const Guid *guid, StoredKey *ret)
{
    char name[GUID_TEXT_SIZE_BYTES];
    StoredKey key = {.name = strdup(guid_format_upper(guid, name))};

    if (!key.name || stored_set_text(&key, L"ElementName", windows_element_name(service)) < 0 ||
        stored_set_text(&key, L"Purpose", service->name) < 0 || stored_set_text(&key, L"ToolName", WINDOWS_TOOL) < 0) {
        stored_key_release(&key);
        return -ENOMEM;
    }
    *ret = key;
    return 0;
}

/* ---- what is wanted against what is there ---- */

typedef struct Wanted {
    const ServiceContext *service;
    Guid guid;
    StorePlace place;
} Wanted;

typedef struct Planner {
    const Host *host;
    Wanted *wanted;
    Guid *guids;
    size_t count;
    bool prune;
    Plan *plan;
} Planner;

static int wanted_compare(const void *a, const void *b)
{
    return strcmp(((const Wanted *)a)->service->name, ((const Wanted *)b)->service->name);
}

static const Wanted *wanted_find(const Planner *planner, const char *name)
{
    const ServiceContext service = {.name = (char *)(uintptr_t)name};
    const Wanted key = {.service = &service};

    return planner->count == 0 ? NULL : bsearch(&key, planner->wanted, planner->count, sizeof(*planner->wanted), wanted_compare);
}

/* Problems of a service, from index first on, get its place before their field. */
static int planner_take(Planner *planner, const ServiceContext *service, size_t index, Problems *problems)
{
    size_t first = problems->count;
    char prefix[48];
    Guid guid;
    int r = plan_service_guid(planner->host, service, planner->guids, planner->count, problems, &guid);

    for (size_t i = 0; r == 0 && i < planner->count; i++)
        if (guid_compare(&planner->guids[i], &guid) == 0) {
            problems_add(problems, service->guid ? "guid" : "port", "on Windows a GUID is one service's", "%s has it already",
                         planner->wanted[i].service->name);
            r = WINDOWS_REFUSED;
        }
    if (r == WINDOWS_REFUSED) {
        snprintf(prefix, sizeof(prefix), "services[%zu]", index);
        problems_prefix(problems, first, prefix);
    }
    if (r == 0) {
        planner->guids[planner->count] = guid;
        planner->wanted[planner->count++] =
            (Wanted){.service = service, .guid = guid, .place = service_is_enabled(service) ? STORE_SERVICES : STORE_DISABLED};
    }
    return problems->failed ? -ENOMEM : r < 0 ? r : 0;
}

static int plan_conflict(Plan *plan, const Wanted *wanted, const HostKey *key)
{
    char guid[GUID_TEXT_SIZE_BYTES];
    Buffer holder = {0};

    host_key_write_holder(key, &holder);
    plan->conflict_field = "guid";
    plan->conflict_value = strdup(guid_format(&wanted->guid, guid));
    int r = buffer_take(&holder, &plan->conflict_holder, NULL);
    return r < 0 || !plan->conflict_value ? -ENOMEM : PLAN_CONFLICT;
}

/* Nobody else has the GUID, and no service of ours that stays. */
static int planner_check(const Planner *planner, const Wanted *wanted)
{
    for (HostKey *key = host_find_guid(planner->host, &wanted->guid, NULL); key; key = host_find_guid(planner->host, &wanted->guid, key)) {
        if (key->owner == WINDOWS_OURS && !key->pool &&
            (strcmp(key->name, wanted->service->name) == 0 || planner->prune || wanted_find(planner, key->name)))
            continue;
        return plan_conflict(planner->plan, wanted, key);
    }
    return 0;
}

static int difference_add(TextList *fields, Buffer *text, const char *field, const char *before, const char *after)
{
    buffer_printf(text, "%s%s ", text->size_bytes > 0 ? ", " : "", field);
    buffer_append_text(text, before ? before : "nothing");
    buffer_append_text(text, " -> ");
    buffer_append_text(text, after);
    return text_list_append(fields, field);
}

static int guid_difference(const HostKey *old, const Wanted *wanted, TextList *fields, Buffer *text)
{
    char before[GUID_TEXT_SIZE_BYTES], after[GUID_TEXT_SIZE_BYTES];
    uint32_t port_before, port_after;

    if (guid_compare(&old->guid, &wanted->guid) == 0)
        return 0;
    if (!guid_to_port(&old->guid, &port_before) || !guid_to_port(&wanted->guid, &port_after))
        return difference_add(fields, text, "guid", guid_format(&old->guid, before), guid_format(&wanted->guid, after));
    snprintf(before, sizeof(before), "%u", port_before);
    snprintf(after, sizeof(after), "%u", port_after);
    return difference_add(fields, text, "port", before, after);
}

/* What the keys of that name say now, and what they are to say: 0 where it is the same. */
static int planner_compare(const Planner *planner, const Wanted *wanted, const HostKey *old)
{
    const char *element_name = windows_element_name(wanted->service);
    TextList fields = NULL;
    Buffer text = {0};
    int r = guid_difference(old, wanted, &fields, &text);

    if (r == 0 && !text_equal(old->key.element_name, element_name))
        r = difference_add(&fields, &text, "elementName", old->key.element_name, element_name);
    if (r == 0 && old->place != wanted->place)
        r = difference_add(&fields, &text, "enabled", old->place == STORE_SERVICES ? "true" : "false",
                           wanted->place == STORE_SERVICES ? "true" : "false");
    if (r == 0 && !old->bare)
        r = difference_add(&fields, &text, "key", old->key.name, "without braces");
    if (r == 0 && !fields && old->gone_before) {
        buffer_append_text(&text, "it had come back, and stays now");
        r = text_list_append(&fields, "key");
    }
    if (r == 0 && !fields && host_find_ours(planner->host, old->name, old)) {
        buffer_append_text(&text, "another key of its name goes");
        r = text_list_append(&fields, "key");
    }
    if (r == 0 && fields)
        r = add_change(planner->plan, "change", wanted->service->name, &text, &fields);
    buffer_release(&text);
    text_list_free(fields);
    return r;
}

/* The one of its keys that is nearest to what is wanted. */
static const HostKey *planner_nearest(const Planner *planner, const Wanted *wanted)
{
    const HostKey *best = NULL;
    unsigned best_fit = 0;

    for (const HostKey *key = host_find_ours(planner->host, wanted->service->name, NULL); key;
         key = host_find_ours(planner->host, wanted->service->name, key)) {
        unsigned fit = 1 + (guid_compare(&key->guid, &wanted->guid) == 0) * 4u + (key->place == wanted->place) * 2u + key->bare;
        if (fit > best_fit) {
            best = key;
            best_fit = fit;
        }
    }
    return best;
}

static int planner_want(const Planner *planner, const Wanted *wanted)
{
    const HostKey *old = planner_nearest(planner, wanted);
    size_t changes = planner->plan->change_count;
    int r = old ? planner_compare(planner, wanted, old) : add_change(planner->plan, "add", wanted->service->name, NULL, NULL);

    if (r == 0 && planner->plan->change_count > changes)
        r = add_step(planner->plan, (PlanStep){.place = wanted->place, .service = wanted->service, .guid = wanted->guid});
    return r;
}

/* A key of ours: does it stay? */
static int planner_leave(const Planner *planner, const HostKey *key)
{
    const Wanted *wanted = wanted_find(planner, key->name);
    bool written = false;

    if (key->owner != WINDOWS_OURS || key->pool)
        return 0;
    if (wanted && key->has_guid && guid_compare(&key->guid, &wanted->guid) == 0 && key->place == wanted->place && key->bare)
        return 0;
    if (!wanted && !planner->prune)
        return 0;
    if (!wanted) {
        bool told = false;
        for (size_t i = 0; i < planner->plan->change_count && !told; i++)
            told = strcmp(planner->plan->changes[i].name, key->name) == 0;
        int r = told ? 0 : add_change(planner->plan, "remove", key->name, NULL, NULL);
        if (r < 0)
            return r;
    }
    /* Another service is written into this very key. */
    for (size_t i = 0; i < planner->count && !written && key->bare; i++)
        written = key->has_guid && planner->wanted[i].place == key->place && guid_compare(&planner->wanted[i].guid, &key->guid) == 0;
    return written ? 0
                   : add_step(planner->plan, (PlanStep){.place = key->place, .removed = key, .guid = key->guid, .pruned = !wanted});
}

int plan_make(const Host *host, ServiceContext *const *services, bool prune, Problems *problems, Plan *ret)
{
    size_t count = 0, errors = problems->errors;
    Plan plan = {0};
    int r = 0;

    while (services && services[count])
        count++;
    _cleanup_(freep) Wanted *wanted = calloc(count + 1, sizeof(*wanted));
    _cleanup_(freep) Guid *guids = calloc(count + 1, sizeof(*guids));
    Planner planner = {.host = host, .wanted = wanted, .guids = guids, .prune = prune, .plan = &plan};
    if (!wanted || !guids)
        return -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++)
        r = planner_take(&planner, services[i], i, problems);
    if (r == 0 && problems->errors > errors)
        r = PLAN_INVALID;
    qsort(wanted, planner.count, sizeof(*wanted), wanted_compare);
    for (size_t i = 0; i < planner.count && r == 0; i++)
        r = planner_check(&planner, &wanted[i]);
    for (size_t i = 0; i < planner.count && r == 0; i++)
        r = planner_want(&planner, &wanted[i]);
    for (size_t i = 0; i < host->count && r == 0; i++)
        r = planner_leave(&planner, &host->keys[i]);
    if (r != 0 && r != PLAN_CONFLICT)
        plan_release(&plan);
    else
        *ret = plan;
    return r;
}
