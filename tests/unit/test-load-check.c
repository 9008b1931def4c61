/* SPDX-License-Identifier: Apache-2.0 */
/* load_check_conflicts and load_check_host: what the records of a set, and this host, have against each other. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/load-files.h"

typedef struct Case Case;

struct Case {
    const char *name;
    const char *text;
    const char *problems;
};

#define WEB1 "{name: web1, cid: 42, hybrid: /run/web1.sock}"
#define WEB2 "{name: web2, cid: 43}"
#define WEB3 "{name: web3, cid: 44}"

static const Case conflicts[] = {
    {"different ports", "services: [{name: a, port: 1}, {name: b, port: 2}]\n", ""},
    {"one port", "services:\n  - name: a\n    port: 5140\n  - name: b\n    port: 5140\n",
     "ROOT/a.yaml:5:11: services[1].port: 5140 is held by a (ROOT/a.yaml:2:5) already; choose another port, or autoPort: true\n"},
    {"a disabled service holds nothing", "services: [{name: a, port: 1, enabled: false}, {name: b, port: 1}]\n", ""},
    {"nor does one that is not listened for", "services: [{name: a, port: 1, listen: []}, {name: b, port: 1}]\n", ""},
    {"autoPort has no port yet", "services: [{name: a, autoPort: true}, {name: b, autoPort: true}]\n", ""},
    {"GUIDs without port", "services:\n- {name: a, guid: 12345678-0000-0000-0000-000000000000}\n- {name: b, guid: 12345678-0000-0000-0000-000000000000}\n", ""},
    {"a GUID and its port", "services:\n- {name: a, port: 5140}\n- {name: b, guid: 00001414-facb-11e6-bd58-64006a7986d3}\n",
     "ROOT/a.yaml:3:19: services[1].guid: 00001414-facb-11e6-bd58-64006a7986d3 is held by a (ROOT/a.yaml:2:3) already; choose another port, or "
     "autoPort: true\n"},
    {"three of a kind, in two documents", "services: [{name: a, port: 1}, {name: b, port: 1}]\n---\nservices: [{name: c, port: 1}]\n",
     "ROOT/a.yaml:1:48: services[1].port: 1 is held by a (ROOT/a.yaml:1:12) already; choose another port, or autoPort: true\n"
     "ROOT/a.yaml:3:28: services[0].port: 1 is held by a (ROOT/a.yaml:1:12) already; choose another port, or autoPort: true\n"},
    {"every CID is one space", "services: [{name: a, port: 1, listen: [\"vsock://1:1\"]}, {name: b, port: 1, listen: [\"vsock://2:1\"]}]\n",
     "ROOT/a.yaml:1:85: services[1].listen[0]: vsock://2:1 is held by a (ROOT/a.yaml:1:12) already; choose another port, or autoPort: true\n"},
    {"hybrid sockets are spaces of their own",
     "services:\n- {name: a, port: 1}\n- {name: b, port: 1, listen: [\"hybrid:///run/x.sock\"]}\n- {name: c, port: 1, listen: [\"hybrid:///run/y.sock\"]}\n", ""},
    {"one hybrid socket", "services:\n- {name: a, port: 1, listen: [\"hybrid:///run/x.sock\"]}\n- {name: b, port: 1, listen: [\"unix:///run/b\", \"hybrid:///run/x.sock\"]}\n",
     "ROOT/a.yaml:3:48: services[1].listen[1]: hybrid:///run/x.sock:1 is held by a (ROOT/a.yaml:2:3) already; choose another port, or autoPort: true\n"},
    {"one path", "services:\n- {name: a, listen: [\"unix:///run/x\"]}\n- {name: b, listen: [\"unix:///run/x\"]}\n",
     "ROOT/a.yaml:3:22: services[1].listen[0]: unix:///run/x is held by a (ROOT/a.yaml:2:3) already; choose another path\n"},

    /* machines */
    {"what machines are known by",
     "machines:\n- {name: a, cid: 42, hybrid: /run/x, vmId: 6f9619ff-8b86-d011-b42d-00c04fc964ff}\n- {name: b, cid: 42, hybrid: /run/x}\n"
     "- {name: c, vmId: 6F9619FF-8B86-D011-B42D-00C04FC964FF, hyperkit: /run/x}\n- {name: d, hyperkit: /run/x}\n",
     "ROOT/a.yaml:3:18: machines[1].cid: 42 is held by a (ROOT/a.yaml:2:3) already; give each machine a CID of its own\n"
     "ROOT/a.yaml:3:30: machines[1].hybrid: /run/x is held by a (ROOT/a.yaml:2:3) already; give each machine a socket of its own\n"
     "ROOT/a.yaml:4:19: machines[2].vmId: 6f9619ff-8b86-d011-b42d-00c04fc964ff is held by a (ROOT/a.yaml:2:3) already; give each machine an id "
     "of its own\n"
     "ROOT/a.yaml:5:23: machines[3].hyperkit: /run/x is held by c (ROOT/a.yaml:4:3) already; give each machine a folder of its own\n"},
    {"a machine that is not known", "services: [{name: a, port: 1, listen: [machine:web9]}, {name: b, port: 1, listen: [machine:web9]}]\n", ""},
    {"two on one machine", "services:\n- {name: a, port: 1, listen: [machine:web1]}\n- {name: b, port: 1, listen: [machine:web1]}\nmachines: [" WEB1 "]\n",
     "ROOT/a.yaml:3:31: services[1].listen[0]: hybrid:///run/web1.sock:1 is held by a (ROOT/a.yaml:2:3) already; choose another port, or autoPort: "
     "true\n"},
    {"a machine by name and by path", "services:\n- {name: a, port: 1, listen: [machine:web1]}\n- {name: b, port: 1, listen: [\"hybrid:///run/web1.sock\"]}\nmachines: [" WEB1 "]\n",
     "ROOT/a.yaml:3:31: services[1].listen[0]: hybrid:///run/web1.sock:1 is held by a (ROOT/a.yaml:2:3) already; choose another port, or autoPort: "
     "true\n"},
    {"vsock machines share the host's port", "services:\n- {name: a, port: 1, listen: [machine:web2]}\n- {name: b, port: 1, listen: [machine:web3]}\nmachines: [" WEB2 ", " WEB3 "]\n",
     "ROOT/a.yaml:3:31: services[1].listen[0]: vsock://:1 is held by a (ROOT/a.yaml:2:3) already; choose another port, or autoPort: true\n"},
    {"a name beats all", "services:\n- {name: a, port: 1, listen: [\"machine:*\"]}\n- {name: b, port: 1, listen: [machine:web1]}\nmachines: [" WEB1 "]\n", ""},
    {"on that machine alone", "services:\n- {name: a, port: 1, listen: [\"machine:*\"]}\n- {name: b, port: 1, listen: [machine:web2]}\nmachines: [" WEB1 ", " WEB2 ", " WEB3 "]\n",
     "ROOT/a.yaml:3:31: services[1].listen[0]: vsock://:1 is held by a (ROOT/a.yaml:2:3) already; choose another port, or autoPort: true\n"},
    {"all and all", "services:\n- {name: a, port: 1, listen: [\"machine:*\"]}\n- {name: b, port: 1, listen: [\"machine:*\"]}\nmachines: [" WEB1 ", " WEB2 ", " WEB3 "]\n",
     "ROOT/a.yaml:3:31: services[1].listen[0]: hybrid:///run/web1.sock:1 is held by a (ROOT/a.yaml:2:3) already; choose another port, or autoPort: "
     "true\n"
     "ROOT/a.yaml:3:31: services[1].listen[0]: vsock://:1 is held by a (ROOT/a.yaml:2:3) already; choose another port, or autoPort: true\n"},
    {"all that machines on vsock forbid, with the other problems",
     "services:\n- {name: a, port: 1, listen: [\"machine:*\"], handout: {mode: listener}}\n- {name: b, port: 2, listen: [machine:web2], activate: {mode: wait, exec: [/x]}}\n"
     "- {name: c, port: 3, listen: [machine:web1], handout: {mode: listener}}\n- {name: d, port: 3, listen: [machine:web1]}\nmachines: [" WEB1 ", " WEB2 ", " WEB3 "]\n",
     "ROOT/a.yaml:2:61: services[0].handout.mode: the service a means the machine web2 and 1 more, which are reached on vsock, where only the "
     "daemon can keep other machines away, and a bare listener knows no rules; connections would be right, or no mode at all\n"
     "ROOT/a.yaml:3:63: services[1].activate.mode: the service b means the machine web2, which is reached on vsock, where only the daemon can "
     "keep other machines away, and with wait the program accepts by itself; accept would be right\n"
     "ROOT/a.yaml:5:31: services[3].listen[0]: hybrid:///run/web1.sock:3 is held by c (ROOT/a.yaml:4:3) already; choose another port, or autoPort: "
     "true\n"},
    {"all of one service are its own", "services: [{name: a, port: 1, listen: [\"machine:*\", machine:web1, \"vsock://:1\"]}]\nmachines: [" WEB1 ", " WEB2 ", " WEB3 "]\n", ""},
};

