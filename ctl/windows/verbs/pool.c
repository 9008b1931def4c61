/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl pool: services that an administrator registers once, for programs that may not register any. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/windows/claims.h"
#include "ctl/windows/registry.h"
#include "schema/base/text.h"
#include "schema/model/service.h"

#define POOL_COUNT_MAX 1000

static void pool_key_release(StoredKey *key)
{
    stored_key_release(key);
}

/* The pool, as its creation wrote it: a value a service, GUID -> name. 0; ExitStatus (told). -ENOMEM. */
static int pool_read(Ctl *ctl, const char *pool, StoredKey *ret)
{
    Registry *registry;
    Store *store;
    int r = ctl_open(ctl, &registry);

    if (r == 0)
        r = registry_windows_store(registry, false, &store);
    if (r != 0)
        return ctl_refused(ctl, r, pool);
    r = store_read_one(store, STORE_POOLS, pool, ret);
    if (r == STORE_GONE) {
        ctl_tell(pool, "an administrator makes one: hvsockctl pool create", "there is no such pool");
        return EXIT_NO;
    }
    return r == 0 ? 0 : ctl_refused(ctl, registry_windows_answer(registry, r), pool);
}

static int claims_told(Ctl *ctl, int answer, const char *pool, const Claims *claims)
{
    if (answer != CLAIMS_FAILED)
        return answer;
    ctl_tell(pool, "hvsockctl pool remove and create, as administrator, make it anew", "%s", claims->error);
    return EXIT_REFUSED;
}

/* What a service of a pool is: its name, GUID and port. */
typedef struct Member {
    char *name;
    Guid guid;
    uint32_t port;
} Member;

static int member_read(const StoredKey *pool, size_t index, Member *ret)
{
    char guid[GUID_TEXT_SIZE_BYTES] = {0};

    *ret = (Member){0};
    for (size_t i = 0; i < sizeof(guid) - 1 && pool->values[index].name[i]; i++)
        guid[i] = (char)pool->values[index].name[i];
    if (guid_parse(guid, &ret->guid))
        guid_to_port(&ret->guid, &ret->port);
    return stored_text(pool, pool->values[index].name, &ret->name);
}

static void member_release(Member *member)
{
    free(member->name);
}

static int member_print(Ctl *ctl, const Member *member, uint32_t process_id)
{
    char guid[GUID_TEXT_SIZE_BYTES];
    const char *name = member->name ? member->name : "?";

    guid_format(&member->guid, guid);
    if (!ctl->output.json) {
        printf("%s %u %s", name, member->port, guid);
        if (process_id > 0)
            printf(" %u", process_id);
        putchar('\n');
        return EXIT_DONE;
    }
    json_t *object = json_pack("{s:s,s:I,s:s,s:I}", "name", name, "port", (json_int_t)member->port, "guid", guid, "processId",
                               (json_int_t)process_id);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (!text)
        return -ENOMEM;
    output_json(&ctl->output, text, strlen(text));
    free(text);
    return EXIT_DONE;
}

/* ---- create, remove ---- */

/* The services PREFIX-1 … PREFIX-N, each with a free port, as a set that nobody has. */
static int pool_put(Store *store, const Host *host, const char *pool, size_t count, StoredKey *ret)
{
    _cleanup_(freep) Guid *taken = calloc(count + 1, sizeof(*taken));
    _cleanup_(problems_release) Problems problems = {0};
    int r = taken ? 0 : -ENOMEM;

    for (size_t i = 0; i < count && r == 0; i++) {
        char name[SERVICE_NAME_MAX_BYTES + 16], guid[GUID_TEXT_SIZE_BYTES];
        wchar_t wide[GUID_TEXT_SIZE_BYTES];
        ServiceContext service = {.name = name, .auto_port = YES};
        StoredKey key = {0};
        snprintf(name, sizeof(name), "%s-%zu", pool, i + 1);
        r = plan_service_guid(host, &service, taken, i, &problems, &taken[i]);
        if (r == 0)
            r = plan_key_of(&service, &taken[i], &key);
        if (r == 0)
            r = store_put(store, STORE_SERVICES, &key);
        guid_format_upper(&taken[i], guid);
        for (size_t k = 0; k < sizeof(guid); k++)
            wide[k] = (wchar_t)guid[k];
        if (r == 0)
            r = stored_set_text(ret, wide, name);
        stored_key_release(&key);
    }
    return r == 0 ? store_put(store, STORE_POOLS, ret) : r;
}

