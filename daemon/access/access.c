/* SPDX-License-Identifier: Apache-2.0 */
/* The settings' administrators and delegations as numbers, and the questions that are asked of them. Lives until the
 * settings are loaded anew. DESIGN.md, "Who may what, by the kernel's credentials". */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "daemon/access/access.h"
#include "daemon/access/names.h"
#include "schema/base/buffer.h"
#include "schema/base/fd.h"
#include "schema/model/address.h"

#define UNMAPPED_DEFAULT 65534u /* user_namespaces(7) */

typedef struct IdRange {
    uint32_t first, last;
} IdRange;

typedef struct IdSet {
    IdRange *ranges;
    size_t count;
} IdSet;

typedef struct Delegate {
    IdSet users, groups;
    char *names; /* a pattern */
    bool has_ports;
    uint32_t first_port, last_port;
} Delegate;

struct Access {
    uid_t daemon_uid;
    uid_t unmapped_uid; /* shown for everybody without a uid in our user namespace; -1: all have one */
    gid_t unmapped_gid;
    IdSet users, groups; /* administrators */
    Delegate *delegates;
    size_t delegate_count;
    /* Both change by questions that change nothing else. */
    Names *names;
    Buffer *reason;
};

/* ---- sets of numbers ---- */

/* Names that the host does not know are left out: they are nobody. */
static int id_set_fill(IdSet *set, Names *names, NameKind kind, char *const *texts)
{
    size_t count = text_list_count(texts);

    set->ranges = calloc(count ? count : 1, sizeof(*set->ranges));
    if (!set->ranges)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        IdRange *range = &set->ranges[set->count];
        if (names_find(names, kind, texts[i], &range->first, &range->last))
            set->count++;
    }
    return 0;
}

static bool range_has_uid(const IdRange *range, uid_t uid)
{
    return uid >= range->first && uid <= range->last;
}

static bool range_has_group_of(const Access *access, const IdRange *range, Credentials *credentials)
{
    if (range->first == range->last)
        return range->first != access->unmapped_gid && credentials_in_group(credentials, range->first);
    credentials_fetch_groups(credentials);
    for (size_t i = 0; i <= credentials->group_count; i++) {
        gid_t gid = i == 0 ? credentials->gid : credentials->groups[i - 1];
        if (gid != (gid_t)-1 && gid != access->unmapped_gid && gid >= range->first && gid <= range->last)
            return true;
    }
    return false;
}

static bool id_sets_have(const Access *access, const IdSet *users, const IdSet *groups, Credentials *credentials)
{
    for (size_t i = 0; i < users->count; i++)
        if (range_has_uid(&users->ranges[i], credentials->uid))
            return true;
    for (size_t i = 0; i < groups->count; i++)
        if (range_has_group_of(access, &groups->ranges[i], credentials))
            return true;
    return false;
}

/* ---- made once ---- */

/* The id that the kernel shows instead of those which have none in our user namespace; -1 where every id has one. */
static uint32_t unmapped_id(const char *map_path, const char *overflow_path)
{
    _cleanup_(freep) char *map = NULL;
    _cleanup_(freep) char *overflow = NULL;
    unsigned long first, outside, count;
    size_t size_bytes;
    uint64_t id;

    if (file_read(AT_FDCWD, map_path, 65536, &map, &size_bytes) == 0 &&
        sscanf(map, "%lu %lu %lu", &first, &outside, &count) == 3 && first == 0 && count == UINT32_MAX)
        return UINT32_MAX;
    if (file_read(AT_FDCWD, overflow_path, 64, &overflow, &size_bytes) == 0 &&
        text_to_number_sized(overflow, strcspn(overflow, "\n"), UINT32_MAX, &id))
        return (uint32_t)id;
    return UNMAPPED_DEFAULT;
}