static const Case hosts[] = {
    {"peers", "services: [{name: a, port: 1, peers: {allow: [\"uid:root\", \"uid:107\", nosuch1, 5], deny: [\"uid:nosuch1\"]}}]\n",
     "ROOT/a.yaml:1:90: warning: services[0].peers.deny[0]: this host has no user nosuch1; add it before the service is to run\n"},
    {"all there", "services: [{name: a, port: 1, activate: {mode: wait, exec: [/bin/true], user: root}, handout: {users: [root, 1000, 5-6], groups: [root, 12]}}]\n", ""},
    {"missing",
     "services:\n- name: a\n  port: 1\n  activate: {mode: wait, exec: [/nowhere/x], user: nosuch1, groups: [root, nosuch2]}\n"
     "  handout: {users: [nosuch1]}\n- name: b\n  port: 2\n  activate:\n    mode: accept\n    exec: [/etc/passwd]\n- name: c\n  port: 3\n  activate: {mode: wait, exec: [/usr]}\n"
     "machines: [{name: m, cid: 3, group: nosuch2}]\n",
     "ROOT/a.yaml:4:33: warning: services[0].activate.exec[0]: /nowhere/x: No such file or directory; install it before a peer connects\n"
     "ROOT/a.yaml:5:21: warning: services[0].handout.users[0]: this host has no user nosuch1; add it before the service is to run\n"
     "ROOT/a.yaml:4:52: warning: services[0].activate.user: this host has no user nosuch1; add it before the service is to run\n"
     "ROOT/a.yaml:4:76: warning: services[0].activate.groups[1]: this host has no group nosuch2; add it before the service is to run\n"
     "ROOT/a.yaml:10:12: warning: services[1].activate.exec[0]: /etc/passwd: it is not executable; name a program\n"
     "ROOT/a.yaml:13:33: warning: services[2].activate.exec[0]: /usr: it is not executable; name a program\n"
     "ROOT/a.yaml:14:37: warning: machines[0].group: this host has no group nosuch2; add it before the service is to run\n"},
    {"a slip of the finger",
     "services:\n- {name: a, port: 1, socket: {user: roott, group: rooot}, peers: {allow: [\"uid:roott\"]}, handout: {users: [roto]}}\n",
     "ROOT/a.yaml:2:37: warning: services[0].socket.user: this host has no user roott; root would be right, or add it before the service is to run\n"
     "ROOT/a.yaml:2:51: warning: services[0].socket.group: this host has no group rooot; root would be right, or add it before the service is to run\n"
     "ROOT/a.yaml:2:108: warning: services[0].handout.users[0]: this host has no user roto; root would be right, or add it before the service is to run\n"
     "ROOT/a.yaml:2:75: warning: services[0].peers.allow[0]: this host has no user roott; root would be right, or add it before the service is to run\n"},
    {"machines that nothing is known by",
     "machines:\n- {name: a, cid: 3}\n- {name: b, hybrid: /x}\n- {name: c, hyperkit: /x}\n- {name: d, vmId: 6f9619ff-8b86-d011-b42d-00c04fc964ff}\n- {name: e, user: root}\n",
     "ROOT/a.yaml:6:3: warning: machines[4]: no guest is ever taken for the machine e; give it a cid, hybrid, hyperkit or vmId\n"},
};