static int pool_check_free(Ctl *ctl, const Host *host, const char *pool, size_t count)
{
    for (size_t i = 0; i < host->stored[STORE_POOLS].count; i++)
        if (strcasecmp(host->stored[STORE_POOLS].items[i].name, pool) == 0) {
            ctl_tell(pool, "hvsockctl pool remove it first, or choose another name", "there is such a pool already, of %zu services",
                     host->stored[STORE_POOLS].items[i].count);
            return EXIT_REFUSED;
        }
    for (size_t i = 0; i < count; i++) {
        char name[SERVICE_NAME_MAX_BYTES + 16];
        snprintf(name, sizeof(name), "%s-%zu", pool, i + 1);
        if (host_find_ours(host, name, NULL)) {
            ctl_tell(pool, "choose another name", "there is a service already that is called %s", name);
            return EXIT_REFUSED;
        }
    }
    return 0;
}

/* For a change, with all that is there. An answer of the registry's. */
static int pool_open_store(Ctl *ctl, Store **ret_store, Host *host)
{
    Registry *registry;
    int r = ctl_open(ctl, &registry);

    if (r == 0)
        r = registry_windows_store(registry, true, ret_store);
    return r == 0 ? registry_windows_answer(registry, host_read(*ret_store, host)) : r;
}

static int pool_create_run(Ctl *ctl)
{
    const char *pool = ctl->given.operands[0], *wrong = format_service_name.check(pool);
    const char *text = given_value(&ctl->given, "count", "");
    _cleanup_(claims_release) Claims claims = {0};
    _cleanup_(host_release) Host host = {0};
    uint64_t count;
    Store *store;

    if (wrong || strlen(pool) > SERVICE_NAME_MAX_BYTES - 5)
        return ctl_usage(ctl, pool, "lower-case letters, digits, dots, dashes and underscores, at most 59", "not a name for a pool: %s",
                         wrong ? wrong : "it is too long");
    if (!text_to_number(text, POOL_COUNT_MAX, &count) || count == 0)
        return ctl_usage(ctl, "--count", "a number from 1 to 1000 would be right", "\"%s\" is no such number", text);
    int r = pool_open_store(ctl, &store, &host);
    if (r != 0)
        return ctl_refused(ctl, r, pool);
    r = pool_check_free(ctl, &host, pool, count);
    if (r != 0)
        return r;
    _cleanup_(pool_key_release) StoredKey key = {.name = strdup(pool)};
    r = key.name ? pool_put(store, &host, pool, count, &key) : -ENOMEM;
    if (r != 0)
        return ctl_refused(ctl, registry_windows_answer(ctl->registry, r), pool);
    r = claims_create(pool, count, &claims);
    if (r == 0)
        store_keep(store);
    return r == 0 ? EXIT_DONE : claims_told(ctl, r, pool, &claims); /* what was written is taken back at the end */
}

static int pool_remove_run(Ctl *ctl)
{
    const char *pool = ctl->given.operands[0];
    _cleanup_(pool_key_release) StoredKey key = {0};
    _cleanup_(host_release) Host host = {0};
    Store *store;

    int r = pool_read(ctl, pool, &key);
    if (r != 0)
        return r;
    r = pool_open_store(ctl, &store, &host);
    if (r != 0)
        return ctl_refused(ctl, r, pool);
    for (size_t i = 0; i < host.count && r == 0; i++)
        if (host.keys[i].pool && strcasecmp(host.keys[i].pool, pool) == 0)
            r = store_remove(store, host.keys[i].place, host.keys[i].key.name);
    if (r == 0)
        r = store_remove(store, STORE_POOLS, pool);
    if (r != 0)
        return ctl_refused(ctl, registry_windows_answer(ctl->registry, r), pool);
    store_keep(store);
    claims_remove(pool);
    return EXIT_DONE;
}

/* ---- claim, release, list ---- */

/* --pid, else who called this program. */
static int pool_process(Ctl *ctl, Claim *ret)
{
    const char *text = given_value(&ctl->given, "pid", NULL);
    uint64_t number = text ? 0 : claim_parent_process();

    if (text && !text_to_number(text, UINT32_MAX, &number))
        return ctl_usage(ctl, "--pid", "give the number of a process", "\"%s\" is not a process id", text);
    if (number > 0 && claim_of_process((uint32_t)number, ret))
        return 0;
    ctl_tell("--pid", "give that of a process that lives as long as the service is used", "there is no process %llu",
             (unsigned long long)number);
    return EXIT_NO;
}

/* The pool with its claims, and the process that this is for, unless nobody asks for it. 0; ExitStatus (told). -ENOMEM. */
static int pool_open(Ctl *ctl, const char *pool, StoredKey *key, Claims *claims, Claim *ret_process)
{
    int r = pool_read(ctl, pool, key);

    if (r == 0 && ret_process)
        r = pool_process(ctl, ret_process);
    return r != 0 ? r : claims_told(ctl, claims_open(pool, key->count, claims), pool, claims);
}

/* Of the service at that index. */
static int pool_write(Ctl *ctl, const char *pool, Claims *claims, size_t index, const Claim *claim)
{
    claims->items[index] = *claim;
    return claims_told(ctl, claims_write(claims), pool, claims);
}

