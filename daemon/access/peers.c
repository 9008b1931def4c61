/* SPDX-License-Identifier: Apache-2.0 */
/* peers.allow and peers.deny as sorted tables; live as long as the service's context. */

#include <errno.h>
#include <string.h>

#include "daemon/access/names.h"
#include "daemon/access/peers.h"
#include "schema/model/peer.h"

typedef struct Range {
    uint32_t first, last;
} Range;

/* One side, allow or deny. Ranges are sorted and apart, names sorted. */
typedef struct Rules {
    Range *cids;
    size_t cid_count;
    Range *uids;
    size_t uid_count;
    char **machines;
    size_t machine_count;
    bool any_machine;
} Rules;

struct PeerRules {
    Rules allow, deny;
    bool has_allow;
};

static int compare_ranges(const void *a, const void *b)
{
    const Range *first = a, *second = b;

    return (first->first > second->first) - (first->first < second->first);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Ranges that overlap or touch become one. */
static size_t ranges_merge(Range *ranges, size_t count)
{
    size_t kept = 0;

    if (count == 0)
        return 0;
    qsort(ranges, count, sizeof(*ranges), compare_ranges);
    for (size_t i = 1; i < count; i++) {
        if (ranges[i].first <= ranges[kept].last || ranges[i].first - 1 == ranges[kept].last) {
            if (ranges[i].last > ranges[kept].last)
                ranges[kept].last = ranges[i].last;
        } else {
            ranges[++kept] = ranges[i];
        }
    }
    return kept + 1;
}

static bool ranges_contain(const Range *ranges, size_t count, uint32_t number)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].first <= number;
}

static int rules_add(Rules *rules, Names *names, const char *text)
{
    PeerRule rule;

    if (peer_rule_parse(text, &rule))
        return 0; /* refused when the service was; fits nobody */
    switch (rule.kind) {
    case PEER_CIDS:
        rules->cids[rules->cid_count++] = (Range){rule.first, rule.last};
        return 0;
    case PEER_UID:
        rules->uids[rules->uid_count++] = (Range){rule.first, rule.last};
        return 0;
    case PEER_USER: {
        Range range;
        if (names_find(names, NAME_USER, rule.name, &range.first, &range.last))
            rules->uids[rules->uid_count++] = range;
        return 0;
    }
    case PEER_MACHINE:
        rules->machines[rules->machine_count] = strdup(rule.name);
        return rules->machines[rules->machine_count] ? (rules->machine_count++, 0) : -ENOMEM;
    }
    return 0;
}

static int rules_read(Rules *rules, Names *names, char *const *list, char *const *machines)
{
    size_t count = text_list_count(list) + text_list_count(machines);
    int r = 0;

    rules->cids = calloc(count + 1, sizeof(*rules->cids));
    rules->uids = calloc(count + 1, sizeof(*rules->uids));
    rules->machines = calloc(count + 1, sizeof(*rules->machines));
    if (!rules->cids || !rules->uids || !rules->machines)
        return -ENOMEM;
    for (size_t i = 0; list && list[i] && r == 0; i++)
        r = rules_add(rules, names, list[i]);
    for (size_t i = 0; machines && machines[i] && r == 0; i++) {
        bool any = strcmp(machines[i], "*") == 0;
        rules->any_machine |= any;
        r = any ? 0 : rules_add(rules, names, machines[i]);
    }
    rules->cid_count = ranges_merge(rules->cids, rules->cid_count);
    rules->uid_count = ranges_merge(rules->uids, rules->uid_count);
    if (rules->machine_count > 0)
        qsort(rules->machines, rules->machine_count, sizeof(*rules->machines), compare_names);
    return r;
}

static void rules_release(Rules *rules)
{
    free(rules->cids);
    free(rules->uids);
    text_list_free(rules->machines);
}

static bool rules_fit(const Rules *rules, const Peer *peer)
{
    if (peer->has_cid && ranges_contain(rules->cids, rules->cid_count, peer->cid))
        return true;
    if (peer->has_uid && ranges_contain(rules->uids, rules->uid_count, peer->uid))
        return true;
    if (peer->machine && rules->any_machine)
        return true;
    return peer->machine && rules->machine_count > 0 &&
           bsearch(&peer->machine, rules->machines, rules->machine_count, sizeof(*rules->machines), compare_names);
}

int peer_rules_new(const Peers *peers, char *const *machines, PeerRules **ret)
{
    _cleanup_(peer_rules_freep) PeerRules *rules = calloc(1, sizeof(*rules));
    _cleanup_(names_freep) Names *names = NULL;

    if (!rules)
        return -ENOMEM;
    int r = names_new(&names);
    if (r < 0)
        return r;
    rules->has_allow = (peers && peers->allow) || (machines && machines[0]);
    r = rules_read(&rules->allow, names, peers ? peers->allow : NULL, machines);
    if (r == 0)
        r = rules_read(&rules->deny, names, peers ? peers->deny : NULL, NULL);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(rules);
    return 0;
}

void peer_rules_free(PeerRules *rules)
{
    if (!rules)
        return;
    rules_release(&rules->allow);
    rules_release(&rules->deny);
    free(rules);
}

PeerVerdict peer_rules_decide(const PeerRules *rules, const Peer *peer)
{
    if (rules_fit(&rules->deny, peer))
        return PEER_DENIED;
    if (rules->has_allow && !rules_fit(&rules->allow, peer))
        return PEER_NOT_ALLOWED;
    return PEER_ALLOWED;
}
