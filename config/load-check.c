/* SPDX-License-Identifier: Apache-2.0 */
/* What the records of one load have to say to each other: names, addresses and what machines are known by are claims, texts that
 * only one record may hold. Claims are sorted, and neighbours compared, so that a large set costs n log n. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/document.h"
#include "schema/model/service.h"

typedef struct Claim Claim;
typedef struct Claims Claims;
typedef struct Owner Owner;

#define EXPANDED_MAX 1000000 /* of machine:*; what is beyond, binding will tell */

struct Owner {
    const DeclaredFile *file;
    const DeclaredRecord *record;
};

struct Claim {
    char *key;             /* what only one may hold */
    char *shown;           /* the same for people */
    size_t owner;          /* in Claims.owners: in the order of the load */
    const char *field;
    size_t index;          /* of the field's list */
    bool in_list;
    const char *machine;   /* the machine that it is on; NULL: none */
    bool any_machine;      /* came from machine:*, which yields to machine:NAME */
    const char *hint;
    const Claim *holder;   /* a conflict: who has it */
};

struct Claims {
    Owner *owners;
    size_t owner_count;
    const MachineContext **machines; /* by name */
    size_t machine_count;
    Claim *items;
    size_t count, capacity;
};

static void claims_release(Claims *claims)
{
    for (size_t i = 0; i < claims->count; i++) {
        free(claims->items[i].key);
        free(claims->items[i].shown);
    }
    free(claims->items);
    free(claims->owners);
    free(claims->machines);
    *claims = (Claims){0};
}