static int pool_claim_run(Ctl *ctl)
{
    const char *pool = ctl->given.operands[0];
    _cleanup_(pool_key_release) StoredKey key = {0};
    _cleanup_(claims_release) Claims claims = {0};
    _cleanup_(member_release) Member member = {0};
    Claim claim = {0};

    int r = pool_open(ctl, pool, &key, &claims, &claim);
    for (size_t i = 0; i < claims.count && r == 0; i++) {
        if (claims.items[i].process_id != 0)
            continue;
        r = member_read(&key, i, &member);
        if (r == 0)
            r = pool_write(ctl, pool, &claims, i, &claim);
        return r == 0 ? member_print(ctl, &member, claim.process_id) : r;
    }
    if (r != 0)
        return r;
    ctl_tell(pool, "wait until a process of hvsockctl pool list ends, or make a larger pool", "all %zu services are in use", key.count);
    return EXIT_NO;
}

static int pool_release_run(Ctl *ctl)
{
    const char *name = ctl->given.operands[0], *dash = strrchr(name, '-');
    _cleanup_(freep) char *pool = dash ? strndup(name, (size_t)(dash - name)) : strdup(name);
    _cleanup_(pool_key_release) StoredKey key = {0};
    _cleanup_(claims_release) Claims claims = {0};
    Claim claim = {0};

    int r = pool ? pool_open(ctl, pool, &key, &claims, &claim) : -ENOMEM;
    for (size_t i = 0; i < claims.count && r == 0; i++) {
        _cleanup_(member_release) Member member = {0};
        r = member_read(&key, i, &member);
        if (r != 0 || !text_equal(member.name, name))
            continue;
        if (claims.items[i].process_id != claim.process_id) {
            ctl_tell(name, "only what it has is released; see hvsockctl pool list", "process %u does not have it", claim.process_id);
            return EXIT_NO;
        }
        return pool_write(ctl, pool, &claims, i, &(Claim){0});
    }
    if (r != 0)
        return r;
    ctl_tell(name, "see hvsockctl pool list", "the pool %s has no such service", pool);
    return EXIT_NO;
}

static int pool_list_run(Ctl *ctl)
{
    const char *pool = ctl->given.operands[0];
    _cleanup_(pool_key_release) StoredKey key = {0};
    _cleanup_(claims_release) Claims claims = {0};

    int r = pool_open(ctl, pool, &key, &claims, NULL);
    for (size_t i = 0; i < claims.count && r == 0; i++) {
        _cleanup_(member_release) Member member = {0};
        r = member_read(&key, i, &member);
        if (r == 0)
            r = member_print(ctl, &member, claims.items[i].process_id);
    }
    return r;
}

static const Option create_options[] = {
    {.name = "count", .argument = "N", .help = "How many services, up to 1000."},
    {0},
};
static const Option process_options[] = {
    {.name = "pid", .argument = "PID", .completes = COMPLETES_PROCESSES, .help = "The process that has it, in place of the one that called hvsockctl."},
    {0},
};

static const Verb pool_create = {
    .name = "create",
    .synopsis = "PREFIX --count N",
    .help = "Register the services PREFIX-1 to PREFIX-N; needs an administrator's rights",
    .description = "Each has a free port. Who may not register services claims them from then on.",
    .options = create_options,
    .operand = "PREFIX",
    .operands_min = 1,
    .operands_max = 1,
    .run = pool_create_run,
};
static const Verb pool_claim = {
    .name = "claim",
    .synopsis = "PREFIX [--pid PID]",
    .help = "Take a service that nobody uses; needs no rights",
    .description = "Prints its name, port and GUID. The claim ends with the process, or by release. Exits 1 where all are in use.",
    .options = process_options,
    .operand = "PREFIX",
    .operands_min = 1,
    .operands_max = 1,
    .run = pool_claim_run,
};
static const Verb pool_release = {
    .name = "release",
    .synopsis = "NAME [--pid PID]",
    .help = "Give a claimed service back",
    .options = process_options,
    .operand = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .run = pool_release_run,
};
static const Verb pool_list = {
    .name = "list",
    .synopsis = "PREFIX",
    .help = "List a pool's services, each with the process that has it",
    .operand = "PREFIX",
    .operands_min = 1,
    .operands_max = 1,
    .run = pool_list_run,
};
static const Verb pool_remove = {
    .name = "remove",
    .synopsis = "PREFIX",
    .help = "Remove a pool and its services; needs an administrator's rights",
    .operand = "PREFIX",
    .operands_min = 1,
    .operands_max = 1,
    .run = pool_remove_run,
};

static const Verb *const pool_verbs[] = {&pool_create, &pool_claim, &pool_release, &pool_list, &pool_remove, NULL};

const Verb verb_pool = {
    .name = "pool",
    .group = VERBS_OF_USE,
    .synopsis = "create|claim|release|list|remove [ARG]...",
    .help = "Services for programs that may not register any",
    .verbs = pool_verbs,
};
