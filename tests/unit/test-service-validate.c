/* SPDX-License-Identifier: Apache-2.0 */
/* What the fields of services, machines and settings have to be together: each rule broken once, and what is told of it. */

#include "tests/unit/records.h"

#define GUID_A "6f9619ff-8b86-d011-b42d-00c04fc964ff"
#define GUID_5140 "00001414-facb-11e6-bd58-64006a7986d3"

/* `FIELD: a part of the message` on lines; "": good. */
static const struct {
    const char *service;
    const char *problems;
} services[] = {
    /* number */
    {"{'name':'a'}", "port: there is neither port nor autoPort nor guid"},
    {"{'name':'a','listen':[]}", "port: there is neither"},
    {"{'name':'a','autoPort':false}", "port: there is neither"},
    {"{'name':'a','listen':['unix:///x','unix:///y']}", ""},
    {"{'name':'a','listen':['unix:///x','machine:*']}", "port: there is neither"},
    {"{'name':'a','listen':['unix:///x'],'port':5}", ""},
    {"{'name':'a','autoPort':true}", ""},
    {"{'name':'a','port':0}", ""},
    {"{'name':'a','port':1023}", ""},
    {"{'name':'a','port':2147483647}", ""},
    {"{'name':'a','port':2147483648}", ""},
    {"{'name':'a','port':4294967294}", ""},
    {"{'name':'a','port':4294967295}", "port: 4294967295 is out of bounds; a number from 0 to 4294967294"},
    {"{'name':'a','port':-1}", "port: -1 is out of bounds"},
    {"{'name':'a','guid':'" GUID_A "'}", ""},
    {"{'name':'a','guid':'ffffffff-facb-11e6-bd58-64006a7986d3'}", "guid: 4294967295, which stands for any port"},
    {"{'name':'a','guid':'00000000-0000-0000-0000-000000000000'}", "guid: WILDCARD"},
    {"{'name':'a','guid':'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'}", "guid: BROADCAST"},
    {"{'name':'a','guid':'a42e7cda-d03f-480c-9cc2-a4de20abb878'}", "guid: PARENT"},
    {"{'name':'a','port':5140,'guid':'" GUID_5140 "'}", ""},
    {"{'name':'a','port':5141,'guid':'" GUID_5140 "'}", "guid: this is the GUID of port 5140, and port says 5141; 00001415-facb"},
    {"{'name':'a','port':5140,'guid':'" GUID_A "'}", "guid: has no port, and port says 5140; leave out either port or guid"},
    {"{'name':'a','autoPort':true,'guid':'" GUID_A "'}", "guid: autoPort chooses the port"},
    {"{'name':'a','autoPort':true,'port':5140,'guid':'" GUID_5140 "'}", ""},
    {"{'name':'a','autoPort':true,'port':5141,'guid':'" GUID_5140 "'}", "guid: and port says 5141"},
    /* addresses */
    {"{'name':'a','port':5,'listen':['vsock://:5']}", ""},
    {"{'name':'a','port':5,'listen':['vsock://:6']}", "listen[0]: port 6 is not the service's, which is 5; vsock://:5 would be right"},
    {"{'name':'a','port':5,'listen':['vsock://1:5']}", ""},
    {"{'name':'a','port':5,'listen':['vsock://host:5']}", ""},
    {"{'name':'a','port':5,'listen':['vsock://42:5']}", ""},
    {"{'name':'a','port':5,'listen':['vsock://0:5']}", "listen[0]: CID 0 is the hypervisor's"},
    {"{'name':'a','port':5,'listen':['vsock:hypervisor:6']}", "listen[0]: CID 0\nlisten[0]: port 6"},
    {"{'name':'a','listen':['vsock://:5']}", "port: there is neither\nlisten[0]: the service has none; `port: 5` would be right"},
    {"{'name':'a','autoPort':true,'listen':['vsock://:5']}", "listen[0]: autoPort will choose another"},
    {"{'name':'a','autoPort':true,'listen':['hybrid:///x:5']}", "listen[0]: autoPort will choose another"},
    {"{'name':'a','autoPort':true,'listen':['hybrid:///x','hyperkit:///y','machine:*']}", ""},
    {"{'name':'a','autoPort':true,'port':5,'listen':['vsock://:5','hybrid:///x:5']}", ""},
    {"{'name':'a','guid':'" GUID_A "','listen':['vsock://:5']}", "listen[0]: GUID has no vsock port; hybrid://PATH"},
    {"{'name':'a','guid':'" GUID_A "','listen':['hyperkit:///x']}", "listen[0]: hyperkit knows ports only"},
    {"{'name':'a','guid':'" GUID_A "','listen':['hybrid:///x']}", ""},
    {"{'name':'a','guid':'" GUID_A "','listen':['hybrid:///x:" GUID_A "']}", ""},
    {"{'name':'a','guid':'" GUID_A "','listen':['hybrid:///x:" GUID_5140 "']}", "listen[0]: is not the service's"},
    {"{'name':'a','guid':'" GUID_A "','listen':['hybrid:///x:5']}", "listen[0]: is not the service's"},
    {"{'name':'a','guid':'" GUID_A "','listen':['machine:web1']}", ""},
    {"{'name':'a','guid':'" GUID_5140 "','listen':['hybrid:///x:5140','vsock://:5140','hyperkit://:5140/y']}", ""},
    {"{'name':'a','port':5140,'listen':['hybrid:///x:" GUID_5140 "']}", ""},
    {"{'name':'a','port':5,'listen':['hybrid:///x:6']}", "listen[0]: is not the service's"},
    {"{'name':'a','port':5,'listen':['hyperkit://:6/x']}", "listen[0]: is not the service's"},
    {"{'name':'a','listen':['hybrid:///x:6']}", "port: there is neither\nlisten[0]: the service has none"},
    {"{'name':'a','port':5,'listen':['hvsock:///" GUID_A "']}", "listen[0]: no Linux host listens on hyperv addresses; vsock://:PORT"},
    {"{'name':'a','port':5,'listen':['hvsock:///run/v.sock:5']}", "listen[0]: hybrid://PATH:PORT"},
    {"{'name':'a','port':5,'type':'seqpacket','listen':['vsock://:5','unix:///x','machine:web1']}", ""},
    {"{'name':'a','port':5,'type':'seqpacket','listen':['hybrid:///x']}", "listen[0]: hybrid carries streams only, and type is seqpacket"},
    {"{'name':'a','port':5,'type':'dgram','listen':['hyperkit:///x']}", "listen[0]: hyperkit carries streams only, and type is dgram"},
    {"{'name':'a','port':5,'type':'dgram'}", ""},
    {"{'name':'a','port':5,'type':'dgram','listen':['machine:*']}", "listen[0]: datagrams have no connections"},
    {"{'name':'a','port':5,'listen':['hyperkit:///./x']}", "listen[0]: the path is relative"},
    /* given twice */
    {"{'name':'a','port':5,'listen':['vsock://:5','vsock::5']}", "listen[1]: vsock://:5 is the same listener as one before it"},
    {"{'name':'a','port':5,'listen':['vsock://1:5','vsock://2:5']}", "listen[1]: the same listener as one before it; once would be right; vsock://:PORT listens"},
    {"{'name':'a','port':5,'listen':['hybrid:///x','hybrid:////x:5']}", "listen[1]: the same listener"},
    {"{'name':'a','port':5,'listen':['hybrid:///x','unix:///x_5']}", "listen[1]: the same listener"},
    {"{'name':'a','autoPort':true,'listen':['hybrid:///x','hybrid:///./x']}", "listen[1]: the same listener"},
    {"{'name':'a','port':5,'listen':['machine:*','machine:*']}", "listen[1]: the same listener"},
    {"{'name':'a','port':5,'listen':['machine:web1','machine:web2','machine:*','vsock://:5','unix:///x','unix:///y']}", ""},
    /* peers hold where the daemon accepts */
    {"{'name':'a','port':5,'peers':{'allow':['web1']}}", ""},
    {"{'name':'a','port':5,'peers':{'allow':['web1']},'handout':{'mode':'connections'}}", ""},
    {"{'name':'a','port':5,'peers':{'allow':['web1']},'handout':{'mode':'listener'}}", "peers: with handout.mode listener whoever is handed the listener accepts by itself"},
    {"{'name':'a','port':5,'peers':{},'handout':{'mode':'listener'}}", ""},
    {"{'name':'a','port':5,'peers':{'rate':'1/s'},'activate':{'mode':'wait','exec':['/x']}}", "peers: with activate.mode wait the program accepts by itself"},
    {"{'name':'a','port':5,'peers':{'rate':'1/s'},'activate':{'mode':'accept','exec':['/x']}}", ""},
    {"{'name':'a','port':5,'peers':{'maxConnections':1},'activate':{'mode':'wait','exec':['/x']},'handout':{'mode':'listener'}}",
     "peers: handout.mode listener\npeers: activate.mode wait"},
    {"{'name':'a','port':5,'type':'dgram','peers':{'deny':['1']}}", "peers: datagrams"},
    {"{'name':'a','port':5,'type':'dgram','handout':{'mode':'connections'}}", "handout.mode: datagrams"},
    {"{'name':'a','port':5,'listen':['machine:*'],'handout':{'mode':'listener'}}", ""}, /* the registry knows the machines */
    /* activation */
    {"{'name':'a','port':5,'activate':{'mode':'wait','exec':['/bin/cat','-u']}}", ""},
    {"{'name':'a','port':5,'activate':{'mode':'wait','unit':'a.service'}}", ""},
    {"{'name':'a','port':5,'activate':{'mode':'accept','unit':'a.service'}}", "activate.unit: goes with wait only"},
    {"{'name':'a','port':5,'activate':{'mode':'wait','unit':'a.service','exec':['/x']}}", "activate.unit: exec and unit are both given"},
    {"{'name':'a','port':5,'activate':{'mode':'wait'}}", "activate.exec: there is neither exec nor unit"},
    {"{'name':'a','port':5,'activate':{'mode':'wait','exec':[]}}", "activate.exec: too little"},
    {"{'name':'a','port':5,'activate':{'mode':'wait','exec':['cat']}}", "activate.exec[0]: is no absolute path"},
    {"{'name':'a','port':5,'activate':{'mode':'wait','exec':['']}}", "activate.exec[0]: is no absolute path"},
    {"{'name':'a','port':5,'activate':{'mode':'wait','exec':['/bin/']}}", "activate.exec[0]: is a folder"},
    {"{'name':'a','port':5,'activate':{'mode':'accept','exec':['/x'],'startLimit':'5/10s'}}", "activate.startLimit: with wait only"},
    {"{'name':'a','port':5,'activate':{'mode':'wait','exec':['/x'],'startLimit':'5/10s','user':'syslog','umask':'077'}}", ""},
    {"{'name':'a','port':5,'activate':{'mode':'wait','unit':'a.service','user':'x','limits':{'NOFILE':'5'}}}",
     "activate.user: a unit says this itself\nactivate.limits: a unit says this itself"},
    {"{'name':'a','port':5,'type':'dgram','activate':{'mode':'accept','exec':['/x']}}", "activate.mode: datagrams"},
    {"{'name':'a','port':5,'type':'dgram','activate':{'mode':'wait','exec':['/x']}}", ""},
    {"{'name':'a','port':5,'activate':{'mode':'wait','exec':['/x'],'limits':{'NOFILE':'1K','MEMLOCK':'1K','NPROC':'5:4'}}}",
     "activate.limits.NOFILE: is no value of this limit\nactivate.limits.NPROC: is no value of this limit"},
    /* of a record with bad fields, the rest is told too, and nothing that only follows */
    {"{'name':'a','port':'x'}", "port: is no number"},
    {"{'name':'a','prt':5}", "prt: port would be right"},
    {"{'name':'a','labels':{'a b':'c'}}", "labels[\"a b\"]: has something in it\nport: there is neither"},
    {"{'name':'a','listen':['unix//x']}", "listen[0]: no transport"},
    {"{'name':'a','port':5,'bogus':1,'guid':'" GUID_5140 "','peers':{'rate':'x'},'activate':{'mode':'wait','exec':['x']}}",
     "bogus: no such field\npeers.rate: is no rate\nguid: this is the GUID of port 5140\nactivate.exec[0]: is no absolute path"},
    {"{'name':'a','port':5,'type':'strem','listen':['vsock://:6','x',7,'vsock://:8']}",
     "type: perhaps stream\nlisten[1]: no transport\nlisten[2]: 7 is no text\nlisten[0]: port 6\nlisten[3]: port 8"},
};