static Declared *load(const char *text)
{
    const char *paths[] = {files_path("a.yaml"), NULL};
    Problems problems = {0};
    Declared *declared = NULL;

    files_write("a.yaml", text);
    load_paths(paths, false, NULL, &problems, &declared);
    files_assert_problems(&problems, "");
    return declared;
}

static void test_conflicts(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(conflicts); i++) {
        Problems problems = {0};
        print_message("%s\n", conflicts[i].name);
        _cleanup_(declared_freep) Declared *declared = load(conflicts[i].text);
        int r = load_check_conflicts(declared, &problems);
        files_assert_problems(&problems, conflicts[i].problems);
        assert_int_equal(r, conflicts[i].problems[0] ? LOAD_INVALID : 0);
    }
}

static void test_host(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(hosts); i++) {
        Problems problems = {0};
        print_message("%s\n", hosts[i].name);
        _cleanup_(declared_freep) Declared *declared = load(hosts[i].text);
        assert_int_equal(load_check_host(declared, 0, &problems), 0);
        assert_int_equal(problems.errors, 0);
        files_assert_problems(&problems, hosts[i].problems);
    }
}

/* hvsockd.yaml. Numbers, and ranges of them, need nobody. */
static void test_settings(void **state)
{
    static const Case cases[] = {
        {"nothing", "", ""},
        {"all there", "administrators: {users: [root, 4000000000, 5-6], groups: [root, 12]}\ndelegations: [{users: [root, 100000-165535], names: x}]\n", ""},
        {"missing",
         "administrators:\n  users: [root, nosuch1]\n  groups:\n    - nosuch2\ndelegations:\n  - {users: [root], names: x}\n"
         "  - users: [1000-2000, nosuch1]\n    groups: [rooot]\n    names: y-*\npeers: {allow: [web1, 42], deny: [\"uid:roott\"]}\n",
         "ROOT/hvsockd.yaml:2:17: warning: administrators.users[1]: this host has no user nosuch1; add it, or leave it out: so far it is nobody\n"
         "ROOT/hvsockd.yaml:4:7: warning: administrators.groups[0]: this host has no group nosuch2; add it, or leave it out: so far it is nobody\n"
         "ROOT/hvsockd.yaml:7:24: warning: delegations[1].users[1]: this host has no user nosuch1; add it, or leave it out: so far it is nobody\n"
         "ROOT/hvsockd.yaml:8:14: warning: delegations[1].groups[0]: this host has no group rooot; root would be right, or add it, or leave it out: so far "
         "it is nobody\n"
         "ROOT/hvsockd.yaml:10:35: warning: peers.deny[0]: this host has no user roott; root would be right, or add it, or leave it out: so far it is "
         "nobody\n"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(settings_freep) Settings *settings = NULL;
        Problems problems = {0};
        print_message("%s\n", cases[i].name);
        files_write("hvsockd.yaml", cases[i].text);
        assert_int_equal(load_settings(files_path("hvsockd.yaml"), &problems, &settings), 0);
        assert_int_equal(load_check_host_settings(files_path("hvsockd.yaml"), settings, &problems), 0);
        assert_int_equal(problems.errors, 0);
        files_assert_problems(&problems, cases[i].problems);
    }
    /* Gone since: what is wrong is told all the same. */
    _cleanup_(settings_freep) Settings *settings = NULL;
    Problems problems = {0};
    files_write("hvsockd.yaml", "administrators: {users: [nosuch1]}\n");
    assert_int_equal(load_settings(files_path("hvsockd.yaml"), &problems, &settings), 0);
    assert_int_equal(unlink(files_path("hvsockd.yaml")), 0);
    assert_int_equal(load_check_host_settings(files_path("hvsockd.yaml"), settings, &problems), 0);
    files_assert_problems(&problems, "ROOT/hvsockd.yaml: warning: administrators.users[0]: this host has no user nosuch1; add it, or leave it out: so far it is nobody\n");
}

/* Executable, and yet it cannot be executed. */
static void test_script(void **state)
{
    static const struct {
        const char *script, *problem;
    } cases[] = {
        {"#!/no/such/program -x\n", "ROOT/script is a script for /no/such/program: No such file or directory; install it before a peer connects\n"},
        {"#! \t/no/such/program", "ROOT/script is a script for /no/such/program: No such file or directory; install it before a peer connects\n"},
        {"#!/bin/sh\n", NULL},
        {"#! /bin/sh -e\n", NULL},
        {"#!\n", NULL},
        {"", NULL},
    };
    _cleanup_(freep) char *text = NULL;

    assert_true(asprintf(&text, "services: [{name: a, port: 1, activate: {mode: wait, exec: [%s]}}]\n", files_path("script")) > 0);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Problems problems = {0};
        char expected[256] = "";
        files_write("script", cases[i].script);
        assert_int_equal(chmod(files_path("script"), 0700), 0);
        _cleanup_(declared_freep) Declared *declared = load(text);
        assert_int_equal(load_check_host(declared, 0, &problems), 0);
        if (cases[i].problem)
            snprintf(expected, sizeof(expected), "ROOT/a.yaml:1:61: warning: services[0].activate.exec[0]: %s", cases[i].problem);
        files_assert_problems(&problems, expected);
    }
}

