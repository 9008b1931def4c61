/* SPDX-License-Identifier: Apache-2.0 */
/* schema/model/service: numbers, addresses, defaults; a completed context is a good input, and completing it changes nothing. */

#include "tests/unit/records.h"

#define GUID_A "6f9619ff-8b86-d011-b42d-00c04fc964ff"
#define GUID_5140 "00001414-facb-11e6-bd58-64006a7986d3"
#define REST(mode_) "'backlog':128,'handout':{'exclusive':false,'mode':'" mode_ "','socket':false}"

static const uint32_t auto_port = 268435456;

static const struct {
    const char *given;
    const char *completed;
    bool implied_peers;
} contexts[] = {
    {"{'name':'a','port':5140}",
     "{'name':'a','elementName':'a','port':5140,'guid':'" GUID_5140 "','type':'stream','enabled':true,'listen':['vsock://:5140'],"
     REST("listener") "}", false},
    {"{'name':'a','port':0}",
     "{'name':'a','elementName':'a','port':0,'guid':'00000000-facb-11e6-bd58-64006a7986d3','type':'stream','enabled':true,"
     "'listen':['vsock://:0']," REST("listener") "}", false},
    {"{'name':'a','port':4294967294}",
     "{'name':'a','elementName':'a','port':4294967294,'guid':'fffffffe-facb-11e6-bd58-64006a7986d3','type':'stream','enabled':true,"
     "'listen':['vsock://:4294967294']," REST("listener") "}", false},
    {"{'name':'a','elementName':'Guest log','guid':'{00001414-FACB-11E6-BD58-64006A7986D3}','enabled':false,'type':'seqpacket','backlog':5}",
     "{'name':'a','elementName':'Guest log','port':5140,'guid':'" GUID_5140 "','type':'seqpacket','enabled':false,"
     "'listen':['vsock://:5140'],'backlog':5,'handout':{'exclusive':false,'mode':'listener','socket':false}}", false},
    {"{'name':'a','guid':'6F9619FF-8B86-D011-B42D-00C04FC964FF'}",
     "{'name':'a','elementName':'a','guid':'" GUID_A "','type':'stream','enabled':true,'listen':[]," REST("listener") "}", false},
    {"{'name':'a','guid':'" GUID_A "','listen':['hybrid:///run//v.sock','machine:*']}",
     "{'name':'a','elementName':'a','guid':'" GUID_A "','type':'stream','enabled':true,'listen':['hybrid:///run/v.sock','machine:*'],"
     REST("connections") "}", false},
    {"{'name':'a','autoPort':true}",
     "{'name':'a','elementName':'a','port':268435456,'autoPort':true,'guid':'10000000-facb-11e6-bd58-64006a7986d3','type':'stream',"
     "'enabled':true,'listen':['vsock://:268435456']," REST("listener") "}", false},
    {"{'name':'a','port':5,'autoPort':true}",
     "{'name':'a','elementName':'a','port':5,'autoPort':true,'guid':'00000005-facb-11e6-bd58-64006a7986d3','type':'stream',"
     "'enabled':true,'listen':['vsock://:5']," REST("listener") "}", false},
    {"{'name':'a','port':5,'autoPort':false,'listen':[]}",
     "{'name':'a','elementName':'a','port':5,'guid':'00000005-facb-11e6-bd58-64006a7986d3','type':'stream','enabled':true,'listen':[],"
     REST("listener") "}", false},
    {"{'name':'a','listen':['unix:///run/x']}",
     "{'name':'a','elementName':'a','type':'stream','enabled':true,'listen':['unix:///run/x']," REST("listener") "}", false},
    {"{'name':'a','port':5,'peers':{'deny':['web2']},'handout':{'users':['syslog'],'groups':[],'exclusive':true}}",
     "{'name':'a','elementName':'a','port':5,'guid':'00000005-facb-11e6-bd58-64006a7986d3','type':'stream','enabled':true,"
     "'listen':['vsock://:5'],'backlog':128,'handout':{'users':['syslog'],'groups':[],'exclusive':true,'mode':'connections','socket':false},"
     "'peers':{'deny':['web2']}}", false},
    {"{'name':'a','port':5,'handout':{'mode':'connections'}}",
     "{'name':'a','elementName':'a','port':5,'guid':'00000005-facb-11e6-bd58-64006a7986d3','type':'stream','enabled':true,"
     "'listen':['vsock://:5']," REST("connections") "}", false},
    {"{'name':'a','port':5}",
     "{'name':'a','elementName':'a','port':5,'guid':'00000005-facb-11e6-bd58-64006a7986d3','type':'stream','enabled':true,"
     "'listen':['vsock://:5']," REST("connections") "}", true},
    /* datagrams have no connections */
    {"{'name':'a','port':5,'type':'dgram'}",
     "{'name':'a','elementName':'a','port':5,'guid':'00000005-facb-11e6-bd58-64006a7986d3','type':'dgram','enabled':true,"
     "'listen':['vsock://:5']," REST("listener") "}", true},
    /* what has no default stays as it is */
    {"{'name':'a','port':5,'socket':{'mode':'0600'},'peers':{},'activate':{'mode':'wait','exec':['/bin/cat']},"
     "'windows':{'allowWildcardBinds':true},'labels':{'z':'1','a':'2'}}",
     "{'name':'a','elementName':'a','port':5,'guid':'00000005-facb-11e6-bd58-64006a7986d3','type':'stream','enabled':true,"
     "'listen':['vsock://:5'],'backlog':128,'socket':{'mode':'0600'},'handout':{'exclusive':false,'mode':'listener','socket':false},"
     "'peers':{},'activate':{'mode':'wait','exec':['/bin/cat']},'windows':{'allowWildcardBinds':true},'labels':{'a':'2','z':'1'}}", false},
};

