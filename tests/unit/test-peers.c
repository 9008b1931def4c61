/* SPDX-License-Identifier: Apache-2.0 */
/* Peer rules: by table, and 10,000 random pairs of rules and peers decided alike by the tables and by a plain walk. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/access/peers.h"
#include "schema/model/peer.h"

static PeerVerdict decide(char **allow, char **deny, char **machines, Peer peer)
{
    Peers peers = {.allow = allow, .deny = deny};
    _cleanup_(peer_rules_freep) PeerRules *rules = NULL;

    assert_int_equal(peer_rules_new(&peers, machines, &rules), 0);
    return peer_rules_decide(rules, &peer);
}

static char **list_of(const char *text)
{
    char **list = NULL;
    char copy[256];

    if (!text)
        return NULL;
    list = calloc(1, sizeof(*list));
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        assert_int_equal(text_list_append(&list, word), 0);
    return list;
}

static void test_table(void **state)
{
    static const struct {
        const char *allow, *deny, *machines;
        Peer peer;
        PeerVerdict verdict;
    } cases[] = {
        {NULL, NULL, NULL, {.has_cid = true, .cid = 42}, PEER_ALLOWED},
        {"42", NULL, NULL, {.has_cid = true, .cid = 42}, PEER_ALLOWED},
        {"42", NULL, NULL, {.has_cid = true, .cid = 43}, PEER_NOT_ALLOWED},
        {"100-199", NULL, NULL, {.has_cid = true, .cid = 100}, PEER_ALLOWED},
        {"100-199", NULL, NULL, {.has_cid = true, .cid = 199}, PEER_ALLOWED},
        {"100-199", NULL, NULL, {.has_cid = true, .cid = 200}, PEER_NOT_ALLOWED},
        {"100-199 150-300 301", "170", NULL, {.has_cid = true, .cid = 170}, PEER_DENIED},
        {"100-199 150-300 301", "170", NULL, {.has_cid = true, .cid = 301}, PEER_ALLOWED},
        {"web1", NULL, NULL, {.has_cid = true, .cid = 9, .machine = "web1"}, PEER_ALLOWED},
        {"web1", NULL, NULL, {.has_cid = true, .cid = 9, .machine = "web2"}, PEER_NOT_ALLOWED},
        {"web1", NULL, NULL, {.has_cid = true, .cid = 9}, PEER_NOT_ALLOWED},
        {NULL, "web2", NULL, {.has_uid = true, .uid = 7, .machine = "web2"}, PEER_DENIED},
        {NULL, NULL, "web1", {.has_cid = true, .cid = 9, .machine = "web1"}, PEER_ALLOWED},
        {NULL, NULL, "web1", {.has_cid = true, .cid = 9}, PEER_NOT_ALLOWED},
        {NULL, NULL, "*", {.has_cid = true, .cid = 9, .machine = "web1"}, PEER_ALLOWED},
        {NULL, NULL, "*", {.has_cid = true, .cid = 9}, PEER_NOT_ALLOWED},
        {NULL, "web1", "*", {.has_cid = true, .cid = 9, .machine = "web1"}, PEER_DENIED},
        {"7", NULL, "*", {.has_cid = true, .cid = 7}, PEER_ALLOWED},
        {"", NULL, NULL, {.has_cid = true, .cid = 9}, PEER_NOT_ALLOWED},
        {"uid:107", NULL, NULL, {.has_uid = true, .uid = 107}, PEER_ALLOWED},
        {"uid:107", NULL, NULL, {.has_cid = true, .cid = 107}, PEER_NOT_ALLOWED},
        {"uid:root", NULL, NULL, {.has_uid = true, .uid = 0}, PEER_ALLOWED},
        {"uid:nobody-of-that-name", NULL, NULL, {.has_uid = true, .uid = 0}, PEER_NOT_ALLOWED},
        {"4294967295", NULL, NULL, {.has_cid = true, .cid = 0}, PEER_NOT_ALLOWED},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        char **allow = list_of(cases[i].allow), **deny = list_of(cases[i].deny), **machines = list_of(cases[i].machines);
        if (decide(allow, deny, machines, cases[i].peer) != cases[i].verdict)
            fail_msg("case %zu", i);
        text_list_free(allow);
        text_list_free(deny);
        text_list_free(machines);
    }
}

/* ---- against a model ---- */

static uint32_t seed = 20261120;

static uint32_t next_random(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static char **random_rules(void)
{
    char **list = calloc(1, sizeof(*list));

    for (uint32_t count = next_random(12); count > 0; count--) {
        char text[64];
        uint32_t first = 3 + next_random(60);
        switch (next_random(4)) {
        case 0:
            snprintf(text, sizeof(text), "%u", first);
            break;
        case 1:
            snprintf(text, sizeof(text), "%u-%u", first, first + next_random(20));
            break;
        case 2:
            snprintf(text, sizeof(text), "m%u", next_random(20));
            break;
        default:
            snprintf(text, sizeof(text), "uid:%u", next_random(30));
            break;
        }
        assert_int_equal(text_list_append(&list, text), 0);
    }
    return list;
}

static bool model_fits(char **list, const Peer *peer)
{
    for (size_t i = 0; list[i]; i++) {
        PeerRule rule;
        assert_null(peer_rule_parse(list[i], &rule));
        if (rule.kind == PEER_CIDS && peer->has_cid && peer->cid >= rule.first && peer->cid <= rule.last)
            return true;
        if (rule.kind == PEER_UID && peer->has_uid && peer->uid == rule.first)
            return true;
        if (rule.kind == PEER_MACHINE && peer->machine && strcmp(peer->machine, rule.name) == 0)
            return true;
    }
    return false;
}

static void test_model(void **state)
{
    size_t verdicts[3] = {0};

    for (int i = 0; i < 10000; i++) {
        char machine[16];
        char **allow = next_random(3) ? random_rules() : NULL, **deny = next_random(2) ? random_rules() : NULL;
        Peer peer = {.has_cid = next_random(4) > 0, .cid = next_random(90), .has_uid = next_random(2) > 0, .uid = next_random(40)};
        snprintf(machine, sizeof(machine), "m%u", next_random(30));
        peer.machine = next_random(2) ? machine : NULL;
        PeerVerdict expected = deny && model_fits(deny, &peer)      ? PEER_DENIED
                               : allow && !model_fits(allow, &peer) ? PEER_NOT_ALLOWED
                                                                    : PEER_ALLOWED;
        assert_int_equal(decide(allow, deny, NULL, peer), expected);
        verdicts[expected]++;
        text_list_free(allow);
        text_list_free(deny);
    }
    for (size_t i = 0; i < 3; i++)
        assert_true(verdicts[i] > 500); /* the model has seen each */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