static int delegate_fill(Delegate *delegate, Names *names, const Delegation *delegation)
{
    int r = id_set_fill(&delegate->users, names, NAME_USER, delegation->users);

    if (r < 0)
        return r;
    r = id_set_fill(&delegate->groups, names, NAME_GROUP, delegation->groups);
    if (r < 0)
        return r;
    delegate->names = strdup(delegation->names ? delegation->names : "");
    if (!delegate->names)
        return -ENOMEM;
    delegate->has_ports =
        delegation->ports && text_to_range(delegation->ports, &delegate->first_port, &delegate->last_port);
    return 0;
}

int access_new(const Settings *settings, Access **ret)
{
    _cleanup_(access_freep) Access *access = calloc(1, sizeof(*access));
    int r;

    if (!access)
        return -ENOMEM;
    access->daemon_uid = geteuid();
    access->unmapped_uid = unmapped_id("/proc/self/uid_map", "/proc/sys/kernel/overflowuid");
    access->unmapped_gid = unmapped_id("/proc/self/gid_map", "/proc/sys/kernel/overflowgid");
    access->reason = calloc(1, sizeof(*access->reason));
    if (!access->reason)
        return -ENOMEM;
    r = names_new(&access->names);
    if (r < 0)
        return r;

    const Administrators *administrators = settings->administrators;
    r = id_set_fill(&access->users, access->names, NAME_USER, administrators ? administrators->users : NULL);
    if (r < 0)
        return r;
    r = id_set_fill(&access->groups, access->names, NAME_GROUP, administrators ? administrators->groups : NULL);
    if (r < 0)
        return r;

    size_t count = 0;
    while (settings->delegations && settings->delegations[count])
        count++;
    access->delegates = calloc(count ? count : 1, sizeof(*access->delegates));
    if (!access->delegates)
        return -ENOMEM;
    access->delegate_count = count;
    for (size_t i = 0; i < count; i++) {
        r = delegate_fill(&access->delegates[i], access->names, settings->delegations[i]);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(access);
    return 0;
}

void access_free(Access *access)
{
    if (!access)
        return;
    for (size_t i = 0; i < access->delegate_count; i++) {
        free(access->delegates[i].users.ranges);
        free(access->delegates[i].groups.ranges);
        free(access->delegates[i].names);
    }
    free(access->delegates);
    free(access->users.ranges);
    free(access->groups.ranges);
    names_free(access->names);
    if (access->reason)
        buffer_release(access->reason);
    free(access->reason);
    free(access);
}

/* ---- the questions ---- */

/* Kept until the next question. A reason that there is no memory for is still a refusal. */
static const char *refuse(const Access *access, const char *format, ...) _printf_(2, 3);
static const char *refuse(const Access *access, const char *format, ...)
{
    va_list arguments;

    buffer_release(access->reason);
    va_start(arguments, format);
    buffer_vprintf(access->reason, format, arguments);
    va_end(arguments);
    return access->reason->failed || !access->reason->data ? "not allowed" : access->reason->data;
}

static bool is_nobody(const Access *access, const Credentials *credentials)
{
    return credentials->uid == (uid_t)-1 || credentials->uid == access->unmapped_uid;
}

static const char *refuse_nobody(const Access *access, const Credentials *credentials)
{
    if (credentials->uid == (uid_t)-1)
        return refuse(access, "the kernel does not say who calls; connect with a socket of one's own");
    return refuse(access,
                  "uid %u stands for every user who has none in the user namespace of hvsockd, so it is nobody; "
                  "map the user into that namespace, or call as one who is",
                  (unsigned)credentials->uid);
}

bool access_is_administrator(const Access *access, Credentials *credentials)
{
    if (is_nobody(access, credentials))
        return false;
    return credentials->uid == 0 || credentials->uid == access->daemon_uid ||
           id_sets_have(access, &access->users, &access->groups, credentials);
}

static bool delegate_is(const Access *access, const Delegate *delegate, Credentials *credentials)
{
    return id_sets_have(access, &delegate->users, &delegate->groups, credentials);
}

bool access_is_delegate(const Access *access, Credentials *credentials)
{
    if (is_nobody(access, credentials))
        return false;
    for (size_t i = 0; i < access->delegate_count; i++)
        if (delegate_is(access, &access->delegates[i], credentials))
            return true;
    return false;
}

/* `*` stands for any text, also none; all else for itself. */
static bool pattern_fits(const char *pattern, const char *text)
{
    const char *star = NULL, *again = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            again = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* One delegation has to give both: the name of one and the ports of another are not the same. NULL: one does. */
static const char *refuse_delegate(const Access *access, Credentials *credentials, const ServiceContext *service,
                                   const uint32_t *port)
{
    const Delegate *named = NULL;
    bool is_delegate = false;

    for (size_t i = 0; i < access->delegate_count; i++) {
        const Delegate *delegate = &access->delegates[i];
        if (!delegate_is(access, delegate, credentials))
            continue;
        is_delegate = true;
        if (!service->name || !pattern_fits(delegate->names, service->name))
            continue;
        if (!port || (delegate->has_ports && *port >= delegate->first_port && *port <= delegate->last_port))
            return NULL;
        if (!named || delegate->has_ports)
            named = delegate;
    }
    unsigned uid = (unsigned)credentials->uid;
    const char *name = service->name ? service->name : "";
    if (!is_delegate)
        return refuse(
            access,
            "uid %u is no administrator, and no delegation names it or a group of its; an administrator may do this, "
            "or add it to administrators or delegations in hvsockd.yaml",
            uid);
    if (!named)
        return refuse(
            access,
            "the delegation of uid %u does not have the name %s; a name that fits its names would be allowed, or a "
            "delegation in hvsockd.yaml whose names fit %s",
            uid, name, name);
    if (!named->has_ports)
        return refuse(
            access,
            "the delegation of uid %u has no ports; a service without a port would be allowed, or ports with %u in it "
            "in that delegation in hvsockd.yaml",
            uid, (unsigned)*port);
    return refuse(
        access,
        "port %u is outside of the delegation of uid %u; a port in %u-%u would be allowed, or a delegation in "
        "hvsockd.yaml with %s and that port",
        (unsigned)*port, uid, (unsigned)named->first_port, (unsigned)named->last_port, name);
}

static bool is_own_user(const Access *access, const Credentials *credentials, const char *user)
{
    uint32_t first, last;

    return names_find(access->names, NAME_USER, user, &first, &last) && first == last && first == credentials->uid;
}

static bool is_own_group(const Access *access, Credentials *credentials, const char *group)
{
    uint32_t first, last;

    return names_find(access->names, NAME_GROUP, group, &first, &last) && first == last &&
           first != access->unmapped_gid && credentials_in_group(credentials, first);
}

/* What the keeper, with its rights, would make in the file system for somebody who has not these rights. */
static const char *refuse_paths(const Access *access, Credentials *credentials, const ServiceContext *service)
{
    for (size_t i = 0; service->listen && service->listen[i]; i++) {
        const char *reason, *hint;
        Address address;
        bool is_path = true;
        if (address_parse(service->listen[i], &address, &reason, &hint) == 0) {
            is_path = !address.transport || address.transport->has_path;
            address_release(&address);
        }
        if (is_path)
            return refuse(
                access,
                "listening on %s, a path of one's own choosing, is for administrators; vsock://, machine:NAME or "
                "machine:* would be allowed",
                service->listen[i]);
    }

    const SocketFile *file = service->socket;
    unsigned uid = (unsigned)credentials->uid;
    if (file && file->user && !is_own_user(access, credentials, file->user))
        return refuse(access,
                      "socket.user %s is another than uid %u that calls; no socket.user, or oneself, would be allowed",
                      file->user, uid);
    if (file && file->group && !is_own_group(access, credentials, file->group))
        return refuse(access,
                      "socket.group %s is no group of uid %u that calls; no socket.group, or one of one's own, would "
                      "be allowed",
                      file->group, uid);
    return NULL;
}

const char *access_may_change(const Access *access, Credentials *credentials, const ServiceContext *service,
                              const uint32_t *port)
{
    if (is_nobody(access, credentials))
        return refuse_nobody(access, credentials);
    if (access_is_administrator(access, credentials))
        return NULL;
    const char *reason = refuse_delegate(access, credentials, service, port);
    return reason ? reason : refuse_paths(access, credentials, service);
}

bool access_next_port(const Access *access, Credentials *credentials, const char *name, uint32_t *port)
{
    bool found = false;
    uint32_t next = 0;

    if (is_nobody(access, credentials))
        return false;
    if (access_is_administrator(access, credentials))
        return true;
    for (size_t i = 0; i < access->delegate_count; i++) {
        const Delegate *delegate = &access->delegates[i];
        if (!delegate->has_ports || delegate->last_port < *port || !delegate_is(access, delegate, credentials) ||
            !pattern_fits(delegate->names, name))
            continue;
        uint32_t first = delegate->first_port > *port ? delegate->first_port : *port;
        if (!found || first < next)
            next = first;
        found = true;
    }
    if (found)
        *port = next;
    return found;
}

const char *access_may_activate_as(const Access *access, Credentials *credentials, const ServiceContext *service)
{
    const Activation *activate = service->activate;

    if (!activate)
        return NULL;
    if (is_nobody(access, credentials))
        return refuse_nobody(access, credentials);
    if (access_is_administrator(access, credentials))
        return NULL;

    unsigned uid = (unsigned)credentials->uid;
    if (activate->unit)
        return refuse(access,
                      "activate.unit is for administrators, as systemd starts units as whom they say; activate.exec, "
                      "which runs as uid %u, would be allowed",
                      uid);
    if (activate->limits)
        return refuse(access,
                      "activate.limits is for administrators, as it can raise what uid %u is limited to; activate "
                      "without limits would be allowed",
                      uid);
    if (activate->user && !is_own_user(access, credentials, activate->user))
        return refuse(access,
                      "activate.user %s is another than uid %u that calls, and activation is only as oneself; no "
                      "activate.user, or oneself, would be allowed",
                      activate->user, uid);
    for (size_t i = 0; activate->groups && activate->groups[i]; i++)
        if (!is_own_group(access, credentials, activate->groups[i]))
            return refuse(access,
                          "activate.groups names %s, which is no group of uid %u that calls; only one's own groups "
                          "would be allowed",
                          activate->groups[i], uid);
    return NULL;
}

const char *access_may_take(const Access *access, Credentials *credentials, const ServiceContext *service,
                            const uint32_t *port)
{
    if (is_nobody(access, credentials))
        return refuse_nobody(access, credentials);
    if (access_is_administrator(access, credentials))
        return NULL;

    const Handout *handout = service->handout;
    IdRange range;
    for (size_t i = 0; handout && handout->users && handout->users[i]; i++)
        if (names_find(access->names, NAME_USER, handout->users[i], &range.first, &range.last) &&
            range_has_uid(&range, credentials->uid))
            return NULL;
    for (size_t i = 0; handout && handout->groups && handout->groups[i]; i++)
        if (names_find(access->names, NAME_GROUP, handout->groups[i], &range.first, &range.last) &&
            range_has_group_of(access, &range, credentials))
            return NULL;
    if (!refuse_delegate(access, credentials, service, port))
        return NULL;
    return refuse(
        access,
        "the handout of %s names neither uid %u nor a group of its; handout.users or handout.groups of the service, "
        "administrators or a delegation in hvsockd.yaml would allow it",
        service->name ? service->name : "it", (unsigned)credentials->uid);
}