static int machine_compare(const void *a, const void *b)
{
    const MachineContext *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

static int machine_compare_name(const void *key, const void *item)
{
    const MachineContext *const *machine = item;

    return strcmp(key, (*machine)->name);
}

static int claims_init(Claims *claims, const Declared *declared)
{
    size_t count = 0;

    for (size_t i = 0; i < declared->file_count; i++)
        count += declared->files[i]->record_count;
    claims->owners = calloc(count + 1, sizeof(*claims->owners));
    claims->machines = calloc(count + 1, sizeof(*claims->machines));
    if (!claims->owners || !claims->machines)
        return -ENOMEM;
    for (size_t i = 0; i < declared->file_count; i++)
        for (size_t k = 0; k < declared->files[i]->record_count; k++) {
            const DeclaredRecord *record = &declared->files[i]->records[k];
            claims->owners[claims->owner_count++] = (Owner){declared->files[i], record};
            if (record->type == &record_type_MachineContext)
                claims->machines[claims->machine_count++] = record->record;
        }
    qsort(claims->machines, claims->machine_count, sizeof(*claims->machines), machine_compare);
    return 0;
}

/* Takes key and shown of the claim over, also where it fails. */
static int claims_add_consume(Claims *claims, Claim claim)
{
    if (claim.key && claim.shown && claims->count == claims->capacity) {
        size_t capacity = claims->capacity ? claims->capacity * 2 : 64;
        Claim *items = reallocarray(claims->items, capacity, sizeof(*items));
        if (items) {
            claims->items = items;
            claims->capacity = capacity;
        }
    }
    if (!claim.key || !claim.shown || claims->count == claims->capacity) {
        free(claim.key);
        free(claim.shown);
        return -ENOMEM;
    }
    claims->items[claims->count++] = claim;
    return 0;
}

static const char *record_name(const DeclaredRecord *record)
{
    if (record->type == &record_type_ServiceContext)
        return ((const ServiceContext *)record->record)->name;
    return ((const MachineContext *)record->record)->name;
}

/* ---- names ---- */

static int add_names(Claims *claims)
{
    for (size_t i = 0; i < claims->owner_count; i++) {
        const DeclaredRecord *record = claims->owners[i].record;
        const char *name = record_name(record);
        Claim claim = {.owner = i, .field = "name", .hint = "give each its own name", .shown = strdup(name)};
        if (asprintf(&claim.key, "%c%s", record->type == &record_type_ServiceContext ? 's' : 'm', name) < 0)
            claim.key = NULL;
        int r = claims_add_consume(claims, claim);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- machines: what they are known by ---- */

static int add_machine(Claims *claims, size_t owner, const MachineContext *machine)
{
    char cid[16];
    const struct {
        const char *field, *value, *hint;
    } fields[] = {
        {"cid", machine->cid.set ? cid : NULL, "give each machine a CID of its own"},
        {"hybrid", machine->hybrid, "give each machine a socket of its own"},
        {"hyperkit", machine->hyperkit, "give each machine a folder of its own"},
        {"vmId", machine->vm_id, "give each machine an id of its own"},
    };

    snprintf(cid, sizeof(cid), "%" PRIu32, machine->cid.value);
    for (size_t i = 0; i < ELEMENTS_OF(fields); i++) {
        if (!fields[i].value)
            continue;
        Claim claim = {.owner = owner, .field = fields[i].field, .hint = fields[i].hint, .shown = strdup(fields[i].value)};
        if (asprintf(&claim.key, "%s %s", fields[i].field, fields[i].value) < 0)
            claim.key = NULL;
        int r = claims_add_consume(claims, claim);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- services: what they listen on ---- */

static const char *address_hint(const Address *address, const ServiceContext *service)
{
    if (address->transport == &transport_unix)
        return "choose another path";
    if (address->has_port)
        return service->auto_port == YES ? "choose another address" : "choose another port, or autoPort: true";
    return "choose another guid";
}

/* claim says whose it is, and where it stands. */
static int add_address(Claims *claims, Claim claim, const Address *address, const ServiceContext *service)
{
    int r = address_key(address, &claim.key);

    if (r == -EINVAL)
        return 0; /* its port is chosen by the daemon */
    if (r < 0)
        return r;
    claim.hint = address_hint(address, service);
    if (claim.in_list || claim.machine) {
        r = address_to_text(address, &claim.shown);
        if (r < 0)
            claim.shown = NULL;
    } else {
        claim.shown = service->port.set ? NULL : strdup(service->guid ? service->guid : "");
        if (service->port.set && asprintf(&claim.shown, "%" PRIu32, service->port.value) < 0)
            claim.shown = NULL;
    }
    return claims_add_consume(claims, claim);
}

static int add_on_machine(Claims *claims, Claim claim, const MachineContext *machine, const ServiceContext *service)
{
    Address address = {0};
    int r = machine_address(machine, service, &address);

    if (r < 0)
        return r;
    claim.machine = machine->name;
    r = address.transport ? add_address(claims, claim, &address, service) : 0;
    address_release(&address);
    return r;
}

/* machine:* and machine:NAME. A machine that is not known can come later. */
static int add_on_machines(Claims *claims, Claim claim, const char *name, const ServiceContext *service, size_t *expanded)
{
    claim.any_machine = strcmp(name, "*") == 0;
    if (!claim.any_machine) {
        const MachineContext *const *machine =
            bsearch(name, claims->machines, claims->machine_count, sizeof(*claims->machines), machine_compare_name);
        return machine ? add_on_machine(claims, claim, *machine, service) : 0;
    }
    for (size_t i = 0; i < claims->machine_count; i++) {
        if (++*expanded > EXPANDED_MAX)
            return 0;
        int r = add_on_machine(claims, claim, claims->machines[i], service);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_service(Claims *claims, size_t owner, const ServiceContext *service, size_t *expanded)
{
    Address *addresses;
    size_t count;

    if (!service_is_enabled(service))
        return 0;
    int r = service_addresses(service, &addresses, &count);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < count; i++) {
        Claim claim = {
            .owner = owner,
            .field = service->listen ? "listen" : service->port.set ? "port" : "guid",
            .in_list = service->listen != NULL,
            .index = i,
        };
        if (addresses[i].transport == &transport_machine)
            r = add_on_machines(claims, claim, addresses[i].machine, service, expanded);
        else
            r = add_address(claims, claim, &addresses[i], service);
    }
    addresses_free(addresses, count);
    return r;
}

static int add_addresses(Claims *claims)
{
    size_t expanded = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < claims->owner_count; i++) {
        const DeclaredRecord *record = claims->owners[i].record;
        if (record->type == &record_type_ServiceContext)
            r = add_service(claims, i, record->record, &expanded);
        else
            r = add_machine(claims, i, record->record);
    }
    return r;
}

/* ---- conflicts ---- */

/* By key, then machine, there machine:NAME before machine:*, then in the order of the load. */
static int claim_compare(const void *a, const void *b)
{
    const Claim *left = a, *right = b;
    int order = strcmp(left->key, right->key);

    if (order == 0)
        order = strcmp(left->machine ? left->machine : "", right->machine ? right->machine : "");
    if (order == 0)
        order = (left->any_machine > right->any_machine) - (left->any_machine < right->any_machine);
    if (order == 0)
        order = (left->owner > right->owner) - (left->owner < right->owner);
    if (order == 0)
        order = (left->index > right->index) - (left->index < right->index);
    return order;
}

/* The claims of one key: the first owner has it, each other is told once. machine:* claims that yield are left out. */
static void find_in_run(Claim *claims, size_t count)
{
    Claim *holder = NULL;
    const Claim *named = NULL;

    for (size_t i = 0; i < count; i++) {
        if (named && strcmp(named->machine, claims[i].machine ? claims[i].machine : "") != 0)
            named = NULL;
        if (claims[i].machine && !claims[i].any_machine)
            named = &claims[i];
        else if (named && claims[i].any_machine)
            claims[i].field = NULL; /* yields */
        if (claims[i].field && (!holder || claims[i].owner < holder->owner))
            holder = &claims[i];
    }
    for (size_t i = 0; i < count; i++)
        if (claims[i].field && claims[i].owner != holder->owner)
            claims[i].holder = holder;
}

/* A conflict by its owner, then by whom it is held. */
static int conflict_compare(const void *a, const void *b)
{
    const Claim *left = *(const Claim *const *)a, *right = *(const Claim *const *)b;
    int order = (left->owner > right->owner) - (left->owner < right->owner);

    if (order == 0)
        order = strcmp(left->key, right->key);
    return order ? order : (left->index > right->index) - (left->index < right->index);
}

static void tell_conflict(const Claims *claims, const Claim *claim, DocumentLocator *locator, Problems *problems)
{
    const Owner *owner = &claims->owners[claim->owner], *holder = &claims->owners[claim->holder->owner];
    size_t first = problems->count;
    char field[64];

    snprintf(field, sizeof(field), claim->in_list ? "%s[%zu]" : "%s", claim->field, claim->index);
    if (strcmp(claim->field, "name") == 0)
        problems_add(problems, field, claim->hint, "%s is declared already (%s:%u:%u)", claim->shown, holder->file->path,
                     holder->record->line, holder->record->column);
    else
        problems_add(problems, field, claim->hint, "%s is held by %s (%s:%u:%u) already", claim->shown,
                     record_name(holder->record), holder->file->path, holder->record->line, holder->record->column);
    document_locate(locator, owner->file, owner->record, problems, first);
}

static int tell_conflicts(Claims *claims, Problems *problems)
{
    _cleanup_(freep) const Claim **conflicts = NULL;
    DocumentLocator locator = {0};
    size_t count = 0;

    if (claims->count < 2)
        return 0;
    qsort(claims->items, claims->count, sizeof(*claims->items), claim_compare);
    for (size_t i = 0, end; i < claims->count; i = end) {
        for (end = i + 1; end < claims->count && strcmp(claims->items[i].key, claims->items[end].key) == 0;)
            end++;
        if (end - i > 1)
            find_in_run(&claims->items[i], end - i);
    }
    for (size_t i = 0; i < claims->count; i++)
        count += claims->items[i].holder != NULL;
    if (count == 0)
        return 0;

    conflicts = reallocarray(NULL, count, sizeof(*conflicts));
    if (!conflicts)
        return -ENOMEM;
    count = 0;
    for (size_t i = 0; i < claims->count; i++)
        if (claims->items[i].holder)
            conflicts[count++] = &claims->items[i];
    qsort(conflicts, count, sizeof(*conflicts), conflict_compare);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || conflicts[i]->owner != conflicts[i - 1]->owner || strcmp(conflicts[i]->key, conflicts[i - 1]->key) != 0)
            tell_conflict(claims, conflicts[i], &locator, problems);
    document_locator_release(&locator);
    return problems->failed ? -ENOMEM : LOAD_INVALID;
}

int load_check_names(const Declared *declared, Problems *problems)
{
    Claims claims = {0};
    int r = claims_init(&claims, declared);

    if (r == 0)
        r = add_names(&claims);
    if (r == 0)
        r = tell_conflicts(&claims, problems);
    claims_release(&claims);
    return r;
}

/* Services that would hand out a listener that machines on vsock share: one problem a service. */
static int tell_forbidden(const Claims *claims, Problems *problems)
{
    DocumentLocator locator = {0};
    size_t expanded = 0;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < claims->owner_count; i++) {
        const Owner *owner = &claims->owners[i];
        const ServiceContext *service = owner->record->record;
        const MachineContext *forbidden = NULL;
        size_t more = 0, first = problems->count;
        if (owner->record->type != &record_type_ServiceContext || !service_has_machine_addresses(service))
            continue;
        for (size_t k = 0; k < claims->machine_count && ++expanded <= EXPANDED_MAX; k++) {
            if (!service_forbids_machine(service, claims->machines[k]))
                continue;
            if (forbidden)
                more++;
            else
                forbidden = claims->machines[k];
        }
        if (!forbidden)
            continue;
        r = service_add_forbidden(service, forbidden, more, false, problems);
        document_locate(&locator, owner->file, owner->record, problems, first);
    }
    document_locator_release(&locator);
    return r < 0 ? r : 0;
}

int load_check_conflicts(const Declared *declared, Problems *problems)
{
    Claims claims = {0};
    size_t errors = problems->errors;
    int r = claims_init(&claims, declared);

    if (r == 0)
        r = tell_forbidden(&claims, problems);
    if (r == 0)
        r = add_addresses(&claims);
    if (r == 0)
        r = tell_conflicts(&claims, problems);
    claims_release(&claims);
    return r < 0 ? r : problems->errors > errors ? LOAD_INVALID : 0;
}

void load_locate(const DeclaredFile *file, const DeclaredRecord *record, Problems *problems, size_t first)
{
    DocumentLocator locator = {0};

    document_locate(&locator, file, record, problems, first);
    document_locator_release(&locator);
}
