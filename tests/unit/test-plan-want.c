/* SPDX-License-Identifier: Apache-2.0 */
/* plan_want: what a service should hold on which machines, by table. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/plan/plan.h"

typedef struct Case Case;

#define PORT(value_) .port = {.value = value_, .set = true}
#define LISTEN(...) .listen = (char *[]){__VA_ARGS__, NULL}
/* Records own their texts, which are not constant. */
#define T(text_) ((char[]){text_})
#define A_GUID "6f9619ff-8b86-d011-b42d-00c04fc964ff"

/* By name, as the registry has them. */
static const MachineContext mac1 = {.name = T("mac1"), .hyperkit = T("/run/mac1")};
static const MachineContext nothing1 = {.name = T("nothing1")};
static const MachineContext web1 = {
    .name = T("web1"), .hybrid = T("/run/web1/v.sock"), .user = T("fc-web1"), .group = T("kvm")};
static const MachineContext web2 = {
    .name = T("web2"), .hybrid = T("/run/web2/v.sock"), .cid = {.value = 42, .set = true}};
static const MachineContext z1 = {.name = T("z1"), .cid = {.value = 50, .set = true}, .user = T("qemu")};
static const MachineContext z2 = {.name = T("z2"), .cid = {.value = 51, .set = true}};

struct Case {
    const char *name;
    ServiceContext service;
    const uint32_t *auto_port;
    const MachineContext *machines[8];
    const char *shadowed; /* machine where another service is named */
    const char *wanted;   /* `URI[@MACHINE][*] `… in order; `*`: by machine:* alone */
    const char *owner;    /* of the first: USER:GROUP:MODE */
};

static const uint32_t chosen_port = 7777;

static const Case cases[] = {
    {.name = "default", .service = {.name = T("a"), PORT(5140)}, .wanted = "vsock://:5140 "},
    {.name = "disabled", .service = {.name = T("a"), PORT(5140), .enabled = NO}, .wanted = ""},
    {.name = "nothing is held here", .service = {.name = T("a"), PORT(5140), .listen = (char *[]){NULL}}, .wanted = ""},
    {.name = "a GUID without port", .service = {.name = T("a"), .guid = T(A_GUID)}, .wanted = ""},
    {
        .name = "autoPort",
        .service = {.name = T("a"), .auto_port = YES, LISTEN(T("machine:web1"), T("machine:z1"))},
        .auto_port = &chosen_port,
        .machines = {&web1, &z1},
        .wanted = "hybrid:///run/web1/v.sock:7777@web1 vsock://:7777 ",
    },
    {
        .name = "autoPort by default address",
        .service = {.name = T("a"), .auto_port = YES},
        .auto_port = &chosen_port,
        .wanted = "vsock://:7777 ",
    },
    {
        .name = "in the order of the list",
        .service = {.name = T("a"),
                    PORT(5),
                    LISTEN(T("unix:///run/z"), T("vsock://:5"), T("hyperkit:///run/b"), T("hybrid:///run/a"))},
        .wanted = "unix:///run/z vsock://:5 hyperkit://:5/run/b hybrid:///run/a:5 ",
    },
    {
        .name = "a machine that is not there yet",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:web1"))},
        .machines = {&web2},
        .wanted = "",
    },
    {
        .name = "hybrid, with the machine's owner",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:web1"))},
        .machines = {&web1, &web2},
        .wanted = "hybrid:///run/web1/v.sock:5@web1 ",
        .owner = "fc-web1:kvm:-",
    },
    {
        .name = "socket before the machine",
        .service = {.name = T("a"),
                    PORT(5),
                    LISTEN(T("machine:web1")),
                    .socket = &(SocketFile){.user = T("root"), .mode = T("0600")}},
        .machines = {&web1},
        .wanted = "hybrid:///run/web1/v.sock:5@web1 ",
        .owner = "root:kvm:0600",
    },
    {
        .name = "hybrid by GUID",
        .service = {.name = T("a"), .guid = T(A_GUID), LISTEN(T("machine:*"))},
        .machines = {&web1, &z1},
        .wanted = "hybrid:///run/web1/v.sock:" A_GUID "@web1* ",
    },
    {
        .name = "hyperkit",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:mac1"))},
        .machines = {&mac1},
        .wanted = "hyperkit://:5/run/mac1@mac1 ",
    },
    {
        .name = "a machine without any transport",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:nothing1"))},
        .machines = {&nothing1},
        .wanted = "",
    },
    {
        .name = "vsock machines share one, which has no owner",
        .service = {.name = T("a"),
                    PORT(5),
                    LISTEN(T("machine:z1"), T("machine:z2")),
                    .socket = &(SocketFile){.user = T("root")}},
        .machines = {&z1, &z2},
        .wanted = "vsock://:5 ",
        .owner = "-:-:-",
    },
    {
        .name = "and once where it is also given",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:z1"), T("vsock://:5"), T("machine:*"))},
        .machines = {&z1, &z2},
        .wanted = "vsock://:5 ",
    },
    {
        .name = "all CIDs cover one",
        .service = {.name = T("a"), PORT(5), LISTEN(T("vsock://2:5"), T("unix:///run/a"), T("machine:z1"))},
        .machines = {&z1},
        .wanted = "vsock://:5 unix:///run/a ",
    },
    {
        .name = "every machine",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:*"))},
        .machines = {&mac1, &nothing1, &web1, &web2, &z1, &z2},
        .wanted = "hyperkit://:5/run/mac1@mac1* hybrid:///run/web1/v.sock:5@web1* hybrid:///run/web2/v.sock:5@web2* "
                  "vsock://:5* ",
    },
    {
        .name = "seqpacket where the transport knows it",
        .service = {.name = T("a"), PORT(5), .type = SERVICE_SEQPACKET, LISTEN(T("machine:*"))},
        .machines = {&mac1, &web1, &z1},
        .wanted = "vsock://:5* ",
    },
    {
        .name = "beaten on one machine",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:*"))},
        .machines = {&web1, &web2},
        .shadowed = "web1",
        .wanted = "hybrid:///run/web2/v.sock:5@web2* ",
    },
    {
        .name = "a name is not beaten, and is no wildcard though * is given too",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:*"), T("machine:web1"), T("machine:z1"))},
        .machines = {&web1, &web2, &z1},
        .wanted = "hybrid:///run/web1/v.sock:5@web1 hybrid:///run/web2/v.sock:5@web2* vsock://:5 ",
    },
    {
        .name = "nor is a name beaten where another has it too: that is a conflict, and not ours to settle",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:*"), T("machine:web1"))},
        .machines = {&web1, &web2},
        .shadowed = "web1",
        .wanted = "hybrid:///run/web2/v.sock:5@web2* hybrid:///run/web1/v.sock:5@web1 ",
    },
    {
        .name = "beaten on vsock",
        .service = {.name = T("a"), PORT(5), LISTEN(T("machine:*"))},
        .machines = {&web1, &z1},
        .shadowed = "z1",
        .wanted = "hybrid:///run/web1/v.sock:5@web1* ",
    },
    {
        .name = "a machine's path that is given stays the same listener, with the machine's owner",
        .service = {.name = T("a"), PORT(5), LISTEN(T("hybrid:///run/web1/v.sock"), T("machine:web1"))},
        .machines = {&web1},
        .wanted = "hybrid:///run/web1/v.sock:5 ",
        .owner = "fc-web1:kvm:-",
    },
};