/* By who it is to run as; and who can start it as that. ROOT/open and ROOT/program are everybody's, ROOT/closed and ROOT/own and
 * what is in ROOT/closed not; ROOT/link leads to ROOT/closed/program. */
static const struct {
    uid_t starts_as;
    const char *activate, *problems; /* of the field, after the place */
} programs[] = {
    {0, "exec: [ROOT/program], user: nobody, workingDirectory: ROOT/open", ""},
    {0, "exec: [ROOT/own]", ""},
    {0, "exec: [ROOT/closed/program], user: root, workingDirectory: ROOT/closed", ""},
    {0, "exec: [ROOT/own], user: nobody",
     "activate.exec[0]: ROOT/own: nobody may not execute it; let that user, or choose another activate.user\n"},
    {0, "exec: [ROOT/own], user: 4000000000",
     "activate.exec[0]: ROOT/own: uid 4000000000 may not execute it; let that user, or choose another activate.user\n"},
    {0, "exec: [ROOT/closed/program], user: nobody",
     "activate.exec[0]: ROOT/closed/program: nobody may not pass through ROOT/closed; let that user in there, or put it elsewhere\n"},
    {0, "exec: [ROOT/link], user: nobody",
     "activate.exec[0]: ROOT/link: nobody may not pass through ROOT/closed; let that user in there, or put it elsewhere\n"},
    {0, "exec: [ROOT/unread], user: nobody",
     "activate.exec[0]: ROOT/unread is a script for /bin/sh: nobody may not read it, and a script is read; let that user, or choose another "
     "activate.user\n"},
    {0, "exec: [ROOT/unread], user: root", ""},
    {0, "exec: [ROOT/of-closed], user: nobody",
     "activate.exec[0]: ROOT/of-closed is a script for ROOT/closed/program: nobody may not pass through ROOT/closed; let that user in there, or "
     "put it elsewhere\n"},
    {0, "exec: [ROOT/of-folder]", "activate.exec[0]: ROOT/of-folder is a script for ROOT/open: it is not executable; name a program\n"},
    {0, "exec: [/bin/true], user: nobody, workingDirectory: ROOT/closed",
     "activate.workingDirectory: ROOT/closed: nobody may not enter it; let that user, or choose another folder\n"},
    {0, "exec: [/bin/true], workingDirectory: ROOT/none",
     "activate.workingDirectory: ROOT/none: No such file or directory; make it before a peer connects\n"},
    {0, "exec: [/bin/true], workingDirectory: ROOT/program", "activate.workingDirectory: ROOT/program: it is no folder; name a folder\n"},
    {0, "exec: [/bin/true], user: nobody, groups: [root, nogroup]", ""},
    /* An ordinary user's daemon becomes nobody else. */
    {65534, "exec: [ROOT/own]", "activate.exec[0]: ROOT/own: nobody may not execute it; let that user, or choose another activate.user\n"},
    {65534, "exec: [/bin/true], user: nobody", ""},
    {65534, "exec: [/bin/true], user: root",
     "activate.user: hvsock-keeper, which starts programs, is uid 65534 here, and cannot become root; leave it out, or run hvsockd as root\n"},
    {65534, "exec: [/bin/true], groups: [nogroup]",
     "activate.groups: hvsock-keeper, which starts programs, is uid 65534 here, and cannot change its groups; leave it out, or run hvsockd as "
     "root\n"},
    /* Nobody knows whose daemon it will be. */
    {(uid_t)-1, "exec: [ROOT/own]", ""},
    {(uid_t)-1, "exec: [/bin/true], user: root, groups: [nogroup]", ""},
    {(uid_t)-1, "exec: [ROOT/none]", "activate.exec[0]: ROOT/none: No such file or directory; install it before a peer connects\n"},
};