static void test_complete(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(contexts); i++) {
        _cleanup_(service_context_freep) ServiceContext *given = read_good(&record_type_ServiceContext, contexts[i].given);
        _cleanup_(service_context_freep) ServiceContext *completed = NULL, *read = NULL, *again = NULL;
        const uint32_t *port = given->auto_port == YES ? &auto_port : NULL;

        assert_int_equal(service_complete(given, port, contexts[i].implied_peers, &completed), 0);
        expect_record(&record_type_ServiceContext, completed, contexts[i].completed);
        /* It is a good input, and the same whatever has become of the settings meanwhile. */
        read = read_good(&record_type_ServiceContext, contexts[i].completed);
        assert_true(record_equal(&record_type_ServiceContext, completed, read));
        assert_int_equal(service_complete(read, NULL, !contexts[i].implied_peers, &again), 0);
        assert_true(record_equal(&record_type_ServiceContext, completed, again));
    }
}

static const struct {
    const char *service;
    const char *addresses; /* `URI ` … */
} listens[] = {
    {"{'name':'a','port':5140}", "vsock://:5140 "},
    {"{'name':'a','guid':'" GUID_5140 "'}", "vsock://:5140 "},
    {"{'name':'a','guid':'" GUID_A "'}", ""},
    {"{'name':'a','port':5140,'listen':[]}", ""},
    {"{'name':'a','autoPort':true}", ""},
    {"{'name':'a','autoPort':true,'listen':['hybrid:///x','machine:*']}", "hybrid:///x machine:* "},
    {"{'name':'a','port':5,'listen':['hybrid:///x','hyperkit:///y','unix:///z','vsock://2:5','machine:web1']}",
     "hybrid:///x:5 hyperkit://:5/y unix:///z vsock://2:5 machine:web1 "},
    {"{'name':'a','guid':'" GUID_A "','listen':['hybrid:///x']}", "hybrid:///x:" GUID_A " "},
    {"{'name':'a','guid':'" GUID_5140 "','listen':['hybrid:///x']}", "hybrid:///x:5140 "},
};

static void test_addresses(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(listens); i++) {
        _cleanup_(service_context_freep) ServiceContext *service = read_good(&record_type_ServiceContext, listens[i].service);
        Address *addresses;
        size_t count;
        Buffer text = {0};
        char *uris;
        assert_int_equal(service_addresses(service, &addresses, &count), 0);
        for (size_t k = 0; k < count; k++) {
            address_format(&addresses[k], &text);
            buffer_append_char(&text, ' ');
        }
        assert_int_equal(buffer_take(&text, &uris, NULL), 0);
        assert_string_equal(uris, listens[i].addresses);
        free(uris);
        addresses_free(addresses, count);
    }
}

static const struct {
    const char *machine, *service;
    const char *uri; /* "": none that fits */
} reached[] = {
    {"{'name':'m','hybrid':'/run/v.sock','hyperkit':'/run/k','cid':42}", "{'name':'a','port':5}", "hybrid:///run/v.sock:5"},
    {"{'name':'m','hyperkit':'/run/k','cid':42}", "{'name':'a','port':5}", "hyperkit://:5/run/k"},
    {"{'name':'m','cid':42}", "{'name':'a','port':5}", "vsock://:5"},
    {"{'name':'m'}", "{'name':'a','port':5}", ""},
    {"{'name':'m','vmId':'" GUID_A "'}", "{'name':'a','port':5}", ""},
    {"{'name':'m','hybrid':'/run/v.sock','cid':42}", "{'name':'a','port':5,'type':'seqpacket'}", "vsock://:5"},
    {"{'name':'m','hybrid':'/run/v.sock'}", "{'name':'a','port':5,'type':'seqpacket'}", ""},
    {"{'name':'m','hybrid':'/run/v.sock'}", "{'name':'a','guid':'" GUID_A "'}", "hybrid:///run/v.sock:" GUID_A},
    {"{'name':'m','hyperkit':'/run/k','cid':42}", "{'name':'a','guid':'" GUID_A "'}", ""},
    {"{'name':'m','hybrid':'/run/v.sock'}", "{'name':'a','listen':['unix:///x']}", ""},
};