/* ---- the caller's registry ---- */

static const MachineContext *find_machine(const char *name, void *userdata)
{
    const Case *c = userdata;

    for (size_t i = 0; i < ELEMENTS_OF(c->machines) && c->machines[i]; i++)
        if (strcmp(c->machines[i]->name, name) == 0)
            return c->machines[i];
    return NULL;
}

static const MachineContext *next_machine(const char *after, void *userdata)
{
    const Case *c = userdata;

    for (size_t i = 0; i < ELEMENTS_OF(c->machines) && c->machines[i]; i++)
        if (!after || strcmp(c->machines[i]->name, after) > 0)
            return c->machines[i];
    return NULL;
}

static bool is_shadowed(const char *service, const MachineContext *machine, const char *key, void *userdata)
{
    const Case *c = userdata;

    assert_string_equal(service, c->service.name);
    assert_non_null(key);
    return c->shadowed && strcmp(c->shadowed, machine->name) == 0;
}

static void test_table(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Case c = cases[i];
        const PlanMachines machines = {
            .find = find_machine, .next = next_machine, .shadowed = is_shadowed, .userdata = &c};
        _cleanup_(plan_wanted_release) PlanWanted wanted = {0};
        char text[1024] = "", owner[256] = "";

        assert_int_equal(plan_want(&c.service, c.auto_port, &machines, &wanted), 0);
        for (size_t w = 0; w < wanted.count; w++) {
            const PlanListener *listener = &wanted.listeners[w];
            size_t length = strlen(text);
            snprintf(text + length, sizeof(text) - length, "%s%s%s%s ", listener->uri, listener->machine ? "@" : "",
                     listener->machine ? listener->machine : "", listener->wildcard ? "*" : "");
            assert_string_equal(listener->service, "a");
            assert_int_equal(listener->backlog, SERVICE_BACKLOG_DEFAULT);
            assert_int_equal(listener->type, service_type(&c.service));
            /* The key is that of the URI. */
            _cleanup_(freep) char *uri = NULL, *key = NULL;
            _cleanup_(address_release) Address address = {0};
            const char *reason, *hint;
            assert_int_equal(address_parse(listener->uri, &address, &reason, &hint), 0);
            assert_int_equal(address_to_text(&address, &uri), 0);
            assert_string_equal(uri, listener->uri);
            assert_int_equal(address_key(&address, &key), 0);
            assert_string_equal(key, listener->key);
        }
        if (strcmp(text, c.wanted) != 0)
            fail_msg("%s: got \"%s\", wanted \"%s\"", c.name, text, c.wanted);
        if (!c.owner)
            continue;
        const PlanListener *first = &wanted.listeners[0];
        snprintf(owner, sizeof(owner), "%s:%s:%s", first->user ? first->user : "-", first->group ? first->group : "-",
                 first->mode ? first->mode : "-");
        if (strcmp(owner, c.owner) != 0)
            fail_msg("%s: got owner \"%s\", wanted \"%s\"", c.name, owner, c.owner);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests_name("plan-want", tests, NULL, NULL);
}