static void make(const char *name, const char *text, mode_t mode)
{
    files_write(name, text);
    assert_int_equal(chmod(files_path(name), mode), 0);
}

/* `activate.x: why` becomes `ROOT/a.yaml:L:C: warning: services[0].activate.x: why`; where it is, other tests tell. */
static void assert_warnings(const Problems *problems, const char *expected)
{
    Buffer text = {0};

    for (size_t i = 0; i < problems->count; i++) {
        const Problem *problem = &problems->items[i];
        assert_true(problem->warning && problem->line == 1 && strncmp(problem->field, "services[0].", 12) == 0);
        buffer_printf(&text, "%s: %s; %s\n", problem->field + 12, problem->reason, problem->hint);
    }
    buffer_append_char(&text, '\0');
    _cleanup_(freep) char *found = files_replace(text.data, files_root, "ROOT");
    buffer_release(&text);
    assert_string_equal(found, expected);
}

static void test_programs(void **state)
{
    assert_int_equal(chmod(files_path(""), 0711), 0);
    assert_int_equal(mkdir(files_path("open"), 0755), 0);
    assert_int_equal(mkdir(files_path("closed"), 0755), 0);
    make("program", "", 0755);
    make("closed/program", "", 0755);
    make("own", "", 0700);
    make("unread", "#!/bin/sh\n", 0711);
    assert_int_equal(symlink(files_path("closed/program"), files_path("link")), 0);
    for (size_t i = 0; i < 2; i++) {
        char line[200];
        snprintf(line, sizeof(line), "#!%s\n", files_path(i == 0 ? "closed/program" : "open"));
        make(i == 0 ? "of-closed" : "of-folder", line, 0755);
    }
    assert_int_equal(chmod(files_path("closed"), 0700), 0);
    for (size_t i = 0; i < ELEMENTS_OF(programs); i++) {
        Problems problems = {0};
        _cleanup_(freep) char *activate = files_replace(programs[i].activate, "ROOT", files_root);
        _cleanup_(freep) char *text = NULL;
        print_message("%s\n", programs[i].activate);
        assert_true(asprintf(&text, "services: [{name: a, port: 1, activate: {mode: wait, %s}}]\n", activate) > 0);
        _cleanup_(declared_freep) Declared *declared = load(text);
        assert_int_equal(load_check_host(declared, programs[i].starts_as, &problems), 0);
        assert_warnings(&problems, programs[i].problems);
        problems_release(&problems);
    }
}

/* Conflicts of files that are not the same, told in the order of the load. */
static void test_files(void **state)
{
    const char *paths[] = {files_path("b"), files_path("a"), NULL};
    Problems problems = {0};
    Declared *declared = NULL;

    files_write("a", "services: [{name: a, port: 1}]\n");
    files_write("b", "services: [{name: b, port: 1}]\n");
    assert_int_equal(load_paths(paths, false, NULL, &problems, &declared), 0);
    assert_int_equal(load_check_conflicts(declared, &problems), LOAD_INVALID);
    files_assert_problems(&problems, "ROOT/a:1:28: services[0].port: 1 is held by b (ROOT/b:1:12) already; choose another port, or autoPort: true\n");
    declared_free(declared);
    files_write("a", "services: [{name: b, port: 2}]\n");
    assert_int_equal(load_paths(paths, false, NULL, &problems, &declared), LOAD_INVALID);
    files_assert_problems(&problems, "ROOT/a:1:19: services[0].name: b is declared already (ROOT/b:1:12); give each its own name\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_conflicts, files_setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_host, files_setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_settings, files_setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_script, files_setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_programs, files_setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_files, files_setup, files_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