static void test_machine_address(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(reached); i++) {
        _cleanup_(machine_context_freep) MachineContext *machine = read_good(&record_type_MachineContext, reached[i].machine);
        _cleanup_(service_context_freep) ServiceContext *service = read_good(&record_type_ServiceContext, reached[i].service);
        Address address;
        assert_int_equal(machine_address(machine, service, &address), 0);
        if (!address.transport) {
            assert_string_equal("", reached[i].uri);
            continue;
        }
        char *uri;
        assert_int_equal(address_to_text(&address, &uri), 0);
        assert_string_equal(uri, reached[i].uri);
        free(uri);
        address_release(&address);
    }
}

static const struct {
    const char *service;
    bool implied_peers;
    int mode;
} modes[] = {
    {"{'name':'a','port':5}", false, HANDOUT_LISTENER},
    {"{'name':'a','port':5}", true, HANDOUT_CONNECTIONS},
    {"{'name':'a','port':5,'peers':{}}", false, HANDOUT_LISTENER},
    {"{'name':'a','port':5,'peers':{'allow':[]}}", false, HANDOUT_CONNECTIONS},
    {"{'name':'a','port':5,'peers':{'maxConnections':1}}", false, HANDOUT_CONNECTIONS},
    {"{'name':'a','port':5,'listen':['machine:*']}", false, HANDOUT_CONNECTIONS},
    {"{'name':'a','port':5,'listen':['machine:web1']}", false, HANDOUT_LISTENER},
    {"{'name':'a','port':5,'listen':['machine:web1']}", true, HANDOUT_CONNECTIONS},
    {"{'name':'a','port':5,'listen':['machine:*'],'handout':{'mode':'listener'}}", true, HANDOUT_LISTENER},
    {"{'name':'a','port':5,'handout':{'mode':'connections'}}", false, HANDOUT_CONNECTIONS},
    {"{'name':'a','port':5,'handout':{}}", false, HANDOUT_LISTENER},
};

static void test_modes(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(modes); i++) {
        _cleanup_(service_context_freep) ServiceContext *service = read_good(&record_type_ServiceContext, modes[i].service);
        assert_int_equal(service_handout_mode(service, modes[i].implied_peers), modes[i].mode);
    }
}

static const struct {
    const char *service, *machine;
    bool means;
    const char *problems;
} machine_rules[] = {
    {"{'name':'a','port':5,'listen':['machine:m']}", "{'name':'m','cid':42}", true, ""},
    {"{'name':'a','port':5,'listen':['machine:m'],'handout':{'mode':'listener'}}", "{'name':'m','cid':42}", true, "handout.mode: vsock"},
    {"{'name':'a','port':5,'listen':['machine:*'],'handout':{'mode':'listener'}}", "{'name':'m','cid':42}", true, "handout.mode: vsock"},
    {"{'name':'a','port':5,'listen':['machine:m'],'handout':{'mode':'listener'}}", "{'name':'m','cid':42,'hybrid':'/x'}", true, ""},
    {"{'name':'a','port':5,'listen':['machine:m'],'handout':{'mode':'listener'}}", "{'name':'n','cid':42}", false, ""},
    {"{'name':'a','port':5,'listen':['machine:m'],'handout':{'mode':'connections'}}", "{'name':'m','cid':42}", true, ""},
    {"{'name':'a','port':5,'listen':['machine:*'],'activate':{'mode':'wait','exec':['/x']}}", "{'name':'m','cid':42}", true,
     "activate.mode: vsock"},
    {"{'name':'a','port':5,'listen':['machine:*'],'activate':{'mode':'accept','exec':['/x']}}", "{'name':'m','cid':42}", true, ""},
    {"{'name':'a','port':5,'listen':['machine:*'],'activate':{'mode':'wait','exec':['/x']}}", "{'name':'m','hyperkit':'/x'}", true, ""},
    {"{'name':'a','port':5,'handout':{'mode':'listener'}}", "{'name':'m','cid':42}", false, ""},
};

static void test_machine_rules(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(machine_rules); i++) {
        _cleanup_(service_context_freep) ServiceContext *service = read_good(&record_type_ServiceContext, machine_rules[i].service);
        _cleanup_(machine_context_freep) MachineContext *machine = read_good(&record_type_MachineContext, machine_rules[i].machine);
        Problems problems = {0};
        assert_int_equal(service_means_machine(service, machine), machine_rules[i].means);
        assert_int_equal(service_forbids_machine(service, machine), machine_rules[i].problems[0] != '\0');
        if (machine_rules[i].problems[0])
            assert_int_equal(service_add_forbidden(service, machine, 0, false, &problems), 0);
        expect_problems(machine_rules[i].service, &problems, machine_rules[i].problems);
        problems_release(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete), cmocka_unit_test(test_addresses),     cmocka_unit_test(test_machine_address),
        cmocka_unit_test(test_modes),    cmocka_unit_test(test_machine_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