static void test_services(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(services); i++) {
        Problems problems = {0};
        void *record = NULL;
        int r = read_quoted(&record_type_ServiceContext, services[i].service, &problems, &record);
        expect_problems(services[i].service, &problems, services[i].problems);
        assert_int_equal(r, problems.count ? RECORD_INVALID : 0);
        assert_int_equal(record != NULL, r == 0);
        record_free(&record_type_ServiceContext, record);
        problems_release(&problems);
    }
}

/* The number makes the name of the socket's file longer than a name may be. */
static void test_long_paths(void **state)
{
    static const struct {
        size_t name;
        const char *number, *problems;
    } paths[] = {
        {253, "'port':5", ""},
        {254, "'port':5", "listen[0]: too long"},
        {250, "'port':51400", "listen[0]: too long"},
        {244, "'autoPort':true", ""},
        {245, "'autoPort':true", "listen[0]: too long"},
        {218, "'guid':'" GUID_A "'", ""},
        {219, "'guid':'" GUID_A "'", "listen[0]: too long"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(paths); i++) {
        char service[600];
        Problems problems = {0};
        void *record = NULL;
        snprintf(service, sizeof(service), "{'name':'a',%s,'listen':['hybrid:///run/%0*d']}", paths[i].number, (int)paths[i].name, 0);
        read_quoted(&record_type_ServiceContext, service, &problems, &record);
        expect_problems(service, &problems, paths[i].problems);
        record_free(&record_type_ServiceContext, record);
        problems_release(&problems);
    }
}

static const struct {
    const RecordType *type;
    const char *given;
    const char *problems;
    const char *canonical;
} others[] = {
    {&record_type_MachineContext, "{'name':'m'}", "", "{'name':'m'}"},
    {&record_type_MachineContext, "{'name':'m','hybrid':'/run//a/./v.sock','hyperkit':'/run/k/','vmId':'{6F9619FF-8B86-D011-B42D-00C04FC964FF}'}", "",
     "{'name':'m','hybrid':'/run/a/v.sock','hyperkit':'/run/k','vmId':'" GUID_A "'}"},
    {&record_type_MachineContext, "{'name':'m','cid':3}", "", "{'name':'m','cid':3}"},
    {&record_type_MachineContext, "{'name':'m','cid':2}", "cid: 2 is out of bounds; a number from 3", NULL},
    {&record_type_MachineContext, "{'name':'m','cid':4294967295}", "cid: out of bounds", NULL},
    {&record_type_MachineContext, "{'name':'42'}", "name: read as a number", NULL},
    {&record_type_MachineContext, "{'name':'m','hybrid':'/run/'}", "hybrid: names a folder", NULL},
    {&record_type_MachineContext, "{'name':'m','hybrid':'run/x'}", "hybrid: no absolute path", NULL},
    {&record_type_MachineContext, "{'name':'m','vmId':'00000000-0000-0000-0000-000000000000'}", "vmId: of one machine", NULL},
    {&record_type_MachineContext, "{'cid':5}", "name: is missing", NULL},
    {&record_type_Settings, "{}", "", "{}"},
    {&record_type_Settings, "{'delegations':[{'users':['podman'],'names':'podman-*','ports':'50000-50999'}]}", "",
     "{'delegations':[{'users':['podman'],'names':'podman-*','ports':'50000-50999'}]}"},
    {&record_type_Settings, "{'delegations':[{'users':['a'],'names':'a'},{'names':'podman-*'}]}", "delegations[1].users: delegates to nobody", NULL},
    {&record_type_Settings, "{'delegations':[{'usrs':['a'],'names':'a'}]}", "delegations[0].usrs: users would be right", NULL},
    {&record_type_Settings, "{'autoPort':'1','delegations':[{'names':'a'}]}", "autoPort: autoPorts\ndelegations[0].users: delegates to nobody", NULL},
    {&record_type_Settings, "{'autoPorts':'9-5'}", "autoPorts: no range of ports", NULL},
    {&record_type_Document, "{'services':[{'name':'a','port':5},{'name':'b','port':5,'guid':'" GUID_A "'}],'machines':[{'name':'m','cid':1}]}",
     "services[1].guid: has no port\nmachines[0].cid: out of bounds", NULL},
};

static void test_others(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(others); i++) {
        Problems problems = {0};
        void *record = NULL;
        int r = read_quoted(others[i].type, others[i].given, &problems, &record);
        expect_problems(others[i].given, &problems, others[i].problems);
        assert_int_equal(r, others[i].canonical ? 0 : RECORD_INVALID);
        if (others[i].canonical)
            expect_record(others[i].type, record, others[i].canonical);
        record_free(others[i].type, record);
        problems_release(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
